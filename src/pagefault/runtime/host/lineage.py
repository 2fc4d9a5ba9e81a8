"""Where pages of an agent came from, and what was made from them: read from its journal, lived once more.

What a model writes is made from all that it is shown, so no record can say which words it took from where.  Derived
from a page is therefore what quotes it; what the agent wrote (replies, passages, blocks, messages to others) in a chain
into which the page came, after it had come: as its interrupt, a result, a hit of a search or a page that was paged in;
what in turn derives from that; and the summary, if any of these was folded into it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pagefault.policies.contract import Leave
from pagefault.runtime.host.history import History
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import AnyEffect, ForgetPages, Notice, Publish, Send, StorePages
from pagefault.runtime.kernel.events import Event, InterruptArrived, SearchReturned
from pagefault.runtime.values import AgentId, InterruptId, InterruptKind, Page, PageId, PageKind


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one page came from.

    ``record`` of the journal and ``step`` (how many the agent had taken) are when it was made, ``cause`` the interrupt
    that its chain began with, which ``sender`` sent, saying ``said``.  ``place``: ``context``, ``archive``, or
    ``gone`` for what was removed, or never stored and has left the context.
    """

    agent: AgentId
    page: PageId
    kind: str
    author: str
    source: str
    space: str
    untrusted: bool
    created_ms: int
    record: int
    step: int
    cause: InterruptId
    sender: str
    said: str
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Derived:
    """What was made from some pages: other pages, ``blocks`` by label with their text before that, whether the
    ``summary`` has any of it, and the ids of ``messages`` sent to others."""

    pages: tuple[PageId, ...] = ()
    blocks: tuple[tuple[str, str], ...] = ()
    summary: bool = False
    messages: tuple[InterruptId, ...] = ()


@dataclass(slots=True)
class _Chain:
    sender: str = ""
    said: str = ""
    inputs: dict[PageId, int] = field(default_factory=dict)  # with the agent's ordinal when each came in
    sent: list[tuple[int, InterruptId]] = field(default_factory=list)
    blocks: list[tuple[int, str, str]] = field(default_factory=list)  # ordinal, label, the text before


class Lineage:
    """All pages that an agent has made, and what went into what.  Make it with :func:`read_lineage`."""

    def __init__(self, agent: AgentId) -> None:
        self.agent = agent
        self.pages: dict[PageId, Page] = {}
        self.archived: dict[PageId, Page] = {}
        self._made: dict[PageId, tuple[int, int]] = {}
        self._chains: dict[InterruptId, _Chain] = defaultdict(_Chain)
        self._summarised: set[PageId] = set()
        self._folding: tuple[PageId, ...] = ()
        self._blocks: dict[str, str] = {}
        self._ordinal = 0
        self._resident: frozenset[PageId] = frozenset()

    def begin(self, state: AgentState) -> None:
        """An agent as it was born: a fork has pages of another one's past."""
        self._blocks = {block.label: block.text for block in state.context.blocks.values()}
        for shown in state.context.entries.values():
            self._note(shown.page, 0, state)
        self._ordinal = state.ordinal

    def take(self, record: int, event: Event, effects: Sequence[AnyEffect], state: AgentState) -> None:
        """One more event of its life."""
        if isinstance(event, InterruptArrived) and event.interrupt.kind is not InterruptKind.REPLY:
            chain = self._chains[event.interrupt.id]
            chain.sender, chain.said = event.interrupt.sender, event.interrupt.text
        for effect in effects:
            self._take_effect(record, effect, state)
        if state.ordinal > self._ordinal:
            for shown in state.context.entries.values():
                if shown.page.ordinal > self._ordinal:
                    self._note(shown.page, record, state)
            self._ordinal = state.ordinal
        if isinstance(event, SearchReturned) and event.result is not None:
            for hit in event.result.hits:
                self._chains[state.cause].inputs.setdefault(hit.page.id, state.ordinal)
        for label, block in state.context.blocks.items():
            if self._blocks.get(label) != block.text:
                self._chains[state.cause or _cause(effects)].blocks.append(
                    (state.ordinal, label, self._blocks.get(label, ""))
                )
                self._blocks[label] = block.text
        if state.flush is not None:
            self._folding = tuple(key for key, leave in state.flush.victims.items() if leave is Leave.SUMMARY)

    def end(self, state: AgentState) -> None:
        """Its life so far is over."""
        self._resident = frozenset(state.context.entries)

    def _take_effect(self, record: int, effect: AnyEffect, state: AgentState) -> None:
        if isinstance(effect, StorePages):
            for page in effect.pages:
                self._note(page, record, state)
                self.archived[page.id] = page
        elif isinstance(effect, ForgetPages):
            for page_id in effect.page_ids:
                self.archived.pop(page_id, None)
        elif isinstance(effect, Send | Publish):
            self._chains[effect.cause].sent.append((state.ordinal, effect.interrupt.id))
        elif isinstance(effect, Notice) and effect.name == "paged_in":
            for page_id in effect.page_ids:
                self._chains[effect.cause].inputs.setdefault(page_id, state.ordinal)
        elif isinstance(effect, Notice) and effect.name == "summarized":
            self._summarised.update(self._folding)
        elif isinstance(effect, Notice) and effect.name == "memory_changed" and not state.context.summary:
            self._summarised.clear()

    def _note(self, page: Page, record: int, state: AgentState) -> None:
        if page.id in self.pages:
            return
        self.pages[page.id] = page
        self._made[page.id] = (record, state.statistics.steps)
        if page.source != "model":
            chain = self._chains[page.cause]
            chain.inputs.setdefault(page.id, page.ordinal)
            for quoted in page.refs:
                chain.inputs.setdefault(quoted, page.ordinal)

    # --- questions

    def origin(self, page_id: PageId) -> Origin:
        """Where a page came from; raises ``KeyError`` for one that the agent never had."""
        page = self.pages[page_id]
        record, step = self._made[page_id]
        chain = self._chains[page.cause]
        place = "context" if page_id in self._resident else "archive" if page_id in self.archived else "gone"
        return Origin(
            self.agent,
            page_id,
            page.kind.value,
            page.author,
            page.source,
            page.space,
            page.untrusted,
            page.created_ms,
            record,
            step,
            page.cause,
            chain.sender,
            chain.said,
            place,
            page.text,
        )

    def find(self, *, text: str = "", source: str = "", author: str = "", cause: str = "") -> list[PageId]:
        """Pages that are not gone, by part of their text (ignoring case) and by what else is given; oldest first."""
        wanted = text.casefold()
        return [
            page.id
            for page in self.pages.values()
            if (page.id in self._resident or page.id in self.archived)
            and page.kind is not PageKind.NOTICE
            and (not wanted or wanted in page.text.casefold())
            and source in ("", page.source)
            and author in ("", page.author)
            and cause in ("", page.cause)
        ]

    def derived(self, roots: Iterable[PageId]) -> Derived:
        """What was made from these pages, and from what was made from them."""
        reached = dict.fromkeys(roots)
        first = set(reached)
        messages: dict[InterruptId, None] = {}
        blocks: dict[str, tuple[int, str]] = {}
        pending = list(reached)
        while pending:
            page_id = pending.pop()
            for found in self._made_from(page_id, messages, blocks):
                if found not in reached:
                    reached[found] = None
                    pending.append(found)
        pages = tuple(
            sorted((each for each in reached if each not in first), key=lambda each: self.pages[each].ordinal)
        )
        before = tuple((label, text) for label, (_, text) in blocks.items())
        return Derived(pages, before, not self._summarised.isdisjoint(reached), tuple(messages))

    def _made_from(
        self, page_id: PageId, messages: dict[InterruptId, None], blocks: dict[str, tuple[int, str]]
    ) -> list[PageId]:
        found = [page.id for page in self.pages.values() if page_id in page.refs]
        for cause, chain in self._chains.items():
            since = chain.inputs.get(page_id)
            if since is None and page_id in self.pages and self.pages[page_id].cause == cause:
                since = self.pages[page_id].ordinal  # the agent's own words, which the rest of the chain has seen
            if since is None:
                continue
            found += [
                page.id
                for page in self.pages.values()
                if page.cause == cause and page.source == "model" and page.ordinal > since
            ]
            messages.update(dict.fromkeys(key for at, key in chain.sent if at >= since))
            for at, label, text in chain.blocks:
                if at >= since and (label not in blocks or at < blocks[label][0]):
                    blocks[label] = (at, text)
        return found


def _cause(effects: Sequence[AnyEffect]) -> InterruptId:
    return next((effect.cause for effect in effects if effect.cause), InterruptId(""))


async def read_lineage(history: History) -> tuple[Lineage, AgentState]:
    """Live an agent's past again, and note what went into what; the state is as it is in the journal now.

    Takes as long as handling its events does: about a tenth of a millisecond each.
    """
    lineage = Lineage(history.agent)
    state = (await history.at_record(0)).state
    lineage.begin(state)
    async for record, event, effects, after in history.live():
        lineage.take(record, event, effects, after)
        state = after
    lineage.end(state)
    return lineage, state
