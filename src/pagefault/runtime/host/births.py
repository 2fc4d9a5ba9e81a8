"""How an agent's journal begins, and whether a life that is lived again is the one that was recorded."""

from __future__ import annotations

from collections.abc import Callable

from pagefault.policies.contract import EvictionPolicy
from pagefault.runtime.errors import ReplayDivergence
from pagefault.runtime.host.difference import first_difference
from pagefault.runtime.host.records import UNSENT
from pagefault.runtime.host.snapshots import decode_snapshot, encode_snapshot
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.settings import AgentDefinition

FORKED_FROM = "forked_from"
"""The key of a snapshot at birth that says whose past an agent begins with: ``[agent, record]``."""


def state_from(
    workshop: Workshop,
    definition: AgentDefinition,
    snapshot: bytes | None,
    *,
    wrap: Callable[[EvictionPolicy], EvictionPolicy] | None = None,
) -> AgentState:
    """The state that a snapshot holds; without one, that of an agent which has not lived.

    The snapshot at birth, before record 1, is what a fork begins with: whoever lives a journal again from its first
    record begins with this.  Raises :class:`~pagefault.runtime.errors.StoreCorrupt`, and what
    :meth:`~pagefault.runtime.host.workshop.Workshop.make` raises.
    """
    state = workshop.make(definition, wrap=wrap)
    if snapshot is not None:
        state.load(decode_snapshot(definition.id, snapshot))
    return state


def compare(recorded: bytes, state: AgentState, seq: int) -> None:
    """Raise :class:`~pagefault.runtime.errors.ReplayDivergence` if a state is not what was recorded after ``seq``."""
    agent = state.definition.id
    then, now = decode_snapshot(agent, recorded), decode_snapshot(agent, encode_snapshot(state.dump()))
    for each in (then, now):
        for key in (UNSENT, FORKED_FROM):  # what only hosts add
            each.pop(key, None)
    if difference := first_difference(then, now):
        raise ReplayDivergence(f"{agent}: after record {seq}, {difference}; story:\n{state.story}")
