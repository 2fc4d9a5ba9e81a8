"""An archive in memory, which outlives the process that writes to it, and can be down."""

from __future__ import annotations

from collections.abc import Sequence

from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.store.points import PRIVATE_SPACES
from pagefault.runtime.store.protocols import Found, FoundPages, StoredPage
from pagefault.runtime.values import AgentId, ArchiveQuery, PageId

Key = tuple[str, AgentId, PageId]


class SimulatedArchive:
    """Implements :class:`~pagefault.runtime.store.protocols.Archive`: all searches are for substrings."""

    def __init__(self) -> None:
        self.is_down = False
        self._pages: dict[Key, StoredPage] = {}

    def has(self, tenant: str, agent: AgentId, page_id: PageId) -> bool:
        """Whether the page is there, whatever state the archive is in."""
        return (tenant, agent, page_id) in self._pages

    def upsert(self, pages: Sequence[StoredPage]) -> None:
        self._check()
        for stored in pages:
            key = (stored.tenant, stored.agent, stored.page.id)
            before = self._pages.get(key)
            if before is None or stored.seq >= before.seq:
                self._pages[key] = stored

    def search(self, tenant: str, agent: AgentId, query: ArchiveQuery) -> FoundPages:
        self._check()
        matching = [
            stored
            for stored in self._pages.values()
            if stored.tenant == tenant
            and stored.page.space in query.spaces
            and (stored.agent == agent or stored.page.space not in PRIVATE_SPACES)
            and query.text.lower() in stored.page.text.lower()
            and stored.page.id not in query.exclude
        ]
        matching.sort(key=lambda stored: (-stored.page.ordinal, stored.agent))
        shown = matching[query.offset : query.offset + query.limit]
        return FoundPages(tuple(Found(stored, 1.0) for stored in shown), len(matching))

    def get(self, tenant: str, agent: AgentId, page_ids: Sequence[PageId]) -> list[StoredPage]:
        self._check()
        found = (self._pages.get((tenant, agent, page_id)) for page_id in page_ids)
        return [stored for stored in found if stored is not None and stored.page.space in PRIVATE_SPACES]

    def delete(self, tenant: str, agent: AgentId, page_ids: Sequence[PageId]) -> None:
        self._check()
        for page_id in page_ids:
            self._pages.pop((tenant, agent, page_id), None)

    def count(self, tenant: str, agent: AgentId | None = None, spaces: Sequence[str] = ()) -> int:
        self._check()
        wanted = spaces or PRIVATE_SPACES
        return sum(
            stored.tenant == tenant and agent in (None, stored.agent) and stored.page.space in wanted
            for stored in self._pages.values()
        )

    def flush(self) -> None:
        self._check()

    def optimize(self) -> None:
        """There are no indexes."""

    def close(self) -> None:
        """It goes on in the simulation's memory."""

    def _check(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the archive is down, on purpose")
