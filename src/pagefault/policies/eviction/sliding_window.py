"""A sliding window by percentage: a share of the oldest messages leaves at once, a larger one if that is too little.

As in Letta's ``sliding_window`` compaction (server V1, 2026): 40 % of the messages are taken from the old end (30 %
and a first step of 10 %), then 10 % more at a time until enough room is made, and the cut is moved forward to the
next message of the assistant, so that the window does not begin in the middle of an exchange.  Evicting
much at once keeps the provider's prefix cache warm for longer.

The mark at which it begins (90 % of the window) and how much room is enough (down to 70 %) are settings of the
context; what leaves is summarised by the write-back.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from pagefault.policies import parameters
from pagefault.policies.eviction.history import History
from pagefault.policies.eviction.selection import rank


class SlidingWindow(History):
    """``share`` and ``step`` are fractions of the pages, above 0; the cut is before a page of ``cut_kind``."""

    name = "sliding_window"

    def __init__(self, *, share: float = 0.4, step: float = 0.1, cut_kind: str = "reply") -> None:
        super().__init__()
        self._share = parameters.number("sliding_window.share", share, at_least=0.01, at_most=1.0)
        self._step = parameters.number("sliding_window.step", step, at_least=0.01, at_most=1.0)
        self._cut_kind = cut_kind

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        if tokens_needed <= 0:
            return []
        free = self._free(protected)
        least, freed = 0, 0  # the fewest pages that suffice
        while least < len(free) and freed < tokens_needed:
            freed += self._tokens[free[least]]
            least += 1
        steps = max(0, math.ceil(round((least / max(1, len(free)) - self._share) / self._step, 9)))
        cut = min(len(free), max(least, math.floor(round((self._share + steps * self._step) * len(free), 9))))
        at_reply = (at for at in range(cut, len(free)) if self._kinds[free[at]] == self._cut_kind)
        return free[: next(at_reply, cut)]

    def explain(self, page_id: str, turn: int) -> str:
        place = rank(page_id, self._tokens)
        return f"number {place} of {len(self._tokens)} from the old end, of which {self._share:.0%} leave at once"
