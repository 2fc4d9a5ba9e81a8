"""MemoryOS: the coldest leaves first, where heat is visits, length and recency.

``paper`` (Kang et al., "Memory OS of AI Agent", EMNLP 2025, memory updating): ``heat = alpha * visits + beta *
length + gamma * exp(-t / mu)`` with all weights 1 and ``mu`` 1e7 seconds since the last visit; the lowest heat leaves.

``as_released`` (their ``mid_term.py``): ``evict_lfu``, the fewest visits, and among equals the first to have come in;
heat only decides when the profile of the user is brought up to date.

A turn is ``turn_seconds`` (3600: an hour a turn).  Left out: the grouping of pages into segments by topic: every page
is a segment of its own, whose length is 1.  The three stores and the profile belong to the runtime.
"""

from __future__ import annotations

import math

from pagefault.policies import parameters
from pagefault.policies.eviction.visits import DIGITS, VARIANTS, Visited, Visits

LENGTH = 1


class MemoryOs(Visits):
    """``variant`` is one of ``paper`` and ``as_released``; weights are at least 0.  Among equals of the paper's
    rule the page that was used the longest ago leaves first, then the one that came in first.
    """

    name = "memory_os"

    def __init__(
        self,
        *,
        variant: str = "paper",
        visit_weight: float = 1.0,
        length_weight: float = 1.0,
        recency_weight: float = 1.0,
        fading_seconds: float = 1e7,
        turn_seconds: float = 3600.0,
    ) -> None:
        super().__init__()
        self._released = parameters.one_of(f"{self.name}.variant", variant, VARIANTS) == "as_released"
        self._visit_weight = parameters.number(f"{self.name}.visit_weight", visit_weight, at_least=0.0)
        self._length_weight = parameters.number(f"{self.name}.length_weight", length_weight, at_least=0.0)
        self._recency_weight = parameters.number(f"{self.name}.recency_weight", recency_weight, at_least=0.0)
        fading = parameters.number(f"{self.name}.fading_seconds", fading_seconds, at_least=1e-3)
        self._fading_turns = fading / parameters.number(f"{self.name}.turn_seconds", turn_seconds, at_least=1e-3)

    def _heat(self, page: Visited, turn: int) -> float:
        recency = math.exp(-max(0, turn - page.used_turn) / self._fading_turns)
        heat = self._visit_weight * page.visits + self._length_weight * LENGTH + self._recency_weight * recency
        return round(heat, DIGITS)

    def _order(self, turn: int) -> list[str]:
        pages = self._pages
        if self._released:
            return sorted(pages, key=lambda page_id: pages[page_id].visits)
        return sorted(pages, key=lambda page_id: (self._heat(pages[page_id], turn), pages[page_id].used_turn))

    def _reason(self, page_id: str, page: Visited, turn: int) -> str:
        if self._released:
            return f"{page.visits} visits"
        return f"heat {self._heat(page, turn):.3f} ({page.visits} visits, the last {turn - page.used_turn} turns ago)"


class MemoryOsAsReleased(MemoryOs):
    """:class:`MemoryOs` with ``variant="as_released"``."""

    name = "memory_os_as_released"

    def __init__(self) -> None:
        super().__init__(variant="as_released")
