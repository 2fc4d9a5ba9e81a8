"""CLOCK: first in, first out, but a page that was used gets another round.

The hand looks at the page that came in longest ago.  If it was used, its count goes down by one and it goes
round again; if not, it leaves.  With one bit this is the second chance of Corbato ("A Paging Experiment with
the Multics System", 1968); with more it is the generalised CLOCK of Smith (1978).

Left out: nothing; a page comes in with count 0, as in the paper.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.eviction.replacement import Replacement, first_free
from pagefault.policies.eviction.saved import Saved


class Clock(Replacement):
    """``bits`` (1 to 8) is the width of the count of uses.  Amortised O(1) a step."""

    name = "clock"

    def __init__(self, *, bits: int = 1) -> None:
        super().__init__()
        self._most = 2 ** parameters.whole("clock.bits", bits, at_least=1, at_most=8) - 1
        self._queue: OrderedDict[str, None] = OrderedDict()  # next to meet the hand first
        self._uses: dict[str, int] = {}

    def _admit(self, page_id: str, tokens: int) -> None:
        self._queue[page_id] = None
        self._uses[page_id] = 0

    def _hit(self, page_id: str) -> None:
        if self._uses[page_id] < self._most:
            self._uses[page_id] += 1

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        while True:
            page_id = first_free(self._queue, held)
            assert page_id is not None
            if not self._uses[page_id]:
                del self._queue[page_id]
                return page_id, 0
            self._uses[page_id] -= 1
            self._queue.move_to_end(page_id)

    def _put_back(self, page_id: str, home: int) -> None:
        self._queue[page_id] = None
        self._queue.move_to_end(page_id, last=False)

    def _drop(self, page_id: str, evicted: bool) -> None:
        del self._uses[page_id]

    def _remove(self, page_id: str, tokens: int) -> None:
        del self._queue[page_id], self._uses[page_id]

    def _reason(self, page_id: str) -> str:
        place = list(self._queue).index(page_id) + 1
        return f"the hand meets it after {place - 1} others and passes it {self._uses[page_id]} more times"

    def _dump(self) -> dict[str, Any]:
        return {"queue": list(self._queue), "uses": [[page_id, uses] for page_id, uses in self._uses.items()]}

    def _load(self, saved: Saved) -> None:
        self._queue = saved.queue("queue")
        self._uses = saved.resident_numbers("uses")
