"""Learned: how probable it is that a page is ever needed again, by the model that ``foresight`` ships."""

from __future__ import annotations

import math

from pagefault.policies.contract import Capability, PageFacts
from pagefault.policies.eviction.foresight_features import Reader
from pagefault.policies.eviction.foresight_model import shipped

DIGITS = 9
"""Decimals that count: C libraries may differ in the last bit of a power, replays may not."""


class Learned:
    """The chance of at least one use, ``1 - exp(-expected uses)`` (Poisson), for any policy that goes by importance.

    Every page is read by itself, as if nothing had come before it, so the scorer has nothing to keep; the
    policy :class:`~pagefault.policies.eviction.foresight.Foresight` also knows what the agent has read before.
    A claim of the sender's counts instead.
    """

    name = "learned"
    capabilities: frozenset[Capability] = frozenset({Capability.NEEDS_TEXT})

    def __init__(self) -> None:
        self._model = shipped()

    def score(self, page: PageFacts) -> float | None:
        if page.importance is not None:
            return page.importance
        rate, _ = self._model.rate(Reader().read(page))
        return round(1.0 - math.exp(-rate), DIGITS)
