"""Opening the two stores of a shard together: ``FOLDER/shards/NN/journal.sqlite`` and ``.../archive/``."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pagefault.runtime.errors import ConfigError, StoreUnavailable
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.gateway import MemoryGateway
from pagefault.runtime.store.protocols import Archive, Embedder, Journal
from pagefault.runtime.store.space import OPEN_BYTES, require_space
from pagefault.runtime.store.sqlite import SqliteJournal

__all__ = ["ShardStores", "open_stores"]


@dataclass(frozen=True, slots=True)
class ShardStores:
    """The open stores of one shard.  Memory is read and written through ``gateway`` only."""

    journal: Journal
    archive: Archive
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


def open_stores(folder: Path, shard: int, embedder: Embedder, durability: str = "sync") -> ShardStores:
    """Open the stores of a shard, made if absent; on an error nothing new is left behind.

    Raises what :class:`~pagefault.runtime.store.sqlite.SqliteJournal` and
    :class:`~pagefault.runtime.store.edge.EdgeArchive` raise, and
    :class:`~pagefault.runtime.errors.ConfigError` for a negative shard.
    """
    if shard < 0:
        raise ConfigError("shard", shard, "a whole number from 0")
    place = Path(folder) / "shards" / f"{shard:02d}"
    require_space(place, OPEN_BYTES)
    missing = [path for path in (place, *place.parents) if not path.exists()]
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"{place}: cannot be made: {error.strerror}") from error
    journal: Journal | None = None
    try:
        journal = SqliteJournal(place / "journal.sqlite", durability)
        archive = EdgeArchive(place / "archive", embedder)
    except BaseException:
        # Whatever it was: the caller gets nothing that could be closed.
        if journal is not None:
            journal.close()
        if missing:
            shutil.rmtree(missing[-1], ignore_errors=True)
        raise
    return ShardStores(journal, archive, MemoryGateway(archive))
