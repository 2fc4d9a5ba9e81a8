"""Calls that an operator has to agree to: the chain waits, for days and over restarts; the model is told the answer.

A function may want it for every call (``requires_approval``).  With ``rule_of_two``, an agent that has had private data
and text that somebody else wrote needs it for whatever sends something out: whoever has only two of the three cannot be
made to hand over what is private.  What has been seen stays seen: a context forgets, but a summary or a passage may
carry it on.

Waiting is what waiting for another agent is, but that nobody is written to: a program lists what waits, and answers by
an interrupt of kind ``approval`` and operator's priority.  Agents cannot send such.
"""

from __future__ import annotations

from collections.abc import Iterable

from pagefault.runtime.kernel.effects import SetTimer
from pagefault.runtime.kernel.functions import CallProblem, Done, FunctionSpec, Insert, Outcome
from pagefault.runtime.kernel.intake import PRIVATE_SPACES, is_from_others, is_of_others, take_result
from pagefault.runtime.kernel.state import AgentData, Chain
from pagefault.runtime.kernel.trust import UNTRUSTED
from pagefault.runtime.values import AgentId, FunctionCall, Interrupt, InterruptId, Page

PRIVATE, OUT = "reads_private", "sends_out"
ARGUMENTS_CHARS = 2_000
"""So much of a call's arguments is in the notice that it waits; the list of what waits has them all."""


def take_approval(chain: Chain, call: FunctionCall) -> bool:
    """Whether an operator has agreed to this call; that is used up by it."""
    approved, chain.approved = chain.approved, ""
    return approved == _signature(call)


def wants_approval(data: AgentData, spec: FunctionSpec) -> bool:
    """Whether an operator has to agree to a call of this function now."""
    if spec.needs_approval:
        return True
    if not data.definition.rule_of_two or OUT not in spec.capabilities:
        return False
    return {PRIVATE, UNTRUSTED} <= {*data.seen, *spec.capabilities}


def promotes(data: AgentData, outcome: Outcome) -> bool:
    """Whether a call would write what may be words of others to a space that others trust."""
    if not data.is_tainted or not isinstance(outcome, Done):
        return False
    own = (*PRIVATE_SPACES, *data.definition.open_spaces)
    return any(isinstance(change, Insert) and change.space not in own for change in outcome.changes)


def note_capabilities(data: AgentData, spec: FunctionSpec) -> None:
    """A function begins: what it makes possible is on the agent's record from now on."""
    data.see(*spec.capabilities)


def note_arrival(data: AgentData, interrupt: Interrupt) -> None:
    """An interrupt, or the answer of another agent, comes into the context: whose words are these?"""
    definition = data.definition
    if (definition.tracks_trust and is_of_others(interrupt)) or (definition.rule_of_two and is_from_others(interrupt)):
        data.see(UNTRUSTED)


def note_pages(data: AgentData, pages: Iterable[Page]) -> None:
    """Pages are shown to the agent: it may have them from others."""
    if not data.is_tainted and data.definition.tracks_trust and any(page.untrusted for page in pages):
        data.see(UNTRUSTED)


def _signature(call: FunctionCall) -> str:
    """What was agreed to: this call, and not another under the same id, which is of the model's choosing."""
    return f"{call.id} {call.name} {call.arguments}"


def ask_operator(data: AgentData, chain: Chain, call: FunctionCall) -> None:
    """Put the present chain aside until an operator answers, or the time for that is over.

    Raises :class:`CallProblem` when too many chains wait already.
    """
    if len(data.parked) >= data.definition.chain.parked_max:
        raise CallProblem(f"{len(data.parked)} calls wait for answers already; no more may until some are answered")
    key = InterruptId(data.next_call_id())
    chain.waiting_call = call
    chain.waits_for = AgentId("")
    chain.waits_until_ms = data.now_ms + data.definition.chain.approval_ms
    data.parked[key] = chain
    data.emit(SetTimer(chain.cause, chain.waits_until_ms))
    data.notice("approval_wanted", text=f"{key} {call.name}({call.arguments[:ARGUMENTS_CHARS]})")
    data.chain = None


def take_decision(data: AgentData, chain: Chain, call: FunctionCall, answer: Interrupt) -> None:
    """An operator has answered, or has not: run the call now, or tell the model why not."""
    if not answer.failed:
        data.notice("approved", text=answer.target)
        chain.approved = _signature(call)
        chain.pending.insert(0, call)
        return
    why = answer.text or "no reason was given"
    data.notice("denied", text=f"{answer.target} {why}")
    take_result(data, call, False, f"{call.name} was not approved: {why}. Do not call it again for the same.")
