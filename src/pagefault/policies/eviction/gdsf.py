"""Greedy-Dual-Size-Frequency: what is small, used often and dear to bring back stays.

Every page has a value ``H = L + uses * cost / tokens``, set when it comes in, before room is made for it, and
at each use; the lowest leaves, and ``L`` rises to its value, so that pages which are not used fall behind
(Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy", HP Labs
1998).  Among equals the one that was used the longest ago leaves first.

The cost of bringing a page back is ``cost_per_page + cost_per_token * tokens``: with the first alone
(the paper's GDSF(1)) the policy minimises faults, with the second tokens.

Left out: nothing.  As in the paper a new page may be worth the least and leave at once; it stays where the
caller protects it, as the runtime does.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PolicyError
from pagefault.policies.eviction.replacement import Replacement
from pagefault.policies.eviction.saved import Saved


class Gdsf(Replacement):
    """Costs are at least 0 and not both 0.  O(log n) a step."""

    name = "gdsf"
    capabilities = frozenset({Capability.SIZE_AWARE})

    def __init__(self, *, cost_per_page: float = 1.0, cost_per_token: float = 0.0) -> None:
        super().__init__()
        self._page_cost = parameters.number("gdsf.cost_per_page", cost_per_page, at_least=0.0)
        self._token_cost = parameters.number("gdsf.cost_per_token", cost_per_token, at_least=0.0)
        if not self._page_cost and not self._token_cost:
            raise PolicyError("gdsf.cost_per_page", cost_per_page, "more than 0 for at least one of the costs")
        self._uses: dict[str, int] = {}
        self._values: dict[str, float] = {}
        self._used_at: dict[str, int] = {}  # by count of references
        self._level = 0.0
        self._references = 0
        self._heap: list[tuple[float, int, str]] = []  # with values that no longer hold

    def _arrive(self, page_id: str, tokens: int) -> None:
        self._uses[page_id] = 1
        self._value(page_id)

    def _admit(self, page_id: str, tokens: int) -> None:
        self._push(page_id)

    def _hit(self, page_id: str) -> None:
        self._uses[page_id] += 1
        self._value(page_id)
        self._push(page_id)

    def _value(self, page_id: str) -> None:
        tokens = max(1, self._tokens[page_id])
        cost = self._page_cost + self._token_cost * tokens
        self._references += 1
        self._values[page_id] = self._level + self._uses[page_id] * cost / tokens
        self._used_at[page_id] = self._references

    def _push(self, page_id: str) -> None:
        heapq.heappush(self._heap, (self._values[page_id], self._used_at[page_id], page_id))
        if len(self._heap) > 64 + 4 * len(self._values):
            self._rebuild()

    def _turn_away(self, page_id: str) -> None:
        self._drop(page_id, evicted=False)

    def _take(self, held: Collection[str]) -> tuple[str, int]:
        passed: list[tuple[float, int, str]] = []
        while True:
            entry = heapq.heappop(self._heap)
            value, used_at, page_id = entry
            if self._used_at.get(page_id) != used_at:
                continue
            if page_id not in held:
                break
            passed.append(entry)
        for entry in passed:
            heapq.heappush(self._heap, entry)
        self._level = value
        return page_id, 0

    def _put_back(self, page_id: str, home: int) -> None:
        self._push(page_id)

    def _drop(self, page_id: str, evicted: bool) -> None:
        del self._uses[page_id], self._values[page_id], self._used_at[page_id]

    def _remove(self, page_id: str, tokens: int) -> None:
        self._drop(page_id, evicted=False)

    def _rebuild(self) -> None:
        """The heap without the entries that no longer hold."""
        self._heap = [
            (value, self._used_at[page_id], page_id)
            for page_id, value in self._values.items()
            if page_id not in self._leaving and page_id != self._arriving
        ]
        heapq.heapify(self._heap)

    def _reason(self, page_id: str) -> str:
        value = self._values[page_id]
        below = sum(1 for each in self._values.values() if each < value)
        return (
            f"value {value - self._level:.4g} above the last evicted ({self._uses[page_id]} uses, "
            f"{self._tokens[page_id]} tokens): {below} of {len(self._values)} pages are worth less"
        )

    def _dump(self) -> dict[str, Any]:
        return {
            "order": [page_id for _, _, page_id in sorted(self._live())],
            "uses": [[page_id, uses] for page_id, uses in self._uses.items()],
            "values": [[page_id, value] for page_id, value in self._values.items()],
            "used_at": [[page_id, at] for page_id, at in self._used_at.items()],
            "level": self._level,
            "references": self._references,
        }

    def _live(self) -> list[tuple[float, int, str]]:
        self._rebuild()
        return self._heap

    def _load(self, saved: Saved) -> None:
        saved.queue("order")
        self._uses = saved.resident_numbers("uses")
        self._values = saved.fractions("values")
        self._used_at = saved.resident_numbers("used_at")
        saved.known("values", self._values)
        self._level = saved.number("level")
        self._references = saved.whole("references")
        self._rebuild()
