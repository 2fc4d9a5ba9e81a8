"""Drop: an evicted page is gone; searches no longer find it.  The baseline that shows what memory is worth."""

from __future__ import annotations

from pagefault.policies.contract import Capability, Leave, PageFacts


class Drop:
    """Forgets every page.  The journal still has it, for replay and for people; the agent has not."""

    name = "drop"
    capabilities: frozenset[Capability] = frozenset()

    def choose(self, page: PageFacts, turn: int) -> Leave:
        return Leave.FORGOTTEN
