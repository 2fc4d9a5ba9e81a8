"""Handle: an evicted page leaves one line with its id, so that the model can ask for it by name."""

from __future__ import annotations

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, Leave, PageFacts


class Handle:
    """Leaves a handle of every page that is longer than a handle would be.

    Pages below ``tokens_min`` leave nothing (their handle would free no room), nor do notices, nor what is
    no longer there in full: a handle that is evicted does not leave another one.
    """

    name = "handle"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, *, tokens_min: int = 32) -> None:
        self._tokens_min = parameters.whole("handle.tokens_min", tokens_min, at_least=0, at_most=1_000_000)

    def choose(self, page: PageFacts, turn: int) -> Leave:
        if page.fidelity != "full" or page.kind == "notice" or page.tokens < self._tokens_min:
            return Leave.NOTHING
        return Leave.HANDLE
