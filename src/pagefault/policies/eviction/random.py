"""Random: any page leaves, with equal chances.  What every rule must beat."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.contract import Capability
from pagefault.policies.eviction.chance import DrawingSet, Numbers
from pagefault.policies.eviction.replacement import Replacement
from pagefault.policies.eviction.saved import Saved


class Random(Replacement):
    """The same ``seed`` gives the same choices.  O(1) a step, O(n) for a victim while pages are protected."""

    name = "random"
    capabilities = frozenset({Capability.RANDOMISED})

    def __init__(self, *, seed: int = 1) -> None:
        super().__init__()
        self._numbers = Numbers(parameters.whole("random.seed", seed, at_least=0, at_most=2**63))
        self._pages = DrawingSet()

    def _admit(self, page_id: str, tokens: int) -> None:
        self._pages.add(page_id)

    def _hit(self, page_id: str) -> None:
        if page_id not in self._pages:
            raise KeyError(page_id)

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        among = DrawingSet(each for each in self._pages if each not in held) if held else self._pages
        page_id = among.draw(self._numbers)
        self._pages.remove(page_id)
        return page_id, 0

    def _put_back(self, page_id: str, home: int) -> None:
        self._pages.add(page_id)

    def _drop(self, page_id: str, evicted: bool) -> None:
        """Nothing is known of a page."""

    def _remove(self, page_id: str, tokens: int) -> None:
        self._pages.remove(page_id)

    def _reason(self, page_id: str) -> str:
        return f"leaves with a chance of 1 in {len(self._pages)}"

    def _dump(self) -> dict[str, Any]:
        return {"order": list(self._pages), "numbers": self._numbers.state}

    def _load(self, saved: Saved) -> None:
        self._pages = DrawingSet(saved.queue("order"))
        self._numbers = Numbers(saved.whole("numbers"))
