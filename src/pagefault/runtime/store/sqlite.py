"""The journal in one SQLite file a shard.

Write-ahead logging with ``synchronous=FULL`` (unless less is asked for, see
:mod:`pagefault.runtime.store.sqlite_file`): a group of appends is one transaction and one ``fsync``, after which it
survives a power cut.  One process opens a file (:class:`~pagefault.runtime.store.lock.OpenerLock`).  Its tables are in
:mod:`pagefault.runtime.store.schema`.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from pagefault.runtime.errors import (
    AgentExists,
    StaleEpoch,
    StoreCorrupt,
    UnknownAgent,
)
from pagefault.runtime.failpoints import failpoint
from pagefault.runtime.store.checkpoints import keep_checkpoint, read_checkpoint, read_checkpoints
from pagefault.runtime.store.checksums import checked_records, record_crc
from pagefault.runtime.store.mail import SqliteMail
from pagefault.runtime.store.placements import read_placements, write_placements
from pagefault.runtime.store.protocols import WORK, Activation, Append, Life, Past
from pagefault.runtime.store.sqlite_file import JournalFile
from pagefault.runtime.store.sqlite_lives import read_life, write_life
from pagefault.runtime.values import AgentId

__all__ = ["SqliteJournal"]

T = TypeVar("T")

ROWS_A_READ: Final = 256
"""How many rows an iterator takes at a time, so that it holds the lock for moments only."""
INSERT_RECORD: Final = "INSERT INTO records (agent, seq, crc, data) VALUES (?, ?, ?, ?)"


class SqliteJournal:
    """A :class:`~pagefault.runtime.store.protocols.Journal` in the file ``path``, made if absent.

    ``durability``: ``sync``, ``async`` or ``exit``, see :mod:`pagefault.runtime.store.sqlite_file`.  Threads may
    share it; they wait for each other.

    Raises :class:`~pagefault.runtime.errors.StoreUnavailable` naming the path when the file cannot be
    opened (folder missing, read-only, no journal of ours, open elsewhere, written by a newer release),
    :class:`~pagefault.runtime.errors.StoreCorrupt` when its pages are damaged, and
    :class:`~pagefault.runtime.errors.ConfigError` for another ``durability``.
    """

    def __init__(self, path: Path, durability: str = "sync") -> None:
        self._file = JournalFile(path, durability)
        self._transaction = self._file.transaction
        self._read = self._file.read
        self.mail = SqliteMail(self._transaction, self._read)

    # --- agents --------------------------------------------------------------------------------------

    def register(self, agent: AgentId, definition: bytes) -> bool:
        """Make an agent; ``False`` if the same definition is there already.  Raises ``AgentExists``."""
        return self.register_many([(agent, definition)]) == 1

    def register_many(self, agents: Sequence[tuple[AgentId, bytes]]) -> int:
        """Register all or none; returns how many were new.  Raises ``AgentExists`` for the first that differs."""
        with self._transaction() as connection:
            keys: dict[bytes, int] = {}
            added = 0
            for agent, definition in agents:
                key = keys.get(definition)
                if key is None:
                    key = keys[definition] = _definition_key(connection, definition)
                new = connection.execute(
                    "INSERT INTO agents (name, definition) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (agent, key)
                )
                if new.rowcount == 1:
                    connection.execute("INSERT INTO heads (agent, epoch, next_seq) VALUES (?, 0, 1)", (new.lastrowid,))
                    added += 1
                    continue
                (found,) = connection.execute("SELECT definition FROM agents WHERE name = ?", (agent,)).fetchone()
                if found != key:
                    raise AgentExists(f"agent {agent!r} is registered with another definition")
            failpoint("journal.register.before_commit")
        return added

    def definition(self, agent: AgentId) -> bytes:
        """Raises ``UnknownAgent``, ``StoreCorrupt``."""
        return self._read(lambda connection: _definition(connection, agent, _rowid(connection, agent)))

    def agents(self, prefix: str = "") -> Iterator[AgentId]:
        """All agents whose id begins with ``prefix``, in the order of their ids."""
        last = ""
        while True:
            after = last
            rows = self._read(
                lambda connection: connection.execute(
                    "SELECT name FROM agents WHERE name >= ? AND name > ? ORDER BY name LIMIT ?",
                    (prefix, after, ROWS_A_READ),  # noqa: B023 - run before the next turn of the loop
                ).fetchall()
            )
            for (name,) in rows:
                if not name.startswith(prefix):
                    return
                yield AgentId(name)
            if len(rows) < ROWS_A_READ:
                return
            last = rows[-1][0]

    def count(self) -> int:
        """How many agents are registered."""
        rows = self._read(lambda connection: connection.execute("SELECT count(*) FROM agents").fetchone())
        return int(rows[0])

    # --- records -------------------------------------------------------------------------------------

    def activate(self, agent: AgentId) -> Activation:
        """Take over an agent under a new, higher epoch, after checking everything that it will be rebuilt from.

        Raises ``UnknownAgent``; ``StoreCorrupt`` (and the epoch stays) for a damaged or missing record.
        """
        # An epoch that a power cut took back would be given twice, to two hosts that both take it for theirs.
        with self._transaction(is_synced=True) as connection:
            rowid = _rowid(connection, agent)
            definition = _definition(connection, agent, rowid)
            connection.execute("UPDATE heads SET epoch = epoch + 1 WHERE agent = ?", (rowid,))
            epoch, next_seq = _head(connection, agent, rowid)
            found = connection.execute("SELECT seq, crc, data FROM snapshots WHERE agent = ?", (rowid,)).fetchone()
            snapshot_seq, snapshot = 0, None
            if found is not None:
                snapshot_seq, crc, snapshot = found
                if record_crc(rowid, snapshot_seq, snapshot) != crc:
                    raise StoreCorrupt(f"agent {agent!r}: snapshot {snapshot_seq} fails its checksum")
            rows = connection.execute(
                "SELECT seq, crc, data FROM records WHERE agent = ? AND seq > ? ORDER BY seq", (rowid, snapshot_seq)
            ).fetchall()
            records = tuple(data for _, data in checked_records(agent, rowid, snapshot_seq, rows))
            if snapshot_seq + len(records) + 1 != next_seq:
                raise StoreCorrupt(
                    f"agent {agent!r}: records end at {snapshot_seq + len(records)}, {next_seq - 1} were written"
                )
            failpoint("journal.activate.before_commit")
        failpoint("journal.activate.after_commit")
        return Activation(agent, epoch, definition, snapshot, snapshot_seq, records)

    def append(self, group: Sequence[Append]) -> list[Exception | None]:
        """Commit a group in one durable transaction: one result an append.

        ``None``: its records are durable.  ``StaleEpoch``: a newer activation exists, or ``first_seq`` is not
        the next number.  ``UnknownAgent``.  An append that was already written by the same epoch, byte for
        byte, is ``None`` again, so a caller that lost the answer may ask again.  Raises ``StoreUnavailable``:
        then nothing of the group was written.
        """
        failpoint("journal.append.begun")
        rows: list[tuple[int, int, int, bytes]] = []
        with self._transaction() as connection:
            results = [self._append_one(connection, item, rows) for item in group]
            connection.executemany(INSERT_RECORD, rows)
            failpoint("journal.append.before_commit")
        failpoint("journal.append.after_commit")
        return results

    def _append_one(
        self, connection: sqlite3.Connection, item: Append, rows: list[tuple[int, int, int, bytes]]
    ) -> Exception | None:
        try:
            rowid = _rowid(connection, item.agent)
        except UnknownAgent as error:
            return error
        next_seq = item.first_seq + len(item.records)
        # Two statements: UPDATE ... FROM and RETURNING in one took seven times as long.
        moved = connection.execute(
            "UPDATE heads SET next_seq = ?, wake_ms = ? WHERE agent = ? AND epoch = ? AND next_seq = ?",
            (next_seq, item.wake_ms, rowid, item.epoch, item.first_seq),
        )
        if moved.rowcount == 0:
            # An earlier append of this very group may be what it repeats or follows.
            connection.executemany(INSERT_RECORD, rows)
            rows.clear()
            return _why_refused(connection, rowid, item)
        for seq, data in enumerate(item.records, item.first_seq):
            rows.append((rowid, seq, record_crc(rowid, seq, data), data))
        if item.snapshot is not None:
            connection.execute(
                "INSERT OR REPLACE INTO snapshots (agent, seq, crc, data) VALUES (?, ?, ?, ?)",
                (rowid, next_seq - 1, record_crc(rowid, next_seq - 1, item.snapshot), item.snapshot),
            )
            keep_checkpoint(connection, rowid, next_seq - 1, item.snapshot)
        return None

    def due(self, until_ms: int, from_ms: int = WORK) -> Iterator[tuple[AgentId, int]]:
        """Agents that must be awake at a time from ``from_ms`` up to ``until_ms``, with that time, earliest first."""
        last = (from_ms, 0)
        while True:
            after = last
            rows = self._read(
                lambda connection: connection.execute(
                    "SELECT wake_ms, heads.agent, name FROM heads JOIN agents ON agents.id = heads.agent"
                    " WHERE (wake_ms, heads.agent) > (?, ?) AND wake_ms <= ? ORDER BY wake_ms, heads.agent LIMIT ?",
                    (*after, until_ms, ROWS_A_READ),  # noqa: B023 - run before the next turn of the loop
                ).fetchall()
            )
            for wake_ms, _, name in rows:
                yield AgentId(name), wake_ms
            if len(rows) < ROWS_A_READ:
                return
            last = rows[-1][:2]

    def set_placements(self, group: Sequence[tuple[AgentId, bytes | None]]) -> None:
        with self._transaction() as connection:
            write_placements(connection, group)

    def placements(self) -> Iterator[tuple[AgentId, bytes]]:
        last = 0
        while rows := self._read(partial(read_placements, after=last, limit=ROWS_A_READ)):
            yield from ((agent, data) for _, agent, data in rows)
            last = rows[-1][0]

    def plant(
        self,
        agent: AgentId,
        definition: bytes,
        snapshot: bytes,
        records: Sequence[bytes] = (),
        wake_ms: int | None = None,
    ) -> None:
        life = Life(agent, definition, 0, len(records), wake_ms, 0, snapshot)
        self.restore(life, enumerate(records, 1), ((0, snapshot),))

    def life(self, agent: AgentId) -> Life:
        """What there is of an agent beside its records.  Raises ``UnknownAgent``, ``StoreCorrupt``."""
        return self._read(partial(read_life, agent=agent))

    def restore(
        self, life: Life, records: Iterable[tuple[int, bytes]], checkpoints: Iterable[tuple[int, bytes]]
    ) -> None:
        """Make an agent as it was elsewhere, whole or not at all.  Raises ``AgentExists``, ``StoreCorrupt``."""
        with self._transaction() as connection:
            write_life(connection, life, _definition_key(connection, life.definition), records, checkpoints)

    def past(self, agent: AgentId) -> Past:
        def look(connection: sqlite3.Connection) -> Past:
            rowid = _rowid(connection, agent)
            _, next_seq = _head(connection, agent, rowid)
            return Past(agent, _definition(connection, agent, rowid), next_seq - 1, read_checkpoints(connection, rowid))

        return self._read(look)

    def checkpoint(self, agent: AgentId, seq: int) -> bytes:
        return self._read(lambda connection: read_checkpoint(connection, agent, _rowid(connection, agent), seq))

    def records(self, agent: AgentId, after_seq: int = 0) -> Iterator[tuple[int, bytes]]:
        """All records with a number above ``after_seq``, in order.  Raises ``UnknownAgent``, ``StoreCorrupt``."""
        rowid = self._read(lambda connection: _rowid(connection, agent))
        last = after_seq
        while True:
            after = last
            rows = self._read(
                lambda connection: connection.execute(
                    "SELECT seq, crc, data FROM records WHERE agent = ? AND seq > ? ORDER BY seq LIMIT ?",
                    (rowid, after, ROWS_A_READ),  # noqa: B023 - run before the next turn of the loop
                ).fetchall()
            )
            yield from checked_records(agent, rowid, after, rows)
            if len(rows) < ROWS_A_READ:
                return
            last = rows[-1][0]

    def close(self) -> None:
        """Fold the log into the file and let the next opener in.  Doing it twice does nothing."""
        self._file.close()


def _definition_key(connection: sqlite3.Connection, definition: bytes) -> int:
    digest = hashlib.sha256(definition).digest()
    connection.execute(
        "INSERT INTO definitions (digest, data) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING", (digest, definition)
    )
    (key,) = connection.execute("SELECT id FROM definitions WHERE digest = ?", (digest,)).fetchone()
    return int(key)


def _definition(connection: sqlite3.Connection, agent: AgentId, rowid: int) -> bytes:
    row = connection.execute(
        "SELECT digest, data FROM agents JOIN definitions ON definitions.id = agents.definition WHERE agents.id = ?",
        (rowid,),
    ).fetchone()
    if row is None or hashlib.sha256(row[1]).digest() != row[0]:
        raise StoreCorrupt(f"agent {agent!r}: the definition does not read back as it was written")
    return bytes(row[1])


def _rowid(connection: sqlite3.Connection, agent: AgentId) -> int:
    row = connection.execute("SELECT id FROM agents WHERE name = ?", (agent,)).fetchone()
    if row is None:
        raise UnknownAgent(f"no agent has the id {agent!r}")
    return int(row[0])


def _head(connection: sqlite3.Connection, agent: AgentId, rowid: int) -> tuple[int, int]:
    row = connection.execute("SELECT epoch, next_seq FROM heads WHERE agent = ?", (rowid,)).fetchone()
    if row is None:
        raise StoreCorrupt(f"agent {agent!r}: its epoch and next record number are missing")
    return int(row[0]), int(row[1])


def _why_refused(connection: sqlite3.Connection, rowid: int, item: Append) -> StaleEpoch | None:
    """Why an append did not fit its agent's head; ``None`` if it is there already, byte for byte."""
    epoch, next_seq = _head(connection, item.agent, rowid)
    if epoch != item.epoch:
        return StaleEpoch(f"agent {item.agent!r}: epoch {item.epoch} was superseded by {epoch}")
    last_seq = item.first_seq + len(item.records) - 1
    if item.records and last_seq < next_seq:
        there = connection.execute(
            "SELECT data FROM records WHERE agent = ? AND seq BETWEEN ? AND ? ORDER BY seq",
            (rowid, item.first_seq, last_seq),
        ).fetchall()
        if tuple(data for (data,) in there) == item.records:
            return None
    return StaleEpoch(f"agent {item.agent!r}: append at record {item.first_seq}, the next one is {next_seq}")
