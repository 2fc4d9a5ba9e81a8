"""Summarize: the gist of what leaves goes into the recursive summary (MemGPT, Packer et al. 2023, section 2.2)."""

from __future__ import annotations

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, Leave, PageFacts


class Summarize:
    """Leaves a summary of every page but notices, which are about the context itself and not about the world.

    With ``handle_results`` the results of functions leave handles instead: a digest of a table is worth less
    than the way back to it.
    """

    name = "summarize"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, *, handle_results: bool = False) -> None:
        self._handle_results = parameters.flag("summarize.handle_results", handle_results)

    def choose(self, page: PageFacts, turn: int) -> Leave:
        if page.kind == "notice":
            return Leave.NOTHING
        if self._handle_results and page.kind == "result" and page.fidelity == "full":
            return Leave.HANDLE
        return Leave.SUMMARY
