"""The two stores behind one Protocol each, and the embedder.

The *journal* is the truth; the *archive* is for finding, and can be rebuilt from journals.  All methods
block; hosts call them from a thread or from a store actor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.values import AgentId, ArchiveQuery, DeadLetter, LetterId, Page, PageId

WORK = 0
"""The wake time of an agent that has work under way: something accepted and not handled, a chain not ended."""


@dataclass(frozen=True, slots=True)
class Append:
    """Records to append to one agent's journal: compare-and-append.

    Accepted only if ``epoch`` is the agent's newest activation and ``first_seq`` the next free number.
    ``wake_ms`` is when the agent, as it is after these records, must be awake though nobody speaks to it:
    :data:`WORK` for at once, a time of the clock for its next timer, ``None`` for never.
    """

    agent: AgentId
    epoch: int
    first_seq: int
    records: tuple[bytes, ...]
    snapshot: bytes | None = None
    wake_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Activation:
    """What a new activation needs: its epoch, the definition, the last snapshot and the records after it."""

    agent: AgentId
    epoch: int
    definition: bytes
    snapshot: bytes | None
    snapshot_seq: int
    records: tuple[bytes, ...]

    @property
    def next_seq(self) -> int:
        return self.snapshot_seq + len(self.records) + 1


@dataclass(frozen=True, slots=True)
class Past:
    """What there is of an agent's past: records 1 to ``last_seq``, and after which of them a snapshot was kept."""

    agent: AgentId
    definition: bytes
    last_seq: int
    checkpoints: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Life:
    """What a journal has of an agent beside its records and the snapshots that stay: to take it elsewhere.

    Records are 1 to ``last_seq``; ``snapshot`` is the newest, taken after record ``snapshot_seq``.
    """

    agent: AgentId
    definition: bytes
    epoch: int
    last_seq: int
    wake_ms: int | None
    snapshot_seq: int
    snapshot: bytes | None
    topics: tuple[str, ...] = ()
    placement: bytes | None = None


def checked_life(life: Life, records: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The records, none missing.  Raises :class:`~pagefault.runtime.errors.StoreCorrupt`."""
    expected = 1
    for seq, data in records:
        if seq != expected:
            raise StoreCorrupt(f"agent {life.agent!r}: record {expected} is missing, {seq} follows")
        expected += 1
        yield seq, data
    if expected != life.last_seq + 1 or not 0 <= life.snapshot_seq <= life.last_seq:
        raise StoreCorrupt(
            f"agent {life.agent!r}: records end at {expected - 1} and its snapshot is of {life.snapshot_seq}, "
            f"{life.last_seq} were written"
        )


class Mail(Protocol):
    """What is kept of messages between agents: those that could not be delivered, and who hears which topic.

    All methods raise ``StoreUnavailable`` and ``StoreCorrupt``.
    """

    def add_letters(self, letters: Sequence[DeadLetter]) -> int:
        """Keep letters; one that is here already is kept once.  Returns how many older ones had to go."""

    def letters(self, limit: int, to: AgentId | None = None) -> list[DeadLetter]:
        """The newest letters, newest first, of one agent or of all."""

    def letters_by_id(self, ids: Sequence[LetterId]) -> list[DeadLetter]: ...
    def remove_letters(self, ids: Sequence[LetterId]) -> int: ...
    def subscribe(self, agent: AgentId, topic: str) -> bool:
        """Subscribe an agent; a second time changes nothing.  ``False``: it has as many topics as it may have.

        Raises ``UnknownAgent``.
        """

    def unsubscribe(self, agent: AgentId, topic: str) -> bool:
        """Whether there was a subscription to end."""

    def subscribers(self, topic: str) -> list[AgentId]:
        """Who hears a topic, in order."""

    def topics(self, agent: AgentId | None = None) -> list[tuple[str, int]]:
        """Each topic with the number of those who hear it: all, or those of one agent."""


class Journal(Protocol):
    """Ordered records of what entered each agent."""

    @property
    def mail(self) -> Mail:
        """Dead letters and subscriptions, in the same file."""

    def register(self, agent: AgentId, definition: bytes) -> bool:
        """Make an agent; ``False`` if the same definition is there already.

        Raises :class:`~pagefault.runtime.errors.AgentExists` when the definition differs.
        """

    def register_many(self, agents: Sequence[tuple[AgentId, bytes]]) -> int:
        """Register all or none; returns how many were new."""

    def activate(self, agent: AgentId) -> Activation:
        """Take over an agent under a new, higher epoch.  Raises ``UnknownAgent``, ``StoreCorrupt``."""

    def append(self, group: Sequence[Append]) -> list[Exception | None]:
        """Commit a group in one durable transaction.

        One result an append: ``None``, or ``StaleEpoch`` for that agent alone.  Raises ``StoreUnavailable``
        (then nothing of the group was written).
        """

    def due(self, until_ms: int, from_ms: int = WORK) -> Iterator[tuple[AgentId, int]]:
        """Agents that must be awake at a time from ``from_ms`` up to ``until_ms``, both included, with that
        time, earliest first: what their last appends said."""

    def records(self, agent: AgentId, after_seq: int = 0) -> Iterator[tuple[int, bytes]]:
        """All records with a higher number, in order: for replay and for looking into."""

    def plant(
        self,
        agent: AgentId,
        definition: bytes,
        snapshot: bytes,
        records: Sequence[bytes] = (),
        wake_ms: int | None = None,
    ) -> None:
        """Make an agent that begins its life as a snapshot says, and has lived what records say; whole or not at all.

        ``wake_ms`` as for :class:`Append`.  Raises ``AgentExists``.
        """

    def past(self, agent: AgentId) -> Past:
        """What can be replayed of an agent.  Raises ``UnknownAgent``."""

    def checkpoint(self, agent: AgentId, seq: int) -> bytes:
        """The snapshot that was kept after record ``seq``.  Raises ``UnknownAgent``, ``StoreCorrupt``."""

    def set_placements(self, group: Sequence[tuple[AgentId, bytes | None]]) -> None:
        """Keep where agents are wished to live (``None``: anywhere), all or none.  Raises ``UnknownAgent``."""

    def placements(self) -> Iterator[tuple[AgentId, bytes]]:
        """The wishes of all agents that have one."""

    def definition(self, agent: AgentId) -> bytes: ...
    def agents(self, prefix: str = "") -> Iterator[AgentId]: ...
    def count(self) -> int: ...
    def close(self) -> None: ...


class PortableJournal(Journal, Protocol):
    """A journal that agents can be taken out of and put into, whole.  Every driver is one."""

    def life(self, agent: AgentId) -> Life:
        """What there is of an agent beside its records.  Raises ``UnknownAgent``, ``StoreCorrupt``."""

    def restore(
        self, life: Life, records: Iterable[tuple[int, bytes]], checkpoints: Iterable[tuple[int, bytes]]
    ) -> None:
        """Make an agent as it was elsewhere, in one transaction: first all records are taken, then the snapshots
        that stay, as ``(seq, bytes)``.  Raises ``AgentExists``, and ``StoreCorrupt`` for records with a gap.
        """


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page with its owner, as the archive keeps it.

    ``seq`` is the page's place in its owner's journal (0: unknown); a later write of the same page with a
    lower ``seq`` is a stale one and loses.
    """

    tenant: str
    agent: AgentId
    page: Page
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A page found by a search.  ``score`` grows with relevance and is comparable within one search only."""

    stored: StoredPage
    score: float


@dataclass(frozen=True, slots=True)
class FoundPages:
    """One page of results, best first, and the true total of what the search matches."""

    found: tuple[Found, ...]
    total: int


class Archive(Protocol):
    """Pages of many agents, searched by meaning and words.  Only the gateway talks to it.

    What comes back carries its owner as it was written, so that the gateway can check it.  All methods
    raise ``StoreUnavailable`` and ``StoreCorrupt``; those that embed a text also a ``ModelError``.
    """

    def upsert(self, pages: Sequence[StoredPage]) -> None:
        """Write pages under deterministic ids; writing one again changes nothing."""

    def search(self, tenant: str, agent: AgentId, query: ArchiveQuery) -> FoundPages:
        """Search one agent's private spaces and the tenant's shared spaces that the query names.

        ``kinds``, ``authors`` and ``tags`` each let a page pass that has any of them.  What the total
        counts: in the modes ``words`` and ``substring`` the pages that match; in ``hybrid`` and ``dense``,
        where nearness has no end, and for an empty text, all pages that pass the filters.  Paging reaches
        all of them, each once as long as nothing is written in between.
        """

    def get(self, tenant: str, agent: AgentId, page_ids: Sequence[PageId]) -> list[StoredPage]:
        """The pages that exist, in the order asked for, from the agent's private spaces."""

    def delete(self, tenant: str, agent: AgentId, page_ids: Sequence[PageId]) -> None: ...
    def count(self, tenant: str, agent: AgentId | None = None, spaces: Sequence[str] = ()) -> int: ...
    def flush(self) -> None: ...
    def optimize(self) -> None:
        """Build search indexes now (blocks); searches are right without it, only slower."""

    def close(self) -> None: ...


Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into unit vectors.  ``name`` identifies the model, so that an archive can refuse vectors
    made by another one."""

    name: str
    dimension: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape ``(len(texts), dimension)``, rows of length 1 (a row of zeros for an empty text)."""
