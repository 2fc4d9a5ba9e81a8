"""Neighbours: what was said just before and after a page comes in with it."""

from __future__ import annotations

from collections.abc import Sequence

from pagefault.policies import parameters
from pagefault.policies.contract import Capability


class Neighbours:
    """Fetches up to ``before`` earlier and ``after`` later pages, the nearest first, earlier before later.

    An answer is often the turn after the one that was found, and the question the turn before.  Sizes are
    not known before pages are read, so as many are asked for as would fit at ``tokens_expected`` each.
    """

    name = "neighbours"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, *, before: int = 1, after: int = 1, tokens_expected: int = 64) -> None:
        self._before = parameters.whole("neighbours.before", before, at_least=0, at_most=64)
        self._after = parameters.whole("neighbours.after", after, at_least=0, at_most=64)
        self._tokens_expected = parameters.whole(
            "neighbours.tokens_expected", tokens_expected, at_least=1, at_most=1_000_000
        )

    def companions(self, page_id: str, ordinal: int, room_tokens: int) -> Sequence[int]:
        nearest_first: list[int] = []
        for distance in range(1, max(self._before, self._after) + 1):
            if distance <= self._before and distance <= ordinal:
                nearest_first.append(ordinal - distance)
            if distance <= self._after:
                nearest_first.append(ordinal + distance)
        return nearest_first[: max(0, room_tokens // self._tokens_expected)]
