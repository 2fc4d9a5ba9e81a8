"""Other agents: messages to them, calls that wait for them, calls from them, and taking a call back.

Who waits for an answer can be cancelled or killed, or its deadline can pass.  Then the agent that it waits for is
told by a ``cancel`` whose target is the message it was sent, and tells in turn whom it waits for itself: a chain of
calls is taken down from its beginning to its end.  An agent cancels only what it sent, which the target's id shows,
since agents make ids of their own names.  Messages overtake each other, so a cancel may come before its target,
which then counts as handled when it comes.
"""

from __future__ import annotations

from pagefault.runtime.kernel.effects import FindSubscribers, Publish, Send, SetTimer, Subscribe
from pagefault.runtime.kernel.functions import (
    CallAgent,
    CallProblem,
    Done,
    FetchPages,
    Outcome,
    PublishTo,
    Say,
    SubscribeTo,
)
from pagefault.runtime.kernel.state import AgentData, Chain
from pagefault.runtime.values import (
    AgentId,
    CallId,
    FunctionCall,
    Interrupt,
    InterruptId,
    InterruptKind,
    Priority,
)

# --- to them ----------------------------------------------------------------------------------------


def _hops(data: AgentData) -> int:
    return data.chain.interrupt.hops if data.chain is not None else 0


def check_hops(data: AgentData) -> None:
    """Raise :class:`CallProblem` when what the present chain sends would pass through too many agents."""
    limit = data.definition.chain.hops_max
    if _hops(data) >= limit:
        data.notice("hop_limit", value=limit)
        raise CallProblem(
            f"this has passed through {limit} agents already and goes no further; answer with what you know"
        )


def message_to_other(
    data: AgentData,
    message_id: str,
    text: str,
    *,
    session: str = "",
    function: str = "",
    deadline_ms: int | None = None,
    callers: tuple[AgentId, ...] = (),
) -> Interrupt:
    """What another agent gets; with ``callers``, the sender waits for the reply."""
    return Interrupt(
        id=InterruptId(message_id),
        kind=InterruptKind.CALL if function else InterruptKind.MESSAGE,
        priority=Priority.AGENT,
        sender=data.definition.id,
        text=text,
        created_ms=data.now_ms,
        deadline_ms=deadline_ms,
        session=session or (data.chain.interrupt.session if data.chain is not None else ""),
        wants_reply=bool(callers),
        hops=_hops(data) + 1,
        callers=callers,
        function=function,
    )


def group_effect(data: AgentData, outcome: SubscribeTo | PublishTo) -> Subscribe | FindSubscribers:
    """What the host is asked about a group of agents (asked again after a recovery, under the same id)."""
    outstanding = data.outstanding
    assert outstanding is not None, "nothing waits for what becomes of it"
    if isinstance(outcome, SubscribeTo):
        return Subscribe(data.cause, outstanding.call_id, outcome.topic, outcome.subscribed)
    return FindSubscribers(data.cause, outstanding.call_id, outcome.topic)


def publish(data: AgentData, outcome: PublishTo, call_id: CallId, agents: tuple[AgentId, ...]) -> str:
    """Send to all who hear a topic but for this agent; what to tell the model.

    Who they are is in the journal by now, so that doing it again after a crash reaches the same ones.
    """
    others = tuple(agent for agent in agents if agent != data.definition.id)
    if others:
        message = message_to_other(data, call_id, outcome.text, session=outcome.topic)
        data.emit(Publish(data.cause, others, message))
    data.notice("published", value=len(others), text=outcome.topic)
    return f"Published to {len(others)} agents." if len(others) != 1 else "Published to 1 agent."


# --- calls that wait for them -----------------------------------------------------------------------


def _callers(data: AgentData) -> tuple[AgentId, ...]:
    """Who waits for what this chain will say."""
    return data.chain.interrupt.callers if data.chain is not None else ()


def park(data: AgentData, chain: Chain, call: FunctionCall, outcome: CallAgent) -> None:
    """Put the present chain aside until another agent answers, or the deadline passes.

    Raises :class:`CallProblem` when waiting could not end, or too many wait already.
    """
    check_hops(data)
    if outcome.agent == data.definition.id:
        raise CallProblem("an agent cannot call itself and wait; act directly, or set_timer")
    if outcome.agent in _callers(data):
        circle = " > ".join((*_callers(data), data.definition.id, outcome.agent))
        data.notice("call_cycle", text=circle)
        raise CallProblem(
            f"{outcome.agent} waits for your answer itself ({circle}), so calling it and waiting would go round in a "
            "circle; answer with what you know, or use send_to_agent, which does not wait"
        )
    if len(data.parked) >= data.definition.chain.parked_max:
        raise CallProblem(f"{len(data.parked)} calls wait for answers already; no more may until some are answered")
    message = message_to_other(
        data,
        data.next_call_id(),
        outcome.text,
        function=outcome.function,
        deadline_ms=outcome.deadline_ms,
        callers=(*_callers(data), data.definition.id),
    )
    chain.waiting_call = call
    chain.waits_until_ms = outcome.deadline_ms
    chain.waits_for = AgentId(outcome.agent)
    data.parked[message.id] = chain
    data.emit(Send(chain.cause, AgentId(outcome.agent), message))
    data.emit(SetTimer(chain.cause, outcome.deadline_ms))
    data.notice("parked", text=outcome.agent)
    data.chain = None


def withdraw(data: AgentData, key: InterruptId, chain: Chain) -> None:
    """Tell the agent that a parked chain waits for that nobody waits any more."""
    if chain.answer is not None or not chain.waits_for:
        return
    cancel = Interrupt(
        id=InterruptId(f"{key}/cancel"),
        kind=InterruptKind.CANCEL,
        priority=Priority.OPERATOR,
        sender=data.definition.id,
        created_ms=data.now_ms,
        hops=chain.interrupt.hops + 1,
        target=key,
    )
    data.emit(Send(chain.cause, chain.waits_for, cancel))


def is_from_agent(cancel: Interrupt) -> bool:
    """Whether a cancel comes from an agent, and not from the program: what agents send has passed through one."""
    return cancel.hops > 0


def may_cancel(cancel: Interrupt) -> bool:
    """An agent may cancel only what it sent."""
    return cancel.target.rpartition("/")[0] == cancel.sender


# --- calls from them --------------------------------------------------------------------------------


def begin_call(data: AgentData, chain: Chain) -> None:
    """A chain that is one call of an exported function, without a model."""
    interrupt = chain.interrupt
    chain.proceed = False
    if interrupt.function in data.definition.exports:
        chain.pending = [FunctionCall(interrupt.id, interrupt.function, interrupt.text)]
        return
    offered = ", ".join(data.definition.exports)
    chain.failed = True
    chain.said.append(
        f"{data.definition.id} exports no function {interrupt.function[:80]!r}; "
        + (f"it exports: {offered}" if offered else "it exports none, so send it a message instead")
    )


def check_exported(call: FunctionCall, outcome: Outcome) -> None:
    """Raise :class:`CallProblem` for what only the agent's own chain can do."""
    is_speech = isinstance(outcome, Done) and any(isinstance(change, Say) for change in outcome.changes)
    if is_speech or isinstance(outcome, FetchPages | CallAgent):
        raise CallProblem(f"{call.name} acts on what its agent is doing, so nobody else can call it")
