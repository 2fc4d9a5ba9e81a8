"""Where agents are wished to live, as a journal in SQLite keeps it: one row an agent that has a wish.

The rows are the scheduler's; what is in them is not the journal's business.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from pagefault.runtime.errors import StoreCorrupt, UnknownAgent
from pagefault.runtime.store.checksums import placement_crc
from pagefault.runtime.values import AgentId


def write_placements(connection: sqlite3.Connection, group: Sequence[tuple[AgentId, bytes | None]]) -> None:
    """Keep the wishes of agents, ``None`` for one that has none any more.  Raises ``UnknownAgent``."""
    for agent, data in group:
        row = connection.execute("SELECT id FROM agents WHERE name = ?", (agent,)).fetchone()
        if row is None:
            raise UnknownAgent(f"no agent has the id {agent!r}")
        (rowid,) = row
        if data is None:
            connection.execute("DELETE FROM placements WHERE agent = ?", (rowid,))
        else:
            connection.execute(
                "INSERT OR REPLACE INTO placements (agent, crc, data) VALUES (?, ?, ?)",
                (rowid, placement_crc(rowid, data), data),
            )


def read_placements(connection: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, AgentId, bytes]]:
    """Rows after row number ``after``, in order, with their numbers.  Raises ``StoreCorrupt``."""
    rows = connection.execute(
        "SELECT placements.agent, name, crc, data FROM placements JOIN agents ON agents.id = placements.agent"
        " WHERE placements.agent > ? ORDER BY placements.agent LIMIT ?",
        (after, limit),
    ).fetchall()
    for rowid, name, crc, data in rows:
        if placement_crc(rowid, data) != crc:
            raise StoreCorrupt(f"agent {name!r}: its placement fails its checksum")
    return [(rowid, AgentId(name), data) for rowid, name, _, data in rows]
