"""What an agent did, step by step: read from its journal, lived once more from the nearest snapshot that was kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field

from pagefault.runtime.errors import UsageError
from pagefault.runtime.host.history import History
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.events import Event, InterruptArrived, ModelReplied
from pagefault.runtime.kernel.state import Chain
from pagefault.runtime.values import AgentId, InterruptId, PageId

SAID_CHARS = 200
COUNTED = "page_faults refaults page_hits evictions flushes summaries tokens_paged_in tokens_paged_out warnings".split()
"""The counters of :class:`~pagefault.runtime.kernel.state.Statistics` of which a step shows by how much they grew."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """What happened from one step (a reply of the model that was taken) to the next.

    The agent was rebuilt as it was after ``record``, when it had taken ``step`` steps; what led there since the step
    before is counted here: page faults, of which ``refaults``, hits, evictions, tokens.  ``pages_in`` and ``pages_out``
    are pages that are in the context at full fidelity now and were not before, and the other way round.  ``tokens`` is
    what the model was sent.  The step served the interrupt ``cause``, of this ``kind``, from ``sender``, which ``said``
    this (its beginning).  ``calls`` are the functions that the reply called, ``reply`` the beginning of its text.
    ``arrived`` counts interrupts that came meanwhile, ``epochs`` are activations that took over.

    ``is_taken`` is false of the last row, if anything has happened since the last step: no step ends it yet.
    """

    step: int
    record: int
    at_ms: int
    tokens: int
    faults: int
    refaults: int
    hits: int
    evictions: int
    flushes: int
    summaries: int
    warnings: int
    tokens_in: int
    tokens_out: int
    pages_in: tuple[PageId, ...]
    pages_out: tuple[PageId, ...]
    cause: InterruptId
    kind: str
    sender: str
    said: str
    calls: tuple[str, ...]
    reply: str
    arrived: int
    epoch: int
    epochs: tuple[int, ...]
    is_taken: bool


@dataclass(frozen=True, slots=True)
class Milestone:
    """An agent at a snapshot that was kept: its ``statistics`` by name, as they were after ``record``."""

    agent: AgentId
    record: int
    step: int
    at_ms: int
    epoch: int
    statistics: dict[str, int] = field(default_factory=dict)


async def timeline(history: History, first: int = 1, last: int | None = None) -> AsyncIterator[StepRow]:
    """The steps ``first`` to ``last`` (default: all that were taken), in order, as they are found.

    Raises :class:`~pagefault.runtime.errors.UsageError` for a range that is none; steps that were not taken are left
    out.
    """
    if first < 1 or (last is not None and last < first):
        raise UsageError(f"steps: found {first} to {last}, allowed: 1 or more, the first one first")
    seq, state = await history.before(first)
    row = _Row(state)
    async for number, event in history.events(seq):
        chain = state.chain
        steps = state.statistics.steps
        state.handle(event)
        row.take(event, state)
        if isinstance(event, ModelReplied) and state.statistics.steps > steps:
            if state.statistics.steps >= first:
                yield row.end(state, number, event, chain)
            if state.statistics.steps == last:
                return
            row = _Row(state)
    if row.records and state.statistics.steps + 1 >= first:
        yield row.end(state, history.last_seq, None, state.chain)


async def milestones(history: History) -> list[Milestone]:
    """The agent at every snapshot that was kept, and as it is now: an overview of a long life at little cost."""
    found = []
    for seq in sorted({0, *history.checkpoints, history.last_seq}):
        state = (await history.at_record(seq)).state
        counts = asdict(state.statistics)
        found.append(Milestone(history.agent, seq, state.statistics.steps, state.now_ms, state.epoch, counts))
    return found


class _Row:
    """A row that is being made: the agent as it was when it began."""

    def __init__(self, state: AgentState) -> None:
        self.records = 0
        self._arrived = 0
        self._epochs: list[int] = []
        self._epoch = state.epoch
        self._counts = [getattr(state.statistics, name) for name in COUNTED]
        self._pages = _resident(state)

    def take(self, event: Event, state: AgentState) -> None:
        self.records += 1
        self._arrived += isinstance(event, InterruptArrived)
        if state.epoch != self._epoch:
            self._epoch = state.epoch
            self._epochs.append(state.epoch)

    def end(self, state: AgentState, record: int, event: ModelReplied | None, chain: Chain | None) -> StepRow:
        counts = [getattr(state.statistics, name) for name in COUNTED]
        grown = dict(zip(COUNTED, (now - then for now, then in zip(counts, self._counts, strict=True)), strict=True))
        pages = _resident(state)
        interrupt = None if chain is None else chain.interrupt
        reply = None if event is None else event.reply
        return StepRow(
            step=state.statistics.steps if event is not None else state.statistics.steps + 1,
            record=record,
            at_ms=state.now_ms,
            tokens=state.statistics.context_tokens,
            faults=grown["page_faults"],
            refaults=grown["refaults"],
            hits=grown["page_hits"],
            evictions=grown["evictions"],
            flushes=grown["flushes"],
            summaries=grown["summaries"],
            warnings=grown["warnings"],
            tokens_in=grown["tokens_paged_in"],
            tokens_out=grown["tokens_paged_out"],
            pages_in=tuple(page for page in pages if page not in self._pages),
            pages_out=tuple(page for page in self._pages if page not in pages),
            cause=InterruptId("") if interrupt is None else interrupt.id,
            kind="" if interrupt is None else interrupt.kind.value,
            sender="" if interrupt is None else interrupt.sender,
            said="" if interrupt is None else interrupt.text[:SAID_CHARS],
            calls=() if reply is None else tuple(call.name for call in reply.calls),
            reply="" if reply is None else reply.text[:SAID_CHARS],
            arrived=self._arrived,
            epoch=state.epoch,
            epochs=tuple(self._epochs),
            is_taken=event is not None,
        )


def _resident(state: AgentState) -> dict[PageId, None]:
    return {shown.page.id: None for shown in state.context.pages()}
