"""Hyperbolic caching: the page that was used least for each moment of its stay leaves.

The priority of a page is its uses over the time since it came in, for each token of its size, so that a new
page starts high and falls unless it is used; no ageing is needed.  As nothing keeps such priorities in order,
the lowest of a sample of the pages leaves (Blankstein, Sen and Freedman, "Hyperbolic Caching: Flexible Caching
for Web Applications", USENIX ATC 2017; sample of 64).

Time is the number of references so far.  Left out: costs that differ by class, expiry, windows
and a tuned initial priority, which the paper adds; a page comes in with one use.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.contract import Capability
from pagefault.policies.eviction.chance import DrawingSet, Numbers
from pagefault.policies.eviction.replacement import Replacement
from pagefault.policies.eviction.saved import Saved


class Hyperbolic(Replacement):
    """``sample`` pages (1 to 4096) are compared for each victim, all of them if there are no more.

    ``size_aware`` divides by the tokens of the page, as the paper does and libCacheSim does not.
    """

    name = "hyperbolic"

    def __init__(self, *, sample: int = 64, size_aware: bool = True, seed: int = 1) -> None:
        super().__init__()
        self._sample = parameters.whole("hyperbolic.sample", sample, at_least=1, at_most=4096)
        self._size_aware = parameters.flag("hyperbolic.size_aware", size_aware)
        self._numbers = Numbers(parameters.whole("hyperbolic.seed", seed, at_least=0, at_most=2**63))
        chosen = {Capability.RANDOMISED} | ({Capability.SIZE_AWARE} if self._size_aware else set())
        self.capabilities = frozenset(chosen)
        self._pages = DrawingSet()
        self._uses: dict[str, int] = {}
        self._came_at: dict[str, int] = {}
        self._references = 0

    def _admit(self, page_id: str, tokens: int) -> None:
        self._references += 1
        self._pages.add(page_id)
        self._uses[page_id] = 1
        self._came_at[page_id] = self._references

    def _hit(self, page_id: str) -> None:
        self._uses[page_id] += 1
        self._references += 1

    def _priority(self, page_id: str) -> float:
        size = max(1, self._tokens[page_id]) if self._size_aware else 1
        return self._uses[page_id] / (size * (1 + self._references - self._came_at[page_id]))

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        among = DrawingSet(each for each in self._pages if each not in held) if held else self._pages
        small = len(among) <= self._sample
        sample = among if small else [among.draw(self._numbers) for _ in range(self._sample)]
        page_id = min(sample, key=self._priority)  # the first of equals
        self._pages.remove(page_id)
        return page_id, 0

    def _put_back(self, page_id: str, home: int) -> None:
        self._pages.add(page_id)

    def _drop(self, page_id: str, evicted: bool) -> None:
        del self._uses[page_id], self._came_at[page_id]

    def _remove(self, page_id: str, tokens: int) -> None:
        self._pages.remove(page_id)
        self._drop(page_id, evicted=False)

    def _reason(self, page_id: str) -> str:
        stay = self._references - self._came_at[page_id]
        priority = self._priority(page_id)
        below = sum(1 for each in self._pages if self._priority(each) < priority)
        return f"{self._uses[page_id]} uses in {stay} references: {below} of {len(self._pages)} pages rank below it"

    def _dump(self) -> dict[str, Any]:
        return {
            "order": list(self._pages),
            "uses": [[page_id, uses] for page_id, uses in self._uses.items()],
            "came_at": [[page_id, at] for page_id, at in self._came_at.items()],
            "references": self._references,
            "numbers": self._numbers.state,
        }

    def _load(self, saved: Saved) -> None:
        self._pages = DrawingSet(saved.queue("order"))
        self._uses = saved.resident_numbers("uses")
        self._came_at = saved.resident_numbers("came_at")
        self._references = saved.whole("references")
        self._numbers = Numbers(saved.whole("numbers"))
