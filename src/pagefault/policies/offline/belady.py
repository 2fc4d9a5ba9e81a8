"""Belady's rule: the page whose next use is farthest away leaves first (Belady 1966, MIN).

Optimal for pages of one size.  With sizes it is neither optimal nor a bound: for that see
:mod:`~pagefault.policies.offline.exact`.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PageFacts, State
from pagefault.policies.eviction.selection import first_to_leave, rank
from pagefault.policies.offline.future import NEVER, Future

STALE_MAX = 64
"""Entries of the heap that no longer hold, before it is made anew: these, and as many as there are pages."""


class Belady:
    """Evicts the farthest next use, pages that are never used again first of all.

    ``uses`` is the future: for each page id the ascending indices of its events in the trace, its insertion
    included (see :class:`~pagefault.policies.offline.future.Future` for how it advances).  Among pages that
    are never used again the earlier in leaves first.  Admission is forced and nothing is bypassed: what
    enters is protected by the caller.  Every step is O(log n) in the resident pages, ``victims`` for each of
    its answer and of the protected pages before them.
    """

    name = "belady"
    capabilities: frozenset[Capability] = frozenset({Capability.NEEDS_FUTURE})

    def __init__(self, *, uses: Mapping[str, Sequence[int]]) -> None:
        self._future = Future(self.name, uses)
        self._tokens: dict[str, int] = {}  # in order of insertion, as dicts are
        self._place: dict[str, int] = {}  # in the order of insertion
        self._entry: dict[str, int] = {}  # of each page the one entry in the heap that holds
        self._heap: list[tuple[float, int, int, str]] = []  # regret, place, entry, page
        self._made = 0

    def on_insert(self, page: PageFacts, turn: int) -> None:
        self._future.tell(page.id)
        self._add(page.id, page.tokens)

    def on_hit(self, page_id: str, turn: int) -> None:
        self._future.tell(page_id)
        self._enter(page_id)

    def on_remove(self, page_id: str, evicted: bool) -> None:
        del self._tokens[page_id], self._place[page_id], self._entry[page_id]

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        seen: list[tuple[float, int, int, str]] = []
        leaving = first_to_leave(self._taken(seen), tokens_needed, protected)
        for entry in seen:
            heapq.heappush(self._heap, entry)
        return leaving

    def explain(self, page_id: str, turn: int) -> str:
        next_use = self._future.next_use(page_id)
        when = "never used again" if next_use == NEVER else f"used again in {next_use - self._future.now:.0f} events"
        return f"{when}: number {rank(page_id, self._order())} of {len(self._tokens)} to leave"

    def dump(self) -> State:
        pages = [[page_id, tokens] for page_id, tokens in self._tokens.items()]
        return {"policy": self.name, "pages": pages, "passed": self._future.dump()}

    def load(self, state: State) -> None:
        pages = parameters.rows(self.name, state, (str, int))
        self._future.load(state)
        for mine in (self._tokens, self._place, self._entry, self._heap):
            mine.clear()
        for page_id, tokens in pages:
            self._add(page_id, tokens)

    def _add(self, page_id: str, tokens: int) -> None:
        self._tokens[page_id] = tokens
        self._place[page_id] = self._made
        self._enter(page_id)

    def _enter(self, page_id: str) -> None:
        """What is known of the page's future has changed: its entry in the heap no longer holds."""
        self._made += 1
        self._entry[page_id] = self._made
        if len(self._heap) > 2 * len(self._tokens) + STALE_MAX:
            self._heap = [entry for entry in self._heap if self._entry.get(entry[3]) == entry[2]]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (self._regret(page_id), self._place[page_id], self._made, page_id))

    def _taken(self, seen: list[tuple[float, int, int, str]]) -> Iterator[tuple[str, int]]:
        """Pages and tokens, first to leave first, off the heap and into ``seen``."""
        while self._heap:
            entry = heapq.heappop(self._heap)
            page_id = entry[3]
            if self._entry.get(page_id) == entry[2]:
                seen.append(entry)
                yield page_id, self._tokens[page_id]

    def _order(self) -> list[str]:
        return sorted(self._tokens, key=self._regret)

    def _regret(self, page_id: str) -> float:
        """What is evicted first is lowest; ties fall to the earlier in.  Changes when the page is used alone."""
        return -self._future.next_use(page_id)


class BeladySize(Belady):
    """Evicts the largest product of tokens and events until the next use.

    The heuristic of libCacheSim's Belady-Size, without its sampling and without its bypass of pages that are
    never used again.  Those leave first, the largest before the others.  Close to the optimum, no bound.
    """

    name = "belady_size"
    capabilities = frozenset({Capability.NEEDS_FUTURE, Capability.SIZE_AWARE})

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        # The products change with every event, so that no order can be kept: O(n log n).
        order = ((page_id, self._tokens[page_id]) for page_id in self._order())
        return first_to_leave(order, tokens_needed, protected)

    def _order(self) -> list[str]:
        return sorted(self._tokens, key=self._by_product)

    def _by_product(self, page_id: str) -> tuple[float, int]:
        next_use, tokens = self._future.next_use(page_id), self._tokens[page_id]
        return (-NEVER if next_use == NEVER else -tokens * (next_use - self._future.now)), -tokens
