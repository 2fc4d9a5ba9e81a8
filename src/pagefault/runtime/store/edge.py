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
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pagefault.runtime.errors import ConfigError, EmbeddingMismatch, StoreCorrupt, StoreUnavailable, UnknownName
from pagefault.runtime.store.edge_shard import EdgeShard
from pagefault.runtime.store.hybrid import HybridSearch, Ranked
from pagefault.runtime.store.lexicon import shared_lexicon
from pagefault.runtime.store.lock import OpenerLock
from pagefault.runtime.store.points import (
    PRIVATE_SPACES,
    Scope,
    fields_of,
    owner_key,
    point_id,
    stored_from,
    tenant_prefix,
)
from pagefault.runtime.store.protocols import Embedder, Found, FoundPages, StoredPage, Vectors
from pagefault.runtime.store.space import WRITE_BYTES, require_space
from pagefault.runtime.values import AgentId, ArchiveQuery, PageId

__all__ = ["EdgeArchive"]

SCHEMA_VERSION: Final = 1
TERMS_ASKED_MAX: Final = 256
"""Words of a search by words that are looked for, the first ones."""


class EdgeArchive:
    """An :class:`~pagefault.runtime.store.protocols.Archive` in the folder ``path``, made if absent.

    Threads may share it; they wait for each other.

    Raises :class:`~pagefault.runtime.errors.EmbeddingMismatch` when the folder's vectors were made by
    another embedder, :class:`~pagefault.runtime.errors.StoreUnavailable` when it is open elsewhere or
    cannot be made, :class:`~pagefault.runtime.errors.StoreCorrupt` when the engine cannot read it.
    """

    def __init__(self, path: Path, embedder: Embedder) -> None:
        self._path = Path(path)
        self._embedder = embedder
        self._mutex = threading.Lock()
        self._lock = OpenerLock(self._path.with_name(self._path.name + ".lock"))
        try:
            if not self._path.exists():
                self._make()
            self._check_embedding()
            self._shard = EdgeShard(self._path / "shard")
        except BaseException:
            # Whatever it was: there is no object yet that could let the lock go.
            self._lock.release()
            raise
        self._hybrid = HybridSearch(self._shard, embedder)

    def _make(self) -> None:
        """All or nothing: made beside, then given its name."""
        making = self._path.with_name(self._path.name + ".making")
        try:
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            EdgeShard.make(making / "shard", self._embedder.dimension)
            about = {
                "schema": SCHEMA_VERSION,
                "embedder": self._embedder.name,
                "dimension": self._embedder.dimension,
            }
            (making / "embedding.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
            making.rename(self._path)
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: cannot be made: {error}") from error
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def _check_embedding(self) -> None:
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
        ours = self._embedder
        if (name, dimension) != (ours.name, ours.dimension):
            raise EmbeddingMismatch(
                f"{self._path}: its vectors were made by {name} ({dimension} numbers), configured is {ours.name} "
                f"({ours.dimension}): configure the former, or write the archive anew from the journals"
            )

    # --- writing -------------------------------------------------------------------------------------

    def upsert(self, pages: Sequence[StoredPage]) -> None:
        """Write pages under deterministic ids; one with a lower ``seq`` than what is stored loses."""
        require_space(self._path, WRITE_BYTES)
        newest: dict[int, StoredPage] = {}
        for stored in pages:
            point = point_id(stored.tenant, stored.agent, stored.page.id)
            if point not in newest or stored.seq >= newest[point].seq:
                newest[point] = stored
        with self._mutex:
            for point, text in self._shard.texts(list(newest)).items():
                if stored_from(text).seq > newest[point].seq:
                    del newest[point]
            if not newest:
                return
            vectors = self._embed([stored.page.text for stored in newest.values()]).tolist()
            lexicon = shared_lexicon()
            self._shard.upsert(
                [
                    (point, stored, vector, lexicon.terms(stored.page.text) + lexicon.terms(stored.page.author))
                    for (point, stored), vector in zip(newest.items(), vectors, strict=True)
                ]
            )
            self._hybrid.forget(newest)
            for stored in newest.values():
                if stored.page.author:
                    self._hybrid.met(owner_key(stored.tenant, stored.agent, stored.page.space), stored.page.author)

    def delete(self, tenant: str, agent: AgentId, page_ids: Sequence[PageId]) -> None:
        """Take an agent's pages out; those that are not there are passed over."""
        points = [point_id(tenant, agent, page) for page in page_ids]
        with self._mutex:
            if points:
                self._shard.delete(points)
                self._hybrid.forget(points)

    def _embed(self, texts: list[str]) -> Vectors:
        vectors = self._embedder.embed(texts)
        if vectors.shape != (len(texts), self._embedder.dimension) or not np.isfinite(vectors).all():
            raise EmbeddingMismatch(
                f"{self._embedder.name}: {len(texts)} vectors of {self._embedder.dimension} finite numbers were "
                f"needed, it made an array of shape {vectors.shape}"
            )
        return vectors

    # --- reading -------------------------------------------------------------------------------------

    def get(self, tenant: str, agent: AgentId, page_ids: Sequence[PageId]) -> list[StoredPage]:
        """The pages that exist, in the order asked for, from the agent's private spaces."""
        points = [point_id(tenant, agent, page) for page in page_ids]
        with self._mutex:
            texts = self._shard.texts(list(dict.fromkeys(points)))
        found = [stored_from(texts[point]) for point in points if point in texts]
        return [stored for stored in found if stored.page.space in PRIVATE_SPACES]

    def count(self, tenant: str, agent: AgentId | None = None, spaces: Sequence[str] = ()) -> int:
        """How many pages: of the whole tenant, of an agent's private spaces, or of the spaces that are named.

        Raises ``ConfigError`` for a private space without an agent.
        """
        if agent is None and not PRIVATE_SPACES.isdisjoint(spaces):
            raise ConfigError("spaces", tuple(spaces), "shared spaces, where no agent is named")
        with self._mutex:
            if agent is None and not spaces:
                return self._shard.count_prefix(tenant_prefix(tenant))
            owner = AgentId("") if agent is None else agent
            named = tuple(spaces) or tuple(sorted(PRIVATE_SPACES))
            return self._shard.count(Scope(tuple(owner_key(tenant, owner, space) for space in named)))

    def search(self, tenant: str, agent: AgentId, query: ArchiveQuery) -> FoundPages:
        """See :class:`~pagefault.runtime.store.protocols.Archive`.

        ``substring`` reads all pages that pass the filters and answers oldest first, ``words`` ranks all that
        hold one of the words; the work of the others does not grow with the number of pages.

        Raises ``ConfigError`` for a page of results that cannot be, ``UnknownName`` for another mode.
        """
        if query.offset < 0 or query.limit < 1:
            raise ConfigError("query (offset, limit)", (query.offset, query.limit), "offset from 0, limit from 1")
        scope = Scope.of(tenant, agent, query)
        if not scope.owners:
            return FoundPages((), 0)
        first, last = query.offset, query.offset + query.limit
        with self._mutex:
            if not query.text.strip():
                texts = self._shard.first(scope, last)[first:]
                return _results([(text, 0.0) for text in texts], self._shard.count(scope))
            if query.mode == "hybrid":
                return _results(self._hybrid.search(query.text, scope, first, last), self._shard.count(scope))
            if query.mode == "dense":
                ranked = self._hybrid.nearest(query.text, scope, first, last)
                return _results(self._with_texts(ranked), self._shard.count(scope))
            if query.mode == "words":
                terms = sorted(set(shared_lexicon().terms(query.text)[:TERMS_ASKED_MAX]))
                ranked = self._shard.wording(terms, scope, max(1, self._shard.count(scope)))
                return _results(self._with_texts(ranked[first:last]), len(ranked))
            if query.mode == "substring":
                matching = self._holding(query.text, scope)
                return FoundPages(tuple(Found(stored, 1.0) for stored in matching[first:last]), len(matching))
        raise UnknownName(f"no search mode is called {query.mode!r}; there are: hybrid, dense, words, substring")

    def _with_texts(self, ranked: Ranked) -> list[tuple[str, float]]:
        texts = self._shard.texts([point for point, _ in ranked])
        return [(texts[point], score) for point, score in ranked if point in texts]

    def _holding(self, text: str, scope: Scope) -> list[StoredPage]:
        """All pages that hold a text literally, upper or lower case, oldest first."""
        folded = text.casefold()
        matching = [
            stored_from(page) for page in self._shard.all(scope) if folded in fields_of(page)["text"].casefold()
        ]
        return sorted(matching, key=lambda stored: (stored.page.created_ms, stored.page.ordinal, stored.page.id))

    # --- keeping -------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what is in memory to the files, for a power cut; not needed to survive ``kill -9``."""
        with self._mutex:
            self._shard.flush()

    def optimize(self) -> None:
        """Build search indexes now (blocks); searches are right without it, only slower."""
        with self._mutex:
            self._shard.optimize()

    def close(self) -> None:
        """Flush, close, and let the next opener in.  Doing it twice does nothing."""
        with self._mutex:
            try:
                self._shard.close()
            finally:
                self._lock.release()


def _results(texts: Sequence[tuple[str, float]], total: int) -> FoundPages:
    return FoundPages(tuple(Found(stored_from(text), score) for text, score in texts), total)
