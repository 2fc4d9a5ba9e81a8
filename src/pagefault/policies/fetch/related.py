"""Related: what the archive holds about the matter in hand comes in with a page that is needed."""

from __future__ import annotations

from collections.abc import Sequence

from pagefault.policies import parameters
from pagefault.policies.contract import Capability, PageFacts

SPOKEN = ("message", "observation", "reply", "passage")
"""Kinds that say what an agent is busy with; results quote others, notices are about the context."""


class Related:
    """Has the archive searched for the text of the last ``recent`` pages shown; up to ``pages`` come in.

    An agent that needs one page of a matter soon needs the next: this is read-ahead by meaning, where
    :class:`~pagefault.policies.fetch.neighbours.Neighbours` is read-ahead by place.  ``characters`` bounds
    the text that is searched for, its newest part.
    """

    name = "related"
    capabilities: frozenset[Capability] = frozenset({Capability.NEEDS_TEXT, Capability.NEEDS_ARCHIVE})

    def __init__(self, *, pages: int = 3, recent: int = 3, characters: int = 1000) -> None:
        self.pages_max = parameters.whole("related.pages", pages, at_least=1, at_most=64)
        self._recent = parameters.whole("related.recent", recent, at_least=1, at_most=64)
        self._characters = parameters.whole("related.characters", characters, at_least=1, at_most=100_000)

    def companions(self, page_id: str, ordinal: int, room_tokens: int) -> Sequence[int]:
        return ()

    def query(self, recent: Sequence[PageFacts]) -> str:
        texts = [page.text for page in recent if page.kind in SPOKEN and page.text.strip()]
        return "\n".join(texts[-self._recent :])[-self._characters :]
