"""Qdrant's engine inside the process, in our words: the only module that speaks ``qdrant_edge``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import qdrant_edge as qdrant

from pagefault.runtime.errors import StoreCorrupt, StoreError, StoreUnavailable
from pagefault.runtime.store.bm25 import bm25_weights
from pagefault.runtime.store.hybrid import Ranked
from pagefault.runtime.store.points import KIND_CODES, Scope, payload_of, storable
from pagefault.runtime.store.protocols import StoredPage

__all__ = ["EdgeShard"]

DENSE: Final = "dense"
WORDS: Final = "words"
PAGE_ONLY: Final = ["page"]
SCORE_DIGITS: Final = 5
"""The engine adds up in no fixed order: further digits vary, and with them the order of equals."""
SCAN: Final = 1_000
"""Pages taken at a time when all of a scope are read."""
FLUSH_POINTS: Final = 4_000
"""Points written or taken out between two flushes.  What was logged since the last one is done again by whoever opens
a shard that was not closed, and its payloads are written a second time: without a bound, every death of a process makes
opening slower and the files larger."""


class EdgeShard:
    """An open shard.  Implements :class:`~pagefault.runtime.store.archive.Points`.

    Every method raises :class:`~pagefault.runtime.errors.StoreUnavailable` naming the folder when the
    engine cannot do it now.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_closed = False
        self._is_broken = False
        self._closed = path.with_name(f"{path.name}.closed")
        was_closed = self._closed.exists()
        self._shard: qdrant.EdgeShard | None = _load(path)
        self._closed.unlink(missing_ok=True)
        self._unflushed = 0 if was_closed else FLUSH_POINTS  # nobody knows what a process that died left in the log

    @staticmethod
    def make(path: Path, dimension: int) -> None:
        """Make an empty shard in a folder that is not there, for vectors of that many numbers."""
        with _errors(path):
            shard = qdrant.EdgeShard.create(str(path), _config(dimension))
            for field, parameters in _INDEXES.items():
                shard.update(qdrant.UpdateOperation.create_field_index(field, parameters))
            shard.flush()
            shard.close()
        path.with_name(f"{path.name}.closed").touch()

    def upsert(self, pages: Sequence[tuple[int, StoredPage, list[float], list[int]]]) -> None:
        """Write points: id, page, dense vector, stems of its words."""
        points = [
            qdrant.Point(UUID(int=point), {DENSE: vector, WORDS: _bm25(terms)}, payload_of(stored))
            for point, stored, vector, terms in pages
        ]
        self._update(qdrant.UpdateOperation.upsert_points(points), len(points))

    def delete(self, point_ids: Sequence[int]) -> None:
        """Take points out; ids that are not there are passed over."""
        self._update(qdrant.UpdateOperation.delete_points([UUID(int=point) for point in point_ids]), len(point_ids))

    def _update(self, operation: qdrant.UpdateOperation, points: int) -> None:
        if self._is_broken and self._shard is not None:
            # After a write that failed (a full disk) the engine refuses all others until it is opened anew.
            shard, self._shard = self._shard, None
            with suppress(Exception):  # it is half broken; what matters is whether it can be opened again
                shard.close()
        with self._engine() as shard:
            self._is_broken = True
            shard.update(operation)
            self._unflushed += points
            if self._unflushed >= FLUSH_POINTS:
                shard.flush()
                self._unflushed = 0
            self._is_broken = False

    # --- finding -------------------------------------------------------------------------------------

    def nearest(self, vector: Sequence[float], scope: Scope, limit: int) -> Ranked:
        """The pages most similar to a vector, and their cosines."""
        return self._ranked(qdrant.Query.Nearest(list(vector), using=DENSE), scope, limit, None)

    def wording(self, terms: Sequence[int], scope: Scope, limit: int) -> Ranked:
        """The pages that hold any of the terms, by BM25 over the statistics of the scope's owners."""
        if not terms:
            return []
        query = qdrant.Query.Nearest(qdrant.SparseVector(list(terms), [1.0] * len(terms)), using=WORDS)
        corpus = qdrant.IdfParams(corpus=qdrant.Filter(must=[_owned_by(scope.owners)]))
        return self._ranked(query, scope, limit, qdrant.SearchParams(idf=corpus))

    def _ranked(self, query: qdrant.Query, scope: Scope, limit: int, parameters: qdrant.SearchParams | None) -> Ranked:
        request = qdrant.QueryRequest(
            limit=limit, query=query, filter=_filter(scope), params=parameters, with_payload=False, with_vector=False
        )
        with self._engine() as shard:
            found = [(_number(point.id), round(point.score, SCORE_DIGITS)) for point in shard.query(request)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def at_ordinals(self, ordinals: Collection[int], scope: Scope) -> list[int]:
        """The ids of the pages with these ordinals."""
        wanted = qdrant.FieldCondition("ordinal", match=qdrant.MatchAny(list(ordinals)))
        request = qdrant.ScrollRequest(
            limit=len(ordinals) * max(1, len(scope.owners)) * 4,
            filter=_filter(scope, wanted),
            with_payload=False,
            with_vector=False,
        )
        with self._engine() as shard:
            records, _ = shard.scroll(request)
            return [_number(record.id) for record in records]

    def authors(self, owner: str, limit: int) -> list[str]:
        """The most frequent authors of an owner's pages."""
        request = qdrant.FacetRequest("author", limit=limit, filter=qdrant.Filter(must=[_owned_by([owner])]))
        with self._engine() as shard:
            return [str(hit.value) for hit in shard.facet(request)]

    # --- reading -------------------------------------------------------------------------------------

    def texts(self, point_ids: Sequence[int]) -> dict[int, str]:
        """The JSON of pages, by id; what does not exist is left out."""
        with self._engine() as shard:
            records = shard.retrieve(
                [UUID(int=point) for point in point_ids], with_payload=PAGE_ONLY, with_vector=False
            )
            return {_number(record.id): self._page(record.payload) for record in records}

    def first(self, scope: Scope, limit: int) -> list[str]:
        """The JSON of the oldest pages: by ordinal within one agent's history, else by time."""
        order = qdrant.OrderBy("ordinal" if scope.is_one_history else "created_ms", qdrant.Direction.Asc)
        request = qdrant.ScrollRequest(
            limit=limit, filter=_filter(scope), order_by=order, with_payload=PAGE_ONLY, with_vector=False
        )
        with self._engine() as shard:
            records, _ = shard.scroll(request)
            return [self._page(record.payload) for record in records]

    def all(self, scope: Scope) -> Iterator[str]:
        """The JSON of all pages, in no order."""
        return self._scan(_filter(scope))

    def everything(self) -> Iterator[str]:
        """The JSON of all pages of all owners, in no order."""
        return self._scan(qdrant.Filter())

    def _scan(self, passing: qdrant.Filter) -> Iterator[str]:
        offset: qdrant.PointId | None = None
        while True:
            request = qdrant.ScrollRequest(
                limit=SCAN, offset=offset, filter=passing, with_payload=PAGE_ONLY, with_vector=False
            )
            with self._engine() as shard:
                records, offset = shard.scroll(request)
            for record in records:
                yield self._page(record.payload)
            if offset is None:
                return

    def count(self, scope: Scope) -> int:
        """How many pages there are."""
        with self._engine() as shard:
            return shard.count(qdrant.CountRequest(exact=True, filter=_filter(scope)))

    def count_prefix(self, prefix: str) -> int:
        """How many pages belong to owners whose key begins so."""
        owned = qdrant.FieldCondition("owner", match=qdrant.MatchPrefix(prefix))
        with self._engine() as shard:
            return shard.count(qdrant.CountRequest(exact=True, filter=qdrant.Filter(must=[owned])))

    # --- keeping -------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what is in memory to the files; slow, and not needed to survive the death of the process."""
        with self._engine() as shard:
            shard.flush()
            self._unflushed = 0

    def optimize(self) -> None:
        """Build search indexes and drop deleted points; blocks."""
        with self._engine() as shard:
            shard.optimize()

    def close(self) -> None:
        """Flush and close.  Doing it twice does nothing."""
        self._is_closed = True
        if self._shard is not None:
            shard, self._shard = self._shard, None
            with _errors(self._path):
                try:
                    shard.flush()
                    self._closed.touch()
                finally:
                    shard.close()

    @contextmanager
    def _engine(self) -> Iterator[qdrant.EdgeShard]:
        if self._is_closed:
            raise StoreUnavailable(f"{self._path}: the archive is closed")
        if self._shard is None:
            self._shard = _load(self._path)
        with _errors(self._path):
            yield self._shard

    def _page(self, payload: dict[str, Any] | None) -> str:
        page = (payload or {}).get("page")
        if not isinstance(page, str):
            raise StoreCorrupt(f"{self._path}: a point holds no page")
        return page


def _load(path: Path) -> qdrant.EdgeShard:
    """Open a shard that is there.  Raises ``StoreUnavailable`` or, if what it holds is damaged, ``StoreCorrupt``."""
    with _errors(path, StoreCorrupt):
        return qdrant.EdgeShard.load(str(path))


@contextmanager
def _errors(path: Path, kind: type[StoreError] = StoreUnavailable) -> Iterator[None]:
    try:
        yield
    except (StoreError, TypeError):  # TypeError: we passed something wrong, a bug that must show as it is
        raise
    except Exception as error:  # the engine raises Exception itself for everything that fails
        # Rust ends the operating system's errors so: a full disk, missing rights, too many open files.
        because = StoreUnavailable if "(os error" in str(error) else kind
        raise because(f"{path}: Qdrant's engine: {error}") from error


def _number(point: qdrant.PointId) -> int:
    """A point's id as :func:`~pagefault.runtime.store.points.point_id` makes it."""
    if not isinstance(point, UUID):
        raise StoreCorrupt(f"the archive holds a point that is no page: {point!r}")
    return point.int


def _config(dimension: int) -> qdrant.EdgeConfig:
    return qdrant.EdgeConfig(
        # Vectors have length 1, so the product is the cosine; and a zero vector stays allowed.
        vectors={DENSE: qdrant.EdgeVectorParams(dimension, qdrant.Distance.Dot)},
        sparse_vectors={WORDS: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
        # Pages are read a few dozen at a time from all over: worth the room in the page cache.
        payload_memory=qdrant.Memory.Cached,
        # One graph an owner and none over all: every search is of an owner.
        hnsw_config=qdrant.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000, payload_m=16),
    )


# Only owners get graphs of their own: no search is of an author's or a day's pages alone, and building them
# took most of the time of an optimisation.
_INDEXES: Final[dict[str, Any]] = {
    "owner": qdrant.KeywordIndexParams(is_tenant=True),
    "author": qdrant.KeywordIndexParams(enable_hnsw=False),
    "tags": qdrant.KeywordIndexParams(enable_hnsw=False),
    "kind": qdrant.IntegerIndexParams(lookup=True, range=False, enable_hnsw=False),
    "created_ms": qdrant.IntegerIndexParams(lookup=False, range=True, enable_hnsw=False),
    "ordinal": qdrant.IntegerIndexParams(lookup=True, range=True, enable_hnsw=False),
}


def _bm25(terms: list[int]) -> qdrant.SparseVector:
    return qdrant.SparseVector(*bm25_weights(terms))


def _owned_by(owners: Sequence[str]) -> qdrant.FieldCondition:
    match = qdrant.MatchValue(owners[0]) if len(owners) == 1 else qdrant.MatchAny(list(owners))
    return qdrant.FieldCondition("owner", match=match)


def _filter(scope: Scope, *more: qdrant.FieldCondition) -> qdrant.Filter:
    conditions = [_owned_by(scope.owners), *more]
    if scope.kinds:
        codes = [KIND_CODES[kind] for kind in scope.kinds]
        conditions.append(qdrant.FieldCondition("kind", match=qdrant.MatchAny(codes)))
    for field, wanted in (("author", scope.authors), ("tags", scope.tags)):
        if wanted:
            names = [storable(name) for name in wanted]
            conditions.append(qdrant.FieldCondition(field, match=qdrant.MatchAny(names)))
    if scope.after_ms is not None or scope.before_ms is not None:
        stretch = qdrant.RangeFloat(gte=scope.after_ms, lte=scope.before_ms)
        conditions.append(qdrant.FieldCondition("created_ms", range=stretch))
    if scope.excluded:
        return qdrant.Filter(
            must=list(conditions), must_not=[qdrant.HasIdCondition({UUID(int=point) for point in scope.excluded})]
        )
    return qdrant.Filter(must=list(conditions))
