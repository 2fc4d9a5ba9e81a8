"""Attention sinks and a window: the first pages stay, and so do the latest; what is between leaves, oldest first.

Models attend strongly to the first tokens that they see, whatever these say; a window that keeps them does not
collapse when it slides (Xiao et al., "Efficient Streaming Language Models with Attention Sinks", ICLR 2024,
section 3.2: four tokens and a window).  Here the first ``sinks`` pages that ever came in stay, whatever they
are, unless nothing else suffices.

Left out: the paper works on the key-value cache, token by token, and shifts positions; a context has pages, and its
server does the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pagefault.policies import parameters
from pagefault.policies.contract import PageFacts, PolicyError, State
from pagefault.policies.eviction.fifo import Fifo
from pagefault.policies.eviction.selection import first_to_leave


class Sinks(Fifo):
    """``sinks`` is from 0 to 1000.  O(1) a step; ``victims`` is O(its answer + protected pages + sinks)."""

    name = "sinks"

    def __init__(self, *, sinks: int = 4) -> None:
        super().__init__()
        self._most = parameters.whole("sinks.sinks", sinks, at_least=0, at_most=1000)
        self._seen = 0  # pages that came in, up to the number of sinks
        self._sinks: dict[str, None] = {}

    def on_insert(self, page: PageFacts, turn: int) -> None:
        super().on_insert(page, turn)
        if self._seen < self._most:
            self._seen += 1
            self._sinks[page.id] = None

    def on_remove(self, page_id: str, evicted: bool) -> None:
        super().on_remove(page_id, evicted)
        self._sinks.pop(page_id, None)

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        window = (page for page in self._tokens.items() if page[0] not in self._sinks)
        leaving = first_to_leave(window, tokens_needed, protected)
        missing = tokens_needed - sum(self._tokens[page_id] for page_id in leaving)
        latest_first = ((page_id, self._tokens[page_id]) for page_id in reversed(self._sinks))
        return [*leaving, *first_to_leave(latest_first, missing, protected)]

    def explain(self, page_id: str, turn: int) -> str:
        if page_id in self._sinks:
            return f"one of the first {self._most} pages: stays as a sink of attention"
        return super().explain(page_id, turn)

    def dump(self) -> State:
        return {**super().dump(), "sinks": list(self._sinks), "seen": self._seen}

    def load(self, state: State) -> None:
        pages = {row[0] for row in parameters.rows(self.name, state, (str, int, int))}
        sinks, seen = state.get("sinks"), state.get("seen")
        if not isinstance(sinks, (list, tuple)) or not all(page_id in pages for page_id in sinks):
            raise PolicyError(f"{self.name}.state.sinks", sinks, "a list of resident pages")
        seen = parameters.whole(f"{self.name}.state.seen", seen, at_least=0, at_most=self._most)
        super().load(state)
        self._sinks = dict.fromkeys(sinks)
        self._seen = seen
