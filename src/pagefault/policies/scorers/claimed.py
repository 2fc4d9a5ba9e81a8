"""Claimed: a page is as important as whoever sent it says, and nobody else is asked."""

from __future__ import annotations

from pagefault.policies.contract import Capability, PageFacts


class Claimed:
    """Leaves what is claimed as it is; policies that need a number make their own where there is none."""

    name = "claimed"
    capabilities: frozenset[Capability] = frozenset()

    def score(self, page: PageFacts) -> float | None:
        return page.importance
