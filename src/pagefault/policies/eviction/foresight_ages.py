"""How the chance of a use falls with age, learned while running."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pagefault.policies.contract import PolicyError

DIGITS = 9
SCALES = (200.0, 800.0, math.inf)
"""Ages, in pages, at which the chance has halved."""
PRIOR = (0.2, 0.2, 0.6)
"""How probable each scale is before anything was used: a page waits long for its first question."""
MEMORY = 0.97
"""What an earlier use still counts after the next one, so that habits may change."""


class Ages:
    """A mixture of ways in which pages are forgotten, weighted by how well each foresaw the uses."""

    def __init__(self) -> None:
        self._evidence = [0.0] * len(SCALES)  # logarithms
        self._weights: tuple[float, ...] = PRIOR

    def used(self, age: int, pages: int) -> None:
        """A page of that age was used when there were ``pages`` pages, resident or not."""
        chances = [_chance(age, pages, scale) for scale in SCALES]
        self._evidence = [
            round(MEMORY * evidence + math.log(chance), DIGITS)
            for evidence, chance in zip(self._evidence, chances, strict=True)
        ]
        self._weigh()

    def chance(self, age: int, pages: int) -> float:
        """That the next use is of one given page of that age."""
        return sum(weight * _chance(age, pages, scale) for weight, scale in zip(self._weights, SCALES, strict=True))

    def dump(self) -> list[float]:
        """What was learned."""
        return list(self._evidence)

    def load(self, state: Sequence[float]) -> None:
        """Take over what :meth:`dump` gave."""
        if len(state) != len(SCALES):
            raise PolicyError("foresight.state.ages", list(state), f"{len(SCALES)} numbers")
        self._evidence = [float(each) for each in state]
        self._weigh()

    def _weigh(self) -> None:
        highest = max(self._evidence)
        likely = [prior * math.exp(each - highest) for prior, each in zip(PRIOR, self._evidence, strict=True)]
        total = math.fsum(likely)
        self._weights = tuple(each / total for each in likely)


def _chance(age: int, pages: int, scale: float) -> float:
    """One over age and scale, such that the chances of all pages, of ages 0 to ``pages``, add up to 1."""
    if scale == math.inf:
        return 1 / max(1, pages)
    return 1 / ((age + scale) * math.log1p(max(1, pages) / scale))
