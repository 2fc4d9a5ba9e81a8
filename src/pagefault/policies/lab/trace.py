"""A trace: which pages came in, and which were needed when.

A trace says nothing of what was resident: that is what a replay finds out, for one policy and one budget.
Its rules, after what is usual for caches and different where contexts are (``docs/lab.md``):

* The first insertion of a page is no reference: it was not there to be hit.
* What is inserted must be let in, whatever its size: a model is always shown the newest message.
* A reference needs its page at full fidelity.  If the page is not resident it is paged in, which costs room.
* What a search returned under one policy is no reference that another could be measured by
  (:attr:`Source.ENDOGENOUS`), and there is no optimum on such a trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagefault.policies.contract import PageFacts, PolicyError

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

NO_PAGE = -1
"""The page of an event that concerns none."""
NO_GROUP = -1
"""The group of an event that belongs to none."""


class TraceError(PolicyError):
    """A trace, or what was to become one, is not as ``docs/lab.md`` says."""


class Source(StrEnum):
    """How it is known that a page was needed."""

    EVIDENCE = "evidence"  # people marked what answers a question
    PROVENANCE = "provenance"  # a value that was used occurs in the page
    ENDOGENOUS = "endogenous"  # retrieval returned it: depends on the policy that ran
    SYNTHETIC = "synthetic"  # drawn from a distribution
    RECORDED = "recorded"  # the functions of a live run asked for the page by its id


class Op(IntEnum):
    """What happens in an event."""

    INSERT = 0  # the page enters for the first time; no reference; must be let in
    REFERENCE = 1  # the page is needed: a hit if it is resident at full fidelity, else a fault and a page-in
    REMOVE = 2  # the page leaves by itself; nothing happens if it is not resident
    PIN = 3  # the page may not be evicted until it is unpinned or leaves by itself
    UNPIN = 4
    CHECK = 5  # the capacity is looked at now; `value` is the tokens in the context that are not pages


@dataclass(frozen=True, eq=False)
class Events:
    """Events in order, one a place in five arrays of one length, which cannot be written to.

    ``turn`` never falls.  ``op`` are values of :class:`Op`.  ``page`` are indices of pages, ``NO_PAGE`` for
    ``CHECK``.  ``value`` is 0 but for ``CHECK``.  ``group`` ties references that are needed together, such as
    the evidence of one question; ``NO_GROUP`` otherwise.
    """

    turn: Integers
    op: NDArray[np.int8]
    page: Integers
    value: Integers
    group: Integers

    def __post_init__(self) -> None:
        for name, kind in (("turn", "i8"), ("op", "i1"), ("page", "i8"), ("value", "i8"), ("group", "i8")):
            given = np.asarray(getattr(self, name))
            if given.ndim != 1 or (given.size and not np.issubdtype(given.dtype, np.integer)):
                raise TraceError(f"events.{name}", f"{given.ndim} dimensions of {given.dtype}", "one row of integers")
            column = given.astype(kind, copy=False).view()
            column.flags.writeable = False
            object.__setattr__(self, name, column)
        lengths = {len(column) for column in self.columns}
        if len(lengths) > 1:
            raise TraceError("events", sorted(lengths), "five columns of one length")

    def __len__(self) -> int:
        return len(self.op)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Events):
            return NotImplemented
        return all(np.array_equal(mine, its) for mine, its in zip(self.columns, other.columns, strict=True))

    __hash__ = None  # type: ignore[assignment]  # arrays are compared by content

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """Turn, op, page, value and group."""
        return self.turn, self.op, self.page, self.value, self.group


@dataclass(frozen=True)
class Trace:
    """A named trace.  ``pages`` are in the order in which they are inserted, every page exactly once.

    ``notes`` are counts that the maker wants known, such as how much of its source it had to skip.
    Raises :class:`TraceError` for events that make no sense: a page that is used before it came in or comes
    in twice, a turn that falls, an operation or an index that does not exist.
    """

    name: str
    source: Source
    pages: tuple[PageFacts, ...]
    events: Events
    notes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", _source(self.source))
        object.__setattr__(self, "pages", tuple(self.pages))
        object.__setattr__(self, "notes", MappingProxyType(dict(self.notes)))
        _check_pages(self.pages)
        _check_events(self.events, len(self.pages))

    def __len__(self) -> int:
        return len(self.events)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.source, self.pages, self.events, dict(self.notes))

    @cached_property
    def tokens(self) -> Integers:
        """Tokens of each page, by index."""
        return np.array([page.tokens for page in self.pages], dtype=np.int64)

    @cached_property
    def index_of(self) -> Mapping[str, int]:
        """From page ids to indices."""
        return MappingProxyType({page.id: index for index, page in enumerate(self.pages)})

    @cached_property
    def is_reference(self) -> Booleans:
        """Which events are references."""
        return np.equal(self.events.op, Op.REFERENCE)

    @property
    def references(self) -> int:
        """How many events are references."""
        return int(np.count_nonzero(self.is_reference))

    @property
    def is_checked(self) -> bool:
        """Whether the trace says when the capacity is looked at.  If not, it is after every page that enters."""
        return bool(np.any(self.events.op == Op.CHECK))

    @property
    def is_plain(self) -> bool:
        """Whether there are only insertions and references, as in the trace of a cache."""
        return bool(np.all(self.events.op <= Op.REFERENCE))

    @cached_property
    def inserted_tokens(self) -> int:
        """Tokens of all pages together: the budget at which nothing ever has to leave."""
        return int(self.tokens.sum())

    def demand_optimum(self) -> None:
        """Raise :class:`TraceError` where an optimum would mean nothing: the references depend on the policy."""
        if self.source is Source.ENDOGENOUS:
            allowed = ", ".join(source for source in Source if source is not Source.ENDOGENOUS)
            raise TraceError(
                f"trace.{self.name}.source",
                self.source.value,
                f"one of {allowed}: what retrieval returned depends on the policy that ran, so no optimum is defined",
            )


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tokens the pages of a context may take.

    When there are more than ``high_tokens`` (default: the capacity) pages leave until there are at most
    ``low_tokens`` (default: as high; much lower flushes in batches, which spares the provider's prefix
    cache).  The newest ``keep_last_pages`` stay whatever the policy says.  Raises ``PolicyError``.
    """

    capacity_tokens: int
    high_tokens: int = 0
    low_tokens: int = 0
    keep_last_pages: int = 0

    def __post_init__(self) -> None:
        if self.capacity_tokens < 1:
            raise PolicyError("budget.capacity_tokens", self.capacity_tokens, "at least 1")
        high = self.high_tokens or self.capacity_tokens
        low = self.low_tokens or high
        if not 0 < high <= self.capacity_tokens:
            raise PolicyError("budget.high_tokens", high, f"from 1 to the capacity of {self.capacity_tokens}")
        if not 0 < low <= high:
            raise PolicyError("budget.low_tokens", low, f"from 1 to the high mark of {high}")
        if self.keep_last_pages < 0:
            raise PolicyError("budget.keep_last_pages", self.keep_last_pages, "at least 0")
        object.__setattr__(self, "high_tokens", high)
        object.__setattr__(self, "low_tokens", low)

    @classmethod
    def share(cls, trace: Trace, share: float, *, low_share: float = 1.0, keep_last_pages: int = 0) -> Budget:
        """A share of all tokens of a trace, rounded down but at least 1; ``low_share`` is of the capacity."""
        if not 0 < share <= 1:
            raise PolicyError("budget.share", share, "above 0 and at most 1")
        if not 0 < low_share <= 1:
            raise PolicyError("budget.low_share", low_share, "above 0 and at most 1")
        capacity = max(1, int(trace.inserted_tokens * share))
        return cls(capacity, capacity, max(1, int(capacity * low_share)), keep_last_pages)


class TraceBuilder:
    """Puts a trace together in order of time.  Used by makers and recorders."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source
        self.notes: dict[str, int] = {}
        self._pages: list[PageFacts] = []
        self._index: dict[str, int] = {}
        self._events: list[tuple[int, int, int, int, int]] = []

    def __contains__(self, page_id: object) -> bool:
        return page_id in self._index

    def insert(self, page: PageFacts, turn: int) -> None:
        """A page enters for the first time.  Raises :class:`TraceError` for an id that is taken."""
        if page.id in self._index:
            raise TraceError("page.id", page.id, "a page that did not come in before")
        self._index[page.id] = len(self._pages)
        self._pages.append(page)
        self.add(Op.INSERT, page.id, turn)

    def reference(self, page_id: str, turn: int, group: int = NO_GROUP) -> None:
        """A page is needed."""
        self.add(Op.REFERENCE, page_id, turn, group)

    def remove(self, page_id: str, turn: int) -> None:
        """A page leaves by itself."""
        self.add(Op.REMOVE, page_id, turn)

    def pin(self, page_id: str, turn: int) -> None:
        """A page may not be evicted any more."""
        self.add(Op.PIN, page_id, turn)

    def unpin(self, page_id: str, turn: int) -> None:
        """A page may be evicted again."""
        self.add(Op.UNPIN, page_id, turn)

    def check(self, turn: int, other_tokens: int = 0) -> None:
        """The capacity is looked at; ``other_tokens`` in the context are not pages."""
        self._events.append((turn, Op.CHECK, NO_PAGE, other_tokens, NO_GROUP))

    def build(self) -> Trace:
        """The trace.  Raises :class:`TraceError` as the trace itself does."""
        table = np.array(self._events, dtype=np.int64).reshape(-1, 5)
        turn, op, page, value, group = (np.ascontiguousarray(column) for column in table.T)
        return Trace(
            self.name, self.source, tuple(self._pages), Events(turn, op.astype(np.int8), page, value, group), self.notes
        )

    def add(self, op: Op, page_id: str, turn: int, group: int = NO_GROUP) -> None:
        """An event of a page that came in before.  Raises :class:`TraceError` if it did not."""
        if page_id not in self._index:
            raise TraceError("page", page_id, f"a page that came in before it is to {op.name.lower()}")
        self._events.append((turn, op, self._index[page_id], 0, group))


def plain_trace(
    name: str, source: Source, keys: Sequence[int] | Integers, tokens: Sequence[int] | Integers, *, kind: str = "page"
) -> Trace:
    """A trace of accesses to ``keys``, the first of each being its insertion; ``tokens`` by key.

    Page ids are the keys in decimal, ordinals the keys, turns the places in ``keys``.
    """
    accessed = np.asarray(keys, dtype=np.int64)
    sizes = np.asarray(tokens, dtype=np.int64)
    if accessed.size and not 0 <= accessed.min() <= accessed.max() < len(sizes):
        raise TraceError("keys", [int(accessed.min()), int(accessed.max())], f"from 0 to {len(sizes) - 1}")
    distinct, first, inverse = np.unique(accessed, return_index=True, return_inverse=True)
    by_entry = np.argsort(first)
    place = np.empty_like(by_entry)
    place[by_entry] = np.arange(len(distinct))
    op = np.full(len(accessed), Op.REFERENCE, dtype=np.int8)
    op[first] = Op.INSERT
    pages = tuple(
        PageFacts(id=str(key), kind=kind, tokens=size, ordinal=key)
        for key, size in zip(distinct[by_entry].tolist(), sizes[distinct[by_entry]].tolist(), strict=True)
    )
    none = np.full(len(accessed), NO_GROUP, dtype=np.int64)
    events = Events(np.arange(len(accessed)), op, place[inverse].astype(np.int64), np.zeros_like(accessed), none)
    return Trace(name, source, pages, events)


def _source(given: Source | str) -> Source:
    try:
        return Source(given)
    except ValueError:
        raise TraceError("trace.source", given, "one of " + ", ".join(Source)) from None


def _check_pages(pages: Sequence[PageFacts]) -> None:
    seen: set[str] = set()
    for index, page in enumerate(pages):
        if page.tokens < 0:
            raise TraceError(f"pages[{index}].tokens", page.tokens, "at least 0")
        if page.id in seen:
            raise TraceError(f"pages[{index}].id", page.id, "an id of its own")
        seen.add(page.id)


def _check_events(events: Events, pages: int) -> None:
    """Everything that :class:`Trace` promises of its events, vectorised: traces have millions."""
    turn, op, page, value, group = events.columns
    _demand(np.diff(turn, prepend=turn[:1]) >= 0, "turn", turn, "a turn that is not before the one before it")
    _demand(turn >= 0, "turn", turn, "at least 0")
    _demand((op >= 0) & (op <= max(Op)), "op", op, f"from 0 to {max(Op):d}")
    check = op == Op.CHECK
    _demand(check | ((page >= 0) & (page < pages)), "page", page, f"from 0 to {pages - 1}: the index of a page")
    _demand(~check | (page == NO_PAGE), "page", page, f"{NO_PAGE}: a check concerns no page")
    _demand(np.where(check, value >= 0, value == 0), "value", value, "0, or for a check at least 0")
    _demand(group >= NO_GROUP, "group", group, f"{NO_GROUP} for none, or from 0")
    inserted = np.flatnonzero(op == Op.INSERT)
    if not np.array_equal(page[inserted], np.arange(pages)):
        found = page[inserted].tolist()
        first_wrong = next((at for at, each in enumerate(found) if each != at), len(found))
        where = int(inserted[first_wrong]) if first_wrong < len(inserted) else len(op)
        allowed = f"insertions of all {pages} pages in their order, each once; expected page {first_wrong}"
        raise TraceError(f"events[{where}].page", found[first_wrong : first_wrong + 1], allowed)
    if pages:
        first_use = inserted[np.where(check, 0, page)]
        used_late = check | (np.arange(len(op)) >= first_use)
        _demand(used_late, "page", page, "a page that came in before")


def _demand(holds: NDArray[Any], name: str, column: NDArray[Any], allowed: str) -> None:
    if not holds.all():
        where = int(np.argmin(holds))
        raise TraceError(f"events[{where}].{name}", int(column[where]), allowed)
