"""LRU-K: the page whose last use but K - 1 is the furthest back leaves first.

With K = 2 a page is judged by its last use but one, so that a page which was used only once cannot displace
one that is used again and again (O'Neil, O'Neil and Weikum, "The LRU-K Page Replacement Algorithm for Database
Disk Buffering", SIGMOD 1993).  Pages with fewer than K uses (coming in counts as one) have no such use: they
leave before all others, first in first out.

Left out: the history of pages that were evicted is kept only if ``retained_pages`` asks for it, and there is
no correlated reference period: every use counts.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.eviction.replacement import Replacement, first_free
from pagefault.policies.eviction.saved import Saved

YOUNG, OLD = 0, 1


class LruK(Replacement):
    """``k`` (1 to 16) uses are remembered, and those of the last ``retained_pages`` that were evicted.

    O(log n) a step.
    """

    name = "lru_k"

    def __init__(self, *, k: int = 2, retained_pages: int = 0) -> None:
        super().__init__()
        self._k = parameters.whole("lru_k.k", k, at_least=1, at_most=16)
        self._retained_pages = parameters.whole("lru_k.retained_pages", retained_pages, at_least=0, at_most=10**6)
        self._references = 0
        self._times: dict[str, list[int]] = {}  # the last K uses, by count of references, oldest first
        self._young: OrderedDict[str, None] = OrderedDict()  # pages with fewer uses, in order of arrival
        self._heap: list[tuple[int, str]] = []  # (last use but K - 1, page), with entries that no longer hold
        self._retained: OrderedDict[str, list[int]] = OrderedDict()

    def _admit(self, page_id: str, tokens: int) -> None:
        self._times[page_id] = self._retained.pop(page_id, [])
        self._young[page_id] = None
        self._hit(page_id)

    def _hit(self, page_id: str) -> None:
        times = self._times[page_id]
        self._references += 1
        times.append(self._references)
        if len(times) < self._k:
            return
        self._young.pop(page_id, None)
        del times[: -self._k]
        heapq.heappush(self._heap, (times[0], page_id))
        if len(self._heap) > 64 + 4 * len(self._times):
            self._rebuild()

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        page_id = first_free(self._young, held)
        if page_id is not None:
            del self._young[page_id]
            return page_id, YOUNG
        passed: list[tuple[int, str]] = []
        while True:
            entry = heapq.heappop(self._heap)
            page_id = entry[1]
            if page_id not in self._times or page_id in self._leaving or self._times[page_id][0] != entry[0]:
                continue
            if page_id not in held:
                break
            passed.append(entry)
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return page_id, OLD

    def _put_back(self, page_id: str, home: int) -> None:
        if home == OLD:
            heapq.heappush(self._heap, (self._times[page_id][0], page_id))
        else:
            self._young[page_id] = None
            self._young.move_to_end(page_id, last=False)

    def _drop(self, page_id: str, evicted: bool) -> None:
        times = self._times.pop(page_id)
        if evicted and self._retained_pages:
            self._retained[page_id] = times
            if len(self._retained) > self._retained_pages:
                self._retained.popitem(last=False)

    def _remove(self, page_id: str, tokens: int) -> None:
        self._young.pop(page_id, None)
        del self._times[page_id]

    def _rebuild(self) -> None:
        """The heap without the entries that no longer hold."""
        elsewhere = (self._young, self._leaving)
        self._heap = [
            (times[0], page_id)
            for page_id, times in self._times.items()
            if not any(page_id in each for each in elsewhere)
        ]
        heapq.heapify(self._heap)

    def _reason(self, page_id: str) -> str:
        times = self._times[page_id]
        if page_id in self._young:
            place = list(self._young).index(page_id) + 1
            return f"used fewer than {self._k} times: number {place} of {len(self._young)} such pages to leave"
        back = self._references - times[0]
        return f"its last use but {self._k - 1} was {back} references ago; {len(self._young)} younger pages leave first"

    def _dump(self) -> dict[str, Any]:
        self._rebuild()
        return {
            "young": list(self._young),
            "old": [page_id for _, page_id in sorted(self._heap)],
            "times": [[page_id, times] for page_id, times in self._times.items()],
            "retained": [[page_id, times] for page_id, times in self._retained.items()],
            "references": self._references,
        }

    def _load(self, saved: Saved) -> None:
        self._young = saved.queue("young")
        saved.queue("old")
        self._times = dict(saved.lists("times"))
        saved.known("times", self._times)
        self._retained = OrderedDict(saved.lists("retained"))
        self._references = saved.whole("references")
        self._rebuild()
