"""One connection to a PostgreSQL server, in our words: how it is opened, mended and named in errors.

A shard's tables are in a schema of their own (``pagefault_00`` and so on), so that all shards of a fleet may share a
database.  Nothing keeps a second opener out: a lock that a dead node holds until the network notices would keep
a cluster from outliving that node.  Epochs, and rows locked in one order, make it right whoever else writes.

``durability``: ``sync`` waits for the server's disk (``synchronous_commit = on``, or stronger where the server says
so).  ``async`` survives the death of every process of ours; a crash of the server can lose what was committed in
about its last second.  ``exit`` is for one file and one process, and is refused.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pagefault.runtime.errors import ConfigError, StoreCorrupt, StoreError, StoreUnavailable
from pagefault.runtime.store.postgres_schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION

try:
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import conninfo_to_dict
except ImportError as problem:  # not the extra `postgres`, or no libpq: said to whoever asks for such a journal
    _MISSING = str(problem)
else:
    _MISSING = ""

__all__ = ["Connection", "Place", "PostgresSession", "ServerFacts", "count_shards", "server_facts"]

T = TypeVar("T")
Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

NAMESPACE: Final = "pagefault"
NAMESPACE_ALLOWED: Final = re.compile(r"[a-z_][a-z0-9_]{0,49}")
SYNCHRONOUS_COMMIT: Final = {"sync": "", "async": "off"}
DEFAULTS: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "pagefault",
}
"""A server that is gone without a word is noticed within half a minute; the address may say otherwise."""
TRIES: Final = 4
"""How often a transaction is begun that met another one the wrong way round, or an old connection."""
RETRIED: Final = frozenset({"40001", "40P01"})  # serialization failure, deadlock: nothing was written
CORRUPT: Final = frozenset({"XX001", "XX002"})  # damaged data, damaged index


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shard's tables are.  ``parameters`` are libpq's, secrets included; ``str()`` is for people, without."""

    parameters: dict[str, str]
    schema: str

    @classmethod
    def of(cls, address: str, shard: int) -> Place:
        """Read an address such as ``postgresql://user:password@host:5432/database?namespace=my_fleet``.

        ``namespace`` is ours (``pagefault`` by default): two fleets may share a database under two of them.  All
        else is libpq's, which also looks into its environment variables and password file.  Raises
        :class:`~pagefault.runtime.errors.ConfigError`, which repeats nothing that may be a password.
        """
        if _MISSING:
            allowed = f"pip install 'pagefault[postgres]', which this address needs ({_MISSING})"
            raise ConfigError("journal", "postgresql://...", allowed)
        try:
            parts = urlsplit(address)
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            namespace = options.pop("namespace", NAMESPACE)
            given = conninfo_to_dict(urlunsplit(parts._replace(query=urlencode(options))))
        except (ValueError, psycopg.Error):
            allowed = "an address such as postgresql://user:password@host:5432/database?namespace=my_fleet"
            raise ConfigError("journal", "an address that libpq cannot read", allowed) from None
        if not NAMESPACE_ALLOWED.fullmatch(namespace):
            raise ConfigError("journal (namespace)", namespace, "small letters, digits and _, 50 at most")
        return cls(DEFAULTS | {key: str(value) for key, value in given.items()}, f"{namespace}_{shard:02d}")

    def __str__(self) -> str:
        user, port = self.parameters.get("user", ""), self.parameters.get("port", "")
        where = f"{user}@" if user else ""
        where += self.parameters.get("host", "") + (f":{port}" if port else "")
        return f"postgresql://{where}/{self.parameters.get('dbname', '')} ({self.schema})"

    def __repr__(self) -> str:
        return f"Place({self})"

    def without_password(self, text: str) -> str:
        """What a library says, with the password taken out should it be in it."""
        password = self.parameters.get("password", "")
        return text.replace(password, "***") if password else text


class PostgresSession:
    """A connection that is made anew when it broke.  Threads may share it; they wait for each other.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for an address or ``durability`` that cannot be,
    :class:`~pagefault.runtime.errors.StoreUnavailable` when the server cannot be reached, refuses us, or has tables
    of a newer release.
    """

    def __init__(self, address: str, shard: int, durability: str) -> None:
        if durability not in SYNCHRONOUS_COMMIT:
            raise ConfigError("durability", durability, "'sync' or 'async' with a journal in PostgreSQL")
        self.place = Place.of(address, shard)
        self._durability = durability
        self._mutex = threading.RLock()
        self._is_closed = False
        self._connection: Connection | None = None
        try:
            self.transaction(self._prepare)
        except BaseException:  # whatever it was: there is no object yet that could be closed
            self.close()
            raise

    def transaction(self, work: Callable[[Connection], T]) -> T:
        """All or nothing: what ``work`` did is committed when this returns, and undone if it or the server failed.

        ``work`` is done again where that is certain to be safe: after a deadlock, and when the connection
        turned out to be an old one.  A connection that breaks while the server commits leaves open whether it did:
        :class:`~pagefault.runtime.errors.StoreUnavailable` says so.
        """
        with self._mutex:
            for turn in range(TRIES):
                was_open = self._connection is not None and not self._connection.closed
                connection = self._live()
                is_committing = False
                try:
                    connection.execute("BEGIN")
                    result = work(connection)
                    is_committing = True
                    connection.execute("COMMIT")
                except (psycopg.Error, UnicodeError) as error:
                    self._undo(connection)
                    is_old = was_open and connection.closed and not is_committing
                    if turn + 1 < TRIES and (is_old or getattr(error, "sqlstate", None) in RETRIED):
                        continue
                    raise self._error(error, is_committing=is_committing and connection.closed) from error
                except BaseException:
                    # Whatever it was, a cancelled thread included: leave no transaction open behind it.
                    self._undo(connection)
                    raise
                return result
            raise AssertionError("the last turn returns or raises")

    def close(self) -> None:
        """Leave the server.  Doing it twice does nothing."""
        with self._mutex:
            self._is_closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.close()

    def _undo(self, connection: Connection) -> None:
        if not connection.closed:
            try:
                connection.execute("ROLLBACK")
            except psycopg.Error:
                connection.close()
        if connection.closed:
            self._connection = None

    def _live(self) -> Connection:
        if self._is_closed:
            raise StoreUnavailable(f"{self.place}: the journal is closed")
        if self._connection is None or self._connection.closed:
            try:
                self._connection = self._connect()
            except (psycopg.Error, UnicodeError) as error:
                raise self._error(error, is_committing=False) from error
        return self._connection

    def _connect(self) -> Connection:
        # Our own statements begin and end transactions, so that one of them is one place to look.
        connection = psycopg.connect(**self.place.parameters, autocommit=True)  # type: ignore[arg-type]  # as libpq's
        try:
            connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self.place.schema)))
            connection.execute("SET default_transaction_isolation TO 'read committed'")
            if setting := SYNCHRONOUS_COMMIT[self._durability]:
                connection.execute(sql.SQL("SET synchronous_commit TO {}").format(sql.Literal(setting)))
                return connection
            self._check_lasting(connection)
        except BaseException:  # whatever it was: nobody else has the connection yet
            connection.close()
            raise
        return connection

    def _check_lasting(self, connection: Connection) -> None:
        row = connection.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')").fetchone()
        if row is None or "off" in row:
            allowed = "a server with fsync and synchronous_commit on, or durability 'async'"
            raise ConfigError("journal", f"{self.place}, where one of them is off", allowed)

    def _prepare(self, connection: Connection) -> None:
        """Make the tables, or bring those of an older release up, whoever else opens them at the same time."""
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (self.place.schema,))
        there = connection.execute("SELECT to_regclass(%s)", (f"{self.place.schema}.pagefault_meta",)).fetchone()
        if there is None or there[0] is None:
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.place.schema)))
            found = connection.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = %s", (self.place.schema,)
            ).fetchone()
            if found is None or found[0]:
                raise StoreUnavailable(f"{self.place}: has tables, but is no Pagefault journal")
            connection.execute(SCHEMA)
            connection.execute("INSERT INTO pagefault_meta (version) VALUES (%s)", (SCHEMA_VERSION,))
            return
        row = connection.execute("SELECT version FROM pagefault_meta").fetchone()
        version = 0 if row is None else int(row[0])
        if version != SCHEMA_VERSION and version not in MIGRATIONS:
            raise StoreUnavailable(
                f"{self.place}: has journal schema {version}, this release reads and writes {SCHEMA_VERSION}"
            )
        for older in range(version, SCHEMA_VERSION):
            connection.execute(MIGRATIONS[older])
            connection.execute("UPDATE pagefault_meta SET version = %s", (older + 1,))

    def _error(self, error: psycopg.Error | UnicodeError, *, is_committing: bool) -> StoreError | ConfigError:
        """An error of the library in our words, naming the place."""
        said = self.place.without_password(" ".join(str(error).split()))
        if isinstance(error, psycopg.DataError | UnicodeError) and not isinstance(error, UnicodeDecodeError):
            return ConfigError("journal", said, "text without NUL characters and lone surrogates")
        code = getattr(error, "sqlstate", None) or ""
        if code in CORRUPT or isinstance(error, psycopg.IntegrityError | UnicodeDecodeError):
            return StoreCorrupt(f"{self.place}: damaged: {said}")
        if is_committing:
            return StoreUnavailable(f"{self.place}: the server was lost while it committed, and may have: {said}")
        return StoreUnavailable(f"{self.place}: cannot be read or written now: {said}" + (f" ({code})" if code else ""))


def count_shards(address: str) -> int:
    """How many shards have journals in the database, under the namespace, of an address.  Makes nothing.

    Raises :class:`~pagefault.runtime.errors.StoreUnavailable`.
    """
    place = Place.of(address, 0)
    namespace = place.schema.removesuffix("00")
    asked = "SELECT count(*) FROM pg_tables WHERE tablename = 'pagefault_meta' AND schemaname ~ %s"
    try:
        with psycopg.connect(**place.parameters, autocommit=True) as connection:  # type: ignore[arg-type]  # as libpq's
            row = connection.execute(asked, (f"^{namespace}[0-9]{{2,}}$",)).fetchone()
    except psycopg.Error as error:
        said = place.without_password(" ".join(str(error).split()))
        raise StoreUnavailable(f"{place}: cannot be asked for its shards: {said}") from error
    return 0 if row is None else int(row[0])


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a database says about itself.  ``version`` as 170002 is 17.2; ``clock_s`` since 1970, UTC.

    ``may_create``: whether this user may make the schemas of new shards; ``schemas``: of shards that are there, each
    with the number of its journal's schema, -1 where this user may not read it.
    """

    version: int
    fsync: str
    synchronous_commit: str
    clock_s: float
    may_create: bool
    connections_max: int
    schemas: tuple[tuple[str, int], ...]


def server_facts(address: str, timeout_s: int) -> ServerFacts:
    """Ask a database about itself; changes nothing.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for an address that cannot be, and
    :class:`~pagefault.runtime.errors.StoreUnavailable` where it cannot be asked.
    """
    place = Place.of(address, 0)
    namespace = place.schema.removesuffix("00")
    parameters: dict[str, Any] = place.parameters | {"connect_timeout": str(timeout_s)}
    asked = (
        "SELECT current_setting('server_version_num')::int, current_setting('fsync'), "
        "current_setting('synchronous_commit'), extract(epoch FROM clock_timestamp())::float8, "
        "has_database_privilege(current_database(), 'CREATE'), current_setting('max_connections')::int"
    )
    there = (
        "SELECT schemaname, "
        "has_table_privilege(format('%%I.pagefault_meta', schemaname), 'SELECT,INSERT,UPDATE,DELETE') "
        "FROM pg_tables WHERE tablename = 'pagefault_meta' AND schemaname ~ %s ORDER BY schemaname"
    )
    try:
        with psycopg.connect(**parameters, autocommit=True) as connection:
            connection.execute(sql.SQL("SET statement_timeout TO {}").format(sql.Literal(timeout_s * 1000)))
            row = connection.execute(asked).fetchone()
            assert row is not None, "a SELECT without FROM has one row"
            schemas = []
            for name, may in connection.execute(there, (f"^{namespace}[0-9]{{2,}}$",)).fetchall():
                query = sql.SQL("SELECT version FROM {}.pagefault_meta").format(sql.Identifier(name))
                found = connection.execute(query).fetchone() if may else None
                schemas.append((str(name), -1 if found is None else int(found[0])))
    except (psycopg.Error, UnicodeError) as error:
        said = place.without_password(" ".join(str(error).split()))
        raise StoreUnavailable(f"{place}: cannot be asked: {said}") from error
    version, fsync, commit, clock_s, may_create, connections_max = row
    return ServerFacts(version, fsync, commit, clock_s, may_create, connections_max, tuple(schemas))
