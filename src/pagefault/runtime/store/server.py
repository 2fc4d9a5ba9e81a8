"""The archive in a Qdrant server, which all stores of a fleet may share, with the schema of the embedded engine.

A fleet's pages are one collection, whose metadata says which embedder made its vectors.
"""

from __future__ import annotations

from typing import Any, Final

from pagefault.runtime.errors import EmbeddingMismatch, StoreUnavailable
from pagefault.runtime.store.archive import PointArchive
from pagefault.runtime.store.protocols import Embedder
from pagefault.runtime.store.server_address import server_parts
from pagefault.runtime.store.server_points import ServerPoints, connect

__all__ = ["ServerArchive"]

SCHEMA_VERSION: Final = 1


class ServerArchive(PointArchive):
    """An :class:`~pagefault.runtime.store.protocols.Archive` at ``address``, its collection made if absent.

    ``address``: ``https://host:6333?collection=my_fleet``, ``pagefault`` by default; the key is taken from the
    environment's ``QDRANT_API_KEY``.  For tests also ``:memory:`` and a folder, the client's own engine: exact,
    without indexes, and slow above some 20,000 pages.

    Raises :class:`~pagefault.runtime.errors.EmbeddingMismatch` when the vectors were made by another embedder,
    :class:`~pagefault.runtime.errors.StoreUnavailable` when the server cannot be reached or the collection is
    somebody else's, :class:`~pagefault.runtime.errors.ConfigError` for an address that cannot be.
    """

    def __init__(self, address: str, embedder: Embedder, *, api_key: str | None = None) -> None:
        url, collection = server_parts(address)
        points = ServerPoints(connect(url, api_key), url, collection)
        try:
            about = {"pagefault_schema": SCHEMA_VERSION, "embedder": embedder.name, "dimension": embedder.dimension}
            self._check(url, collection, points.prepare(embedder.dimension, about), about)
        except BaseException:  # whatever it was: there is no object yet that could be closed
            points.close()
            raise
        super().__init__(points, embedder)

    @staticmethod
    def _check(url: str, collection: str, found: dict[str, Any], ours: dict[str, Any]) -> None:
        place = f"{url} (collection {collection})"
        if "pagefault_schema" not in found:
            raise StoreUnavailable(f"{place}: is no archive of Pagefault")
        if found["pagefault_schema"] != SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{place}: has archive schema {found['pagefault_schema']!r}, "
                f"this release reads and writes {SCHEMA_VERSION}"
            )
        if found != ours:
            raise EmbeddingMismatch(
                f"{place}: its vectors were made by {found.get('embedder')} ({found.get('dimension')} numbers), "
                f"configured is {ours['embedder']} ({ours['dimension']}): configure the former, or write the archive "
                "anew into another collection: pagefault store rebuild"
            )
