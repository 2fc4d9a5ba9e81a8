"""The journal in PostgreSQL, for a cluster that must outlive a node and its disk (the extra ``postgres``).

The same promises as :mod:`pagefault.runtime.store.sqlite`, and the same tests: a group of appends is one transaction,
which checks each agent's epoch and next number under a lock of its row, and is acknowledged when it is on the
server's disk.  A group takes a handful of round trips however many agents are in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pagefault.runtime.errors import AgentExists, StaleEpoch, StoreCorrupt, StoreUnavailable, UnknownAgent
from pagefault.runtime.failpoints import failpoint
from pagefault.runtime.store.checkpoints import CHECKPOINT_RECORDS
from pagefault.runtime.store.checksums import checked_records, checkpoint_crc, placement_crc, record_crc
from pagefault.runtime.store.postgres_lives import read_life, write_life
from pagefault.runtime.store.postgres_mail import PostgresMail
from pagefault.runtime.store.postgres_rows import definition_key, definition_of, head_of, number_of
from pagefault.runtime.store.postgres_session import Connection, PostgresSession
from pagefault.runtime.store.protocols import WORK, Activation, Append, Life, Past
from pagefault.runtime.values import AgentId

__all__ = ["PostgresJournal"]

ROWS_A_READ: Final = 256
"""How many rows an iterator takes at a time, so that it holds the connection for moments only."""
LOCK_HEADS: Final = (
    "SELECT name, id, epoch, next_seq FROM agents JOIN heads ON heads.agent = agents.id"
    " WHERE name = ANY(%s) ORDER BY id FOR UPDATE OF heads"
)
INSERT_RECORDS: Final = (
    "INSERT INTO records (agent, seq, crc, data) SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[],"
    " %s::bytea[])"
)
MOVE_HEADS: Final = (
    "UPDATE heads SET next_seq = moved.next_seq, wake_ms = moved.wake_ms"
    " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS moved (agent, next_seq, wake_ms)"
    " WHERE heads.agent = moved.agent"
)
SAVE_SNAPSHOTS: Final = (
    "INSERT INTO snapshots (agent, seq, crc, data) SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[],"
    " %s::bytea[]) ON CONFLICT (agent) DO UPDATE SET seq = excluded.seq, crc = excluded.crc, data = excluded.data"
)
KEEP_CHECKPOINT: Final = (
    "INSERT INTO checkpoints (agent, seq, crc, data) VALUES (%s, %s, %s, %s)"
    " ON CONFLICT (agent, seq) DO UPDATE SET crc = excluded.crc, data = excluded.data"
)
REGISTER: Final = (
    "WITH new AS (INSERT INTO agents (name, definition) SELECT * FROM unnest(%s::text[], %s::bigint[])"
    " ON CONFLICT (name) DO NOTHING RETURNING id)"
    " INSERT INTO heads (agent, epoch, next_seq) SELECT id, 0, 1 FROM new"
)
REGISTERED_OTHERWISE: Final = (
    "SELECT agents.name FROM unnest(%s::text[], %s::bigint[]) WITH ORDINALITY AS given (name, definition, place)"
    " JOIN agents ON agents.name = given.name WHERE agents.definition <> given.definition ORDER BY place LIMIT 1"
)


@dataclass(slots=True)
class _Head:
    """An agent's row while a group is looked at, as it will be after the appends that were accepted."""

    number: int
    epoch: int
    next_seq: int
    wake_ms: int | None = None
    is_moved: bool = False


@dataclass(slots=True)
class _Group:
    """What a group of appends comes to."""

    heads: dict[str, _Head]
    rows: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    snapshots: dict[int, tuple[int, bytes]] = field(default_factory=dict)


class PostgresJournal:
    """A :class:`~pagefault.runtime.store.protocols.Journal` in a shard's schema of a PostgreSQL database.

    ``address``: see :meth:`~pagefault.runtime.store.postgres_session.Place.of`; tables are made if absent.
    ``durability``: ``sync`` or ``async``, see :mod:`pagefault.runtime.store.postgres_session`.  Threads may share it;
    they wait for each other.  Other processes may have the same shard open.

    Every method raises :class:`~pagefault.runtime.errors.StoreUnavailable` naming the place, without its password,
    while the server cannot be reached; the next call connects anew.  Raises what
    :class:`~pagefault.runtime.store.postgres_session.PostgresSession` raises.
    """

    def __init__(self, address: str, shard: int = 0, durability: str = "sync") -> None:
        self._session = PostgresSession(address, shard, durability)
        self._transaction = self._session.transaction
        self._is_async = durability == "async"
        self.mail = PostgresMail(self._transaction)

    # --- agents --------------------------------------------------------------------------------------

    def register(self, agent: AgentId, definition: bytes) -> bool:
        """Make an agent; ``False`` if the same definition is there already.  Raises ``AgentExists``."""
        return self.register_many([(agent, definition)]) == 1

    def register_many(self, agents: Sequence[tuple[AgentId, bytes]]) -> int:
        """Register all or none; returns how many were new.  Raises ``AgentExists`` for the first that differs."""

        def write(connection: Connection) -> int:
            # In one order everywhere, so that two who register at once do not wait for each other.
            keys = {data: definition_key(connection, data) for data in sorted({data for _, data in agents})}
            rows = [(agent, keys[data]) for agent, data in agents]
            ordered = sorted(dict(reversed(rows)).items())
            added = connection.execute(REGISTER, _columns(ordered, 2)).rowcount
            other = connection.execute(REGISTERED_OTHERWISE, _columns(rows, 2)).fetchone()
            if other is not None:
                raise AgentExists(f"agent {other[0]!r} is registered with another definition")
            failpoint("journal.register.before_commit")
            return added

        return self._transaction(write)

    def definition(self, agent: AgentId) -> bytes:
        """Raises ``UnknownAgent``, ``StoreCorrupt``."""
        return self._transaction(lambda connection: definition_of(connection, agent, number_of(connection, agent)))

    def agents(self, prefix: str = "") -> Iterator[AgentId]:
        """All agents whose id begins with ``prefix``, in the order of their ids."""
        query = "SELECT name FROM agents WHERE name >= %s AND name > %s ORDER BY name LIMIT %s"
        last = ""
        while True:
            rows = self._rows(query, (prefix, last, ROWS_A_READ))
            for (name,) in rows:
                if not name.startswith(prefix):
                    return
                yield AgentId(name)
            if len(rows) < ROWS_A_READ:
                return
            last = rows[-1][0]

    def count(self) -> int:
        """How many agents are registered."""
        return int(self._rows("SELECT count(*) FROM agents")[0][0])

    # --- records -------------------------------------------------------------------------------------

    def activate(self, agent: AgentId) -> Activation:
        """Take over an agent under a new, higher epoch, after checking everything that it will be rebuilt from.

        Raises ``UnknownAgent``; ``StoreCorrupt`` (and the epoch stays) for a damaged or missing record.
        """
        found = self._transaction(partial(_activate, agent=agent, is_async=self._is_async))
        failpoint("journal.activate.after_commit")
        return found

    def append(self, group: Sequence[Append]) -> list[Exception | None]:
        """Commit a group in one durable transaction: one result an append.

        As :meth:`pagefault.runtime.store.sqlite.SqliteJournal.append`; but after a ``StoreUnavailable`` which says
        that the server was lost while it committed, the group may have been written, as a whole.  Asking again tells.
        """
        failpoint("journal.append.begun")
        results = self._transaction(partial(_append, group=group))
        failpoint("journal.append.after_commit")
        return results

    def due(self, until_ms: int, from_ms: int = WORK) -> Iterator[tuple[AgentId, int]]:
        """Agents that must be awake at a time from ``from_ms`` up to ``until_ms``, with that time, earliest first."""
        query = (
            "SELECT wake_ms, heads.agent, name FROM heads JOIN agents ON agents.id = heads.agent"
            " WHERE (wake_ms, heads.agent) > (%s::bigint, %s::bigint) AND wake_ms <= %s"
            " ORDER BY wake_ms, heads.agent LIMIT %s"
        )
        last = (from_ms, 0)
        while True:
            rows = self._rows(query, (*last, until_ms, ROWS_A_READ))
            for wake_ms, _, name in rows:
                yield AgentId(name), wake_ms
            if len(rows) < ROWS_A_READ:
                return
            last = rows[-1][:2]

    def records(self, agent: AgentId, after_seq: int = 0) -> Iterator[tuple[int, bytes]]:
        """All records with a number above ``after_seq``, in order.  Raises ``UnknownAgent``, ``StoreCorrupt``."""
        query = "SELECT seq, crc, data FROM records WHERE agent = %s AND seq > %s ORDER BY seq LIMIT %s"
        number = self._transaction(lambda connection: number_of(connection, agent))
        last = after_seq
        while True:
            rows = self._rows(query, (number, last, ROWS_A_READ))
            yield from checked_records(agent, number, last, rows)
            if len(rows) < ROWS_A_READ:
                return
            last = rows[-1][0]

    # --- pasts and lives -----------------------------------------------------------------------------

    def plant(
        self,
        agent: AgentId,
        definition: bytes,
        snapshot: bytes,
        records: Sequence[bytes] = (),
        wake_ms: int | None = None,
    ) -> None:
        """Make an agent that begins its life as a snapshot says, and has lived the records.  Raises ``AgentExists``."""
        life = Life(agent, definition, 0, len(records), wake_ms, 0, snapshot)
        self.restore(life, enumerate(records, 1), ((0, snapshot),))

    def past(self, agent: AgentId) -> Past:
        """What can be replayed of an agent.  Raises ``UnknownAgent``, ``StoreCorrupt``."""

        def look(connection: Connection) -> Past:
            number = number_of(connection, agent)
            _, next_seq = head_of(connection, agent, number)
            kept = connection.execute("SELECT seq FROM checkpoints WHERE agent = %s ORDER BY seq", (number,)).fetchall()
            definition = definition_of(connection, agent, number)
            return Past(agent, definition, next_seq - 1, tuple(seq for (seq,) in kept))

        return self._transaction(look)

    def checkpoint(self, agent: AgentId, seq: int) -> bytes:
        """The snapshot that was kept after record ``seq``.  Raises ``UnknownAgent``, ``StoreCorrupt``."""

        def look(connection: Connection) -> bytes:
            number = number_of(connection, agent)
            query = "SELECT crc, data FROM checkpoints WHERE agent = %s AND seq = %s"
            row = connection.execute(query, (number, seq)).fetchone()
            if row is None:
                raise StoreCorrupt(f"agent {agent!r}: checkpoint {seq} is missing")
            if checkpoint_crc(number, seq, row[1]) != row[0]:
                raise StoreCorrupt(f"agent {agent!r}: checkpoint {seq} fails its checksum")
            return bytes(row[1])

        return self._transaction(look)

    def life(self, agent: AgentId) -> Life:
        """What there is of an agent beside its records.  Raises ``UnknownAgent``, ``StoreCorrupt``."""
        return self._transaction(partial(read_life, agent=agent))

    def restore(
        self, life: Life, records: Iterable[tuple[int, bytes]], checkpoints: Iterable[tuple[int, bytes]]
    ) -> None:
        """Make an agent as it was elsewhere, whole or not at all.  Raises ``AgentExists``, ``StoreCorrupt``."""
        is_begun = False

        def write(connection: Connection) -> None:
            nonlocal is_begun
            if is_begun:  # what was read from the iterators is gone
                raise StoreUnavailable(f"agent {life.agent!r}: the server was lost; nothing was written, ask again")
            is_begun = True
            write_life(connection, life, records, checkpoints)

        self._transaction(write)

    # --- placements ----------------------------------------------------------------------------------

    def set_placements(self, group: Sequence[tuple[AgentId, bytes | None]]) -> None:
        """Keep where agents are wished to live (``None``: anywhere), all or none.  Raises ``UnknownAgent``."""

        def write(connection: Connection) -> None:
            for agent, data in group:
                number = number_of(connection, agent)
                connection.execute("DELETE FROM placements WHERE agent = %s", (number,))
                if data is not None:
                    connection.execute(
                        "INSERT INTO placements (agent, crc, data) VALUES (%s, %s, %s)",
                        (number, placement_crc(number, data), data),
                    )

        self._transaction(write)

    def placements(self) -> Iterator[tuple[AgentId, bytes]]:
        """The wishes of all agents that have one.  Raises ``StoreCorrupt``."""
        query = (
            "SELECT placements.agent, name, crc, data FROM placements JOIN agents ON agents.id = placements.agent"
            " WHERE placements.agent > %s ORDER BY placements.agent LIMIT %s"
        )
        last = 0
        while rows := self._rows(query, (last, ROWS_A_READ)):
            for number, name, crc, data in rows:
                if placement_crc(number, data) != crc:
                    raise StoreCorrupt(f"agent {name!r}: its placement fails its checksum")
                yield AgentId(name), data
            last = rows[-1][0]

    def close(self) -> None:
        """Leave the server.  Doing it twice does nothing."""
        failpoint("journal.close")
        self._session.close()

    def _rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._transaction(lambda connection: connection.execute(query.encode(), parameters).fetchall())


def _activate(connection: Connection, agent: AgentId, *, is_async: bool) -> Activation:
    if is_async:  # an epoch that the server's crash took back would be given twice
        connection.execute("SET LOCAL synchronous_commit TO on")
    number = number_of(connection, agent)
    definition = definition_of(connection, agent, number)
    # First, because it locks the row: what is read after it is what no append can change any more.
    connection.execute("UPDATE heads SET epoch = epoch + 1 WHERE agent = %s", (number,))
    epoch, next_seq = head_of(connection, agent, number)
    query = "SELECT seq, crc, data FROM snapshots WHERE agent = %s"
    found = connection.execute(query, (number,)).fetchone()
    snapshot_seq, snapshot = 0, None
    if found is not None:
        snapshot_seq, crc, snapshot = found
        if record_crc(number, snapshot_seq, snapshot) != crc:
            raise StoreCorrupt(f"agent {agent!r}: snapshot {snapshot_seq} fails its checksum")
    query = "SELECT seq, crc, data FROM records WHERE agent = %s AND seq > %s ORDER BY seq"
    rows = connection.execute(query, (number, snapshot_seq)).fetchall()
    records = tuple(data for _, data in checked_records(agent, number, snapshot_seq, rows))
    if snapshot_seq + len(records) + 1 != next_seq:
        raise StoreCorrupt(
            f"agent {agent!r}: records end at {snapshot_seq + len(records)}, {next_seq - 1} were written"
        )
    failpoint("journal.activate.before_commit")
    return Activation(agent, epoch, definition, snapshot, snapshot_seq, records)


def _append(connection: Connection, group: Sequence[Append]) -> list[Exception | None]:
    names = list({item.agent for item in group})
    rows = connection.execute(LOCK_HEADS, (names,)).fetchall()
    state = _Group({name: _Head(number, epoch, next_seq) for name, number, epoch, next_seq in rows})
    results = [_append_one(connection, item, state) for item in group]
    if state.rows:
        connection.execute(INSERT_RECORDS, _columns(state.rows, 4))
    moved = [(head.number, head.next_seq, head.wake_ms) for head in state.heads.values() if head.is_moved]
    if moved:
        connection.execute(MOVE_HEADS, _columns(moved, 3))
    if state.snapshots:
        saved = [(number, seq, record_crc(number, seq, data), data) for number, (seq, data) in state.snapshots.items()]
        connection.execute(SAVE_SNAPSHOTS, _columns(saved, 4))
    failpoint("journal.append.before_commit")
    return results


def _append_one(connection: Connection, item: Append, state: _Group) -> Exception | None:
    head = state.heads.get(item.agent)
    if head is None:
        return _no_head(connection, item.agent)
    if head.epoch != item.epoch:
        return StaleEpoch(f"agent {item.agent!r}: epoch {item.epoch} was superseded by {head.epoch}")
    if head.next_seq != item.first_seq:
        return _why_refused(connection, item, head, state)
    for seq, data in enumerate(item.records, item.first_seq):
        state.rows.append((head.number, seq, record_crc(head.number, seq, data), data))
    head.next_seq = item.first_seq + len(item.records)
    head.wake_ms, head.is_moved = item.wake_ms, True
    if item.snapshot is not None:
        state.snapshots[head.number] = (head.next_seq - 1, item.snapshot)
        _keep_checkpoint(connection, head.number, head.next_seq - 1, item.snapshot)
    return None


def _no_head(connection: Connection, agent: AgentId) -> Exception:
    try:
        number_of(connection, agent)
    except UnknownAgent as error:
        return error
    raise StoreCorrupt(f"agent {agent!r}: its epoch and next record number are missing")


def _why_refused(connection: Connection, item: Append, head: _Head, state: _Group) -> StaleEpoch | None:
    """Why an append did not fit its agent's head; ``None`` if it is there already, byte for byte."""
    last_seq = item.first_seq + len(item.records) - 1
    if item.records and last_seq < head.next_seq:
        query = "SELECT seq, data FROM records WHERE agent = %s AND seq BETWEEN %s AND %s"
        rows = connection.execute(query, (head.number, item.first_seq, last_seq)).fetchall()
        there: dict[int, bytes] = dict(rows)
        # An earlier append of this very group may be what it repeats.
        there |= {seq: data for number, seq, _, data in state.rows if number == head.number}
        if tuple(there.get(seq) for seq in range(item.first_seq, last_seq + 1)) == item.records:
            return None
    return StaleEpoch(f"agent {item.agent!r}: append at record {item.first_seq}, the next one is {head.next_seq}")


def _keep_checkpoint(connection: Connection, number: int, seq: int, data: bytes) -> None:
    """Keep a snapshot if the last that was kept is far enough behind, or it is of an agent's birth."""
    row = connection.execute("SELECT max(seq) FROM checkpoints WHERE agent = %s", (number,)).fetchone()
    last = 0 if row is None or row[0] is None else int(row[0])
    if seq == 0 or seq - last >= CHECKPOINT_RECORDS:
        connection.execute(KEEP_CHECKPOINT, (number, seq, checkpoint_crc(number, seq, data), data))


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[column] for row in rows] for column in range(width)]
