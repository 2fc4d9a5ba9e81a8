"""What policies of forgetting have in common: pages know how often and when they were visited.

Coming in is no visit, but the clock of a page starts then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PageFacts, State
from pagefault.policies.eviction.selection import first_to_leave, rank

VARIANTS = ("paper", "as_released")
DIGITS = 9
"""Decimals that count: C libraries may differ in the last bit of a power, replays may not."""


@dataclass(slots=True)
class Visited:
    """A resident page: its size, its hits so far and the turn of the last, or of its coming in."""

    tokens: int
    visits: int
    used_turn: int


class Visits(ABC):
    """Evicts in an order that a subclass makes of visits and turns.  A hit is O(1), ``victims`` O(n log n)."""

    name: str
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self) -> None:
        self._pages: dict[str, Visited] = {}

    def on_insert(self, page: PageFacts, turn: int) -> None:
        self._pages[page.id] = Visited(page.tokens, 0, turn)

    def on_hit(self, page_id: str, turn: int) -> None:
        page = self._pages[page_id]
        page.visits += 1
        page.used_turn = turn

    def on_remove(self, page_id: str, evicted: bool) -> None:
        del self._pages[page_id]

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        order = ((page_id, self._pages[page_id].tokens) for page_id in self._order(turn))
        return first_to_leave(order, tokens_needed, protected)

    def explain(self, page_id: str, turn: int) -> str:
        reason = self._reason(page_id, self._pages[page_id], turn)
        return f"{reason}: number {rank(page_id, self._order(turn))} of {len(self._pages)} to leave"

    def dump(self) -> State:
        pages = [[page_id, page.tokens, page.visits, page.used_turn] for page_id, page in self._pages.items()]
        return {"policy": self.name, "pages": pages}

    def load(self, state: State) -> None:
        rows = parameters.rows(self.name, state, (str, int, int, int))
        self._pages = {row[0]: Visited(*row[1:]) for row in rows}

    @abstractmethod
    def _order(self, turn: int) -> list[str]:
        """All pages, first to leave first."""

    @abstractmethod
    def _reason(self, page_id: str, page: Visited, turn: int) -> str:
        """The figures that place a page, in a few words."""
