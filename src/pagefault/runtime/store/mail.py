"""Dead letters and subscriptions, in the journal's file.

A letter lies in the shard of the agent that it was for, a subscription in the shard of the agent that subscribed.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from pagefault.runtime.errors import StoreCorrupt, UnknownAgent
from pagefault.runtime.store.codec import decode, encode
from pagefault.runtime.values import AgentId, DeadLetter, Interrupt, LetterId

__all__ = ["LETTERS_MAX", "TOPICS_MAX", "SqliteMail", "letter_from", "letter_id"]

LETTERS_MAX: Final = 10_000
"""Dead letters of a shard; after that the oldest go."""
TOPICS_MAX: Final = 64
"""Topics that one agent may be subscribed to."""
LETTERS: Final = (
    "SELECT id, receiver, why, at_ms, crc, data FROM dead_letters"
    " WHERE :receiver IS NULL OR receiver = :receiver ORDER BY number DESC LIMIT :limit"
)
LETTERS_BY_ID: Final = (
    "SELECT id, receiver, why, at_ms, crc, data FROM dead_letters"
    " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY number"
)
OLDEST_GO: Final = "DELETE FROM dead_letters WHERE number IN (SELECT number FROM dead_letters ORDER BY number LIMIT ?)"

Rows = list[tuple[object, ...]]


def letter_id(to: AgentId, interrupt: Interrupt) -> LetterId:
    """The same message to the same agent is one letter, however often it fails."""
    return LetterId(hashlib.blake2s(f"{to}\n{interrupt.id}".encode(errors="replace"), digest_size=8).hexdigest())


class SqliteMail:
    """Implements :class:`~pagefault.runtime.store.protocols.Mail` with the connection of a journal.

    ``transaction`` and ``read`` are the journal's own, with its lock and its errors.
    """

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[sqlite3.Connection]],
        read: Callable[[Callable[[sqlite3.Connection], Rows]], Rows],
        letters_max: int = LETTERS_MAX,
        topics_max: int = TOPICS_MAX,
    ) -> None:
        self._transaction = transaction
        self._read = read
        self._letters_max = letters_max
        self._topics_max = topics_max

    # --- dead letters

    def add_letters(self, letters: Sequence[DeadLetter]) -> int:
        """Keep letters, and return how many older ones had to go for them."""
        rows = []
        for letter in letters:
            data = encode(letter.interrupt)
            rows.append((letter.id, letter.to, letter.why, letter.at_ms, zlib.crc32(data), data))
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO dead_letters (id, receiver, why, at_ms, crc, data) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET why = excluded.why, at_ms = excluded.at_ms",
                rows,
            )
            (count,) = connection.execute("SELECT count(*) FROM dead_letters").fetchone()
            excess = max(0, int(count) - self._letters_max)
            if excess:
                connection.execute(OLDEST_GO, (excess,))
        return excess

    def letters(self, limit: int, to: AgentId | None = None) -> list[DeadLetter]:
        """The newest letters, newest first, of one agent or of all.  Raises ``StoreCorrupt``."""
        rows = self._read(lambda each: each.execute(LETTERS, {"receiver": to, "limit": limit}).fetchall())
        return [letter_from(row) for row in rows]

    def letters_by_id(self, ids: Sequence[LetterId]) -> list[DeadLetter]:
        """Those of these letters that are here, oldest first.  Raises ``StoreCorrupt``."""
        rows = self._read(lambda each: each.execute(LETTERS_BY_ID, (json.dumps(list(ids)),)).fetchall())
        return [letter_from(row) for row in rows]

    def remove_letters(self, ids: Sequence[LetterId]) -> int:
        """Take letters out; returns how many were here."""
        with self._transaction() as connection:
            return sum(
                connection.execute("DELETE FROM dead_letters WHERE id = ?", (letter,)).rowcount for letter in ids
            )

    # --- topics

    def subscribe(self, agent: AgentId, topic: str) -> bool:
        """Subscribe an agent; a second time changes nothing.  ``False``: it has as many topics as it may have.

        Raises ``UnknownAgent``.
        """
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM agents WHERE name = ?", (agent,)).fetchone() is None:
                raise UnknownAgent(f"no agent has the id {agent!r}")
            held = [name for (name,) in connection.execute("SELECT topic FROM subscriptions WHERE agent = ?", (agent,))]
            if topic in held:
                return True
            if len(held) >= self._topics_max:
                return False
            connection.execute("INSERT INTO subscriptions (topic, agent) VALUES (?, ?)", (topic, agent))
            return True

    def unsubscribe(self, agent: AgentId, topic: str) -> bool:
        """Whether there was a subscription to end."""
        with self._transaction() as connection:
            gone = connection.execute("DELETE FROM subscriptions WHERE topic = ? AND agent = ?", (topic, agent))
            return gone.rowcount > 0

    def subscribers(self, topic: str) -> list[AgentId]:
        """Who hears a topic, in order."""
        rows = self._read(
            lambda each: each.execute(
                "SELECT agent FROM subscriptions WHERE topic = ? ORDER BY agent", (topic,)
            ).fetchall()
        )
        return [AgentId(str(name)) for (name,) in rows]

    def topics(self, agent: AgentId | None = None) -> list[tuple[str, int]]:
        """Each topic with the number of those who hear it: all, or those of one agent."""
        query = (
            "SELECT topic, count(*) FROM subscriptions"
            " WHERE :agent IS NULL OR topic IN (SELECT topic FROM subscriptions WHERE agent = :agent)"
            " GROUP BY topic ORDER BY topic"
        )
        rows = self._read(lambda each: each.execute(query, {"agent": agent}).fetchall())
        return [(str(topic), int(str(count))) for topic, count in rows]


def letter_from(row: tuple[object, ...]) -> DeadLetter:
    """A letter from ``id, receiver, why, at_ms, crc, data``.  Raises ``StoreCorrupt``."""
    letter, to, why, at_ms, crc, data = row
    assert isinstance(data, bytes)
    if zlib.crc32(data) != crc:
        raise StoreCorrupt(f"dead letter {letter} fails its checksum")
    interrupt = decode(data)
    if not isinstance(interrupt, Interrupt):
        raise StoreCorrupt(f"dead letter {letter} holds a {type(interrupt).__name__}, not an interrupt")
    return DeadLetter(LetterId(str(letter)), AgentId(str(to)), interrupt, str(why), int(str(at_ms)))
