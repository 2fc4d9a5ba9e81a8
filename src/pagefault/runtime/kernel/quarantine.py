"""Quarantine: an interrupt that takes its host down again and again is put away, and its agent goes on.

Each death is counted in the journal before the work is asked for once more: the record that says "recovered" is
durable before anything that could kill the process again begins (the host sees to that, see
:mod:`pagefault.runtime.host.suspects`).  What was outstanding when the host died is under suspicion; when the same
comes to its end, however that is, the suspicion was wrong and the count begins anew, as it does after
:data:`SAFE_STEPS` without a death.  So whoever merely shares a host with poison gets on.  A function weighs more than
the model calls around it: a ``once`` function is not run again by recovery but by another step of the model, and
poison does not get away by that.

The budget of restarts is Erlang/OTP's idea (supervisors' ``intensity``), kept with the work instead of with the worker.
"""

from __future__ import annotations

from dataclasses import replace

from pagefault.runtime.kernel.effects import Quarantine, TakeSnapshot
from pagefault.runtime.kernel.state import AgentData, Chain, Outstanding
from pagefault.runtime.kernel.turns import end_chain
from pagefault.runtime.values import Interrupt, InterruptId

SAFE_STEPS = 3
ARGUMENTS_CHARS = 200
"""So much of a call's arguments tells it from other calls of the same function."""


def count_crash(data: AgentData) -> bool:
    """The host died while the present chain was at work; whether that was once too often."""
    chain, outstanding = data.chain, data.outstanding
    assert chain is not None, "something is outstanding without a chain"
    assert outstanding is not None, "nothing was under way when the host died"
    chain.crashes += 1
    chain.died_at_step = chain.steps
    if outstanding.call is not None or not chain.died_in:
        chain.died_in = _deed(outstanding)
    return chain.crashes >= data.definition.chain.attempts_max


def note_survival(chain: Chain | None, outstanding: Outstanding) -> None:
    """Something came to its end; if the host died in it before, it was not to blame."""
    if chain is None or not chain.crashes:
        return
    if chain.died_in == _deed(outstanding) or chain.steps - chain.died_at_step >= SAFE_STEPS:
        chain.crashes = 0
        chain.died_in = ""


def quarantine(data: AgentData) -> None:
    """End the present chain for good; whoever waits for it is told, and a dead letter keeps its interrupt."""
    chain = data.chain
    assert chain is not None, "no chain to quarantine"
    assert data.outstanding is not None, "nothing was under way when the host died"
    why = f"its host died {chain.crashes} times while {_told(data.outstanding)}"
    data.outstanding = None
    data.flush = None
    data.statistics.quarantined += 1
    data.notice("quarantined", value=chain.crashes, text=why)
    data.emit(Quarantine(chain.cause, _anew(chain.interrupt), why))
    end_chain(data, "quarantined", why)
    data.steps_at_snapshot = data.statistics.steps
    data.emit(TakeSnapshot(chain.cause))


def _anew(interrupt: Interrupt) -> Interrupt:
    """The interrupt as it could be sent again: this agent has handled the id that it had."""
    return replace(interrupt, id=InterruptId(f"{interrupt.id}/again"), wants_reply=False, callers=(), deadline_ms=None)


def _deed(outstanding: Outstanding) -> str:
    call = outstanding.call
    if call is None:
        return outstanding.kind
    return f"{outstanding.kind} {call.name} {call.arguments[:ARGUMENTS_CHARS]}"


def _told(outstanding: Outstanding) -> str:
    call = outstanding.call
    if call is not None:
        return f"{call.name} was run"
    return "its context was summarised" if outstanding.kind == "summary" else "its model was asked"
