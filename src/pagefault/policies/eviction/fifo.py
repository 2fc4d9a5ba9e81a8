"""First in, first out: the page that came in longest ago leaves first, however often it was used.

This is what a sliding window of messages does, and the baseline of every comparison.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PageFacts, State
from pagefault.policies.eviction.selection import first_to_leave, rank


class Fifo:
    """Evicts in order of insertion.  Every step is O(1); ``victims`` is O(its answer + protected pages)."""

    name = "fifo"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, int] = OrderedDict()  # a dict would search for its first key again and again
        self._inserted_turn: dict[str, int] = {}

    def on_insert(self, page: PageFacts, turn: int) -> None:
        self._tokens[page.id] = page.tokens
        self._inserted_turn[page.id] = turn

    def on_hit(self, page_id: str, turn: int) -> None:
        """A hit changes nothing: that is the policy."""

    def on_remove(self, page_id: str, evicted: bool) -> None:
        del self._tokens[page_id]
        del self._inserted_turn[page_id]

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        return first_to_leave(self._tokens.items(), tokens_needed, protected)

    def explain(self, page_id: str, turn: int) -> str:
        place = rank(page_id, self._tokens)
        age = turn - self._inserted_turn[page_id]
        return f"came in {age} turns ago: number {place} of {len(self._tokens)} to leave"

    def dump(self) -> State:
        pages = [[page_id, tokens, self._inserted_turn[page_id]] for page_id, tokens in self._tokens.items()]
        return {"policy": self.name, "pages": pages}

    def load(self, state: State) -> None:
        pages = parameters.rows(self.name, state, (str, int, int))
        self._tokens = OrderedDict((page_id, tokens) for page_id, tokens, _ in pages)
        self._inserted_turn = {page_id: turn for page_id, _, turn in pages}
