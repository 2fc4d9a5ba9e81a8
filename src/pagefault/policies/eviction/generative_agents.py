"""Generative Agents: recency, importance and relevance, added up; the lowest sum leaves first.

``paper`` (Park et al., "Generative Agents: Interactive Simulacra of Human Behavior", UIST 2023, section 4.1):
all three weigh 1 after min-max scaling, and recency is ``0.995 ** (hours since last retrieval)``.

``as_released`` (their ``retrieve.py``): recency, relevance and importance weigh 0.5, 3 and 2; recency is
``0.99 ** rank`` with rank 1 for the memory used *longest ago*, so that the least recently used scores highest; a
part that is the same for all counts 0.5.

The scores rank what to retrieve there, and what to keep here.  Importance and relevance are those of
:mod:`~pagefault.policies.eviction.importance`: what the page claims or how specific it is, and the words shared
with the page that came in or was used last (the paper asks a model, and compares embeddings with a query).
An hour is ``turns_per_hour`` turns.  Left out: reflections, which are pages of their own for whoever writes them.
"""

from __future__ import annotations

from pagefault.policies import parameters
from pagefault.policies.eviction.importance import Importance

VARIANTS = ("paper", "as_released")


class GenerativeAgents(Importance):
    """``variant`` is one of :data:`VARIANTS`.  ``victims`` is O(n log n) in the resident pages, a hit O(1)."""

    name = "generative_agents"

    def __init__(self, *, variant: str = "paper", turns_per_hour: float = 1.0) -> None:
        self._released = parameters.one_of(f"{self.name}.variant", variant, VARIANTS) == "as_released"
        self._turns_per_hour = parameters.number(f"{self.name}.turns_per_hour", turns_per_hour, at_least=1e-6)
        if self._released:
            super().__init__(decay=0.99, recency_weight=0.5, importance_weight=2.0, relevance_weight=3.0)
            self.alike = 0.5
        else:
            super().__init__(decay=0.995, relevance_weight=1.0)

    def _recencies(self, turn: int) -> list[float]:
        if not self._released:
            hours = [max(0, turn - page.used_turn) / self._turns_per_hour for page in self._pages.values()]
            return [self._decay**each for each in hours]
        by_use = sorted(self._pages, key=lambda page_id: self._pages[page_id].used_turn)
        rank = {page_id: place for place, page_id in enumerate(by_use, start=1)}
        return [self._decay ** rank[page_id] for page_id in self._pages]


class GenerativeAgentsAsReleased(GenerativeAgents):
    """:class:`GenerativeAgents` with ``variant="as_released"``."""

    name = "generative_agents_as_released"

    def __init__(self) -> None:
        super().__init__(variant="as_released")
