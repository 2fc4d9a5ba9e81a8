"""Surveys: many agents in a row each, without waking any of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.records import AgentRow
from pagefault.runtime.store.protocols import WORK
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId

FOREVER_MS = 2**62
ASLEEP = "asleep"
DUE = "due"


def row_of(frame: Frame, place: str) -> AgentRow:
    """A resident agent."""
    state = frame.state
    return AgentRow(
        frame.id,
        state.phase.value,
        place,
        waiting=len(state.mailbox),
        oldest_ms=min((interrupt.created_ms for interrupt in state.mailbox), default=None),
        tokens=state.statistics.context_tokens,
        prompt_limit=state.definition.context.prompt_limit,
        steps=state.statistics.steps,
        faults=state.statistics.page_faults,
        timer_ms=frame.timer_ms(),
    )


def merged(
    resident: Iterable[AgentRow], names: Sequence[AgentId], due: Iterable[tuple[AgentId, int]]
) -> list[AgentRow]:
    """All of ``names`` in their order: resident ones as their hosts see them, the others as the journal knows them.

    An agent may move while hosts are asked; whoever is seen twice is shown once.
    """
    rows = {row.agent: row for row in resident}
    wakes = dict(due)
    return [rows.get(name) or _asleep(name, wakes.get(name)) for name in names]


def _asleep(agent: AgentId, wake_ms: int | None) -> AgentRow:
    if wake_ms == WORK:
        return AgentRow(agent, DUE)
    return AgentRow(agent, ASLEEP, timer_ms=wake_ms)


def survey_folder(folder: Path, prefix: str = "") -> list[AgentRow]:
    """The agents of a fleet that does not run, in order of their names.  Blocks.

    Raises :class:`~pagefault.runtime.errors.StoreUnavailable` for a folder without journals, or one in use.
    """
    files = sorted(folder.glob("shards/*/journal.sqlite"))
    if not files:
        raise StoreUnavailable(f"{folder}: holds no journal: it is not the folder of a fleet")
    rows: list[AgentRow] = []
    for file in files:
        journal = SqliteJournal(file)
        try:
            rows += merged((), list(journal.agents(prefix)), journal.due(FOREVER_MS))
        finally:
            journal.close()
    return sorted(rows, key=lambda row: row.agent)
