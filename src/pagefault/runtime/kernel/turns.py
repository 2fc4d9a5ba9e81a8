"""Chains: which one runs, when it is put aside, and how it ends.

:func:`run` is the only driver.  It goes on until the agent waits for an effect or has nothing to do; every
handler changes the state and then calls it, so there is no recursion and no second loop.
"""

from __future__ import annotations

from dataclasses import replace

from pagefault.runtime.kernel.acting import run_calls
from pagefault.runtime.kernel.approval import note_arrival, take_decision
from pagefault.runtime.kernel.consolidation import begin_review, end_review, plan_review
from pagefault.runtime.kernel.context import Assembled
from pagefault.runtime.kernel.effects import CallModel, CancelCall, ChainEnded, Deliver, Send, TakeSnapshot
from pagefault.runtime.kernel.intake import take_call, take_interrupt, take_reply, take_result
from pagefault.runtime.kernel.mending import change_memory
from pagefault.runtime.kernel.others import begin_call, withdraw
from pagefault.runtime.kernel.pager import Room, make_room
from pagefault.runtime.kernel.state import AgentData, Chain, Outstanding, Phase
from pagefault.runtime.values import (
    AgentId,
    Interrupt,
    InterruptId,
    InterruptKind,
    Message,
    ModelReply,
    ModelRequest,
    PageId,
    Priority,
    Reasoning,
)


def run(data: AgentData) -> None:
    """Drive chains until something is outstanding, the agent is stopped, or there is nothing to do."""
    while data.outstanding is None and data.phase is not Phase.STOPPED:
        chain = data.chain
        if chain is None:
            if not _pick(data):
                _rest(data)
                return
        elif chain.pending or chain.arrivals:
            run_calls(data)
        elif chain.is_call:
            _finish_call(data, chain)
        elif chain.proceed and not chain.yielding:
            _think(data, chain)
        else:
            end_chain(data, "yielded")


def _rest(data: AgentData) -> None:
    """There is nothing to do; whoever has just become idle may soon look over what it has filed."""
    was_idle = data.phase is Phase.IDLE
    data.phase = Phase.AWAITING_REPLY if data.parked else Phase.IDLE
    if data.phase is Phase.IDLE and not was_idle:
        plan_review(data)


def _pick(data: AgentData) -> bool:
    """Make the most urgent chain the present one: put aside, answered, or new; ``False`` if there is none.

    At equal priority what has begun goes first.
    """
    while True:
        interrupt = data.mailbox.peek(hold_timers=data.now_ms < data.paused_until_ms)
        answered = _most_urgent_answered(data)
        top = data.suspended[-1] if data.suspended else None
        urgency = _urgency(data, interrupt, answered)
        if top is not None and (urgency is None or urgency >= top.priority):
            data.chain = data.suspended.pop()
            data.notice("chain_resumed")
            return True
        if answered is not None and (interrupt is None or data.parked[answered].priority <= interrupt.priority):
            _resume_parked(data, answered)
            return True
        if interrupt is None:
            return False
        data.mailbox.remove(interrupt.id)
        if interrupt.deadline_ms is not None and interrupt.deadline_ms < data.now_ms:
            data.notice("expired", cause=interrupt.id)
            report_end(data, interrupt, "expired", "its deadline passed before it was handled")
            continue
        _begin(data, interrupt)
        return True


def _most_urgent_answered(data: AgentData) -> InterruptId | None:
    if Priority.REPLY in data.mailbox.mask:
        return None
    ready = [key for key, chain in data.parked.items() if chain.answer is not None]
    return min(ready, key=lambda key: data.parked[key].priority, default=None)


def _urgency(data: AgentData, interrupt: Interrupt | None, answered: InterruptId | None) -> Priority | None:
    """The priority of the most urgent thing that waits, or ``None``."""
    waiting = [interrupt.priority] if interrupt is not None else []
    if answered is not None:
        waiting.append(data.parked[answered].priority)
    return min(waiting, default=None)


def _begin(data: AgentData, interrupt: Interrupt) -> None:
    chain = data.chain = Chain(interrupt, PageId(""))
    data.statistics.chains += 1
    data.notice("chain_started", text=interrupt.kind.value)
    note_arrival(data, interrupt)
    if chain.is_call:
        data.notice("called", text=interrupt.function)
        begin_call(data, chain)
    elif interrupt.change is not None and interrupt.kind is InterruptKind.MEMORY:
        chain.proceed = False
        change_memory(data, interrupt.change)
    else:
        if chain.is_review:
            begin_review(data, chain)
        _has_become(data, chain, take_interrupt(data, chain.interrupt))


def _has_become(data: AgentData, chain: Chain, page_id: PageId) -> None:
    """The page that an interrupt is remembered by."""
    chain.page_id = page_id
    if chain.cause in data.remembered:
        data.remembered[chain.cause] = page_id


def _finish_call(data: AgentData, chain: Chain) -> None:
    """A call from another agent has its result: one short page of it stays, and no more pages than fit."""
    if not chain.page_id:
        _has_become(data, chain, take_call(data, chain))
    room, _ = make_room(data)
    if room is Room.READY:
        end_chain(data, "yielded")
    elif room is Room.OVERFLOW:
        fail_overflow(data)


def _resume_parked(data: AgentData, key: InterruptId) -> None:
    chain = data.chain = data.parked.pop(key)
    call, answer = chain.waiting_call, chain.answer
    assert call is not None, "a parked chain without a call"
    assert answer is not None, "a parked chain without an answer"
    chain.waiting_call = chain.answer = None
    chain.proceed = True
    data.notice("chain_resumed")
    if answer.kind is InterruptKind.APPROVAL or not chain.waits_for:
        take_decision(data, chain, call, answer)
        return
    note_arrival(data, answer)
    text = answer.text or "(no words)"
    take_result(
        data, call, not answer.failed, text if answer.failed else f"{answer.sender} answers: {text}", of_others=True
    )


# --- one step ---------------------------------------------------------------------------------------


def _think(data: AgentData, chain: Chain) -> None:
    limits = data.definition.chain
    if chain.malformed >= limits.malformed_max:
        data.notice("malformed_limit", value=limits.malformed_max)
        end_chain(data, "malformed", f"{chain.malformed} calls in a row could not be run")
        return
    if chain.steps >= limits.steps_max:
        data.notice("step_limit", value=limits.steps_max)
        end_chain(data, "step_limit", f"the chain had {chain.steps} steps, which is the limit")
        return
    if chain.steps and _preempt(data, chain):
        return
    room, assembled = make_room(data)
    if room is Room.READY:
        _call_model(data, assembled)
    elif room is Room.OVERFLOW:
        fail_overflow(data)


def _preempt(data: AgentData, chain: Chain) -> bool:
    """Put the present chain aside if something more urgent waits; its continuation is the chain itself."""
    interrupt = data.mailbox.peek(hold_timers=data.now_ms < data.paused_until_ms)
    answered = _most_urgent_answered(data)
    urgency = _urgency(data, interrupt, answered)
    if urgency is None or urgency >= chain.priority:
        return False
    if len(data.suspended) >= data.definition.chain.depth_max:
        data.notice("depth_limit", value=data.definition.chain.depth_max)
        return False
    data.notice("chain_preempted")
    data.statistics.preemptions += 1
    data.suspended.append(chain)
    data.chain = None
    return True


def _call_model(data: AgentData, assembled: Assembled) -> None:
    statistics, settings = data.statistics, data.definition.context
    used = data.context.corrected(assembled.tokens)
    assert used <= settings.high_tokens, f"{used} tokens of {settings.high_tokens} would be sent"
    statistics.model_calls += 1
    statistics.token_turns += assembled.tokens
    statistics.context_tokens = used
    statistics.context_tokens_max = max(statistics.context_tokens_max, used)
    data.outstanding = Outstanding(data.next_call_id(), "model", data.cause, counted_tokens=assembled.tokens)
    data.phase = Phase.THINKING
    data.emit(model_effect(data, assembled))


def model_effect(data: AgentData, assembled: Assembled) -> CallModel:
    """The request for the present step (made again after a recovery)."""
    outstanding = data.outstanding
    assert outstanding is not None, "nothing is outstanding"
    assert outstanding.kind == "model", "no model call is outstanding"
    messages, tokens = _with_reasoning(data, assembled)
    request = ModelRequest(
        agent=data.definition.id,
        messages=messages,
        functions=data.functions.schemas(),
        prompt_tokens=tokens,
        reply_tokens_max=data.definition.context.reply_tokens,
        priority=data.priority,
    )
    return CallModel(outstanding.cause, outstanding.call_id, request)


def _with_reasoning(data: AgentData, assembled: Assembled) -> tuple[tuple[Message, ...], int]:
    """The messages with the chain's reasoning, the newest as far as it fits, and their tokens.

    It belongs to calls: where their page has left, it stays away, too.
    """
    tokens = data.context.corrected(assembled.tokens)
    if data.chain is None or not data.chain.reasoning:
        return assembled.messages, tokens
    kept = {each.call_id: each.items for each in data.chain.reasoning}
    messages = list(assembled.messages)
    for place in range(len(messages) - 1, -1, -1):
        calls = messages[place].calls
        items = kept.get(calls[0].id, ()) if calls else ()
        added = data.context.corrected(sum(data.counter.count(item) for item in items)) if items else 0
        if tokens + added > data.definition.context.high_tokens:
            break
        if items:
            messages[place] = replace(messages[place], reasoning=items)
            tokens += added
    return tuple(messages), tokens


def take_model_reply(data: AgentData, chain: Chain, reply: ModelReply, counted_tokens: int) -> None:
    """A step: the reply enters, its calls become pending."""
    statistics, limit = data.statistics, data.definition.chain.calls_max
    chain.steps += 1
    statistics.steps += 1
    statistics.prompt_tokens += reply.usage.prompt_tokens or counted_tokens
    statistics.reply_tokens += reply.usage.reply_tokens
    statistics.cached_tokens += reply.usage.cached_tokens
    # With reasoning in it a prompt is longer than what was counted, and teaches nothing.
    if not chain.reasoning and data.context.learn(counted_tokens, reply.usage.prompt_tokens):
        data.notice("recounted", value=data.context.correction_permille)
    if len(reply.calls) > limit:
        data.notice("calls_limit", value=limit)
        reply = replace(reply, calls=reply.calls[:limit])
    data.notice("step", value=counted_tokens, text=reply.text)
    take_reply(data, reply)
    chain.proceed = chain.yielding = False
    chain.pending = list(reply.calls)
    if reply.reasoning and reply.calls:
        chain.reasoning.append(Reasoning(reply.calls[0].id, reply.reasoning))
    if not reply.calls and reply.text and data.definition.plain_text == "deliver":
        chain.said.append(reply.text)
        data.emit(Deliver(chain.cause, chain.interrupt.sender, reply.text))


# --- endings ----------------------------------------------------------------------------------------


def fail_overflow(data: AgentData) -> None:
    """The present chain cannot go on: its context does not fit."""
    limit = data.definition.context.high_tokens
    end_chain(data, "overflow", f"the context cannot be brought under {limit} tokens; raise context.budget_tokens")


def end_chain(data: AgentData, outcome: str, message: str = "") -> None:
    """The present chain is over; whoever waits for it is told."""
    chain = data.chain
    assert chain is not None, "no chain to end"
    assert data.outstanding is None, "a chain ends while something is outstanding"
    if chain.is_call and chain.said and not chain.page_id:
        _has_become(data, chain, take_call(data, chain))  # it was broken off, but something did happen
    report_chain(data, chain, outcome, message)
    data.chain = None
    if data.statistics.steps - data.steps_at_snapshot >= data.definition.chain.snapshot_steps:
        data.steps_at_snapshot = data.statistics.steps
        data.emit(TakeSnapshot(chain.cause))


def report_end(data: AgentData, interrupt: Interrupt, outcome: str, message: str = "") -> None:
    """An interrupt is done with though no chain of it ran."""
    report_chain(data, Chain(interrupt, PageId("")), outcome, message)


def report_chain(data: AgentData, chain: Chain, outcome: str, message: str) -> None:
    """Tell the host how a chain ended, and the agent that waits for an answer if one does."""
    interrupt = chain.interrupt
    if chain.is_review:
        end_review(data, chain)
    if interrupt.wants_reply and outcome != "withdrawn":
        text = "\n".join(chain.said)
        if not text and outcome != "yielded":
            text = f"{data.definition.id} could not answer ({outcome}): {message}"
        reply = Interrupt(
            id=InterruptId(f"{interrupt.id}/reply"),
            kind=InterruptKind.REPLY,
            priority=Priority.REPLY,
            sender=data.definition.id,
            text=text,
            created_ms=data.now_ms,
            session=interrupt.session,
            in_reply_to=interrupt.id,
            failed=chain.failed or (not chain.said and outcome != "yielded"),
            hops=interrupt.hops + 1,
        )
        data.emit(Send(interrupt.id, AgentId(interrupt.sender), reply))
    elif chain.is_call and chain.said:
        data.emit(Deliver(interrupt.id, interrupt.sender, "\n".join(chain.said)))
    data.emit(ChainEnded(interrupt.id, outcome, chain.steps, message, chain.page_id))


def cancel(data: AgentData, target: InterruptId, outcome: str = "cancelled") -> None:
    """End the chain that ``target`` began, wherever it is; an empty target means the present one.

    What is outstanding is told to stop, and the phase is ``cancelling`` until its end is known.  An agent that
    the chain waits for is told, too.
    """
    message = f"{outcome} on request"
    waiting = data.mailbox.remove(target) if target else None
    if waiting is not None:
        report_end(data, waiting, outcome, message)
        return
    for chain in [chain for chain in data.suspended if chain.cause == target]:
        data.suspended.remove(chain)
        report_chain(data, chain, outcome, message)
    for key in [key for key, chain in data.parked.items() if chain.cause == target]:
        chain = data.parked.pop(key)
        withdraw(data, key, chain)
        report_chain(data, chain, outcome, message)
    if data.chain is None or target not in ("", data.chain.cause):
        return
    assert data.outstanding is not None, "between events a present chain waits for something"
    data.outstanding.outcome = outcome
    if data.phase is not Phase.CANCELLING:
        data.phase = Phase.CANCELLING
        data.emit(CancelCall(data.cause, data.outstanding.call_id))


def kill(data: AgentData) -> None:
    """End everything; the agent takes no interrupts any more."""
    for interrupt in list(data.mailbox):
        data.mailbox.remove(interrupt.id)
        report_end(data, interrupt, "killed", "the agent was killed")
    for key, chain in data.parked.items():
        withdraw(data, key, chain)
    for chain in [*data.suspended, *data.parked.values()]:
        report_chain(data, chain, "killed", "the agent was killed")
    data.suspended.clear()
    data.parked.clear()
    data.timers.clear()
    if data.chain is not None:
        cancel(data, InterruptId(""), "killed")
    else:
        data.phase = Phase.STOPPED


def finish_cancel(data: AgentData) -> None:
    """What was outstanding has ended: the cancelled chain ends too."""
    outstanding = data.outstanding
    assert outstanding is not None, "nothing is outstanding"
    assert outstanding.outcome, "nothing was cancelled"
    data.outstanding = None
    data.flush = None
    end_chain(data, outstanding.outcome, f"{outstanding.outcome} on request")
    if outstanding.outcome == "killed":
        data.phase = Phase.STOPPED
