"""Looks at an agent wherever it is: awake, asleep or dead; as it is now or at any step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pagefault.cluster.console.views.difference import Difference, difference
from pagefault.cluster.console.views.memory_map import MemoryMap, memory_map
from pagefault.runtime.errors import UnknownName
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.pasts import Recollection
from pagefault.runtime.values import AgentId, Message

if TYPE_CHECKING:
    from pagefault.cluster.api import Cluster

AWAKE = "awake"
JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class Seen:
    """An agent that was looked at.

    ``source``: ``awake`` (its host was asked) or ``journal`` (it was rebuilt, and nobody was disturbed).  ``messages``
    are exactly what the model was sent for the step; where ``were_sent`` is false, what it would be sent now.
    """

    agent: str
    step: int
    record: int
    at_ms: int
    source: str
    were_sent: bool
    map: MemoryMap
    messages: tuple[Message, ...]
    story: str
    digest: str


async def look(fleet: Cluster | Local, agent: str, step: int | None = None) -> Seen:
    """The agent when it had taken ``step`` steps; by default as it is now.

    Raises :class:`~pagefault.runtime.errors.UnknownAgent`, :class:`~pagefault.runtime.errors.UsageError` for a step
    that it has not taken, :class:`~pagefault.runtime.errors.UnknownName` for an agent that sleeps, with functions or
    policies that this process does not have, and :class:`~pagefault.runtime.errors.StoreError`.
    """
    found, source = await _recollect(fleet, agent, step)
    seen = found.inspection
    return Seen(
        agent=found.agent,
        step=found.step,
        record=found.seq,
        at_ms=found.at_ms,
        source=source,
        were_sent=bool(found.messages),
        map=memory_map(seen),
        messages=found.messages or seen.messages,
        story=seen.story,
        digest=seen.digest,
    )


async def compare(fleet: Cluster | Local, agent: str, before: int, after: int | None = None) -> Difference:
    """What is otherwise at step ``after`` (default: now) than at step ``before``.  Raises what :func:`look` raises."""
    one = await fleet.replay(agent, step=before)
    other, _ = await _recollect(fleet, agent, after)
    return difference(one.inspection, other.inspection, one.messages, other.messages)


async def _recollect(fleet: Cluster | Local, agent: str, step: int | None) -> tuple[Recollection, str]:
    if step is not None:
        return await fleet.replay(agent, step=step), JOURNAL
    row = next((row for row in await fleet.survey(agent) if row.agent == agent), None)
    if row is not None and row.place:
        return await _awake(fleet, row.agent), AWAKE
    try:
        return await fleet.replay(agent), JOURNAL
    except UnknownName:
        if row is None or isinstance(fleet, Local):
            raise
        return await _awake(fleet, row.agent), AWAKE  # its hosts know the functions that this process lacks


async def _awake(fleet: Cluster | Local, agent: AgentId) -> Recollection:
    seen = await fleet.inspect(agent)
    return Recollection(agent, seen.records, seen.statistics["steps"], seen.at_ms, seen, ())
