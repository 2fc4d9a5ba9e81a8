"""What was done in environments, in the order in which it was done: a file from which they can be built up again.

An environment is a function of its seed and of the actions taken, so these are all that is kept: one row for each
beginning of an episode, each action, each step that did not wait, with a check of the moment that came of it.  A row
is committed before its player is told: an environment never forgets what an agent knows of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pagefault.runtime.errors import ConfigError, StoreCorrupt, StoreUnavailable
from pagefault.runtime.store.lock import OpenerLock

SYNCHRONOUS: Final = {"sync": "FULL", "async": "NORMAL", "exit": "OFF"}
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (
    place INTEGER PRIMARY KEY, world TEXT NOT NULL, kind TEXT NOT NULL, player TEXT NOT NULL, call_id TEXT NOT NULL,
    text TEXT NOT NULL, digest INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS rows_by_world ON rows (world, place);
CREATE TABLE IF NOT EXISTS saves (
    world TEXT PRIMARY KEY, place INTEGER NOT NULL, state TEXT NOT NULL, data BLOB NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Row:
    """Something that was done.

    ``kind``: ``begin`` (an episode), ``act`` (``text``: arguments as JSON), ``tick`` (a step for which not all had
    acted; ``text``: what the others did, as JSON), ``abandon`` (``text``: why) or ``illegal``.
    ``digest`` checks the moment after it.
    """

    world: str
    kind: str
    player: str = ""
    call_id: str = ""
    text: str = ""
    digest: int = 0


@dataclass(frozen=True, slots=True)
class Save:
    """An environment's own state at a row: ``state`` is what is known about it besides, as JSON."""

    world: str
    state: str
    data: bytes


class Ledger:
    """The rows of one arena.  ``path`` of ``None`` keeps them nowhere, for environments that need not come back.

    ``about`` says what is played; a file of something else is refused.  ``durability`` is that of a fleet
    (:class:`~pagefault.runtime.host.local.Local`).  Raises :class:`~pagefault.runtime.errors.ConfigError`,
    :class:`~pagefault.runtime.errors.StoreUnavailable` and :class:`~pagefault.runtime.errors.StoreCorrupt`.
    """

    def __init__(self, path: Path | None, about: str, *, durability: str = "sync", in_threads: bool = True) -> None:
        if durability not in SYNCHRONOUS:
            raise ConfigError("durability", durability, ", ".join(SYNCHRONOUS))
        self._in_threads = in_threads
        self._waiting: list[Row | Save] = []
        self._added = self._written = 0
        self._turn = asyncio.Lock()
        self._writing = threading.Lock()  # a commit that was cancelled may still be at it, in its thread
        self._lock: OpenerLock | None = None
        self._database: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"{path.parent}: cannot be made: {error.strerror}") from error
        self._lock = OpenerLock(path.with_suffix(".lock"))
        try:
            self._database = self._open(path, SYNCHRONOUS[durability])
            self._check(path, about)
        except BaseException:  # whatever it was: the next opener may come in
            self.close()
            raise

    def _open(self, path: Path, synchronous: str) -> sqlite3.Connection:
        try:
            database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA synchronous = {synchronous}")
            database.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise _ours(path, error) from error
        return database

    def _check(self, path: Path, about: str) -> None:
        assert self._database is not None
        self._database.execute("INSERT OR IGNORE INTO about VALUES ('played', ?)", (about,))
        (found,) = self._database.execute("SELECT value FROM about WHERE key = 'played'").fetchone()
        if found != about:
            raise ConfigError(
                "folder", str(path), f"a folder in which nothing was played yet, or {about}; it has {found}"
            )

    def rows(self, world: str) -> Iterator[Row]:
        """The rows of one environment since its last save, in order."""
        if self._database is None:
            return
        query = (
            "SELECT world, kind, player, call_id, text, digest FROM rows WHERE world = ?"
            " AND place > coalesce((SELECT place FROM saves WHERE world = ?), 0) ORDER BY place"
        )
        try:
            for row in self._database.execute(query, (world, world)):
                yield Row(*row)
        except sqlite3.DatabaseError as error:
            raise StoreCorrupt(f"the ledger of {world} cannot be read: {error}") from error

    def last_save(self, world: str) -> Save | None:
        """The environment's last save, if it has one."""
        if self._database is None:
            return None
        found = self._database.execute("SELECT world, state, data FROM saves WHERE world = ?", (world,)).fetchone()
        return None if found is None else Save(*found)

    def add(self, entry: Row | Save) -> None:
        """Write something down; it is kept for good after :meth:`commit`."""
        if self._database is not None:
            self._waiting.append(entry)
            self._added += 1

    async def commit(self) -> None:
        """Return when all that was written down is kept.  What others wrote meanwhile goes along.

        Raises :class:`~pagefault.runtime.errors.StoreUnavailable`; then it is tried again with the next commit.
        """
        wanted = self._added
        while self._written < wanted:
            async with self._turn:
                if self._written >= wanted:
                    break
                if self._in_threads:
                    await asyncio.shield(asyncio.to_thread(self._write))
                else:
                    self._write()

    def _write(self) -> None:
        with self._writing:
            batch = self._waiting[:]
            self._insert(batch)
            del self._waiting[: len(batch)]
            self._written += len(batch)

    def _insert(self, batch: list[Row | Save]) -> None:
        database = self._database
        if database is None:
            raise StoreUnavailable("the ledger is closed")
        try:
            database.execute("BEGIN IMMEDIATE")
            for entry in batch:
                if isinstance(entry, Save):
                    database.execute(
                        "INSERT OR REPLACE INTO saves SELECT ?, coalesce(max(place), 0), ?, ? FROM rows",
                        (entry.world, entry.state, entry.data),
                    )
                else:
                    row = (entry.world, entry.kind, entry.player, entry.call_id, entry.text, entry.digest)
                    database.execute(
                        "INSERT INTO rows (world, kind, player, call_id, text, digest) VALUES (?, ?, ?, ?, ?, ?)", row
                    )
            database.execute("COMMIT")
        except sqlite3.Error as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise StoreUnavailable(f"the ledger cannot be written: {error}") from error

    def close(self) -> None:
        """Let the next opener in.  Doing it twice does nothing."""
        with self._writing:
            if self._database is not None:
                self._database.close()
                self._database = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _ours(path: Path, error: sqlite3.DatabaseError) -> StoreUnavailable | StoreCorrupt:
    if isinstance(error, sqlite3.OperationalError):
        return StoreUnavailable(f"{path}: cannot be opened: {error}")
    return StoreCorrupt(f"{path}: is no ledger: {error}")
