"""Segmented LRU: every use takes a page one segment up, where it is safer.

Segments have equal shares of the capacity and are ordered by last use.  A page that is used goes to the next
segment up; if that is over its share, its least recently used page goes down one.  The least recently used
page of the lowest segment that has any leaves first (Karedla, Love and Wherry, "Caching Strategies to Improve
Disk System Performance", IEEE Computer 1994, with two segments).

As in libCacheSim there are four segments, and a new page goes to the lowest that has room for it (in the
paper always to the lowest).  Left out: a use never evicts; what does not fit below stays in the lowest
segment, over its share, until room is asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.eviction.queues import TokenQueue, filled
from pagefault.policies.eviction.replacement import Segmented
from pagefault.policies.eviction.saved import Saved


class Slru(Segmented):
    """``segments`` is from 2 to 16.  O(segments) a step, amortised."""

    name = "slru"

    def __init__(self, *, segments: int = 4, capacity_tokens: int | None = None) -> None:
        count = parameters.whole("slru.segments", segments, at_least=2, at_most=16)
        self._limit = float("inf")
        self._segments = [TokenQueue() for _ in range(count)]
        self._segment: dict[str, int] = {}
        super().__init__(capacity_tokens)

    def _resize(self, capacity_tokens: int) -> None:
        self._limit = max(capacity_tokens // len(self._segments), self._largest_tokens)

    def _admit(self, page_id: str, tokens: int) -> None:
        room = (index for index, queue in enumerate(self._segments) if queue.tokens + tokens <= self._limit)
        self._place(page_id, tokens, next(room, 0))

    def _place(self, page_id: str, tokens: int, index: int) -> None:
        self._segments[index].add(page_id, tokens)
        self._segment[page_id] = index

    def _hit(self, page_id: str) -> None:
        index = self._segment[page_id]
        if index == len(self._segments) - 1:
            self._segments[index].touch(page_id)
            return
        self._place(page_id, self._segments[index].remove(page_id), index + 1)
        for above in range(index + 1, 0, -1):
            queue = self._segments[above]
            while queue.tokens > self._limit:
                coldest = queue.first()
                assert coldest is not None
                self._place(coldest, queue.remove(coldest), above - 1)

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        for index, queue in enumerate(self._segments):
            page_id = queue.first(held)
            if page_id is not None:
                queue.remove(page_id)
                return page_id, index
        raise AssertionError("no page is free")

    def _put_back(self, page_id: str, home: int) -> None:
        self._segments[home].add_first(page_id, self._tokens[page_id])

    def _drop(self, page_id: str, evicted: bool) -> None:
        del self._segment[page_id]

    def _remove(self, page_id: str, tokens: int) -> None:
        self._segments[self._segment.pop(page_id)].remove(page_id)

    def _reason(self, page_id: str) -> str:
        index = self._segment[page_id]
        queue = self._segments[index]
        return (
            f"in segment {index + 1} of {len(self._segments)}: "
            f"number {queue.rank(page_id)} of {len(queue)} there by last use"
        )

    def _dump(self) -> dict[str, Any]:
        listed = {f"segment_{index}": list(queue) for index, queue in enumerate(self._segments)}
        return {**listed, "homes": [[page_id, index] for page_id, index in self._segment.items()]}

    def _load(self, saved: Saved) -> None:
        self._load_capacity(saved)
        self._segments = [
            filled(saved.queue(f"segment_{index}"), saved.resident) for index in range(len(self._segments))
        ]
        self._segment = saved.resident_numbers("homes")
