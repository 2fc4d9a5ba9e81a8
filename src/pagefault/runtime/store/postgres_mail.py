"""Dead letters and subscriptions in PostgreSQL, as :mod:`pagefault.runtime.store.mail` keeps them in SQLite."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from pagefault.runtime.errors import UnknownAgent
from pagefault.runtime.store.codec import encode
from pagefault.runtime.store.mail import LETTERS_MAX, TOPICS_MAX, letter_from
from pagefault.runtime.store.postgres_session import Connection
from pagefault.runtime.values import AgentId, DeadLetter, LetterId

__all__ = ["PostgresMail"]

T = TypeVar("T")

KEEP: Final = (
    "INSERT INTO dead_letters (id, receiver, why, at_ms, crc, data) VALUES (%s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (id) DO UPDATE SET why = excluded.why, at_ms = excluded.at_ms"
)
LETTERS: Final = (
    "SELECT id, receiver, why, at_ms, crc, data FROM dead_letters"
    " WHERE %s::text IS NULL OR receiver = %s ORDER BY number DESC LIMIT %s"
)
LETTERS_BY_ID: Final = "SELECT id, receiver, why, at_ms, crc, data FROM dead_letters WHERE id = ANY(%s) ORDER BY number"
OLDEST_GO: Final = "DELETE FROM dead_letters WHERE number IN (SELECT number FROM dead_letters ORDER BY number LIMIT %s)"
TOPICS: Final = (
    "SELECT topic, count(*) FROM subscriptions"
    " WHERE %s::text IS NULL OR topic IN (SELECT topic FROM subscriptions WHERE agent = %s)"
    " GROUP BY topic ORDER BY topic"
)


class Transaction(Protocol):
    """How a journal does a piece of work on its connection, all or nothing."""

    def __call__(self, work: Callable[[Connection], T]) -> T: ...


class PostgresMail:
    """Implements :class:`~pagefault.runtime.store.protocols.Mail` with the transactions of a journal."""

    def __init__(self, transaction: Transaction, letters_max: int = LETTERS_MAX, topics_max: int = TOPICS_MAX) -> None:
        self._transaction = transaction
        self._letters_max = letters_max
        self._topics_max = topics_max

    # --- dead letters

    def add_letters(self, letters: Sequence[DeadLetter]) -> int:
        """Keep letters, and return how many older ones had to go for them."""
        rows = []
        for letter in letters:
            data = encode(letter.interrupt)
            rows.append((letter.id, letter.to, letter.why, letter.at_ms, zlib.crc32(data), data))

        def write(connection: Connection) -> int:
            with connection.cursor() as cursor:
                cursor.executemany(KEEP, rows)
            counted = connection.execute("SELECT count(*) FROM dead_letters").fetchone()
            excess = max(0, (0 if counted is None else int(counted[0])) - self._letters_max)
            if excess:
                connection.execute(OLDEST_GO, (excess,))
            return excess

        return self._transaction(write)

    def letters(self, limit: int, to: AgentId | None = None) -> list[DeadLetter]:
        """The newest letters, newest first, of one agent or of all.  Raises ``StoreCorrupt``."""
        rows = self._transaction(lambda connection: connection.execute(LETTERS, (to, to, limit)).fetchall())
        return [letter_from(row) for row in rows]

    def letters_by_id(self, ids: Sequence[LetterId]) -> list[DeadLetter]:
        """Those of these letters that are here, oldest first.  Raises ``StoreCorrupt``."""
        rows = self._transaction(lambda connection: connection.execute(LETTERS_BY_ID, (list(ids),)).fetchall())
        return [letter_from(row) for row in rows]

    def remove_letters(self, ids: Sequence[LetterId]) -> int:
        """Take letters out; returns how many were here."""
        query = "DELETE FROM dead_letters WHERE id = ANY(%s)"
        return self._transaction(lambda connection: connection.execute(query, (list(ids),)).rowcount)

    # --- topics

    def subscribe(self, agent: AgentId, topic: str) -> bool:
        """Subscribe an agent; a second time changes nothing.  ``False``: it has as many topics as it may have.

        Raises ``UnknownAgent``.
        """

        def write(connection: Connection) -> bool:
            # The lock keeps two who subscribe one agent at once from both taking its last place.
            known = connection.execute("SELECT 1 FROM agents WHERE name = %s FOR UPDATE", (agent,)).fetchone()
            if known is None:
                raise UnknownAgent(f"no agent has the id {agent!r}")
            rows = connection.execute("SELECT topic FROM subscriptions WHERE agent = %s", (agent,)).fetchall()
            if (topic,) in rows:
                return True
            if len(rows) >= self._topics_max:
                return False
            connection.execute("INSERT INTO subscriptions (topic, agent) VALUES (%s, %s)", (topic, agent))
            return True

        return self._transaction(write)

    def unsubscribe(self, agent: AgentId, topic: str) -> bool:
        """Whether there was a subscription to end."""
        query = "DELETE FROM subscriptions WHERE topic = %s AND agent = %s"
        return self._transaction(lambda connection: connection.execute(query, (topic, agent)).rowcount > 0)

    def subscribers(self, topic: str) -> list[AgentId]:
        """Who hears a topic, in order."""
        query = "SELECT agent FROM subscriptions WHERE topic = %s ORDER BY agent"
        rows = self._transaction(lambda connection: connection.execute(query, (topic,)).fetchall())
        return [AgentId(name) for (name,) in rows]

    def topics(self, agent: AgentId | None = None) -> list[tuple[str, int]]:
        """Each topic with the number of those who hear it: all, or those of one agent."""
        rows = self._transaction(lambda connection: connection.execute(TOPICS, (agent, agent)).fetchall())
        return [(topic, count) for topic, count in rows]
