"""Review: after so many new passages, an agent that has been at rest for a while tidies them up."""

from __future__ import annotations

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, Rest

TEXT = (
    "You have time, and {pages} passages are new in your archival memory: look at them with archival_memory_review. "
    "For each, search archival memory for others about the same. Where several say the same, or a newer one makes an "
    "older one wrong, replace them by one passage that is right now and can be understood by itself: "
    "archival_memory_merge. Of two that contradict each other the newer one holds, unless it says otherwise. Leave "
    "alone what stands well by itself. Nobody waits for you: speak to nobody, and stop when you are done."
)


class Review:
    """Reviews when ``pages`` passages are new and nothing has happened for ``idle_s`` seconds.

    Sleep-time compute (Lin et al. 2025, arXiv:2504.13171) moves such work to when nobody waits; the rules for merging
    are those of Mem0 (Chhikara et al. 2025, arXiv:2504.19413, §2.1: add, update, delete, or leave alone).
    """

    name = "review"
    capabilities: frozenset[Capability] = frozenset({Capability.NEEDS_MODEL})

    def __init__(self, *, pages: int = 32, idle_s: float = 60.0) -> None:
        self._pages = parameters.whole("review.pages", pages, at_least=1, at_most=1_000_000)
        self._idle_ms = round(parameters.number("review.idle_s", idle_s, at_least=0, at_most=30 * 86_400.0) * 1000)

    def wait_ms(self, rest: Rest) -> int | None:
        return self._idle_ms if rest.pages >= self._pages else None

    def instructions(self, rest: Rest) -> str:
        return TEXT.format(pages=rest.pages)
