"""Heuristic: a page is as important as it is specific; see :func:`.importance.estimated_importance`."""

from __future__ import annotations

from pagefault.policies.contract import Capability, PageFacts
from pagefault.policies.eviction.importance import DIGITS, estimated_importance


class Heuristic:
    """Scores words, names, numbers and questions, without a model.  A claim of the sender's counts instead."""

    name = "heuristic"
    capabilities: frozenset[Capability] = frozenset({Capability.NEEDS_TEXT})

    def score(self, page: PageFacts) -> float | None:
        return round(estimated_importance(page), DIGITS) if page.importance is None else page.importance
