"""Least frequently used, plain and with two ways of ageing.

The page with the lowest key leaves first, and among equals the one that reached that key first.  The key is
the number of uses, coming in being the first.  Counts never fade by themselves, so that what was once popular
stays for ever; ``ageing`` is the remedy:

* ``none``: that plain rule.
* ``halve``: when the mean count of the resident pages exceeds ``mean_max``, every count is halved and rounded
  up (Robinson and Devarakonda, "Data Cache Management Using Frequency-Based Replacement", SIGMETRICS 1990,
  their bound A_max).
* ``dynamic``: LFU-DA.  The key is the count plus the key of the last page that was evicted, at the time of
  use (Arlitt et al., "Evaluating Content Management Techniques for Web Proxy Caches", 2000).

Left out: counts of evicted pages are not kept ("in-cache" LFU); of Robinson and Devarakonda's policy only the
ageing is taken, not its sections.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.eviction.replacement import Replacement, first_free
from pagefault.policies.eviction.saved import Saved

AGEING = ("none", "halve", "dynamic")


class Lfu(Replacement):
    """``ageing`` is one of :data:`AGEING`, ``mean_max`` (at least 1) the mean count at which counts are halved.

    O(log n) a step in the number of different keys, plus O(n) for each halving.
    """

    name = "lfu"

    def __init__(self, *, ageing: str = "none", mean_max: float = 8.0) -> None:
        super().__init__()
        self._ageing = parameters.one_of(f"{self.name}.ageing", ageing, AGEING)
        self._mean_max = parameters.number(f"{self.name}.mean_max", mean_max, at_least=1.0)
        self._uses: dict[str, int] = {}
        self._keys: dict[str, int] = {}
        self._level = 0  # the key of the last page that was evicted, if ageing is dynamic
        self._sum = 0  # of all counts
        self._levels: dict[int, OrderedDict[str, None]] = {}  # pages by key, in the order in which they reached it
        self._heap: list[int] = []  # the keys of _levels, and some that are empty by now

    def _admit(self, page_id: str, tokens: int) -> None:
        self._uses[page_id] = 1
        self._sum += 1
        self._place(page_id, self._level + 1)

    def _hit(self, page_id: str) -> None:
        self._uses[page_id] += 1
        self._sum += 1
        self._displace(page_id)
        self._place(page_id, self._level + self._uses[page_id])
        if self._ageing == "halve" and self._sum > self._mean_max * len(self._uses):
            self._halve()

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        page_id, key = self._lowest(held)
        self._displace(page_id)
        if self._ageing == "dynamic":
            self._level = key
        return page_id, 0

    def _put_back(self, page_id: str, home: int) -> None:
        key = self._keys[page_id]
        self._place(page_id, key)
        self._levels[key].move_to_end(page_id, last=False)

    def _drop(self, page_id: str, evicted: bool) -> None:
        del self._keys[page_id]
        self._sum -= self._uses.pop(page_id)

    def _remove(self, page_id: str, tokens: int) -> None:
        self._displace(page_id)
        self._drop(page_id, evicted=False)

    def _lowest(self, held: Collection[str]) -> tuple[str, int]:
        while not self._levels.get(self._heap[0]):
            self._levels.pop(heapq.heappop(self._heap), None)
        page_id = first_free(self._levels[self._heap[0]], held)
        if page_id is not None:
            return page_id, self._heap[0]
        for key in sorted(self._levels):
            page_id = first_free(self._levels[key], held)
            if page_id is not None:
                return page_id, key
        raise AssertionError("no page is free")

    def _place(self, page_id: str, key: int) -> None:
        self._keys[page_id] = key
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = OrderedDict()
            heapq.heappush(self._heap, key)
        level[page_id] = None

    def _displace(self, page_id: str) -> None:
        key = self._keys[page_id]
        level = self._levels[key]
        del level[page_id]
        if not level and key != self._heap[0]:
            return  # the heap drops it when it comes to the top
        if not level:
            heapq.heappop(self._heap)
            del self._levels[key]

    def _halve(self) -> None:
        in_order = [page_id for key in sorted(self._levels) for page_id in self._levels[key]]
        self._uses = {page_id: (uses + 1) // 2 for page_id, uses in self._uses.items()}
        self._sum = sum(self._uses.values())
        self._keys = {page_id: self._level + uses for page_id, uses in self._uses.items()}
        self._arrange(in_order)

    def _arrange(self, in_order: Collection[str]) -> None:
        self._levels, self._heap = {}, []
        for page_id in in_order:
            self._place(page_id, self._keys[page_id])

    def _reason(self, page_id: str) -> str:
        key = self._keys[page_id]
        below = sum(1 for each in self._keys.values() if each < key)
        return f"used {self._uses[page_id]} times: {below} of {len(self._keys)} pages rank below it"

    def _dump(self) -> dict[str, Any]:
        return {
            "order": [page_id for key in sorted(self._levels) for page_id in self._levels[key]],
            "uses": [[page_id, uses] for page_id, uses in self._uses.items()],
            "keys": [[page_id, key] for page_id, key in self._keys.items()],
            "level": self._level,
        }

    def _load(self, saved: Saved) -> None:
        order = saved.queue("order")
        self._uses = saved.resident_numbers("uses")
        self._keys = saved.resident_numbers("keys")
        self._sum = sum(self._uses.values())
        self._level = saved.whole("level")
        self._arrange(order)


class LfuAged(Lfu):
    """:class:`Lfu` with ``ageing="halve"``."""

    name = "lfu_aged"

    def __init__(self, *, mean_max: float = 8.0) -> None:
        super().__init__(ageing="halve", mean_max=mean_max)


class LfuDa(Lfu):
    """:class:`Lfu` with ``ageing="dynamic"``."""

    name = "lfu_da"

    def __init__(self) -> None:
        super().__init__(ageing="dynamic")
