"""The tables of a journal in PostgreSQL: those of :mod:`pagefault.runtime.store.schema`, in its types.

Names sort by their bytes (``COLLATE "C"``), as they do in SQLite, whatever the database's language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, LiteralString

SCHEMA_VERSION: Final = 1
SCHEMA: Final[LiteralString] = """
CREATE TABLE pagefault_meta (version integer NOT NULL);
CREATE TABLE definitions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, digest bytea NOT NULL UNIQUE, data bytea NOT NULL
);
CREATE TABLE agents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    definition bigint NOT NULL REFERENCES definitions (id)
);
CREATE TABLE heads (
    agent bigint PRIMARY KEY, epoch bigint NOT NULL, next_seq bigint NOT NULL, wake_ms bigint
) WITH (fillfactor = 70);
CREATE INDEX wakes ON heads (wake_ms, agent) WHERE wake_ms IS NOT NULL;
CREATE TABLE snapshots (agent bigint PRIMARY KEY, seq bigint NOT NULL, crc bigint NOT NULL, data bytea NOT NULL);
CREATE TABLE records (
    agent bigint NOT NULL, seq bigint NOT NULL, crc bigint NOT NULL, data bytea NOT NULL, PRIMARY KEY (agent, seq)
);
CREATE TABLE checkpoints (
    agent bigint NOT NULL, seq bigint NOT NULL, crc bigint NOT NULL, data bytea NOT NULL, PRIMARY KEY (agent, seq)
);
CREATE TABLE placements (agent bigint PRIMARY KEY, crc bigint NOT NULL, data bytea NOT NULL);
CREATE TABLE dead_letters (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, receiver text NOT NULL,
    why text NOT NULL, at_ms bigint NOT NULL, crc bigint NOT NULL, data bytea NOT NULL
);
CREATE TABLE subscriptions (
    topic text COLLATE "C" NOT NULL, agent text COLLATE "C" NOT NULL, PRIMARY KEY (topic, agent)
);
CREATE INDEX subscribers ON subscriptions (agent);
"""
MIGRATIONS: Final[Mapping[int, LiteralString]] = {}
"""From each older version to the next."""
