"""First in, first out, for policies that also look at the kinds of pages, or at how many there are."""

from __future__ import annotations

from collections.abc import Collection

from pagefault.policies import parameters
from pagefault.policies.contract import PageFacts, PolicyError, State
from pagefault.policies.eviction.fifo import Fifo


class History(Fifo):
    """A first-in-first-out queue that knows the kind of each page."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[str, str] = {}

    def on_insert(self, page: PageFacts, turn: int) -> None:
        super().on_insert(page, turn)
        self._kinds[page.id] = page.kind

    def on_remove(self, page_id: str, evicted: bool) -> None:
        super().on_remove(page_id, evicted)
        del self._kinds[page_id]

    def dump(self) -> State:
        return {**super().dump(), "kinds": [[page_id, kind] for page_id, kind in self._kinds.items()]}

    def load(self, state: State) -> None:
        kinds = dict(parameters.rows(self.name, state, (str, str), field="kinds"))
        pages = [row[0] for row in parameters.rows(self.name, state, (str, int, int))]
        if sorted(kinds) != sorted(pages):
            raise PolicyError(f"{self.name}.state.kinds", sorted(kinds), f"the kind of each of {sorted(pages)}")
        super().load(state)
        self._kinds = kinds

    def _free(self, protected: Collection[str]) -> list[str]:
        """The pages that may leave, first in first."""
        return [page_id for page_id in self._tokens if page_id not in protected]
