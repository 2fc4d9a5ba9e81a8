"""The file of a journal in SQLite: how it is opened, and when what is written to it is safe.

``durability`` says when an append is acknowledged:

- ``sync``: when it survives a power cut (``synchronous=FULL``: one ``fsync`` a group).
- ``async``: when it survives the death of every process.  A thread brings the log to the disk every
  :data:`ASYNC_WINDOW_MS`, so a power cut takes at most what was committed in that time and while it did so.
- ``exit``: at once.  Everything is one transaction, which is committed when the journal is closed: whatever ends the
  process before that, what was done since it was opened is as if it had never been.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from pagefault.runtime.errors import ConfigError, StoreCorrupt, StoreError, StoreUnavailable
from pagefault.runtime.failpoints import failpoint
from pagefault.runtime.store.lock import OpenerLock
from pagefault.runtime.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA, SCHEMA_VERSION

__all__ = ["DURABILITY", "JournalFile"]

T = TypeVar("T")

DURABILITY: Final = {"sync": "FULL", "async": "NORMAL", "exit": "OFF"}
"""What may be asked for, and what SQLite calls it."""
ASYNC_WINDOW_MS: Final = 100
CHECKPOINT_PAGES: Final = 4000
"""The write-ahead log is folded into the file at 16 MB: four times SQLite's default, a quarter of the pauses."""
SQLITE_NEEDED: Final = (3, 37)
"""The first release with STRICT tables."""


class JournalFile:
    """One opened file and its connection.  Threads may share it; they wait for each other.

    Raises what :class:`~pagefault.runtime.store.sqlite.SqliteJournal` raises; then nothing is left behind.
    """

    def __init__(self, path: Path, durability: str) -> None:
        if durability not in DURABILITY:
            raise ConfigError("durability", durability, " or ".join(map(repr, DURABILITY)))
        if sqlite3.sqlite_version_info < SQLITE_NEEDED:
            raise StoreUnavailable(f"SQLite {sqlite3.sqlite_version} is too old, 3.37 or newer is needed")
        self.path = Path(path)
        self._mutex = threading.Lock()
        self._lock = OpenerLock(self._sibling(".lock"))
        self._is_lasting = durability == "exit"
        self._syncer: LogSyncer | None = None
        is_new = not self.path.exists()
        self._connection: sqlite3.Connection | None = None
        try:
            with self._errors():
                self._connection = self._open(durability)
                if self._is_lasting:
                    self._connection.execute("BEGIN IMMEDIATE")
        except StoreError:
            if self._connection is not None:
                self._connection.close()
            if is_new:
                for suffix in ("", "-wal", "-shm"):
                    self._sibling(suffix).unlink(missing_ok=True)
            self._lock.release()
            raise
        if durability == "async":
            self._syncer = LogSyncer(self._sibling("-wal"))
            self._syncer.is_needed.set()  # a process that died may have left what nobody synced

    def _sibling(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _open(self, durability: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self._connection = connection
        connection.execute(f"PRAGMA synchronous = {DURABILITY[durability]}")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables == 0 and application == 0:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA}"
                f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif application != APPLICATION_ID:
            raise StoreUnavailable(f"{self.path}: is a SQLite file, but not a Pagefault journal")
        elif version != SCHEMA_VERSION and version not in MIGRATIONS:
            raise StoreUnavailable(
                f"{self.path}: has journal schema {version}, this release reads and writes {SCHEMA_VERSION}"
            )
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            for older in range(version, SCHEMA_VERSION):
                connection.executescript(
                    f"BEGIN IMMEDIATE; {MIGRATIONS[older]} PRAGMA user_version = {older + 1}; COMMIT;"
                )
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        return connection

    @contextmanager
    def transaction(self, *, is_synced: bool = False) -> Iterator[sqlite3.Connection]:
        """All or nothing: any exception out of the block rolls back.

        ``is_synced``: on the disk when this returns, and all before it, though others of ``async`` may come later.
        """
        with self._mutex, self._errors(), self._synced_if(is_synced and self._syncer is not None):
            connection = self._live()
            begin, commit, undo = LASTING if self._is_lasting else SHORT
            connection.execute(begin)
            try:
                yield connection
                connection.execute(commit)
            except BaseException:
                # Whatever it was, a cancelled thread included: leave no transaction open behind it.
                with suppress(sqlite3.Error):
                    for statement in undo:
                        connection.execute(statement)
                raise
            if self._syncer is not None:
                self._syncer.is_needed.set()

    @contextmanager
    def _synced_if(self, is_wanted: bool) -> Iterator[None]:
        if not is_wanted:
            yield
            return
        self._live().execute("PRAGMA synchronous = FULL")
        try:
            yield
        finally:
            if self._connection is not None:
                self._connection.execute(f"PRAGMA synchronous = {DURABILITY['async']}")

    def synchronous(self) -> int:
        """How far a commit goes now before it returns, as SQLite has it; also of a transaction under way."""
        (mode,) = self._live().execute("PRAGMA synchronous").fetchone()
        return int(mode)

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What ``query`` finds; nobody writes meanwhile."""
        with self._mutex, self._errors():
            return query(self._live())

    def close(self) -> None:
        """Fold the log into the file and let the next opener in.  Doing it twice does nothing.

        Raises :class:`~pagefault.runtime.errors.StoreUnavailable` when what ``exit`` put off cannot be written.
        """
        with self._mutex:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            failpoint("journal.close")
            try:
                if self._syncer is not None:
                    self._syncer.close()
                with self._errors():
                    if self._is_lasting:
                        connection.execute("COMMIT")
                        connection.execute("PRAGMA synchronous = FULL")  # for the checkpoint that closing makes
            finally:
                connection.close()
                self._lock.release()

    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailable(f"{self.path}: the journal is closed")
        return self._connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors in our words, naming the file."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "unknown error")
            if name == "SQLITE_NOTADB":
                raise StoreUnavailable(f"{self.path}: is not a SQLite database") from error
            if name.startswith(("SQLITE_CORRUPT", "SQLITE_CONSTRAINT")):
                raise StoreCorrupt(f"{self.path}: damaged: {error}") from error
            raise StoreUnavailable(f"{self.path}: cannot be read or written now: {error} ({name})") from error
        except (UnicodeDecodeError, TypeError, OverflowError) as error:
            # Damaged text, and damaged rows: what should be a number or bytes is read as something else.
            raise StoreCorrupt(f"{self.path}: damaged: {error}") from error


SHORT: Final = ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
LASTING: Final = ("SAVEPOINT one", "RELEASE one", ("ROLLBACK TO one", "RELEASE one"))
"""Begin, commit, undo: of a transaction, and of a part of the one that lasts until the file is closed."""


class LogSyncer:
    """Brings a write-ahead log to the disk again and again while there is something new in it."""

    def __init__(self, log_path: Path) -> None:
        self._path = log_path
        self._closed = threading.Event()
        self.is_needed = threading.Event()
        self.syncs = 0
        self._thread = threading.Thread(target=self._run, name="pagefault-fsync", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closed.wait(ASYNC_WINDOW_MS / 1000):
            if self.is_needed.is_set():
                self.is_needed.clear()
                self._sync()

    def _sync(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return  # folded into the file, and synced by that
        try:
            os.fsync(descriptor)
            self.syncs += 1
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Stop; what is new is synced by the checkpoint that follows."""
        self._closed.set()
        self._thread.join()
