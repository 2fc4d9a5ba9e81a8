"""SIEVE: a queue in order of arrival, a bit a page, and a hand that stays where it evicted.

The hand goes from the oldest page towards the newest.  A page that was used since loses its bit and keeps its
place; the first page without a bit leaves, and the hand waits there.  At the newest page it begins again at
the oldest (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024, algorithm 1).

Left out: nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from pagefault.policies.eviction.replacement import Replacement
from pagefault.policies.eviction.saved import Saved

PASSED, AHEAD = 0, 1


class Sieve(Replacement):
    """The queue is kept in two parts, split at the hand, so that no step looks for it.  Amortised O(1) a step."""

    name = "sieve"

    def __init__(self) -> None:
        super().__init__()
        self._passed: OrderedDict[str, None] = OrderedDict()  # older than the hand, oldest first
        self._ahead: OrderedDict[str, None] = OrderedDict()  # the hand is at the first
        self._used: dict[str, int] = {}  # 0 or 1

    def _admit(self, page_id: str, tokens: int) -> None:
        self._ahead[page_id] = None
        self._used[page_id] = 0

    def _hit(self, page_id: str) -> None:
        if page_id not in self._used:
            raise KeyError(page_id)
        self._used[page_id] = 1

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        while True:
            self._wrap()
            page_id, _ = self._ahead.popitem(last=False)
            if page_id not in held:
                if not self._used[page_id]:
                    self._wrap()
                    return page_id, AHEAD
                self._used[page_id] = 0
            self._passed[page_id] = None

    def _put_back(self, page_id: str, home: int) -> None:
        self._ahead[page_id] = None
        self._ahead.move_to_end(page_id, last=False)

    def _drop(self, page_id: str, evicted: bool) -> None:
        del self._used[page_id]

    def _remove(self, page_id: str, tokens: int) -> None:
        del self._used[page_id]
        if page_id in self._ahead:
            del self._ahead[page_id]
            self._wrap()
        else:
            del self._passed[page_id]

    def _wrap(self) -> None:
        # At once, not at the next look: what comes in meanwhile is the newest, not the next.
        if not self._ahead:
            self._ahead, self._passed = self._passed, self._ahead

    def _reason(self, page_id: str) -> str:
        used = "was used since the hand passed it" if self._used[page_id] else "was not used since the hand passed it"
        place = [*self._ahead, *self._passed].index(page_id)
        return f"{used}; the hand meets it after {place} others"

    def _dump(self) -> dict[str, Any]:
        used = [[page_id, used] for page_id, used in self._used.items()]
        return {"passed": list(self._passed), "ahead": list(self._ahead), "used": used}

    def _load(self, saved: Saved) -> None:
        self._passed = saved.queue("passed")
        self._ahead = saved.queue("ahead")
        self._used = saved.resident_numbers("used")
