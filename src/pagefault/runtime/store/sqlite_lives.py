"""Reading an agent out of a journal in SQLite, and writing one into it, whole."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable

from pagefault.runtime.errors import AgentExists, StoreCorrupt, UnknownAgent
from pagefault.runtime.failpoints import failpoint
from pagefault.runtime.store.checksums import checkpoint_crc, placement_crc, record_crc
from pagefault.runtime.store.protocols import Life, checked_life
from pagefault.runtime.values import AgentId

READ = """
SELECT agents.id, digest, definitions.data, epoch, next_seq, wake_ms
FROM agents LEFT JOIN definitions ON definitions.id = agents.definition LEFT JOIN heads ON heads.agent = agents.id
WHERE name = ?
"""


def read_life(connection: sqlite3.Connection, agent: AgentId) -> Life:
    """Raises ``UnknownAgent``, ``StoreCorrupt``."""
    row = connection.execute(READ, (agent,)).fetchone()
    if row is None:
        raise UnknownAgent(f"no agent has the id {agent!r}")
    number, digest, definition, epoch, next_seq, wake_ms = row
    if epoch is None:
        raise StoreCorrupt(f"agent {agent!r}: its epoch and next record number are missing")
    if definition is None or hashlib.sha256(definition).digest() != digest:
        raise StoreCorrupt(f"agent {agent!r}: the definition does not read back as it was written")
    found = connection.execute("SELECT seq, crc, data FROM snapshots WHERE agent = ?", (number,)).fetchone()
    seq, crc, snapshot = found if found is not None else (0, 0, None)
    if snapshot is not None and record_crc(number, seq, snapshot) != crc:
        raise StoreCorrupt(f"agent {agent!r}: snapshot {seq} fails its checksum")
    wish = connection.execute("SELECT crc, data FROM placements WHERE agent = ?", (number,)).fetchone()
    if wish is not None and placement_crc(number, wish[1]) != wish[0]:
        raise StoreCorrupt(f"agent {agent!r}: its placement fails its checksum")
    topics = connection.execute("SELECT topic FROM subscriptions WHERE agent = ? ORDER BY topic", (agent,)).fetchall()
    return Life(
        agent=agent,
        definition=definition,
        epoch=epoch,
        last_seq=next_seq - 1,
        wake_ms=wake_ms,
        snapshot_seq=seq,
        snapshot=snapshot,
        topics=tuple(topic for (topic,) in topics),
        placement=None if wish is None else wish[1],
    )


def write_life(
    connection: sqlite3.Connection,
    life: Life,
    definition_key: int,
    records: Iterable[tuple[int, bytes]],
    checkpoints: Iterable[tuple[int, bytes]],
) -> None:
    """Raises ``AgentExists``, and ``StoreCorrupt`` for records that are not 1 to the last."""
    new = connection.execute(
        "INSERT INTO agents (name, definition) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
        (life.agent, definition_key),
    )
    number = new.lastrowid
    if new.rowcount != 1 or number is None:
        raise AgentExists(f"agent {life.agent!r} is registered already")
    connection.execute(
        "INSERT INTO heads (agent, epoch, next_seq, wake_ms) VALUES (?, ?, ?, ?)",
        (number, life.epoch, life.last_seq + 1, life.wake_ms),
    )
    connection.executemany(
        "INSERT INTO records (agent, seq, crc, data) VALUES (?, ?, ?, ?)",
        ((number, seq, record_crc(number, seq, data), data) for seq, data in checked_life(life, records)),
    )
    connection.executemany(
        "INSERT INTO checkpoints (agent, seq, crc, data) VALUES (?, ?, ?, ?)",
        ((number, seq, checkpoint_crc(number, seq, data), data) for seq, data in checkpoints),
    )
    if life.snapshot is not None:
        crc = record_crc(number, life.snapshot_seq, life.snapshot)
        connection.execute(
            "INSERT INTO snapshots (agent, seq, crc, data) VALUES (?, ?, ?, ?)",
            (number, life.snapshot_seq, crc, life.snapshot),
        )
    if life.placement is not None:
        connection.execute(
            "INSERT INTO placements (agent, crc, data) VALUES (?, ?, ?)",
            (number, placement_crc(number, life.placement), life.placement),
        )
    connection.executemany(
        "INSERT INTO subscriptions (topic, agent) VALUES (?, ?)", [(topic, life.agent) for topic in life.topics]
    )
    failpoint("journal.register.before_commit")
