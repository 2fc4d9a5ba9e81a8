"""The stores of this process: journal and archive of one shard, each worked by a thread of its own.

The archive's thread takes its work in order, so a search sees every page that was handed over before it.
Without threads (in virtual time) the loop does the work itself, and the order of everything follows from the program.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Self, TypeVar

from pagefault.runtime.errors import ConfigError, ModelError, Overloaded, StoreUnavailable, UnknownName
from pagefault.runtime.host.services import Owner
from pagefault.runtime.store.embed import make_embedder
from pagefault.runtime.store.gateway import AgentMemory
from pagefault.runtime.store.open import EDGE, SQLITE, ShardStores, open_stores
from pagefault.runtime.store.protocols import WORK, Activation, Append, Past
from pagefault.runtime.values import AgentId, ArchiveQuery, DeadLetter, LetterId, Page, PageId, SearchResult

T = TypeVar("T")


class ThreadStores:
    """Implements :class:`~pagefault.runtime.host.services.Stores` over one opened shard."""

    def __init__(self, stores: ShardStores, *, threads: bool = True) -> None:
        self._stores = stores
        self._journal_thread: ThreadPoolExecutor | None = None
        self._archive_thread: ThreadPoolExecutor | None = None
        if threads:
            self._journal_thread = ThreadPoolExecutor(1, thread_name_prefix="pagefault-journal")
            self._archive_thread = ThreadPoolExecutor(1, thread_name_prefix="pagefault-archive")

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        shard: int = 0,
        durability: str = "sync",
        embedder: str = "wordllama",
        journal: str = SQLITE,
        archive: str = EDGE,
        threads: bool = True,
    ) -> Self:
        """Open a shard's stores, made if absent, see :func:`~pagefault.runtime.store.open.open_stores`.  Blocks.

        Raises :class:`~pagefault.runtime.errors.StoreUnavailable`,
        :class:`~pagefault.runtime.errors.EmbeddingMismatch`, :class:`~pagefault.runtime.errors.UnknownName`.
        """
        stores = open_stores(folder, shard, make_embedder(embedder), durability, journal=journal, archive=archive)
        return cls(stores, threads=threads)

    async def _in_journal(self, work: Callable[[], T]) -> T:
        if self._journal_thread is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._journal_thread, work)

    async def _in_archive(self, work: Callable[[], T]) -> T:
        try:
            if self._archive_thread is None:
                return work()
            return await asyncio.get_running_loop().run_in_executor(self._archive_thread, work)
        except (ModelError, ConfigError, Overloaded, UnknownName) as error:  # the embedder's server, a wrong query
            raise StoreUnavailable(f"the archive cannot do this: {error}") from error

    # --- journal

    async def register(self, agents: Sequence[tuple[AgentId, bytes]]) -> int:
        return await self._in_journal(partial(self._stores.journal.register_many, agents))

    async def activate(self, agent: AgentId) -> Activation:
        return await self._in_journal(partial(self._stores.journal.activate, agent))

    async def append(self, group: Sequence[Append]) -> list[Exception | None]:
        return await self._in_journal(partial(self._stores.journal.append, group))

    async def records(self, agent: AgentId, after_seq: int = 0) -> list[tuple[int, bytes]]:
        return await self._in_journal(lambda: list(self._stores.journal.records(agent, after_seq)))

    async def some_records(self, agent: AgentId, after_seq: int, limit: int) -> list[tuple[int, bytes]]:
        return await self._in_journal(lambda: list(islice(self._stores.journal.records(agent, after_seq), limit)))

    async def past(self, agent: AgentId) -> Past:
        return await self._in_journal(partial(self._stores.journal.past, agent))

    async def checkpoint(self, agent: AgentId, seq: int) -> bytes:
        return await self._in_journal(partial(self._stores.journal.checkpoint, agent, seq))

    async def plant(
        self,
        agent: AgentId,
        definition: bytes,
        snapshot: bytes,
        records: Sequence[bytes] = (),
        wake_ms: int | None = None,
    ) -> None:
        await self._in_journal(partial(self._stores.journal.plant, agent, definition, snapshot, records, wake_ms))

    async def agents(self, prefix: str = "") -> list[AgentId]:
        return await self._in_journal(lambda: list(self._stores.journal.agents(prefix)))

    async def due(self, until_ms: int, from_ms: int = WORK) -> list[tuple[AgentId, int]]:
        return await self._in_journal(lambda: list(self._stores.journal.due(until_ms, from_ms)))

    async def set_placements(self, group: Sequence[tuple[AgentId, bytes | None]]) -> None:
        await self._in_journal(partial(self._stores.journal.set_placements, group))

    async def placements(self) -> list[tuple[AgentId, bytes]]:
        return await self._in_journal(lambda: list(self._stores.journal.placements()))

    # --- mail, in the journal's file

    async def add_letters(self, letters: Sequence[DeadLetter]) -> int:
        return await self._in_journal(partial(self._stores.journal.mail.add_letters, letters))

    async def letters(self, limit: int, to: AgentId | None = None) -> list[DeadLetter]:
        return await self._in_journal(partial(self._stores.journal.mail.letters, limit, to))

    async def letters_by_id(self, ids: Sequence[LetterId]) -> list[DeadLetter]:
        return await self._in_journal(partial(self._stores.journal.mail.letters_by_id, ids))

    async def remove_letters(self, ids: Sequence[LetterId]) -> int:
        return await self._in_journal(partial(self._stores.journal.mail.remove_letters, ids))

    async def subscribe(self, agent: AgentId, topic: str) -> bool:
        return await self._in_journal(partial(self._stores.journal.mail.subscribe, agent, topic))

    async def unsubscribe(self, agent: AgentId, topic: str) -> bool:
        return await self._in_journal(partial(self._stores.journal.mail.unsubscribe, agent, topic))

    async def subscribers(self, topic: str) -> list[AgentId]:
        return await self._in_journal(partial(self._stores.journal.mail.subscribers, topic))

    async def topics(self, agent: AgentId | None = None) -> list[tuple[str, int]]:
        return await self._in_journal(partial(self._stores.journal.mail.topics, agent))

    # --- archive

    def _memory(self, owner: Owner) -> AgentMemory:
        return self._stores.gateway.memory(owner.tenant, owner.agent, owner.spaces)

    async def write_pages(self, pages: Sequence[tuple[Owner, Page, int]]) -> None:
        """See :class:`Stores`: the gateway takes the pages, and writes them in batches of its own."""
        await self._in_archive(partial(self._write, pages))

    def _write(self, pages: Sequence[tuple[Owner, Page, int]]) -> None:
        for (owner, seq), group in groupby(pages, key=lambda each: (each[0], each[2])):
            self._memory(owner).store([page for _, page, _ in group], seq)

    async def forget(self, owner: Owner, page_ids: Sequence[PageId]) -> None:
        await self._in_archive(lambda: self._memory(owner).forget(page_ids))

    async def flush(self) -> None:
        await self._in_archive(self._stores.gateway.flush)

    async def search(self, owner: Owner, query: ArchiveQuery) -> SearchResult:
        return await self._in_archive(lambda: self._memory(owner).search(query))

    async def load(self, owner: Owner, page_ids: Sequence[PageId]) -> list[Page]:
        return await self._in_archive(lambda: self._memory(owner).get(page_ids))

    def statistics(self) -> dict[str, Any]:
        """How much waits and how much there is."""
        return {"agents": self._stores.journal.count(), "pages_waiting": self._stores.gateway.pending_pages}

    async def close(self) -> None:
        """Write what waits, and close both stores.  Safe to call twice."""
        if self._archive_thread is None or self._journal_thread is None:
            self._stores.close()
        else:
            await asyncio.to_thread(self._close, self._archive_thread, self._journal_thread)

    def _close(self, *threads: ThreadPoolExecutor) -> None:
        for thread in threads:
            thread.shutdown(wait=True)
        self._stores.close()
