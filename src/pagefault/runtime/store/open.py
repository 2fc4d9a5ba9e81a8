"""Opening the two stores of a shard together, by the drivers that are chosen for them.

Embedded, they are ``FOLDER/shards/NN/journal.sqlite`` and ``FOLDER/shards/NN/archive/``.
"""

from __future__ import annotations

import importlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pagefault.runtime.errors import ConfigError, StoreUnavailable
from pagefault.runtime.store.archive import PointArchive
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.gateway import MemoryGateway
from pagefault.runtime.store.protocols import Embedder, PortableJournal
from pagefault.runtime.store.server_address import is_postgres, is_server
from pagefault.runtime.store.space import OPEN_BYTES, require_space
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.store.swap import finish_swap

__all__ = [
    "EDGE",
    "JOURNAL_FILE",
    "SQLITE",
    "ShardStores",
    "check_drivers",
    "open_archive",
    "open_journal",
    "open_stores",
    "require_shards",
    "shard_count",
    "shard_folder",
]

SQLITE: Final = "sqlite"
EDGE: Final = "edge"
JOURNAL_FILE: Final = "journal.sqlite"
SERVER: Final = "pagefault.runtime.store.server"
POSTGRES: Final = "pagefault.runtime.store.postgres"
SESSION: Final = "pagefault.runtime.store.postgres_session"
"""Loaded where a store is in a server: the clients take half a second to load."""


@dataclass(frozen=True, slots=True)
class ShardStores:
    """The open stores of one shard.  Memory is read and written through ``gateway`` only."""

    journal: PortableJournal
    archive: PointArchive
    gateway: MemoryGateway

    def close(self) -> None:
        """Write what waits for the archive if that can be done, and close both stores."""
        try:
            self.gateway.flush_if_possible()
        finally:
            try:
                self.archive.close()
            finally:
                self.journal.close()


def open_stores(
    folder: Path,
    shard: int,
    embedder: Embedder,
    durability: str = "sync",
    *,
    journal: str = SQLITE,
    archive: str = EDGE,
) -> ShardStores:
    """Open the stores of a shard, made if absent; on an error nothing new is left behind.

    ``journal`` is ``sqlite`` or the address of a PostgreSQL database, ``archive`` is ``edge`` or that of a Qdrant
    server.  Only what is embedded is in the folder.

    Raises what :class:`~pagefault.runtime.store.sqlite.SqliteJournal`,
    :class:`~pagefault.runtime.store.postgres.PostgresJournal`, :class:`~pagefault.runtime.store.edge.EdgeArchive` and
    :class:`~pagefault.runtime.store.server.ServerArchive` raise, and
    :class:`~pagefault.runtime.errors.ConfigError` for a negative shard or another driver.
    """
    if shard < 0:
        raise ConfigError("shard", shard, "a whole number from 0")
    check_drivers(journal, archive)
    place = shard_folder(folder, shard)
    missing: list[Path] = []
    if journal == SQLITE or archive == EDGE:
        missing = _make(place)
    opened: PortableJournal | None = None
    try:
        opened = open_journal(place / JOURNAL_FILE, shard, durability, journal)
        pages = open_archive(place / "archive", embedder, archive)
    except BaseException:
        # Whatever it was: the caller gets nothing that could be closed.
        if opened is not None:
            opened.close()
        if missing:
            shutil.rmtree(missing[-1], ignore_errors=True)
        raise
    return ShardStores(opened, pages, MemoryGateway(pages))


def open_journal(path: Path, shard: int, durability: str, journal: str = SQLITE) -> PortableJournal:
    """The journal of a shard: the file ``path``, or the shard's tables in a database; as :func:`open_stores`."""
    if journal == SQLITE:
        return SqliteJournal(path, durability)
    opened: PortableJournal = importlib.import_module(POSTGRES).PostgresJournal(journal, shard, durability)
    return opened


def open_archive(path: Path, embedder: Embedder, archive: str = EDGE) -> PointArchive:
    """The folder ``path``, or a Qdrant server; as :func:`open_stores`."""
    if archive != EDGE:
        opened: PointArchive = importlib.import_module(SERVER).ServerArchive(archive, embedder)
        return opened
    try:
        finish_swap(path)
    except OSError as error:
        raise StoreUnavailable(f"{path}: cannot be given its name: {error.strerror}") from error
    return EdgeArchive(path, embedder)


def check_drivers(journal: str, archive: str) -> None:
    """Raise :class:`~pagefault.runtime.errors.ConfigError` for drivers that there are not; opens nothing.

    What was found is not repeated where it may be an address with a password in it.
    """
    if journal != SQLITE and not is_postgres(journal):
        found = "an address" if "/" in journal else journal
        raise ConfigError("journal", found, "sqlite, or postgresql://user:password@host/database")
    if archive != EDGE and not is_server(archive):
        found = "an address" if "/" in archive else archive
        raise ConfigError("archive", found, "edge, or http://host:6333")


def shard_folder(folder: Path, shard: int) -> Path:
    """Where what is embedded of a shard is kept."""
    return Path(folder) / "shards" / f"{shard:02d}"


def shard_count(folder: Path, journal: str = SQLITE) -> int:
    """How many shards there are journals of: in the folder, or in the database ``journal``.  Makes nothing.

    Raises :class:`~pagefault.runtime.errors.StoreUnavailable` for a database that cannot be asked.
    """
    check_drivers(journal, EDGE)
    if journal == SQLITE:
        return len(list(Path(folder).glob(f"shards/*/{JOURNAL_FILE}")))
    return int(importlib.import_module(SESSION).count_shards(journal))


def require_shards(folder: Path, journal: str = SQLITE) -> int:
    """As :func:`shard_count`; raises :class:`~pagefault.runtime.errors.StoreUnavailable` where there are none."""
    shards = shard_count(folder, journal)
    if not shards:
        where = f"{folder}" if journal == SQLITE else "the database"
        raise StoreUnavailable(
            f"{where}: holds no journal: it is not the {'folder' if journal == SQLITE else 'database'} of a fleet"
        )
    return shards


def _make(place: Path) -> list[Path]:
    """Make a folder; returns what was not there before, itself first."""
    require_space(place, OPEN_BYTES)
    missing = [path for path in (place, *place.parents) if not path.exists()]
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"{place}: cannot be made: {error.strerror}") from error
    return missing
