"""S3-FIFO: a small queue sifts what comes in, a main queue keeps what was used, ghosts come back to the main one.

A page comes into the small queue, or, if it is remembered as a ghost, into the main one.  When the main
queue is over its share its oldest page goes round again if it was used (its count, at most 3, goes down by
one) and leaves otherwise; when it is not, the oldest page of the small queue moves to the main one if it was
used ``threshold`` times, and otherwise leaves and becomes a ghost (Yang et al., "FIFO Queues are All You Need
for Cache Eviction", SOSP 2023, algorithm 1).

The paper's text asks for more than one use before a page moves (``threshold=2``, its released code and
libCacheSim); Caffeine's simulator has 1.  As in libCacheSim, what does not fit into the small queue's share goes
to the main one while nothing was evicted yet, and the main queue may be over its share until the next
eviction when pages move there.  Left out: nothing, but no page is too large for the small queue.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.eviction.ghosts import Ghosts
from pagefault.policies.eviction.queues import TokenQueue, filled
from pagefault.policies.eviction.replacement import Segmented
from pagefault.policies.eviction.saved import Saved

SMALL, MAIN = 0, 1
MOST_ROUNDS = 3


class S3Fifo(Segmented):
    """``small_fraction`` of the capacity is the small queue's share; ghosts are remembered for
    ``ghost_fraction`` of it, by the tokens that they had; ``threshold`` is from 1 to 3.  Amortised O(1) a step.
    """

    name = "s3fifo"

    def __init__(
        self,
        *,
        small_fraction: float = 0.1,
        ghost_fraction: float = 0.9,
        threshold: int = 2,
        capacity_tokens: int | None = None,
    ) -> None:
        self._small_fraction = parameters.number("s3fifo.small_fraction", small_fraction, at_least=0.0, at_most=1.0)
        self._ghost_fraction = parameters.number("s3fifo.ghost_fraction", ghost_fraction, at_least=0.0, at_most=16.0)
        self._threshold = parameters.whole("s3fifo.threshold", threshold, at_least=1, at_most=MOST_ROUNDS)
        self._small_limit = self._main_limit = self._ghost_limit = float("inf")
        self._small, self._main = TokenQueue(), TokenQueue()
        self._uses: dict[str, int] = {}
        self._ghosts = Ghosts()
        self._returned = 0  # whether the arriving page was a ghost
        self._evicted = 0  # whether any page was
        super().__init__(capacity_tokens)

    def _resize(self, capacity_tokens: int) -> None:
        self._small_limit = self._share(capacity_tokens, self._small_fraction)
        self._main_limit = capacity_tokens - int(capacity_tokens * self._small_fraction)
        self._ghost_limit = int(capacity_tokens * self._ghost_fraction)

    def _arrive(self, page_id: str, tokens: int) -> None:
        self._returned = int(self._ghosts.discard(page_id))

    def _admit(self, page_id: str, tokens: int) -> None:
        self._uses[page_id] = 0
        if self._returned or (not self._evicted and self._small.tokens >= self._small_limit):
            self._main.add(page_id, tokens)
        else:
            self._small.add(page_id, tokens)

    def _hit(self, page_id: str) -> None:
        self._uses[page_id] += 1

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        self._evicted = 1
        from_main = self._main.tokens > self._main_limit
        while True:
            page_id = self._sweep_main(held) if from_main else self._sweep_small(held)
            if page_id is not None:
                return page_id, MAIN if from_main else SMALL
            from_main = not from_main

    def _sweep_main(self, held: Collection[str]) -> str | None:
        while (page_id := self._main.first(held)) is not None:
            uses = self._uses[page_id]
            if not uses:
                self._main.remove(page_id)
                return page_id
            self._uses[page_id] = min(uses, MOST_ROUNDS) - 1
            self._main.touch(page_id)
        return None

    def _sweep_small(self, held: Collection[str]) -> str | None:
        while (page_id := self._small.first(held)) is not None:
            tokens = self._small.remove(page_id)
            if self._uses[page_id] < self._threshold:
                self._ghosts.add_within(page_id, tokens, self._ghost_limit)
                return page_id
            self._uses[page_id] = 0
            self._main.add(page_id, tokens)
        return None

    def _put_back(self, page_id: str, home: int) -> None:
        self._ghosts.discard(page_id)
        (self._main if home == MAIN else self._small).add_first(page_id, self._tokens[page_id])

    def _drop(self, page_id: str, evicted: bool) -> None:
        del self._uses[page_id]
        if not evicted:
            self._ghosts.discard(page_id)

    def _remove(self, page_id: str, tokens: int) -> None:
        del self._uses[page_id]
        (self._main if page_id in self._main else self._small).remove(page_id)

    def _reason(self, page_id: str) -> str:
        name, queue = ("small", self._small) if page_id in self._small else ("main", self._main)
        return f"in the {name} queue: number {queue.rank(page_id)} of {len(queue)}, used {self._uses[page_id]} times"

    def _dump(self) -> dict[str, Any]:
        return {
            "small": list(self._small),
            "main": list(self._main),
            "uses": [[page_id, uses] for page_id, uses in self._uses.items()],
            "ghosts": self._ghosts.rows(),
            "returned": self._returned,
            "evicted": self._evicted,
        }

    def _load(self, saved: Saved) -> None:
        self._load_capacity(saved)
        self._small = filled(saved.queue("small"), saved.resident)
        self._main = filled(saved.queue("main"), saved.resident)
        self._uses = saved.resident_numbers("uses")
        self._ghosts = Ghosts(saved.numbers("ghosts"))
        self._returned = saved.whole("returned")
        self._evicted = saved.whole("evicted")
