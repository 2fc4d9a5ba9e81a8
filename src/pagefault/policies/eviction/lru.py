"""Least recently used: the page that was not used for the longest time leaves first.

Coming in counts as a use.  Optimal up to a constant factor among online policies for pages of one size
(Sleator and Tarjan 1985, section 3); on dialogues it is close to first in, first out, on traces of tool
calls it is not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PageFacts, State
from pagefault.policies.eviction.selection import first_to_leave, rank


class Lru:
    """Evicts in order of last use.  Every step is O(1); ``victims`` is O(its answer + protected pages)."""

    name = "lru"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, int] = OrderedDict()  # least recently used first
        self._used_turn: dict[str, int] = {}

    def on_insert(self, page: PageFacts, turn: int) -> None:
        self._tokens[page.id] = page.tokens
        self._used_turn[page.id] = turn

    def on_hit(self, page_id: str, turn: int) -> None:
        self._tokens.move_to_end(page_id)
        self._used_turn[page_id] = turn

    def on_remove(self, page_id: str, evicted: bool) -> None:
        del self._tokens[page_id]
        del self._used_turn[page_id]

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        return first_to_leave(self._tokens.items(), tokens_needed, protected)

    def explain(self, page_id: str, turn: int) -> str:
        place = rank(page_id, self._tokens)
        age = turn - self._used_turn[page_id]
        return f"last used {age} turns ago: number {place} of {len(self._tokens)} to leave"

    def dump(self) -> State:
        pages = [[page_id, tokens, self._used_turn[page_id]] for page_id, tokens in self._tokens.items()]
        return {"policy": self.name, "pages": pages}

    def load(self, state: State) -> None:
        pages = parameters.rows(self.name, state, (str, int, int))
        self._tokens = OrderedDict((page_id, tokens) for page_id, tokens, _ in pages)
        self._used_turn = {page_id: turn for page_id, _, turn in pages}
