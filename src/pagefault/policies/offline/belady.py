"""Belady's rule: the page whose next use is farthest away leaves first (Belady 1966, MIN).

Optimal for pages of one size.  With sizes it is neither optimal nor a bound: for that see
:mod:`~pagefault.policies.offline.exact`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PageFacts, State
from pagefault.policies.eviction.selection import first_to_leave, rank
from pagefault.policies.offline.future import NEVER, Future


class Belady:
    """Evicts the farthest next use, pages that are never used again first of all.

    ``uses`` is the future: for each page id the ascending indices of its events in the trace, its insertion
    included (see :class:`~pagefault.policies.offline.future.Future` for how it advances).  Among pages that
    are never used again the earlier in leaves first.  Admission is forced and nothing is bypassed: what
    enters is protected by the caller.  ``victims`` is O(n log n) in the resident pages.
    """

    name = "belady"
    capabilities: frozenset[Capability] = frozenset({Capability.NEEDS_FUTURE})

    def __init__(self, *, uses: Mapping[str, Sequence[int]]) -> None:
        self._future = Future(self.name, uses)
        self._tokens: dict[str, int] = {}  # in order of insertion, as dicts are

    def on_insert(self, page: PageFacts, turn: int) -> None:
        self._future.tell(page.id)
        self._tokens[page.id] = page.tokens

    def on_hit(self, page_id: str, turn: int) -> None:
        self._future.tell(page_id)

    def on_remove(self, page_id: str, evicted: bool) -> None:
        del self._tokens[page_id]

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        order = ((page_id, self._tokens[page_id]) for page_id in self._order())
        return first_to_leave(order, tokens_needed, protected)

    def explain(self, page_id: str, turn: int) -> str:
        next_use = self._future.next_use(page_id)
        when = "never used again" if next_use == NEVER else f"used again in {next_use - self._future.now:.0f} events"
        return f"{when}: number {rank(page_id, self._order())} of {len(self._tokens)} to leave"

    def dump(self) -> State:
        pages = [[page_id, tokens] for page_id, tokens in self._tokens.items()]
        return {"policy": self.name, "pages": pages, "passed": self._future.dump()}

    def load(self, state: State) -> None:
        self._tokens = dict(parameters.rows(self.name, state, (str, int)))
        self._future.load(state)

    def _order(self) -> list[str]:
        return sorted(self._tokens, key=self._regret)

    def _regret(self, page_id: str) -> float:
        """What is evicted first is lowest; sorting is stable, so that ties fall to the earlier in."""
        return -self._future.next_use(page_id)


class BeladySize(Belady):
    """Evicts the largest product of tokens and events until the next use.

    The heuristic of libCacheSim's Belady-Size, without its sampling and without its bypass of pages that are
    never used again.  Those leave first, the largest before the others.  Close to the optimum, no bound.
    """

    name = "belady_size"
    capabilities = frozenset({Capability.NEEDS_FUTURE, Capability.SIZE_AWARE})

    def _order(self) -> list[str]:
        return sorted(self._tokens, key=lambda page_id: (self._regret(page_id), -self._tokens[page_id]))

    def _regret(self, page_id: str) -> float:
        next_use = self._future.next_use(page_id)
        return -NEVER if next_use == NEVER else -self._tokens[page_id] * (next_use - self._future.now)
