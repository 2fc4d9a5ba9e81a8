"""A store as a Ray actor: owns one shard's journal and archive, pinned to the node of its disk."""

from __future__ import annotations

import os
from typing import Any

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.logs import configure_actor_logging
from pagefault.cluster.settings import FleetSettings, short_node
from pagefault.cluster.wire import pack, pack_error, unpack
from pagefault.runtime.host.collector import tune_collector
from pagefault.runtime.host.thread_stores import ThreadStores
from pagefault.runtime.values import AgentId, LetterId, PageId

log = structlog.get_logger(__name__)


class StoreActor:
    """The methods of :class:`~pagefault.runtime.host.services.Stores`, over bytes, for one shard."""

    def __init__(self, settings: FleetSettings, shard: int) -> None:
        node, name = short_node(_ray.this_node()), settings.store_name(shard)
        whose = {"fleet": settings.name, "role": "store", "shard": name, "node": node}
        configure_actor_logging(settings.log_level, settings.log_format, whose)
        self._stores = ThreadStores.open(
            settings.path,
            shard=shard,
            durability=settings.durability,
            embedder=settings.embedder,
            journal=settings.journal,
            archive=settings.archive,
        )
        tune_collector()
        log.info("store_opened")

    @_ray.control
    async def ready(self) -> bool:
        """Return when the shard is open; what went wrong with opening it is raised by this call."""
        return True

    async def register(self, data: bytes) -> int:
        return await self._stores.register([(AgentId(agent), definition) for agent, definition in unpack(data)])

    async def activate(self, agent: str) -> bytes:
        return pack(await self._stores.activate(AgentId(agent)))

    async def append(self, data: bytes) -> list[list[str] | None]:
        results = await self._stores.append(unpack(data))
        return [None if error is None else pack_error(error) for error in results]

    async def records(self, agent: str, after_seq: int) -> list[tuple[int, bytes]]:
        return await self._stores.records(AgentId(agent), after_seq)

    async def some_records(self, agent: str, after_seq: int, limit: int) -> list[tuple[int, bytes]]:
        return await self._stores.some_records(AgentId(agent), after_seq, limit)

    async def past(self, agent: str) -> bytes:
        return pack(await self._stores.past(AgentId(agent)))

    async def checkpoint(self, agent: str, seq: int) -> bytes:
        return await self._stores.checkpoint(AgentId(agent), seq)

    async def plant(self, agent: str, data: bytes) -> None:
        definition, snapshot, records, wake_ms = unpack(data)
        await self._stores.plant(AgentId(agent), definition, snapshot, records, wake_ms)

    async def agents(self, prefix: str) -> list[str]:
        return [str(agent) for agent in await self._stores.agents(prefix)]

    async def due(self, until_ms: int, from_ms: int) -> list[tuple[str, int]]:
        return [(str(agent), wake_ms) for agent, wake_ms in await self._stores.due(until_ms, from_ms)]

    async def set_placements(self, group: list[tuple[str, bytes | None]]) -> None:
        await self._stores.set_placements([(AgentId(agent), data) for agent, data in group])

    async def placements(self) -> list[tuple[str, bytes]]:
        return [(str(agent), data) for agent, data in await self._stores.placements()]

    async def add_letters(self, data: bytes) -> int:
        return await self._stores.add_letters(unpack(data))

    async def letters(self, limit: int, to: str | None) -> bytes:
        return pack(await self._stores.letters(limit, None if to is None else AgentId(to)))

    async def letters_by_id(self, ids: list[str]) -> bytes:
        return pack(await self._stores.letters_by_id([LetterId(each) for each in ids]))

    async def remove_letters(self, ids: list[str]) -> int:
        return await self._stores.remove_letters([LetterId(each) for each in ids])

    async def subscribe(self, agent: str, topic: str) -> bool:
        return await self._stores.subscribe(AgentId(agent), topic)

    async def unsubscribe(self, agent: str, topic: str) -> bool:
        return await self._stores.unsubscribe(AgentId(agent), topic)

    async def subscribers(self, topic: str) -> list[str]:
        return [str(agent) for agent in await self._stores.subscribers(topic)]

    async def topics(self, agent: str | None) -> list[tuple[str, int]]:
        return await self._stores.topics(None if agent is None else AgentId(agent))

    async def write_pages(self, data: bytes) -> None:
        """Answers when the pages are in the archive: its host gives them up then, and would not know that they were
        lost with a queue in the memory of this process."""
        await self._stores.write_pages([(owner, page, seq) for owner, page, seq in unpack(data)])
        await self._stores.flush()

    async def forget(self, owner: bytes, page_ids: list[str]) -> None:
        await self._stores.forget(unpack(owner), [PageId(page_id) for page_id in page_ids])

    async def flush(self) -> None:
        await self._stores.flush()

    async def search(self, data: bytes) -> bytes:
        owner, query = unpack(data)
        return pack(await self._stores.search(owner, query))

    async def load(self, owner: bytes, page_ids: list[str]) -> bytes:
        return pack(await self._stores.load(unpack(owner), [PageId(page_id) for page_id in page_ids]))

    @_ray.control
    async def pid(self) -> int:
        """This process: for tools, and for tests that kill it."""
        return os.getpid()

    @_ray.control
    async def statistics(self) -> dict[str, Any]:
        return self._stores.statistics()

    @_ray.control
    async def stop(self) -> None:
        await self._stores.close()
