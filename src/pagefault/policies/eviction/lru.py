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
from pagefault.policies.eviction.selection import rank


class Lru:
    """Evicts in order of last use.  Every step is O(1); ``victims`` is O(its answer + protected pages)."""

    name = "lru"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, int] = OrderedDict()  # least recently used first

    def on_insert(self, page: PageFacts, turn: int) -> None:
        self._tokens[page.id] = page.tokens

    def on_hit(self, page_id: str, turn: int) -> None:
        self._tokens.move_to_end(page_id)

    def on_remove(self, page_id: str, evicted: bool) -> None:
        del self._tokens[page_id]

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        # Written out, since calling `first_to_leave` takes as long as all the rest: a lab replays millions of these.
        leaving: list[str] = []
        if tokens_needed > 0:
            for page_id, tokens in self._tokens.items():
                if page_id not in protected:
                    leaving.append(page_id)
                    tokens_needed -= tokens
                    if tokens_needed <= 0:
                        break
        return leaving

    def explain(self, page_id: str, turn: int) -> str:
        return f"least recently used first: number {rank(page_id, self._tokens)} of {len(self._tokens)} to leave"

    def dump(self) -> State:
        return {"policy": self.name, "pages": list(map(list, self._tokens.items()))}

    def load(self, state: State) -> None:
        self._tokens = OrderedDict(parameters.rows(self.name, state, (str, int)))
