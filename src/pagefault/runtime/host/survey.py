"""Surveys: many agents in a row each, without waking any of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.records import AgentRow, decode_definition
from pagefault.runtime.host.snapshots import decode_snapshot
from pagefault.runtime.store.open import JOURNAL_FILE, SQLITE, open_journal, require_shards, shard_folder
from pagefault.runtime.store.protocols import WORK, Life, PortableJournal
from pagefault.runtime.values import AgentId

FOREVER_MS = 2**62
LOOKED_INTO_MAX = 5_000
"""Sleepers of one shard whose snapshots are read: a millisecond each."""
ASLEEP = "asleep"
DUE = "due"


def row_of(frame: Frame, place: str) -> AgentRow:
    """A resident agent; the same object as long as nothing has entered it."""
    last_seq = frame.last_seq
    if frame.row is not None and frame.row_seq == last_seq and frame.row.place == place:
        return frame.row
    state = frame.state
    waiting = len(state.mailbox)
    frame.row_seq = last_seq
    frame.row = AgentRow(
        frame.id,
        state.phase.value,
        place,
        waiting=waiting,
        oldest_ms=min(interrupt.created_ms for interrupt in state.mailbox) if waiting else None,
        tokens=state.statistics.context_tokens,
        prompt_limit=state.definition.context.prompt_limit,
        steps=state.statistics.steps,
        faults=state.statistics.page_faults,
        timer_ms=frame.timer_ms(),
        held=bool(state.mailbox.mask),
    )
    return frame.row


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


def survey_folder(folder: Path, prefix: str = "", journal: str = SQLITE) -> list[AgentRow]:
    """The agents of a fleet that does not run, in order of their names.  Blocks.

    ``journal`` is ``sqlite``, or the address of a PostgreSQL database that has its journals.

    Raises :class:`~pagefault.runtime.errors.StoreUnavailable` where there are no journals, or they are in use.
    """
    rows: list[AgentRow] = []
    for shard in range(require_shards(folder, journal)):
        opened = open_journal(shard_folder(folder, shard) / JOURNAL_FILE, shard, "sync", journal)
        try:
            rows += _looked_into(opened, merged((), list(opened.agents(prefix)), opened.due(FOREVER_MS)))
        finally:
            opened.close()
    return sorted(rows, key=lambda row: row.agent)


def _looked_into(journal: PortableJournal, rows: list[AgentRow]) -> list[AgentRow]:
    """The rows with what the newest snapshots say, if they are not too many to read."""
    if len(rows) > LOOKED_INTO_MAX:
        return rows
    return [_with_snapshot(row, journal.life(row.agent)) for row in rows]


def _with_snapshot(row: AgentRow, life: Life) -> AgentRow:
    """A sleeper as it was when it was last saved: a fleet that was stopped has saved all there is."""
    if life.snapshot is None:
        return replace(row, waiting=0, tokens=0, steps=0, faults=0) if life.last_seq == 0 else row
    state = decode_snapshot(life.agent, life.snapshot)
    settings = decode_definition(life.agent, life.definition).context
    try:
        counts, mailbox = state["statistics"], state["mailbox"]["interrupts"]
        return replace(
            row,
            waiting=len(mailbox),
            oldest_ms=min((interrupt.created_ms for interrupt in mailbox), default=None),
            tokens=int(counts["context_tokens"]),
            prompt_limit=settings.prompt_limit,
            steps=int(counts["steps"]),
            faults=int(counts["page_faults"]),
            held=bool(state["mailbox"]["mask"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreCorrupt(f"snapshot of {life.agent} cannot be read: {error!r}") from error
