"""2Q: what comes in waits in a queue; only what comes back soon after it left is kept by use.

A new page goes to the end of ``A1in``, first in, first out, where uses do not count.  When ``A1in`` is over
its share its oldest page leaves and is remembered in ``A1out``; otherwise the least recently used page of
``Am`` leaves.  A page that comes back while it is remembered goes to ``Am`` (Johnson and Shasha, "2Q: A Low
Overhead High Performance Buffer Management Replacement Algorithm", VLDB 1994, the full version with its
recommended shares).

Left out: nothing, but no page is too large for ``A1in``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.eviction.ghosts import Ghosts
from pagefault.policies.eviction.queues import TokenQueue, filled
from pagefault.policies.eviction.replacement import Segmented
from pagefault.policies.eviction.saved import Saved

IN, MAIN = 0, 1


class TwoQ(Segmented):
    """``in_fraction`` of the capacity is the share of ``A1in``, ``out_fraction`` of it the tokens that
    ``A1out`` remembers.  O(1) a step.
    """

    name = "two_q"

    def __init__(
        self, *, in_fraction: float = 0.25, out_fraction: float = 0.5, capacity_tokens: int | None = None
    ) -> None:
        self._in_fraction = parameters.number("two_q.in_fraction", in_fraction, at_least=0.0, at_most=1.0)
        self._out_fraction = parameters.number("two_q.out_fraction", out_fraction, at_least=0.0, at_most=16.0)
        self._in_limit = self._out_limit = float("inf")
        self._in, self._main = TokenQueue(), TokenQueue()
        self._out = Ghosts()
        self._returned = 0  # whether the arriving page was a ghost
        super().__init__(capacity_tokens)

    def _resize(self, capacity_tokens: int) -> None:
        self._in_limit = self._share(capacity_tokens, self._in_fraction)
        self._out_limit = int(capacity_tokens * self._out_fraction)

    def _arrive(self, page_id: str, tokens: int) -> None:
        self._returned = int(self._out.discard(page_id))

    def _admit(self, page_id: str, tokens: int) -> None:
        (self._main if self._returned else self._in).add(page_id, tokens)

    def _hit(self, page_id: str) -> None:
        if page_id not in self._in:
            self._main.touch(page_id)

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        page_id = self._in.first(held) if self._in.tokens > self._in_limit else None
        if page_id is None:
            page_id = self._main.first(held)
        if page_id is not None and page_id in self._main:
            self._main.remove(page_id)
            return page_id, MAIN
        if page_id is None:
            page_id = self._in.first(held)
        assert page_id is not None
        self._out.add_within(page_id, self._in.remove(page_id), self._out_limit)
        return page_id, IN

    def _put_back(self, page_id: str, home: int) -> None:
        self._out.discard(page_id)
        (self._main if home == MAIN else self._in).add_first(page_id, self._tokens[page_id])

    def _drop(self, page_id: str, evicted: bool) -> None:
        if not evicted:
            self._out.discard(page_id)

    def _remove(self, page_id: str, tokens: int) -> None:
        (self._main if page_id in self._main else self._in).remove(page_id)

    def _reason(self, page_id: str) -> str:
        if page_id in self._in:
            place = self._in.rank(page_id)
            return f"waits in A1in ({self._in.tokens} tokens there): number {place} of {len(self._in)}"
        return f"came back soon, so it is in Am: number {self._main.rank(page_id)} of {len(self._main)} by last use"

    def _dump(self) -> dict[str, Any]:
        return {
            "in": list(self._in),
            "main": list(self._main),
            "out": self._out.rows(),
            "returned": self._returned,
        }

    def _load(self, saved: Saved) -> None:
        self._load_capacity(saved)
        self._in = filled(saved.queue("in"), saved.resident)
        self._main = filled(saved.queue("main"), saved.resident)
        self._out = Ghosts(saved.numbers("out"))
        self._returned = saved.whole("returned")
