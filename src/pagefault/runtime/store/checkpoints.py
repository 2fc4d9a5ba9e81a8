"""Snapshots that a journal in SQLite keeps, so that any moment of an agent's past is near to one.

The newest snapshot of an agent replaces the one before it.  One in every :data:`CHECKPOINT_RECORDS` records stays
for good: replaying to any step begins there, and takes no longer for an agent that has lived long.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.store.checksums import checkpoint_crc
from pagefault.runtime.values import AgentId

CHECKPOINT_RECORDS: Final = 1_000


def keep_checkpoint(connection: sqlite3.Connection, rowid: int, seq: int, data: bytes) -> None:
    """Keep a snapshot if the last that was kept is far enough behind, or it is of an agent's birth."""
    (last,) = connection.execute("SELECT max(seq) FROM checkpoints WHERE agent = ?", (rowid,)).fetchone()
    if seq == 0 or seq - (last or 0) >= CHECKPOINT_RECORDS:
        connection.execute(
            "INSERT OR REPLACE INTO checkpoints (agent, seq, crc, data) VALUES (?, ?, ?, ?)",
            (rowid, seq, checkpoint_crc(rowid, seq, data), data),
        )


def read_checkpoints(connection: sqlite3.Connection, rowid: int) -> tuple[int, ...]:
    """The numbers of the records after which there is one, in order."""
    rows = connection.execute("SELECT seq FROM checkpoints WHERE agent = ? ORDER BY seq", (rowid,)).fetchall()
    return tuple(seq for (seq,) in rows)


def read_checkpoint(connection: sqlite3.Connection, agent: AgentId, rowid: int, seq: int) -> bytes:
    """Raises ``StoreCorrupt`` for one that is damaged or not there."""
    row = connection.execute("SELECT crc, data FROM checkpoints WHERE agent = ? AND seq = ?", (rowid, seq)).fetchone()
    if row is None:
        raise StoreCorrupt(f"agent {agent!r}: checkpoint {seq} is missing")
    crc, data = row
    if checkpoint_crc(rowid, seq, data) != crc:
        raise StoreCorrupt(f"agent {agent!r}: checkpoint {seq} fails its checksum")
    return bytes(data)
