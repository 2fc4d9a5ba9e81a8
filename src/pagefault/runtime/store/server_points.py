"""A collection of a Qdrant server, in our words: the only module that speaks ``qdrant_client``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from pagefault.runtime.errors import StoreCorrupt, StoreUnavailable
from pagefault.runtime.store.bm25 import bm25_weights
from pagefault.runtime.store.hybrid import Ranked
from pagefault.runtime.store.points import KIND_CODES, Scope, payload_of, storable
from pagefault.runtime.store.protocols import StoredPage
from pagefault.runtime.store.server_address import KEY_VARIABLE

__all__ = ["ServerPoints", "connect"]

DENSE: Final = "dense"
WORDS: Final = "words"
PAGE_ONLY: Final = ["page"]
SCORE_DIGITS: Final = 5
"""As in :mod:`~pagefault.runtime.store.edge_shard`."""
SCAN: Final = 1_000
TIMEOUT_S: Final = 30


def connect(url: str, api_key: str | None) -> QdrantClient:
    """A client of a server, or of the client's own engine for ``:memory:`` and folders."""
    if not url.startswith(("http://", "https://")):
        return QdrantClient(":memory:") if url == ":memory:" else QdrantClient(path=url)
    key = api_key or os.environ.get(KEY_VARIABLE)
    with _errors(url):
        return QdrantClient(url=url, api_key=key, timeout=TIMEOUT_S, check_compatibility=False)


class ServerPoints:
    """Implements :class:`~pagefault.runtime.store.archive.Points` with one collection.

    Every method raises :class:`~pagefault.runtime.errors.StoreUnavailable` naming the address when the server
    cannot do it now.  Writes wait until the server has them in its own log.
    """

    def __init__(self, client: QdrantClient, url: str, collection: str) -> None:
        self._client = client
        self._place = f"{url} (collection {collection})"
        self._name = collection
        self._is_server = url.startswith(("http://", "https://"))
        self._is_closed = False

    def prepare(self, dimension: int, about: dict[str, Any]) -> dict[str, Any]:
        """Make the collection if it is absent; returns what it says about itself."""
        with self._engine() as client:
            if not client.collection_exists(self._name):
                client.create_collection(
                    self._name,
                    # Vectors have length 1, so the product is the cosine; and a zero vector stays allowed.
                    vectors_config={DENSE: models.VectorParams(size=dimension, distance=models.Distance.DOT)},
                    sparse_vectors_config={WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                    # One graph an owner and none over all: every search is of an owner.
                    hnsw_config=models.HnswConfigDiff(m=0, ef_construct=100, full_scan_threshold=10_000, payload_m=16),
                    metadata=about,
                )
            if self._is_server:  # the client's own engine has no indexes, and warns of each
                for field, parameters in _INDEXES.items():  # making one again changes nothing
                    client.create_payload_index(self._name, field, parameters, wait=True)
            return dict(client.get_collection(self._name).config.metadata or {})

    def upsert(self, pages: Sequence[tuple[int, StoredPage, list[float], list[int]]]) -> None:
        """Write points: id, page, dense vector, stems of its words."""
        points = []
        for point, stored, vector, terms in pages:
            indices, values = bm25_weights(terms)
            words = models.SparseVector(indices=indices, values=values)
            points.append(
                models.PointStruct(id=_id(point), vector={DENSE: vector, WORDS: words}, payload=payload_of(stored))
            )
        with self._engine() as client:
            client.upsert(self._name, points, wait=True)

    def delete(self, point_ids: Sequence[int]) -> None:
        """Take points out; ids that are not there are passed over."""
        chosen = models.PointIdsList(points=[_id(point) for point in point_ids])
        with self._engine() as client:
            client.delete(self._name, chosen, wait=True)

    # --- finding -------------------------------------------------------------------------------------

    def nearest(self, vector: Sequence[float], scope: Scope, limit: int) -> Ranked:
        """The pages most similar to a vector, and their cosines."""
        return self._ranked(list(vector), DENSE, scope, limit, None)

    def wording(self, terms: Sequence[int], scope: Scope, limit: int) -> Ranked:
        """The pages that hold any of the terms, by BM25 over the statistics of the scope's owners."""
        if not terms:
            return []
        query = models.SparseVector(indices=list(terms), values=[1.0] * len(terms))
        corpus = models.IdfCorpusParams(corpus=models.Filter(must=[_owned_by(scope.owners)]))
        return self._ranked(query, WORDS, scope, limit, models.SearchParams(idf=corpus))

    def _ranked(
        self,
        query: list[float] | models.SparseVector,
        using: str,
        scope: Scope,
        limit: int,
        parameters: models.SearchParams | None,
    ) -> Ranked:
        with self._engine() as client:
            answer = client.query_points(
                self._name, query, using=using, query_filter=_filter(scope), search_params=parameters, limit=limit,
                with_payload=False,
            )  # fmt: skip
        found = [(_number(point.id), round(point.score, SCORE_DIGITS)) for point in answer.points]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def at_ordinals(self, ordinals: Collection[int], scope: Scope) -> list[int]:
        """The ids of the pages with these ordinals."""
        wanted = models.FieldCondition(key="ordinal", match=models.MatchAny(any=list(ordinals)))
        limit = len(ordinals) * max(1, len(scope.owners)) * 4
        with self._engine() as client:
            records, _ = client.scroll(self._name, _filter(scope, wanted), limit=limit, with_payload=False)
        return [_number(record.id) for record in records]

    def authors(self, owner: str, limit: int) -> list[str]:
        """The most frequent authors of an owner's pages."""
        owned = models.Filter(must=[_owned_by([owner])])
        with self._engine() as client:
            answer = client.facet(self._name, "author", facet_filter=owned, limit=limit)
        return [str(hit.value) for hit in answer.hits]

    # --- reading -------------------------------------------------------------------------------------

    def texts(self, point_ids: Sequence[int]) -> dict[int, str]:
        """The JSON of pages, by id; what does not exist is left out."""
        with self._engine() as client:
            records = client.retrieve(self._name, [_id(point) for point in point_ids], with_payload=PAGE_ONLY)
        return {_number(record.id): self._page(record.payload) for record in records}

    def first(self, scope: Scope, limit: int) -> list[str]:
        """The JSON of the oldest pages: by ordinal within one agent's history, else by time."""
        order = models.OrderBy(key="ordinal" if scope.is_one_history else "created_ms", direction=models.Direction.ASC)
        with self._engine() as client:
            records, _ = client.scroll(self._name, _filter(scope), limit=limit, order_by=order, with_payload=PAGE_ONLY)
        return [self._page(record.payload) for record in records]

    def all(self, scope: Scope) -> Iterator[str]:
        """The JSON of all pages, in no order."""
        return self._scan(_filter(scope))

    def everything(self) -> Iterator[str]:
        """The JSON of all pages of all owners, in no order."""
        return self._scan(models.Filter())

    def _scan(self, passing: models.Filter) -> Iterator[str]:
        offset: Any = None
        while True:
            with self._engine() as client:
                records, offset = client.scroll(self._name, passing, limit=SCAN, offset=offset, with_payload=PAGE_ONLY)
            for record in records:
                yield self._page(record.payload)
            if offset is None:
                return

    def count(self, scope: Scope) -> int:
        """How many pages there are."""
        with self._engine() as client:
            return client.count(self._name, _filter(scope), exact=True).count

    def count_prefix(self, prefix: str) -> int:
        """How many pages belong to owners whose key begins so."""
        owned = models.FieldCondition(key="owner", match=models.MatchPrefix(prefix=prefix))
        with self._engine() as client:
            return client.count(self._name, models.Filter(must=[owned]), exact=True).count

    # --- keeping -------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Nothing to do: the server answers a write when it is in its log."""

    def optimize(self) -> None:
        """Nothing to do: the server builds its indexes by itself."""

    def close(self) -> None:
        """Leave the server.  Doing it twice does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._client.close()

    @contextmanager
    def _engine(self) -> Iterator[QdrantClient]:
        if self._is_closed:
            raise StoreUnavailable(f"{self._place}: the archive is closed")
        with _errors(self._place):
            yield self._client

    def _page(self, payload: dict[str, Any] | None) -> str:
        page = (payload or {}).get("page")
        if not isinstance(page, str):
            raise StoreCorrupt(f"{self._place}: a point holds no page")
        return page


@contextmanager
def _errors(place: str) -> Iterator[None]:
    try:
        yield
    except (ApiException, OSError) as error:
        said = " ".join(str(error).split())[:500]
        raise StoreUnavailable(f"{place}: cannot be read or written now: {said}") from error


def _id(point: int) -> str:
    return str(UUID(int=point))


def _number(point: int | str | UUID) -> int:
    """A point's id as :func:`~pagefault.runtime.store.points.point_id` makes it."""
    try:
        return UUID(str(point)).int
    except ValueError:
        raise StoreCorrupt(f"the archive holds a point that is no page: {point!r}") from None


# As in the embedded engine: only owners get graphs of their own.
_INDEXES: Final[dict[str, Any]] = {
    "owner": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True, prefix=True),
    "author": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, enable_hnsw=False),
    "tags": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, enable_hnsw=False),
    "kind": models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=True, range=False, enable_hnsw=False
    ),
    "created_ms": models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=False, range=True, enable_hnsw=False
    ),
    "ordinal": models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=True, range=True, enable_hnsw=False
    ),
}


def _owned_by(owners: Sequence[str]) -> models.FieldCondition:
    match = models.MatchValue(value=owners[0]) if len(owners) == 1 else models.MatchAny(any=list(owners))
    return models.FieldCondition(key="owner", match=match)


def _filter(scope: Scope, *more: models.FieldCondition) -> models.Filter:
    conditions: list[models.Condition] = [_owned_by(scope.owners), *more]
    if scope.kinds:
        codes = [KIND_CODES[kind] for kind in scope.kinds]
        conditions.append(models.FieldCondition(key="kind", match=models.MatchAny(any=codes)))
    for field, wanted in (("author", scope.authors), ("tags", scope.tags)):
        if wanted:
            names = [storable(name) for name in wanted]
            conditions.append(models.FieldCondition(key=field, match=models.MatchAny(any=names)))
    if scope.after_ms is not None or scope.before_ms is not None:
        stretch = models.Range(gte=scope.after_ms, lte=scope.before_ms)
        conditions.append(models.FieldCondition(key="created_ms", range=stretch))
    if scope.excluded:
        excluded = models.HasIdCondition(has_id=[_id(point) for point in scope.excluded])
        return models.Filter(must=conditions, must_not=[excluded])
    return models.Filter(must=conditions)
