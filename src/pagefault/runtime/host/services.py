"""What a host needs from outside: stores that answer asynchronously, and a way to other agents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pagefault.runtime.functions.definition import CallContext, FunctionDefinition
from pagefault.runtime.store.protocols import WORK, Activation, Append, Past
from pagefault.runtime.values import (
    AgentId,
    ArchiveQuery,
    DeadLetter,
    Interrupt,
    LetterId,
    Page,
    PageId,
    SearchResult,
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose memory is read or written: always taken from the agent's definition, never from a call."""

    tenant: str
    agent: AgentId
    spaces: tuple[str, ...] = ()


class MailStores(Protocol):
    """Dead letters and topics of a whole fleet; see :class:`~pagefault.runtime.store.protocols.Mail`."""

    async def add_letters(self, letters: Sequence[DeadLetter]) -> int:
        """Keep letters; returns how many older ones had to go for them."""

    async def letters(self, limit: int, to: AgentId | None = None) -> list[DeadLetter]:
        """The newest letters, newest first, of one agent or of all."""

    async def letters_by_id(self, ids: Sequence[LetterId]) -> list[DeadLetter]: ...
    async def remove_letters(self, ids: Sequence[LetterId]) -> int: ...
    async def subscribe(self, agent: AgentId, topic: str) -> bool:
        """``False``: the agent has as many topics as it may have.  Raises ``UnknownAgent``."""

    async def unsubscribe(self, agent: AgentId, topic: str) -> bool: ...
    async def subscribers(self, topic: str) -> list[AgentId]: ...
    async def topics(self, agent: AgentId | None = None) -> list[tuple[str, int]]:
        """Each topic with the number of those who hear it: all, or those of one agent."""


class PastStores(Protocol):
    """What is needed to look into the past of agents, and to make new ones there; see
    :class:`~pagefault.runtime.store.protocols.Journal`."""

    async def past(self, agent: AgentId) -> Past: ...
    async def checkpoint(self, agent: AgentId, seq: int) -> bytes: ...
    async def some_records(self, agent: AgentId, after_seq: int, limit: int) -> list[tuple[int, bytes]]:
        """At most ``limit`` records with a number above ``after_seq``, in order."""

    async def plant(
        self,
        agent: AgentId,
        definition: bytes,
        snapshot: bytes,
        records: Sequence[bytes] = (),
        wake_ms: int | None = None,
    ) -> None: ...
    async def write_pages(self, pages: Sequence[tuple[Owner, Page, int]]) -> None:
        """Queue pages for the archive, with the journal's number of the event that made each; what is
        queued is found by later searches."""

    async def load(self, owner: Owner, page_ids: Sequence[PageId]) -> list[Page]: ...
    async def flush(self) -> None:
        """Return when everything queued is in the archive."""


class Stores(MailStores, PastStores, Protocol):
    """Journal and archive as hosts use them; the work happens in a thread or in another process."""

    async def register(self, agents: Sequence[tuple[AgentId, bytes]]) -> int: ...
    async def activate(self, agent: AgentId) -> Activation: ...
    async def append(self, group: Sequence[Append]) -> list[Exception | None]: ...
    async def records(self, agent: AgentId, after_seq: int = 0) -> list[tuple[int, bytes]]: ...
    async def agents(self, prefix: str = "") -> list[AgentId]: ...
    async def due(self, until_ms: int, from_ms: int = WORK) -> list[tuple[AgentId, int]]:
        """Agents that must be awake at a time from ``from_ms`` up to ``until_ms``, with that time."""

    async def set_placements(self, group: Sequence[tuple[AgentId, bytes | None]]) -> None: ...
    async def placements(self) -> list[tuple[AgentId, bytes]]: ...
    async def forget(self, owner: Owner, page_ids: Sequence[PageId]) -> None: ...
    async def search(self, owner: Owner, query: ArchiveQuery) -> SearchResult: ...
    async def close(self) -> None: ...


class FunctionRunner(Protocol):
    """Runs functions to their end, wherever; see :class:`~pagefault.runtime.functions.executor.FunctionExecutor`."""

    async def run_function(
        self, definition: FunctionDefinition, arguments: str, context: CallContext | None = None
    ) -> tuple[str, str]:
        """``(status, text)``; cancelling the task stops the run as far as that can be done."""


class Router(Protocol):
    """Brings an interrupt to another agent, wherever that is."""

    def route(self, sender: AgentId, to: AgentId, interrupt: Interrupt) -> asyncio.Task[bool]:
        """Return at once; keep trying until it is accepted, refused for good, or too late.  What cannot be
        delivered is a dead letter then, and a sender that waits for a reply gets a failed one.  The task ends when
        the interrupt is settled in one way or another, with whether it was accepted; if it is cancelled, or
        raises, it is not settled."""
