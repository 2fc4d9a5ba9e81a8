"""What an agent has filed in its archival memory since it last looked that over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pagefault.policies.contract import Rest
from pagefault.runtime.values import Page, Space


@dataclass(slots=True)
class Filed:
    """Counts of passages, ``since_ms`` when the first of them was written (0: none), ``due_ms`` when the next review
    begins if nothing happens (0: none is planned), ``last_ms`` when the last one began, and ``review_since_ms`` from
    when on it looks at what was written."""

    pages: int = 0
    unrated: int = 0
    importance: float = 0.0
    since_ms: int = 0
    due_ms: int = 0
    last_ms: int = 0
    review_since_ms: int = 0

    def note(self, pages: Iterable[Page], now_ms: int) -> None:
        """Passages were written."""
        for page in pages:
            if page.space != Space.ARCHIVAL.value:
                continue
            self.since_ms = self.since_ms or now_ms
            self.pages += 1
            if page.importance is None:
                self.unrated += 1
            else:
                self.importance += page.importance

    def begin_review(self, now_ms: int) -> None:
        """A review looks at what was written until now; counting begins anew."""
        self.review_since_ms = self.since_ms or now_ms + 1  # nothing is new if nothing was written
        self.last_ms = now_ms
        self.pages = self.unrated = self.since_ms = self.due_ms = 0
        self.importance = 0.0

    def rest(self, now_ms: int) -> Rest:
        """What a policy is told."""
        return Rest(self.pages, self.importance, self.unrated, now_ms - self.last_ms)
