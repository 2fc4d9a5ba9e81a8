"""The archive in Qdrant's engine, inside the process (``qdrant-edge-py``).

An archive is a folder: ``shard/`` is the engine's, ``embedding.json`` says which embedder made the vectors.
Every page is a point with the text's dense vector, its words as a BM25 sparse vector, and the payload of
:mod:`pagefault.runtime.store.points`.  Owners are told apart by a keyword index that the engine knows as the
tenant; the statistics of BM25 are those of the owner's pages, not of the shard.

The engine logs every write ahead: what was upserted survives ``kill -9``.  Nothing here is the truth: an
archive that is lost can be written again from the journals.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

from pagefault.runtime.errors import EmbeddingMismatch, StoreCorrupt, StoreUnavailable
from pagefault.runtime.store.archive import PointArchive
from pagefault.runtime.store.edge_shard import EdgeShard
from pagefault.runtime.store.lock import OpenerLock
from pagefault.runtime.store.protocols import Embedder
from pagefault.runtime.store.space import WRITE_BYTES, require_space

__all__ = ["EdgeArchive"]

SCHEMA_VERSION: Final = 1


class EdgeArchive(PointArchive):
    """An :class:`~pagefault.runtime.store.protocols.Archive` in the folder ``path``, made if absent.

    Threads may share it; they wait for each other.

    Raises :class:`~pagefault.runtime.errors.EmbeddingMismatch` when the folder's vectors were made by
    another embedder, :class:`~pagefault.runtime.errors.StoreUnavailable` when it is open elsewhere or
    cannot be made, :class:`~pagefault.runtime.errors.StoreCorrupt` when the engine cannot read it.
    """

    def __init__(self, path: Path, embedder: Embedder) -> None:
        self._path = Path(path)
        self._lock = OpenerLock(self._path.with_name(self._path.name + ".lock"))
        try:
            if not self._path.exists():
                self._make(embedder)
            self._check_embedding(embedder)
            super().__init__(EdgeShard(self._path / "shard"), embedder)
        except BaseException:
            # Whatever it was: there is no object yet that could let the lock go.
            self._lock.release()
            raise

    def _make(self, embedder: Embedder) -> None:
        """All or nothing: made beside, then given its name."""
        making = self._path.with_name(self._path.name + ".making")
        try:
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            EdgeShard.make(making / "shard", embedder.dimension)
            about = {
                "schema": SCHEMA_VERSION,
                "embedder": embedder.name,
                "dimension": embedder.dimension,
            }
            (making / "embedding.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
            making.rename(self._path)
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: cannot be made: {error}") from error
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def _check_embedding(self, ours: Embedder) -> None:
        file = self._path / "embedding.json"
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            schema, name, dimension = about["schema"], about["embedder"], about["dimension"]
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: is no archive of Pagefault: {error}") from error
        except (ValueError, LookupError, TypeError) as error:
            raise StoreCorrupt(f"{file}: does not say which embedder was used: {error!r}") from error
        if schema != SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{self._path}: has archive schema {schema!r}, this release reads and writes {SCHEMA_VERSION}"
            )
        if (name, dimension) != (ours.name, ours.dimension):
            raise EmbeddingMismatch(
                f"{self._path}: its vectors were made by {name} ({dimension} numbers), configured is {ours.name} "
                f"({ours.dimension}): configure the former, or write the archive anew: pagefault store rebuild"
            )

    def _require_room(self) -> None:
        require_space(self._path, WRITE_BYTES)

    def close(self) -> None:
        """Flush, close, and let the next opener in.  Doing it twice does nothing."""
        try:
            super().close()
        finally:
            self._lock.release()
