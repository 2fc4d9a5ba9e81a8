"""From a journal to a trace: what an agent's policy was told and asked, made again from what entered the agent.

An agent is a pure function of its journal, so nothing needs to be recorded while it lives: its events are
handled once more, with an eviction policy that listens.  What comes out is a trace for the lab, and the
evictions that were made, so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pagefault.policies.contract import Capability, EvictionPolicy, PageFacts, RatedEviction, State
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.trace import Budget, Source, Trace
from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.host.births import state_from
from pagefault.runtime.host.records import decode_definition, decode_event
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import AnyEffect, CallModel, Notice
from pagefault.runtime.kernel.events import PagesLoaded, SearchReturned
from pagefault.runtime.kernel.pager import EVERYTHING
from pagefault.runtime.kernel.pages import facts
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId, PageId


@dataclass(frozen=True, slots=True)
class Recording:
    """One agent's past: the trace, the budget that its pager kept, and the pages evicted, in order."""

    agent: AgentId
    trace: Trace
    budget: Budget
    policy: str
    evictions: tuple[str, ...]


def record(
    workshop: Workshop, agent: AgentId, definition: bytes, records: Iterable[bytes], birth: bytes | None = None
) -> Recording:
    """Handle an agent's whole journal again, listening.

    ``birth`` is the snapshot that a fork begins with.  The trace of one begins with the pages that it was born with;
    its policy may know more of them than a trace can tell, so a replay may evict others at first.

    Raises :class:`~pagefault.runtime.errors.StoreCorrupt` for records that are no events, and what
    :meth:`~pagefault.runtime.host.workshop.Workshop.make` raises, as for functions that this process does
    not have.
    """
    made = decode_definition(agent, definition)
    listener = _Listener(agent)
    state = state_from(workshop, made, birth, wrap=listener.listen_to)
    listener.state = state
    listener.born()
    for data in records:
        event = decode_event(agent, data)
        listener.is_search = isinstance(event, SearchReturned)
        effects = state.handle(event)
        listener.handled(effects, is_load=isinstance(event, PagesLoaded))
    settings = made.context
    budget = Budget(settings.prompt_limit, settings.high_tokens, settings.low_tokens, settings.keep_last_pages)
    return Recording(agent, listener.builder.build(), budget, made.policies.eviction, tuple(listener.evictions))


def recorded_agents(folder: Path, prefix: str = "") -> list[AgentId]:
    """The agents of a fleet's folder, or those whose names begin with ``prefix``.  Raises as :func:`recordings`."""
    return [agent for journal in _journals(folder) for agent in journal.agents(prefix)]


def recordings(folder: Path, workshop: Workshop, prefix: str = "") -> Iterator[Recording]:
    """The past of every agent of a fleet's folder, or of those whose names begin with ``prefix``, in order.

    The fleet must not run: its journals are opened here.  Raises
    :class:`~pagefault.runtime.errors.StoreUnavailable` for a folder without journals, or one that is in use,
    and what :func:`record` raises.
    """
    for journal in _journals(folder):
        for agent in journal.agents(prefix):
            past = journal.past(agent)
            birth = journal.checkpoint(agent, 0) if 0 in past.checkpoints else None
            data = (data for _, data in journal.records(agent))
            yield record(workshop, agent, past.definition, data, birth)


def _journals(folder: Path) -> Iterator[SqliteJournal]:
    """Each journal of a folder, open while it is looked at."""
    files = sorted(folder.glob("shards/*/journal.sqlite"))
    if not files:
        raise StoreUnavailable(f"{folder}: holds no journal: it is not the folder of a fleet")
    for file in files:
        journal = SqliteJournal(file)
        try:
            yield journal
        finally:
            journal.close()


class _Listener:
    """Passes everything on to a policy, and writes down what it hears as events of a trace."""

    def __init__(self, agent: AgentId) -> None:
        self.builder = TraceBuilder(str(agent), Source.RECORDED)
        self.evictions: list[str] = []
        self.is_search = False
        self.state: AgentState | None = None
        self.name = ""
        self.capabilities: frozenset[Capability] = frozenset()
        self._policy: EvictionPolicy | None = None
        self._pinned: set[PageId] = set()
        self._needed: set[str] = set()  # faulted, not yet back
        self._asked: tuple[int, int, str | None] | None = None  # a check whose victims have not left yet
        self._checked = False
        self._scale = 1000

    def listen_to(self, policy: EvictionPolicy) -> EvictionPolicy:
        """Stand in a policy's place."""
        self._policy = policy
        self.name = policy.name
        self.capabilities = policy.capabilities
        return self

    def born(self) -> None:
        """The agent may begin with pages: they are there before anything happens."""
        assert self.state is not None, "the listener has no agent to look at"
        for shown in self.state.context.pages():
            self.builder.insert(facts(shown.page), self._turn)

    @property
    def _inner(self) -> EvictionPolicy:
        assert self._policy is not None, "the listener has no policy to listen to"
        return self._policy

    # --- what the policy is told and asked

    def on_insert(self, page: PageFacts, turn: int) -> None:
        self._asked = None  # the flush was given up before anything left
        if page.id not in self.builder:
            self.builder.insert(page, turn)
        elif page.id in self._needed:
            self._needed.discard(page.id)
            self.builder.reference(page.id, turn, form=page)
        else:
            self.builder.bring(page.id, turn, form=page)
        self._inner.on_insert(page, turn)

    def on_hit(self, page_id: str, turn: int) -> None:
        if self.is_search:
            self.builder.look(page_id, turn)
        else:
            self.builder.reference(page_id, turn)
        self._inner.on_hit(page_id, turn)

    def on_rated(self, page_id: str, importance: float) -> None:
        assert self.state is not None, "the listener has no agent to look at"
        page = self.state.context.entries[PageId(page_id)].page
        self.builder.rate(facts(page), self._turn)
        if isinstance(self._inner, RatedEviction):
            self._inner.on_rated(page_id, importance)

    def on_remove(self, page_id: str, evicted: bool) -> None:
        if evicted:
            if self._asked is not None:
                turn, other_tokens, hold = self._asked
                self.builder.check(turn, other_tokens, hold=hold)
                self._asked = None
            self.evictions.append(page_id)
        else:
            self.builder.remove(page_id, self._turn)
        self._inner.on_remove(page_id, evicted)

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        if tokens_needed >= EVERYTHING:
            self._pins()
            self.builder.clear(turn)
        else:
            self._asked = self._look(turn)
            self._checked = True
        return self._inner.victims(tokens_needed, protected, turn)

    def explain(self, page_id: str, turn: int) -> str:
        return self._inner.explain(page_id, turn)

    def dump(self) -> State:
        return self._inner.dump()

    def load(self, state: State) -> None:
        self._inner.load(state)

    # --- what the agent did

    def handled(self, effects: Sequence[AnyEffect], *, is_load: bool) -> None:
        """An event was handled: what only its effects tell."""
        for effect in effects:
            if isinstance(effect, Notice) and effect.name == "page_fault":
                known = [page_id for page_id in effect.page_ids if page_id in self.builder]
                if is_load:
                    self._needed.update(known)
                else:  # read in a search's results, so that nothing of it enters
                    for page_id in known:
                        self.builder.look(page_id, self._turn)
        if any(isinstance(effect, CallModel) for effect in effects) and not self._checked:
            turn, other_tokens, hold = self._look(self._turn)
            self.builder.check(turn, other_tokens, hold=hold)
        self._pins()
        self._checked = False

    @property
    def _turn(self) -> int:
        assert self.state is not None, "the listener has no agent to look at"
        return self.state.turn

    def _look(self, turn: int) -> tuple[int, int, str | None]:
        """What the pager sees when it asks whether the context is too large: turn, other tokens, page held."""
        state = self.state
        assert state is not None, "the listener has no agent to look at"
        self._pins()
        if state.context.correction_permille != self._scale:
            self._scale = state.context.correction_permille
            self.builder.scale(self._scale, turn)
        pages = sum(shown.page.tokens for shown in state.context.pages())
        chain = state.chain.page_id if state.chain is not None else ""
        return turn, state.context.assemble().tokens - pages, chain if chain in self.builder else None

    def _pins(self) -> None:
        assert self.state is not None, "the listener has no agent to look at"
        for page_id in sorted(self.state.pinned - self._pinned):
            self.builder.pin(page_id, self._turn)
        for page_id in sorted(self._pinned - self.state.pinned):
            self.builder.unpin(page_id, self._turn)
        self._pinned = set(self.state.pinned)
