"""The one door to memory: who asks is decided by the agent's identity, never by an argument.

An :class:`AgentMemory` is made once for an agent, from its definition.  Its methods take no tenant and no
agent; they read and write that agent's private spaces and the shared spaces it was given, and check every
page that comes back.  Neither a model nor a function nor a policy can name another agent's memory.

The gateway also lets the archive follow: pages are accepted at once and written in batches.  An agent finds
what it has just stored all the same, because its own pages are written before it searches.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import structlog

from pagefault.runtime.errors import ConfigError, InternalError, ModelError, Overloaded, StoreError, UnknownName
from pagefault.runtime.failpoints import failpoint
from pagefault.runtime.store.points import PRIVATE_SPACES
from pagefault.runtime.store.protocols import Archive, FoundPages, StoredPage
from pagefault.runtime.values import AgentId, ArchiveQuery, Hit, Page, PageId, SearchResult

__all__ = ["AgentMemory", "MemoryGateway"]

_log = structlog.get_logger("pagefault.store")


class MemoryGateway:
    """Hands out memories over one archive, and queues their writes.

    ``batch_pages`` are written together; at most ``pending_pages_max`` wait when the archive cannot be
    written.  Threads may share it; they wait for each other.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for bounds that cannot be.
    """

    def __init__(self, archive: Archive, *, batch_pages: int = 256, pending_pages_max: int = 20_000) -> None:
        if batch_pages < 1:
            raise ConfigError("archive.batch_pages", batch_pages, "a whole number from 1")
        if pending_pages_max < batch_pages:
            raise ConfigError("archive.pending_pages_max", pending_pages_max, f"at least batch_pages ({batch_pages})")
        self._queue = _WriteBehind(archive, batch_pages, pending_pages_max)

    def memory(self, tenant: str, agent: AgentId, shared_spaces: Collection[str] = ()) -> AgentMemory:
        """The memory of one agent.  Costs nothing: make it when it is needed.

        Raises :class:`~pagefault.runtime.errors.ConfigError` for an empty tenant, agent or space.
        """
        for field, value in (("tenant", tenant), ("agent", agent), *(("spaces", space) for space in shared_spaces)):
            if not value:
                raise ConfigError(field, value, "a name that is not empty")
        return AgentMemory(self._queue, tenant, agent, frozenset(shared_spaces))

    def flush(self) -> None:
        """Write all that waits.  Raises what the archive raises; what was not written still waits."""
        self._queue.flush()

    def flush_if_possible(self) -> bool:
        """Write all that waits, or log why it goes on waiting; ``False`` then."""
        return self._queue.flush_if_possible()

    @property
    def pending_pages(self) -> int:
        """How many pages wait to be written."""
        return self._queue.pages


class AgentMemory:
    """What one agent can remember.  Made by :meth:`MemoryGateway.memory`.

    Every method raises :class:`~pagefault.runtime.errors.UnknownName` for a space that the agent was not
    given, ``StoreUnavailable`` and ``StoreCorrupt`` as the archive does, and
    :class:`~pagefault.runtime.errors.InternalError`, with nothing returned, if a page of somebody else comes
    back.
    """

    def __init__(self, queue: _WriteBehind, tenant: str, agent: AgentId, shared_spaces: frozenset[str]) -> None:
        self._queue = queue
        self._tenant = tenant
        self._agent = agent
        self._spaces = PRIVATE_SPACES | shared_spaces

    def store(self, pages: Sequence[Page], seq: int = 0) -> None:
        """Take pages, each into the space it names; ``seq`` is the journal's number of what made them.

        They can be found at once, by this agent and by others who share the space.  Raises
        :class:`~pagefault.runtime.errors.Overloaded` when the archive has been behind for too long.
        """
        self._check_spaces({page.space for page in pages})
        self._queue.add([StoredPage(self._tenant, self._agent, page, seq) for page in pages])

    def search(self, query: ArchiveQuery) -> SearchResult:
        """Search the spaces that the query names."""
        self._check_spaces(query.spaces)
        result = self._queue.search(self._tenant, self._agent, query)
        for found in result.found:
            self._check_page(found.stored, query.spaces)
        hits = tuple(Hit(found.stored.page, found.score) for found in result.found)
        return SearchResult(hits, result.total, query.offset, query.limit)

    def get(self, page_ids: Sequence[PageId]) -> list[Page]:
        """The pages that exist in the agent's private spaces, in the order asked for."""
        found = self._queue.get(self._tenant, self._agent, page_ids)
        for stored in found:
            self._check_page(stored, PRIVATE_SPACES)
        return [stored.page for stored in found]

    def forget(self, page_ids: Sequence[PageId]) -> None:
        """Take this agent's pages out, so that searches no longer find them."""
        self._queue.delete(self._tenant, self._agent, page_ids)

    def count(self, spaces: Sequence[str] = ()) -> int:
        """How many pages are in these spaces (none named: the agent's private ones)."""
        self._check_spaces(spaces)
        return self._queue.count(self._tenant, self._agent, spaces)

    def _check_spaces(self, spaces: Collection[str]) -> None:
        for space in spaces:
            if space not in self._spaces:
                given = ", ".join(sorted(self._spaces))
                raise UnknownName(f"agent {self._agent!r} was given no space {space!r}; it has: {given}")

    def _check_page(self, stored: StoredPage, spaces: Collection[str]) -> None:
        """The filter's second half: what the engine answered is ours, whatever it was asked."""
        space = stored.page.space
        own = stored.agent == self._agent or space not in PRIVATE_SPACES
        if stored.tenant != self._tenant or not own or space not in spaces or space not in self._spaces:
            raise InternalError(f"the archive answered agent {self._agent!r} with a page that is not for it")


class _WriteBehind:
    """An archive whose writes wait to be made together, and whose readers see their own, and what others have filed
    for all, just the same."""

    def __init__(self, archive: Archive, batch_pages: int, pages_max: int) -> None:
        self._archive = archive
        self._batch_pages = batch_pages
        self._pages_max = pages_max
        self._mutex = threading.RLock()
        self._waiting: dict[tuple[str, AgentId], dict[PageId, StoredPage]] = {}
        self._shared: set[tuple[str, str]] = set()  # tenants and shared spaces that may have pages waiting
        self.pages = 0

    def add(self, stored: Sequence[StoredPage]) -> None:
        with self._mutex:
            if self.pages + len(stored) > self._pages_max:
                self.flush_if_possible()
            if self.pages + len(stored) > self._pages_max:
                raise Overloaded(f"{self.pages} pages wait for the archive, {self._pages_max} may")
            for item in stored:
                pages = self._waiting.setdefault((item.tenant, item.agent), {})
                before = pages.get(item.page.id)
                if before is None or item.seq >= before.seq:
                    self.pages += before is None
                    pages[item.page.id] = item
                    if item.page.space not in PRIVATE_SPACES:
                        self._shared.add((item.tenant, item.page.space))
            if self.pages >= self._batch_pages:
                self.flush_if_possible()

    def flush(self) -> None:
        with self._mutex:
            waiting = [stored for pages in self._waiting.values() for stored in pages.values()]
            for start in range(0, len(waiting), self._batch_pages):
                self._write(waiting[start : start + self._batch_pages])
            self._shared.clear()

    def flush_if_possible(self) -> bool:
        try:
            self.flush()
        except (StoreError, ModelError) as error:
            # The pages are in the journal, and wait here: agents can go on without the archive.
            _log.warning("archive_behind", pages=self.pages, problem=str(error))
            return False
        return True

    def search(self, tenant: str, agent: AgentId, query: ArchiveQuery) -> FoundPages:
        with self._mutex:
            self._catch_up(tenant, agent, query.spaces)
            return self._archive.search(tenant, agent, query)

    def count(self, tenant: str, agent: AgentId, spaces: Sequence[str]) -> int:
        with self._mutex:
            self._catch_up(tenant, agent, spaces)
            return self._archive.count(tenant, agent, spaces)

    def get(self, tenant: str, agent: AgentId, page_ids: Sequence[PageId]) -> list[StoredPage]:
        """Pages by id, also those that wait, from private spaces."""
        with self._mutex:
            waiting = self._waiting.get((tenant, agent), {})
            missing = [page_id for page_id in page_ids if page_id not in waiting]
            written = self._archive.get(tenant, agent, missing) if missing else []
            found = {stored.page.id: stored for stored in written}
            found |= {page_id: waiting[page_id] for page_id in page_ids if page_id in waiting}
        return [
            found[page_id] for page_id in page_ids if page_id in found and found[page_id].page.space in PRIVATE_SPACES
        ]

    def delete(self, tenant: str, agent: AgentId, page_ids: Sequence[PageId]) -> None:
        with self._mutex:
            for page_id in page_ids:
                self._drop(tenant, agent, page_id)
            self._archive.delete(tenant, agent, page_ids)

    def _catch_up(self, tenant: str, agent: AgentId, spaces: Sequence[str]) -> None:
        """Write what one agent has stored, so that it finds it; and all, if somebody has filed in a space it shares."""
        if self._shared and any((tenant, space) in self._shared for space in spaces):
            self.flush()
            return
        waiting = self._waiting.get((tenant, agent))
        if waiting:
            self._write(list(waiting.values()))

    def _write(self, batch: Sequence[StoredPage]) -> None:
        failpoint("archive.write.before")
        self._archive.upsert(batch)
        failpoint("archive.write.after")
        for stored in batch:
            self._drop(stored.tenant, stored.agent, stored.page.id)

    def _drop(self, tenant: str, agent: AgentId, page_id: PageId) -> None:
        pages = self._waiting.get((tenant, agent), {})
        if pages.pop(page_id, None) is not None:
            self.pages -= 1
        if not pages:
            self._waiting.pop((tenant, agent), None)
