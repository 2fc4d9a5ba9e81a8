"""MemoryBank: memories fade as in Ebbinghaus' curve, and recalling one strengthens it.

``paper`` (Zhong et al., "MemoryBank: Enhancing Large Language Models with Long-Term Memory", AAAI 2024,
section "Memory Updating Mechanism"): retention is ``R = exp(-t / S)``, with ``t`` in days since the last recall;
strength ``S`` is 1 at first and grows by 1 with each recall.  The lowest retention leaves first.

``as_released`` (their ``forget_memory.py``): ``R = exp(-t / 5 * S)``, so that a stronger memory fades *faster*, and a
memory is deleted when a random number exceeds ``R``.  Here pages are asked in the order in which they came in,
once a turn, each with a number that depends on ``seed``, page and turn only; if those that fail do not suffice, the
lowest retention follows.

A day is ``turns_per_day`` turns (24: an hour a turn).  Left out: the daily summaries and the portrait of the
user, which are pages of their own for whoever writes them.
"""

from __future__ import annotations

import math

from pagefault.policies import parameters
from pagefault.policies.contract import Capability
from pagefault.policies.eviction.chance import drawn
from pagefault.policies.eviction.visits import DIGITS, VARIANTS, Visited, Visits


class MemoryBank(Visits):
    """``variant`` is one of ``paper`` and ``as_released``, ``turns_per_day`` more than 0.  Among equals the page
    that was used the longest ago leaves first, then the one that came in first.
    """

    name = "memory_bank"

    def __init__(self, *, variant: str = "paper", turns_per_day: float = 24.0, seed: int = 1) -> None:
        super().__init__()
        self._released = parameters.one_of(f"{self.name}.variant", variant, VARIANTS) == "as_released"
        self._turns_per_day = parameters.number(f"{self.name}.turns_per_day", turns_per_day, at_least=1e-6)
        self._seed = parameters.whole(f"{self.name}.seed", seed, at_least=0, at_most=2**63)
        if self._released:
            self.capabilities = frozenset({Capability.RANDOMISED})

    def _exponent(self, page: Visited, turn: int) -> float:
        days = max(0, turn - page.used_turn) / self._turns_per_day
        strength = 1 + page.visits
        return round(-days / 5 * strength if self._released else -days / strength, DIGITS)

    def _order(self, turn: int) -> list[str]:
        exponents = {page_id: self._exponent(page, turn) for page_id, page in self._pages.items()}
        lowest_first = sorted(self._pages, key=lambda page_id: (exponents[page_id], self._pages[page_id].used_turn))
        if not self._released:
            return lowest_first
        forgotten = {
            page_id: None
            for page_id, exponent in exponents.items()
            if drawn(self._seed, page_id, turn) > math.exp(exponent)
        }
        return [*forgotten, *(page_id for page_id in lowest_first if page_id not in forgotten)]

    def _reason(self, page_id: str, page: Visited, turn: int) -> str:
        retention = math.exp(self._exponent(page, turn))
        return f"retention {retention:.3f} (strength {1 + page.visits}, {turn - page.used_turn} turns since its use)"


class MemoryBankAsReleased(MemoryBank):
    """:class:`MemoryBank` with ``variant="as_released"``."""

    name = "memory_bank_as_released"

    def __init__(self, *, turns_per_day: float = 24.0, seed: int = 1) -> None:
        super().__init__(variant="as_released", turns_per_day=turns_per_day, seed=seed)
