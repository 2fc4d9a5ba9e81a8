"""Archive: an evicted page leaves nothing in the context and waits in recall to be found."""

from __future__ import annotations

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, Leave, PageFacts


class Archive:
    """Leaves nothing; with ``handle_results`` the results of functions leave handles.

    A result is seldom found again by searching for its meaning, and its call is known to the model only as
    long as it is in the context: a handle keeps it within reach.
    """

    name = "archive"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, *, handle_results: bool = False) -> None:
        self._handle_results = parameters.flag("archive.handle_results", handle_results)

    def choose(self, page: PageFacts, turn: int) -> Leave:
        if self._handle_results and page.kind == "result" and page.fidelity == "full":
            return Leave.HANDLE
        return Leave.NOTHING
