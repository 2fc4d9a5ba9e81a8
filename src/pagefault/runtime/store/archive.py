"""An archive over points: what every engine has alike.  An engine finds points; here they become pages.

Every page is a point with the text's dense vector, its words as a BM25 sparse vector, and the payload of
:mod:`pagefault.runtime.store.points`.  Owners are told apart by a keyword index that the engine knows as the
tenant; the statistics of BM25 are those of the owner's pages, not of the whole engine.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np

from pagefault.runtime.errors import ConfigError, EmbeddingMismatch, UnknownName
from pagefault.runtime.store.hybrid import CandidateSource, HybridSearch, Ranked
from pagefault.runtime.store.lexicon import shared_lexicon
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
from pagefault.runtime.values import AgentId, ArchiveQuery, PageId

__all__ = ["PointArchive", "Points"]

TERMS_ASKED_MAX: Final = 256
"""Words of a search by words that are looked for, the first ones."""


class Points(CandidateSource, Protocol):
    """What an archive needs of an engine.  All methods raise ``StoreUnavailable`` naming the place."""

    def upsert(self, pages: Sequence[tuple[int, StoredPage, list[float], list[int]]]) -> None:
        """Write points: id, page, dense vector, stems of its words."""

    def delete(self, point_ids: Sequence[int]) -> None:
        """Take points out; ids that are not there are passed over."""

    def first(self, scope: Scope, limit: int) -> list[str]:
        """The JSON of the oldest pages: by ordinal within one agent's history, else by time."""

    def all(self, scope: Scope) -> Iterator[str]:
        """The JSON of all pages, in no order."""

    def count(self, scope: Scope) -> int: ...
    def count_prefix(self, prefix: str) -> int:
        """How many pages belong to owners whose key begins so."""

    def everything(self) -> Iterator[str]:
        """The JSON of all pages of all owners, in no order."""

    def flush(self) -> None: ...
    def optimize(self) -> None: ...
    def close(self) -> None: ...


class PointArchive:
    """Implements :class:`~pagefault.runtime.store.protocols.Archive` over points.

    Threads may share it; they wait for each other.
    """

    def __init__(self, points: Points, embedder: Embedder) -> None:
        self._points = points
        self._embedder = embedder
        self._mutex = threading.Lock()
        self._hybrid = HybridSearch(points, embedder)

    def _require_room(self) -> None:
        """Raise ``StoreUnavailable`` when a batch of pages cannot be written now."""

    # --- writing -------------------------------------------------------------------------------------

    def upsert(self, pages: Sequence[StoredPage]) -> None:
        """Write pages under deterministic ids; one with a lower ``seq`` than what is stored loses, and what is there
        already is left as it is: after a crash most of what comes again has arrived before."""
        self._require_room()
        newest: dict[int, StoredPage] = {}
        for stored in pages:
            point = point_id(stored.tenant, stored.agent, stored.page.id)
            if point not in newest or stored.seq >= newest[point].seq:
                newest[point] = stored
        with self._mutex:
            for point, text in self._points.texts(list(newest)).items():
                present = stored_from(text)
                if present.seq > newest[point].seq or present == newest[point]:
                    del newest[point]
            if not newest:
                return
            vectors = self._embed([stored.page.text for stored in newest.values()]).tolist()
            lexicon = shared_lexicon()
            self._points.upsert(
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
                self._points.delete(points)
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
            texts = self._points.texts(list(dict.fromkeys(points)))
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
                return self._points.count_prefix(tenant_prefix(tenant))
            owner = AgentId("") if agent is None else agent
            named = tuple(spaces) or tuple(sorted(PRIVATE_SPACES))
            return self._points.count(Scope(tuple(owner_key(tenant, owner, space) for space in named)))

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
                texts = self._points.first(scope, last)[first:]
                return _results([(text, 0.0) for text in texts], self._points.count(scope))
            if query.mode == "hybrid":
                return _results(self._hybrid.search(query.text, scope, first, last), self._points.count(scope))
            if query.mode == "dense":
                ranked = self._hybrid.nearest(query.text, scope, first, last)
                return _results(self._with_texts(ranked), self._points.count(scope))
            if query.mode == "words":
                terms = sorted(set(shared_lexicon().terms(query.text)[:TERMS_ASKED_MAX]))
                ranked = self._points.wording(terms, scope, max(1, self._points.count(scope)))
                return _results(self._with_texts(ranked[first:last]), len(ranked))
            if query.mode == "substring":
                matching = self._holding(query.text, scope)
                return FoundPages(tuple(Found(stored, 1.0) for stored in matching[first:last]), len(matching))
        raise UnknownName(f"no search mode is called {query.mode!r}; there are: hybrid, dense, words, substring")

    def _with_texts(self, ranked: Ranked) -> list[tuple[str, float]]:
        texts = self._points.texts([point for point, _ in ranked])
        return [(texts[point], score) for point, score in ranked if point in texts]

    def _holding(self, text: str, scope: Scope) -> list[StoredPage]:
        """All pages that hold a text literally, upper or lower case, oldest first."""
        folded = text.casefold()
        matching = [
            stored_from(page) for page in self._points.all(scope) if folded in fields_of(page)["text"].casefold()
        ]
        return sorted(matching, key=lambda stored: (stored.page.created_ms, stored.page.ordinal, stored.page.id))

    # --- keeping -------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what is in memory to the files, for a power cut; not needed to survive ``kill -9``."""
        with self._mutex:
            self._points.flush()

    def optimize(self) -> None:
        """Build search indexes now (blocks); searches are right without it, only slower."""
        with self._mutex:
            self._points.optimize()

    def pages(self) -> Iterator[StoredPage]:
        """Every page of every owner, in no order: for looking whether all is there.  Raises ``StoreCorrupt``."""
        for text in self._points.everything():
            yield stored_from(text)

    def close(self) -> None:
        """Flush and close.  Doing it twice does nothing."""
        with self._mutex:
            self._points.close()


def _results(texts: Sequence[tuple[str, float]], total: int) -> FoundPages:
    return FoundPages(tuple(Found(stored_from(text), score) for text, score in texts), total)
