"""The tables of a journal in SQLite, and how files of older releases are brought up to them.

``records`` is an ordinary table, filled at its end, with an index on (agent, seq): agents append in turns,
and a table sorted by agent would dirty one page a record (measured with 10,000 agents: a third of the records
a second).  ``heads`` holds what every append changes, apart from names and definitions, so
that its rows stay a few bytes; the index ``wakes`` has the few agents among them that want to be woken.
Definitions are kept once however many agents share them.  Every blob has a checksum that also covers whose it is
and where it belongs, so a row in the wrong place is noticed.  Dead letters go by names: one may be for an agent
that does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

APPLICATION_ID: Final = 0x70676674  # "pgft", so that `file` and we can tell our own
SCHEMA_VERSION: Final = 3
MAIL: Final = """
CREATE TABLE dead_letters (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, receiver TEXT NOT NULL, why TEXT NOT NULL,
    at_ms INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE TABLE subscriptions (
    topic TEXT NOT NULL, agent TEXT NOT NULL, PRIMARY KEY (topic, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX subscribers ON subscriptions (agent);
"""
"""What is kept of messages between agents; see :mod:`pagefault.runtime.store.mail`."""
PLACEMENTS: Final = """
CREATE TABLE placements (agent INTEGER PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
"""
"""Where agents are wished to live; see :mod:`pagefault.runtime.store.placements`."""
CHECKPOINTS: Final = """
CREATE TABLE checkpoints (
    agent INTEGER NOT NULL, seq INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (agent, seq)
) STRICT;
"""
"""Snapshots that stay; see :mod:`pagefault.runtime.store.checkpoints`."""
SCHEMA: Final = f"""
CREATE TABLE definitions (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, data BLOB NOT NULL) STRICT;
CREATE TABLE agents (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    definition INTEGER NOT NULL REFERENCES definitions (id)
) STRICT;
CREATE TABLE heads (
    agent INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, next_seq INTEGER NOT NULL, wake_ms INTEGER
) STRICT;
CREATE INDEX wakes ON heads (wake_ms) WHERE wake_ms IS NOT NULL;
CREATE TABLE snapshots (
    agent INTEGER PRIMARY KEY, seq INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE TABLE records (
    agent INTEGER NOT NULL, seq INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (agent, seq)
) STRICT;
{MAIL}{PLACEMENTS}{CHECKPOINTS}
"""
MIGRATIONS: Final[Mapping[int, str]] = {
    # Version 1 did not know who has work under way: whoever has lived is looked at once.
    1: """
    ALTER TABLE heads ADD COLUMN wake_ms INTEGER;
    CREATE INDEX wakes ON heads (wake_ms) WHERE wake_ms IS NOT NULL;
    UPDATE heads SET wake_ms = 0 WHERE next_seq > 1;
    """,
    # Version 2 kept no dead letters, no topics, no wishes of where to live, and one snapshot an agent.
    2: MAIL + PLACEMENTS + CHECKPOINTS,
}
"""From each older version to the next."""
