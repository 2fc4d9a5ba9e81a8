"""What the parts of a journal in PostgreSQL look up alike."""

from __future__ import annotations

import hashlib

from pagefault.runtime.errors import StoreCorrupt, UnknownAgent
from pagefault.runtime.store.postgres_session import Connection
from pagefault.runtime.values import AgentId


def number_of(connection: Connection, agent: AgentId) -> int:
    """An agent's number in its shard.  Raises ``UnknownAgent``."""
    row = connection.execute("SELECT id FROM agents WHERE name = %s", (agent,)).fetchone()
    if row is None:
        raise UnknownAgent(f"no agent has the id {agent!r}")
    return int(row[0])


def head_of(connection: Connection, agent: AgentId, number: int) -> tuple[int, int]:
    """Epoch and next record number.  Raises ``StoreCorrupt``."""
    row = connection.execute("SELECT epoch, next_seq FROM heads WHERE agent = %s", (number,)).fetchone()
    if row is None:
        raise StoreCorrupt(f"agent {agent!r}: its epoch and next record number are missing")
    return int(row[0]), int(row[1])


def definition_of(connection: Connection, agent: AgentId, number: int) -> bytes:
    """Raises ``StoreCorrupt``."""
    row = connection.execute(
        "SELECT digest, data FROM agents JOIN definitions ON definitions.id = agents.definition WHERE agents.id = %s",
        (number,),
    ).fetchone()
    if row is None or hashlib.sha256(row[1]).digest() != row[0]:
        raise StoreCorrupt(f"agent {agent!r}: the definition does not read back as it was written")
    return bytes(row[1])


def definition_key(connection: Connection, definition: bytes) -> int:
    """The number of a definition, which is written if it is new."""
    digest = hashlib.sha256(definition).digest()
    connection.execute(
        "INSERT INTO definitions (digest, data) VALUES (%s, %s) ON CONFLICT (digest) DO NOTHING", (digest, definition)
    )
    row = connection.execute("SELECT id FROM definitions WHERE digest = %s", (digest,)).fetchone()
    if row is None:
        raise StoreCorrupt("a definition that was just written is not there")
    return int(row[0])
