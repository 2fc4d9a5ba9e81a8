"""Reading an agent out of a journal in PostgreSQL, and writing one into it, whole."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from pagefault.runtime.errors import AgentExists, StoreCorrupt
from pagefault.runtime.failpoints import failpoint
from pagefault.runtime.store.checksums import checkpoint_crc, placement_crc, record_crc
from pagefault.runtime.store.postgres_rows import definition_key, definition_of, head_of, number_of
from pagefault.runtime.store.postgres_session import Connection
from pagefault.runtime.store.protocols import Life, checked_life
from pagefault.runtime.values import AgentId

ROWS_A_WRITE: Final = 256
INSERT_RECORD: Final = "INSERT INTO records (agent, seq, crc, data) VALUES (%s, %s, %s, %s)"
INSERT_CHECKPOINT: Final = "INSERT INTO checkpoints (agent, seq, crc, data) VALUES (%s, %s, %s, %s)"


def read_life(connection: Connection, agent: AgentId) -> Life:
    """Raises ``UnknownAgent``, ``StoreCorrupt``."""
    number = number_of(connection, agent)
    epoch, next_seq = head_of(connection, agent, number)
    woken = connection.execute("SELECT wake_ms FROM heads WHERE agent = %s", (number,)).fetchone()
    found = connection.execute("SELECT seq, crc, data FROM snapshots WHERE agent = %s", (number,)).fetchone()
    seq, crc, snapshot = found if found is not None else (0, 0, None)
    if snapshot is not None and record_crc(number, seq, snapshot) != crc:
        raise StoreCorrupt(f"agent {agent!r}: snapshot {seq} fails its checksum")
    wish = connection.execute("SELECT crc, data FROM placements WHERE agent = %s", (number,)).fetchone()
    if wish is not None and placement_crc(number, wish[1]) != wish[0]:
        raise StoreCorrupt(f"agent {agent!r}: its placement fails its checksum")
    topics = connection.execute("SELECT topic FROM subscriptions WHERE agent = %s ORDER BY topic", (agent,)).fetchall()
    return Life(
        agent=agent,
        definition=definition_of(connection, agent, number),
        epoch=epoch,
        last_seq=next_seq - 1,
        wake_ms=None if woken is None else woken[0],
        snapshot_seq=seq,
        snapshot=snapshot,
        topics=tuple(topic for (topic,) in topics),
        placement=None if wish is None else bytes(wish[1]),
    )


def write_life(
    connection: Connection, life: Life, records: Iterable[tuple[int, bytes]], checkpoints: Iterable[tuple[int, bytes]]
) -> None:
    """Raises ``AgentExists``, and ``StoreCorrupt`` for records that are not 1 to the last."""
    row = connection.execute(
        "INSERT INTO agents (name, definition) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING RETURNING id",
        (life.agent, definition_key(connection, life.definition)),
    ).fetchone()
    if row is None:
        raise AgentExists(f"agent {life.agent!r} is registered already")
    number = int(row[0])
    connection.execute(
        "INSERT INTO heads (agent, epoch, next_seq, wake_ms) VALUES (%s, %s, %s, %s)",
        (number, life.epoch, life.last_seq + 1, life.wake_ms),
    )
    rows = ((number, seq, record_crc(number, seq, data), data) for seq, data in checked_life(life, records))
    with connection.cursor() as cursor:
        while batch := list(islice(rows, ROWS_A_WRITE)):
            cursor.executemany(INSERT_RECORD, batch)
        for seq, data in checkpoints:
            cursor.execute(INSERT_CHECKPOINT, (number, seq, checkpoint_crc(number, seq, data), data))
        if life.snapshot is not None:
            crc = record_crc(number, life.snapshot_seq, life.snapshot)
            cursor.execute(
                "INSERT INTO snapshots (agent, seq, crc, data) VALUES (%s, %s, %s, %s)",
                (number, life.snapshot_seq, crc, life.snapshot),
            )
        if life.placement is not None:
            cursor.execute(
                "INSERT INTO placements (agent, crc, data) VALUES (%s, %s, %s)",
                (number, placement_crc(number, life.placement), life.placement),
            )
        for topic in life.topics:
            cursor.execute("INSERT INTO subscriptions (topic, agent) VALUES (%s, %s)", (topic, life.agent))
    failpoint("journal.register.before_commit")
