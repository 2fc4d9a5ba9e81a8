"""The data of one agent, and the small operations that every handler needs.

Handlers (:mod:`.turns`, :mod:`.acting`, :mod:`.pager`) change it; nobody else does.  Everything here is
either given at construction (definition, counter, functions, policies) or carried by a snapshot.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum

from pagefault.policies.contract import (
    Consolidation,
    FetchPolicy,
    ImportanceScorer,
    Leave,
    ModelScorer,
    PageFacts,
    WriteBack,
)
from pagefault.policies.scorers.claimed import Claimed
from pagefault.runtime.kernel.context import Context
from pagefault.runtime.kernel.effects import AnyEffect, Notice, StorePages
from pagefault.runtime.kernel.filed import Filed
from pagefault.runtime.kernel.functions import FunctionTable, TokenCounter
from pagefault.runtime.kernel.guard import GuardedEviction
from pagefault.runtime.kernel.mailbox import Mailbox
from pagefault.runtime.kernel.pages import Entry, entry, facts
from pagefault.runtime.kernel.settings import AgentDefinition
from pagefault.runtime.kernel.statistics import Statistics
from pagefault.runtime.kernel.story import Story
from pagefault.runtime.kernel.trust import UNTRUSTED
from pagefault.runtime.values import (
    AgentId,
    ArchiveQuery,
    CallId,
    Fidelity,
    FunctionCall,
    Interrupt,
    InterruptId,
    InterruptKind,
    Page,
    PageId,
    PageKind,
    Priority,
    Reasoning,
    Space,
)

REMEMBERED_EVICTIONS = 1024
"""How many evicted ids are kept to tell a refault from a first fault."""


class Phase(StrEnum):
    """What an agent is doing.  :mod:`.phases` says which events each phase takes."""

    IDLE = "idle"  # no chain at all
    THINKING = "thinking"  # a model call is outstanding
    ACTING = "acting"  # a function or a search is outstanding
    PAGING = "paging"  # a summary or a page load is outstanding
    AWAITING_REPLY = "awaiting_reply"  # nothing to do but wait for another agent
    CANCELLING = "cancelling"  # an outstanding call was told to stop; its end, of whatever kind, is awaited
    STOPPED = "stopped"  # killed


@dataclass(slots=True)
class Chain:
    """Model and function steps from one interrupt until the agent yields.

    ``pending`` are calls of the last reply that have not been run; ``arrivals`` pages that enter when the
    last of them has; ``proceed`` whether another step is wanted.  ``waiting_call`` is the call that waits
    for the agent ``waits_for`` until ``waits_until_ms``, ``answer`` what came back.  A chain that is put aside keeps
    all of this: it is the continuation.  ``said`` is what whoever began the chain is told, ``failed`` whether
    that is why there is no answer.  ``crashes`` counts deaths of the host in what ``died_in`` names,
    the last of them after ``died_at_step`` steps; see :mod:`.quarantine`.  ``approved`` is a pending call
    that an operator has agreed to.  ``reasoning`` goes back to the model's server with the calls it belongs to.
    """

    interrupt: Interrupt
    page_id: PageId
    steps: int = 0
    malformed: int = 0
    overflows: int = 0
    pending: list[FunctionCall] = field(default_factory=list)
    arrivals: list[Page] = field(default_factory=list)
    proceed: bool = True
    yielding: bool = False
    said: list[str] = field(default_factory=list)
    failed: bool = False
    waiting_call: FunctionCall | None = None
    waits_for: AgentId = AgentId("")
    waits_until_ms: int = 0
    answer: Interrupt | None = None
    crashes: int = 0
    died_in: str = ""
    died_at_step: int = 0
    approved: str = ""
    reasoning: list[Reasoning] = field(default_factory=list)

    @property
    def cause(self) -> InterruptId:
        return self.interrupt.id

    @property
    def is_call(self) -> bool:
        """Whether the chain is one call of a function that another agent made: no model takes part."""
        return self.interrupt.kind is InterruptKind.CALL

    @property
    def is_review(self) -> bool:
        """Whether the chain looks over what the agent has filed."""
        return self.interrupt.kind is InterruptKind.REVIEW

    @property
    def priority(self) -> Priority:
        return self.interrupt.priority


@dataclass(slots=True)
class Outstanding:
    """The one effect that the agent waits for.

    ``kind``: ``model``, ``summary``, ``function``, ``search``, ``load`` or ``merge``.
    """

    call_id: CallId
    kind: str
    cause: InterruptId
    call: FunctionCall | None = None
    counted_tokens: int = 0
    query: ArchiveQuery | None = None
    page: int = 0
    page_ids: list[PageId] = field(default_factory=list)
    outcome: str = ""  # while cancelling: how the chain will end


@dataclass(slots=True)
class Timer:
    """A reminder that the agent set; periodic when ``every_ms`` is not 0.

    ``missed``: ticks that went by unseen, as the last tick that was queued says; ``untold``: others since.
    """

    at_ms: int
    text: str
    every_ms: int = 0
    missed: int = 0
    untold: int = 0


@dataclass(slots=True)
class FlushJob:
    """A flush that waits for its summary: what leaves and what that leaves behind, the texts not yet folded in."""

    victims: dict[PageId, Leave]
    pieces: list[str]
    summary: str
    summarised: int


class AgentData:
    """All that one agent is, between two events."""

    def __init__(
        self,
        definition: AgentDefinition,
        counter: TokenCounter,
        functions: FunctionTable,
        *,
        eviction: GuardedEviction,
        write_back: WriteBack,
        fetch: FetchPolicy,
        scorer: ImportanceScorer,
        consolidation: Consolidation,
    ) -> None:
        self.definition = definition
        self.counter = counter
        self.functions = functions
        self.eviction = eviction
        self.write_back = write_back
        self.fetch = fetch
        self.scorer = scorer
        self.consolidation = consolidation
        # Most agents have no scorer and should not pay for it; what is a Protocol takes microseconds to find out.
        self._scores = not isinstance(scorer, Claimed)
        self.asks_model = isinstance(scorer, ModelScorer)
        self.rating: dict[PageId, None] = {}  # pages whose rating is awaited
        self.context = Context(definition, counter, functions)
        self.mailbox = Mailbox(definition.mailbox)
        self.story = Story()
        self.phase = Phase.IDLE
        self.chain: Chain | None = None
        self.suspended: list[Chain] = []
        self.parked: dict[InterruptId, Chain] = {}  # by the message that each waits on
        self.outstanding: Outstanding | None = None
        self.flush: FlushJob | None = None
        self.pinned: set[PageId] = set()
        self.statistics = Statistics()
        self.warned = False
        self.epoch = 0
        self.now_ms = 0
        self.paused_until_ms = 0
        self.seen: dict[str, None] = {}  # capabilities that have been at work in this agent
        self.timers: dict[str, Timer] = {}
        self.filed = Filed()
        self.steps_at_snapshot = 0
        self.ordinal = 0
        self.calls_made = 0
        self.remembered: OrderedDict[InterruptId, PageId] = OrderedDict()  # with the page that each became
        self.evicted: OrderedDict[PageId, None] = OrderedDict()
        self.demoted: list[Page] = []  # left the context while an event was handled
        self.out: list[AnyEffect] = []

    # --- identity and effects

    @property
    def turn(self) -> int:
        """The only time that policies know: model calls made."""
        return self.statistics.model_calls

    @property
    def cause(self) -> InterruptId:
        return self.chain.cause if self.chain is not None else InterruptId("")

    @property
    def priority(self) -> Priority:
        """That of the present chain; what no chain waits for can wait."""
        return self.chain.priority if self.chain is not None else Priority.BACKGROUND

    @property
    def is_tainted(self) -> bool:
        """Whether what this agent writes now may be made from words of others."""
        return UNTRUSTED in self.seen and self.definition.tracks_trust

    def see(self, *capabilities: str) -> None:
        """What was at work in this agent stays on its record."""
        fresh = [each for each in capabilities if each not in self.seen]
        if fresh:
            self.seen.update(dict.fromkeys(fresh))
            self.notice("capabilities", text=", ".join(self.seen))

    def next_call_id(self) -> CallId:
        self.calls_made += 1
        return CallId(f"{self.definition.id}/{self.calls_made}")

    def was_issued(self, call_id: CallId) -> bool:
        """Whether this agent ever asked for something under this id."""
        owner, _, number = call_id.rpartition("/")
        return owner == self.definition.id and number.isdigit() and 1 <= int(number) <= self.calls_made

    def emit(self, effect: AnyEffect) -> None:
        self.out.append(effect)

    def notice(
        self,
        name: str,
        page_ids: tuple[PageId, ...] = (),
        value: int = 0,
        text: str = "",
        cause: InterruptId | None = None,
    ) -> None:
        self.out.append(Notice(self.cause if cause is None else cause, name, page_ids, value, text))

    def remember(self, interrupt_id: InterruptId) -> None:
        self.remembered[interrupt_id] = PageId("")
        while len(self.remembered) > self.definition.mailbox.remembered_ids:
            self.remembered.popitem(last=False)

    @property
    def wake_times_ms(self) -> list[int]:
        """All times at which the clock matters to this agent, in order."""
        times = {timer.at_ms for timer in self.timers.values()}
        times |= {chain.waits_until_ms for chain in self.parked.values() if chain.answer is None}
        if self.paused_until_ms > self.now_ms:
            times.add(self.paused_until_ms)
        if self.filed.due_ms:
            times.add(self.filed.due_ms)
        return sorted(times)

    def is_under_way(self, interrupt_id: InterruptId) -> bool:
        """Whether an interrupt waits or its chain has not ended."""
        chains = [*self.suspended, *self.parked.values(), *([self.chain] if self.chain is not None else [])]
        return interrupt_id in self.mailbox or any(chain.cause == interrupt_id for chain in chains)

    # --- pages

    def new_page(
        self,
        kind: PageKind,
        text: str,
        *,
        author: str = "",
        source: str = "system",
        created_ms: int | None = None,
        session: str = "",
        importance: float | None = None,
        calls: tuple[FunctionCall, ...] = (),
        answers: str = "",
        refs: tuple[PageId, ...] = (),
        tags: tuple[str, ...] = (),
        space: str = Space.RECALL.value,
        untrusted: bool = False,
    ) -> Page:
        """Make a page with the next ordinal; its cost is counted when it enters the context."""
        self.ordinal += 1
        if self._scores and kind is not PageKind.NOTICE:
            importance = self._score(kind, text, author, importance)
        return Page(
            id=PageId(f"p{self.ordinal}"),
            kind=kind,
            text=text,
            tokens=0,
            created_ms=self.now_ms if created_ms is None else created_ms,
            ordinal=self.ordinal,
            author=author,
            source=source,
            session=session,
            cause=self.cause,
            space=space,
            importance=importance,
            calls=calls,
            answers=answers,
            refs=refs,
            tags=tags,
            untrusted=untrusted,
        )

    def _score(self, kind: PageKind, text: str, author: str, claimed: float | None) -> float | None:
        made = PageFacts(f"p{self.ordinal}", kind.value, 0, self.ordinal, self.now_ms, author, text, claimed)
        try:
            score = self.scorer.score(made)
            return None if score is None else min(1.0, max(0.0, float(score)))
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the agent must go on
            self.statistics.policy_failures += 1
            self.notice("policy_failed", (PageId(made.id),), text=f"scorer {self.scorer.name}: {error}")
            return claimed

    def enter(self, page: Page, *, stored: bool, paged_in: bool = False) -> Entry:
        """Put a page at the queue's end.  An older entry of the same page (its handle) goes."""
        return self.enter_shown(entry(self.counter, page, stored=stored, paged_in=paged_in))

    def enter_shown(self, shown: Entry) -> Entry:
        """The same for a page that has been rendered and counted."""
        page = shown.page
        self.context.queue.append(shown)
        self.evicted.pop(page.id, None)
        self.eviction.on_insert(facts(shown.page), self.turn)
        return shown

    @property
    def pinned_tokens(self) -> int:
        if not self.pinned:
            return 0
        entries = self.context.entries
        return sum(entries[page_id].page.tokens for page_id in self.pinned)

    def store(self, *pages: Page) -> None:
        self.emit(StorePages(self.cause, pages))

    def note_evicted(self, page_id: PageId) -> None:
        self.evicted.pop(page_id, None)
        self.evicted[page_id] = None
        while len(self.evicted) > REMEMBERED_EVICTIONS:
            self.evicted.popitem(last=False)

    def is_resident(self, page_id: PageId) -> bool:
        """Whether a page is in the context at full fidelity."""
        shown = self.context.entries.get(page_id)
        return shown is not None and shown.page.fidelity is Fidelity.FULL

    def touch(self, page_id: PageId) -> bool:
        """A resident page was needed: a hit.  ``False`` if it is not resident at full fidelity."""
        if not self.is_resident(page_id):
            return False
        self.statistics.page_hits += 1
        self.eviction.on_hit(page_id, self.turn)
        return True

    def fault(self, page_ids: tuple[PageId, ...], tokens: int) -> None:
        """Pages were needed and not resident; ``tokens`` is what comes in for them."""
        self.statistics.page_faults += len(page_ids)
        self.statistics.refaults += sum(page_id in self.evicted for page_id in page_ids)
        self.statistics.tokens_paged_in += tokens
        self.notice("page_fault", page_ids, tokens)
