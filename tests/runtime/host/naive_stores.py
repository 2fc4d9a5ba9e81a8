"""Stores with the real journal and the plainest archive that could be right: a dictionary and a loop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pagefault.runtime.host.services import Owner
from pagefault.runtime.store.protocols import WORK, Activation, Append, Past
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId, ArchiveQuery, DeadLetter, Hit, LetterId, Page, PageId, SearchResult

_WORD = re.compile(r"\w+")


class NaiveStores:
    """Implements the host's ``Stores``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = SqliteJournal(folder / "journal.sqlite")
        self.pages: dict[tuple[str, PageId], Page] = {}
        self.failure: Exception | None = None
        self.groups: list[int] = []

    async def register(self, agents: Sequence[tuple[AgentId, bytes]]) -> int:
        return self.journal.register_many(agents)

    async def activate(self, agent: AgentId) -> Activation:
        return self.journal.activate(agent)

    async def append(self, group: Sequence[Append]) -> list[Exception | None]:
        if self.failure is not None:
            raise self.failure
        self.groups.append(len(group))
        return self.journal.append(group)

    async def some_records(self, agent: AgentId, after_seq: int, limit: int) -> list[tuple[int, bytes]]:
        return (await self.records(agent, after_seq))[:limit]

    async def past(self, agent: AgentId) -> Past:
        return self.journal.past(agent)

    async def checkpoint(self, agent: AgentId, seq: int) -> bytes:
        return self.journal.checkpoint(agent, seq)

    async def plant(
        self,
        agent: AgentId,
        definition: bytes,
        snapshot: bytes,
        records: Sequence[bytes] = (),
        wake_ms: int | None = None,
    ) -> None:
        self.journal.plant(agent, definition, snapshot, records, wake_ms)

    async def records(self, agent: AgentId, after_seq: int = 0) -> list[tuple[int, bytes]]:
        return list(self.journal.records(agent, after_seq))

    async def agents(self, prefix: str = "") -> list[AgentId]:
        return list(self.journal.agents(prefix))

    async def due(self, until_ms: int, from_ms: int = WORK) -> list[tuple[AgentId, int]]:
        return list(self.journal.due(until_ms, from_ms))

    async def add_letters(self, letters: Sequence[DeadLetter]) -> int:
        return self.journal.mail.add_letters(letters)

    async def letters(self, limit: int, to: AgentId | None = None) -> list[DeadLetter]:
        return self.journal.mail.letters(limit, to)

    async def letters_by_id(self, ids: Sequence[LetterId]) -> list[DeadLetter]:
        return self.journal.mail.letters_by_id(ids)

    async def remove_letters(self, ids: Sequence[LetterId]) -> int:
        return self.journal.mail.remove_letters(ids)

    async def subscribe(self, agent: AgentId, topic: str) -> bool:
        return self.journal.mail.subscribe(agent, topic)

    async def unsubscribe(self, agent: AgentId, topic: str) -> bool:
        return self.journal.mail.unsubscribe(agent, topic)

    async def subscribers(self, topic: str) -> list[AgentId]:
        return self.journal.mail.subscribers(topic)

    async def topics(self, agent: AgentId | None = None) -> list[tuple[str, int]]:
        return self.journal.mail.topics(agent)

    async def set_placements(self, group: Sequence[tuple[AgentId, bytes | None]]) -> None:
        self.journal.set_placements(group)

    async def placements(self) -> list[tuple[AgentId, bytes]]:
        return list(self.journal.placements())

    async def write_pages(self, pages: Sequence[tuple[Owner, Page, int]]) -> None:
        for owner, page, _ in pages:
            self.pages[owner.agent, page.id] = page

    async def forget(self, owner: Owner, page_ids: Sequence[PageId]) -> None:
        for page_id in page_ids:
            self.pages.pop((owner.agent, page_id), None)

    async def flush(self) -> None:
        """Nothing waits."""

    async def search(self, owner: Owner, query: ArchiveQuery) -> SearchResult:
        wanted = set(_WORD.findall(query.text.lower()))
        found = []
        for (agent, _), page in self.pages.items():
            if agent != owner.agent or page.space not in query.spaces:
                continue
            if query.kinds and page.kind not in query.kinds:
                continue
            shared = len(wanted & set(_WORD.findall(page.text.lower())))
            if shared or not wanted:
                found.append(Hit(page, float(shared)))
        found.sort(key=lambda hit: (-hit.score, hit.page.ordinal))
        shown = tuple(found[query.offset : query.offset + query.limit])
        return SearchResult(shown, len(found), query.offset, query.limit)

    async def load(self, owner: Owner, page_ids: Sequence[PageId]) -> list[Page]:
        return [self.pages[owner.agent, page_id] for page_id in page_ids if (owner.agent, page_id) in self.pages]

    async def close(self) -> None:
        self.journal.close()
