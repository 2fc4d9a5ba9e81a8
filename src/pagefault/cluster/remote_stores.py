"""The stores of a fleet as its hosts see them: store actors, one a shard."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, TypeVar

from pagefault.cluster import _ray
from pagefault.cluster.settings import FleetSettings
from pagefault.cluster.wire import pack, unpack, unpack_error
from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.host.services import Owner
from pagefault.runtime.store.open import EDGE
from pagefault.runtime.store.points import PRIVATE_SPACES
from pagefault.runtime.store.protocols import WORK, Activation, Append, Past
from pagefault.runtime.values import AgentId, ArchiveQuery, DeadLetter, LetterId, Page, PageId, SearchResult

T = TypeVar("T")


class RemoteStores:
    """Implements :class:`~pagefault.runtime.host.services.Stores` over Ray."""

    def __init__(self, settings: FleetSettings) -> None:
        self._settings = settings
        self._handles: dict[int, _ray.Handle] = {}

    def _store(self, shard: int) -> _ray.Handle:
        handle = self._handles.get(shard)
        if handle is None:
            found = _ray.find_actor(self._settings.store_name(shard), self._settings.namespace)
            if found is None:
                raise StoreUnavailable(f"the store of shard {shard} is not running")
            handle = self._handles[shard] = found
        return handle

    async def _call(self, shard: int, method: str, *arguments: object) -> object:
        try:
            return await _ray.call(self._store(shard), method, *arguments)
        except _ray.ActorLost as error:
            self._handles.pop(shard, None)
            raise StoreUnavailable(f"the store of shard {shard} is gone: {type(error).__name__}") from error

    def _of(self, agent: AgentId) -> int:
        return self._settings.shard_of(agent)

    async def register(self, agents: Sequence[tuple[AgentId, bytes]]) -> int:
        """See :class:`Stores`; all or none within a shard."""
        groups: dict[int, list[list[object]]] = defaultdict(list)
        for agent, definition in agents:
            groups[self._of(agent)].append([agent, definition])
        made = await _gather([self._call(shard, "register", pack(group)) for shard, group in groups.items()])
        return sum(int(str(count)) for count in made)

    async def activate(self, agent: AgentId) -> Activation:
        data = await self._call(self._of(agent), "activate", agent)
        activation = unpack(_bytes(data))
        if not isinstance(activation, Activation):
            raise StoreUnavailable(f"the store answered an activation with {type(activation).__name__}")
        return activation

    async def append(self, group: Sequence[Append]) -> list[Exception | None]:
        """See :class:`Stores`.  A shard that is down fails its own agents only."""
        places: dict[int, list[int]] = defaultdict(list)
        for index, append in enumerate(group):
            places[self._of(append.agent)].append(index)
        results: list[Exception | None] = [None] * len(group)

        async def one(shard: int, indices: list[int]) -> None:
            try:
                answers = await self._call(shard, "append", pack([group[index] for index in indices]))
            except StoreUnavailable as error:
                for index in indices:
                    results[index] = error
                return
            if not isinstance(answers, list) or len(answers) != len(indices):
                raise StoreUnavailable(f"shard {shard} answered {answers!r:.80} to an append")
            for index, answer in zip(indices, answers, strict=True):
                results[index] = None if answer is None else unpack_error(answer)

        await _gather([one(shard, indices) for shard, indices in places.items()])
        return results

    async def records(self, agent: AgentId, after_seq: int = 0) -> list[tuple[int, bytes]]:
        answer = await self._call(self._of(agent), "records", agent, after_seq)
        return [(int(seq), bytes(data)) for seq, data in _list(answer)]

    async def some_records(self, agent: AgentId, after_seq: int, limit: int) -> list[tuple[int, bytes]]:
        answer = await self._call(self._of(agent), "some_records", agent, after_seq, limit)
        return [(int(seq), bytes(data)) for seq, data in _list(answer)]

    async def past(self, agent: AgentId) -> Past:
        past = unpack(_bytes(await self._call(self._of(agent), "past", agent)))
        if not isinstance(past, Past):
            raise StoreUnavailable(f"the store answered with {type(past).__name__}, not an agent's past")
        return past

    async def checkpoint(self, agent: AgentId, seq: int) -> bytes:
        return _bytes(await self._call(self._of(agent), "checkpoint", agent, seq))

    async def plant(
        self,
        agent: AgentId,
        definition: bytes,
        snapshot: bytes,
        records: Sequence[bytes] = (),
        wake_ms: int | None = None,
    ) -> None:
        await self._call(self._of(agent), "plant", agent, pack([definition, snapshot, list(records), wake_ms]))

    async def agents(self, prefix: str = "") -> list[AgentId]:
        answers = await _gather([self._call(shard, "agents", prefix) for shard in range(self._settings.shards)])
        return sorted(AgentId(str(agent)) for answer in answers for agent in _list(answer))

    async def due(self, until_ms: int, from_ms: int = WORK) -> list[tuple[AgentId, int]]:
        shards = range(self._settings.shards)
        answers = await _gather([self._call(shard, "due", until_ms, from_ms) for shard in shards])
        return [(AgentId(str(agent)), int(wake_ms)) for answer in answers for agent, wake_ms in _list(answer)]

    async def set_placements(self, group: Sequence[tuple[AgentId, bytes | None]]) -> None:
        """See :class:`Stores`; all or none within a shard."""
        groups: dict[int, list[tuple[str, bytes | None]]] = defaultdict(list)
        for agent, data in group:
            groups[self._of(agent)].append((agent, data))
        await _gather([self._call(shard, "set_placements", part) for shard, part in groups.items()])

    async def placements(self) -> list[tuple[AgentId, bytes]]:
        answers = await _gather([self._call(shard, "placements") for shard in range(self._settings.shards)])
        return [(AgentId(str(agent)), bytes(data)) for answer in answers for agent, data in _list(answer)]

    async def _all(self, method: str, *arguments: object) -> list[object]:
        return await _gather([self._call(shard, method, *arguments) for shard in range(self._settings.shards)])

    async def add_letters(self, letters: Sequence[DeadLetter]) -> int:
        groups: dict[int, list[DeadLetter]] = defaultdict(list)
        for letter in letters:
            groups[self._of(letter.to)].append(letter)
        gone = await _gather([self._call(shard, "add_letters", pack(group)) for shard, group in groups.items()])
        return sum(int(str(count)) for count in gone)

    async def letters(self, limit: int, to: AgentId | None = None) -> list[DeadLetter]:
        answers = (
            await self._all("letters", limit, None)
            if to is None
            else [await self._call(self._of(to), "letters", limit, to)]
        )
        found = [letter for answer in answers for letter in _letters(answer)]
        return sorted(found, key=lambda letter: -letter.at_ms)[:limit]  # stable: as each shard gave them

    async def letters_by_id(self, ids: Sequence[LetterId]) -> list[DeadLetter]:
        answers = await self._all("letters_by_id", list(ids))
        return sorted((letter for answer in answers for letter in _letters(answer)), key=lambda each: each.at_ms)

    async def remove_letters(self, ids: Sequence[LetterId]) -> int:
        return sum(int(str(count)) for count in await self._all("remove_letters", list(ids)))

    async def subscribe(self, agent: AgentId, topic: str) -> bool:
        return bool(await self._call(self._of(agent), "subscribe", agent, topic))

    async def unsubscribe(self, agent: AgentId, topic: str) -> bool:
        return bool(await self._call(self._of(agent), "unsubscribe", agent, topic))

    async def subscribers(self, topic: str) -> list[AgentId]:
        answers = await self._all("subscribers", topic)
        return sorted(AgentId(str(agent)) for answer in answers for agent in _list(answer))

    async def topics(self, agent: AgentId | None = None) -> list[tuple[str, int]]:
        counts: dict[str, int] = defaultdict(int)
        for answer in await self._all("topics", None):
            for topic, count in _list(answer):
                counts[str(topic)] += int(count)
        if agent is None:
            return sorted(counts.items())
        own = _list(await self._call(self._of(agent), "topics", agent))
        return [(str(topic), counts[str(topic)]) for topic, _ in own]

    async def write_pages(self, pages: Sequence[tuple[Owner, Page, int]]) -> None:
        groups: dict[int, list[list[object]]] = defaultdict(list)
        for owner, page, seq in pages:
            shared = owner.spaces if page.space not in PRIVATE_SPACES else ()
            for shard in self._archives_of(owner.agent, shared):
                groups[shard].append([owner, page, seq])
        await _gather([self._call(shard, "write_pages", pack(group)) for shard, group in groups.items()])

    async def forget(self, owner: Owner, page_ids: Sequence[PageId]) -> None:
        shards = self._archives_of(owner.agent, owner.spaces)
        await _gather([self._call(shard, "forget", pack(owner), list(page_ids)) for shard in shards])

    def _archives_of(self, agent: AgentId, shared: Sequence[str]) -> Iterable[int]:
        """Where pages go that may be in shared spaces: whoever searches asks the archive of their own shard, so each
        that is embedded has all that is shared."""
        has_copies = bool(shared) and self._settings.archive == EDGE
        return range(self._settings.shards) if has_copies else (self._of(agent),)

    async def flush(self) -> None:
        await _gather([self._call(shard, "flush") for shard in range(self._settings.shards)])

    async def search(self, owner: Owner, query: ArchiveQuery) -> SearchResult:
        data = await self._call(self._of(owner.agent), "search", pack([owner, query]))
        result = unpack(_bytes(data))
        if not isinstance(result, SearchResult):
            raise StoreUnavailable(f"the store answered a search with {type(result).__name__}")
        return result

    async def load(self, owner: Owner, page_ids: Sequence[PageId]) -> list[Page]:
        data = await self._call(self._of(owner.agent), "load", pack(owner), list(page_ids))
        return [page for page in _list(unpack(_bytes(data))) if isinstance(page, Page)]

    async def close(self) -> None:
        """The actors belong to the fleet, not to this client."""
        self._handles.clear()


async def _gather(calls: Sequence[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*calls))


def _bytes(answer: object) -> bytes:
    if not isinstance(answer, bytes):
        raise StoreUnavailable(f"the store answered with {type(answer).__name__}, not bytes")
    return answer


def _letters(answer: object) -> list[DeadLetter]:
    return [letter for letter in _list(unpack(_bytes(answer))) if isinstance(letter, DeadLetter)]


def _list(answer: object) -> list[Any]:
    if not isinstance(answer, list):
        raise StoreUnavailable(f"the store answered with {type(answer).__name__}, not a list")
    return answer
