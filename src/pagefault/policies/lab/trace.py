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
    LOOK = 6  # retrieval returned the page: a policy is told if it is resident, but it is no reference
    BRING = 7  # the page comes back without being needed: fetched along with one that was
    CLEAR = 8  # everything that may leave does, but for the newest page
    RATE = 9  # the page's importance became known; policies that go by it are told
    SCALE = 10  # from here on a counted token takes `value` thousandths, as the model's server counts


FORMED = (Op.REFERENCE, Op.BRING, Op.RATE)
"""Operations after which a page may have another form."""


@dataclass(frozen=True, eq=False)
class Events:
    """Events in order, one a place in five arrays of one length, which cannot be written to.

    ``turn`` never falls.  ``op`` are values of :class:`Op`.  ``page`` are indices of pages; ``NO_PAGE`` for
    ``CLEAR`` and ``SCALE``, and for a ``CHECK`` but for one that protects a page besides those that the budget
    does.  ``value`` is tokens for a ``CHECK``, thousandths for a ``SCALE``; for ``REFERENCE``, ``BRING`` and
    ``RATE`` it is 0, or which of the trace's ``forms``, counted from 1, the page has from here on.  ``group``
    ties references that are needed together, such as the evidence of one question; ``NO_GROUP`` otherwise.
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

    ``forms`` are pages as they were when they came back, where that is not as they were inserted: a page that
    is paged in is shown otherwise, and may be cut.  ``notes`` are counts that the maker wants known, such as
    how much of its source it had to skip.

    Raises :class:`TraceError` for events that make no sense: a page that is used before it came in or comes
    in twice, a turn that falls, an operation or an index that does not exist.
    """

    name: str
    source: Source
    pages: tuple[PageFacts, ...]
    events: Events
    notes: Mapping[str, int] = field(default_factory=dict)
    forms: tuple[PageFacts, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "forms", tuple(self.forms))
        object.__setattr__(self, "source", _source(self.source))
        object.__setattr__(self, "pages", tuple(self.pages))
        object.__setattr__(self, "notes", MappingProxyType(dict(self.notes)))
        _check_pages(self.pages)
        _check_events(self.events, self.pages, self.forms)

    def __len__(self) -> int:
        return len(self.events)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.source, self.pages, self.events, dict(self.notes), self.forms)

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
        return not self.forms and bool(np.all(self.events.op <= Op.REFERENCE))

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


def _check_events(events: Events, pages: Sequence[PageFacts], forms: Sequence[PageFacts]) -> None:
    """Everything that :class:`Trace` promises of its events, vectorised: traces have millions."""
    turn, op, page, value, group = events.columns
    last = len(pages) - 1
    _demand(np.diff(turn, prepend=turn[:1]) >= 0, "turn", turn, "a turn that is not before the one before it")
    _demand(turn >= 0, "turn", turn, "at least 0")
    _demand((op >= 0) & (op <= max(Op)), "op", op, f"from 0 to {max(Op):d}")
    check, scale = op == Op.CHECK, op == Op.SCALE
    pageless = (op == Op.CLEAR) | scale
    none = (page == NO_PAGE) & (check | pageless)
    _demand(none | ((page >= 0) & (page <= last)), "page", page, f"from 0 to {last}: the index of a page")
    _demand(~pageless | none, "page", page, f"{NO_PAGE}: it concerns no page")
    formed = np.isin(op, FORMED)
    allowed = "0, for a check at least 0, for a scale at least 1, for a page that comes back or is rated its form"
    least = np.where((op == Op.RATE) | scale, 1, 0)
    most = np.where(check | scale, np.iinfo(np.int64).max, np.where(formed, len(forms), 0))
    _demand((value >= least) & (value <= most), "value", value, allowed)
    _demand(group >= NO_GROUP, "group", group, f"{NO_GROUP} for none, or from 0")
    for where in np.flatnonzero(formed & (value > 0)).tolist():
        if forms[value[where] - 1].id != pages[page[where]].id:
            raise TraceError(f"events[{where}].value", int(value[where]), f"a form of page {pages[page[where]].id}")
    _check_first_uses(op, page, none, len(pages))


def _check_first_uses(op: NDArray[np.int8], page: Integers, none: Booleans, pages: int) -> None:
    inserted = np.flatnonzero(op == Op.INSERT)
    if not np.array_equal(page[inserted], np.arange(pages)):
        found = page[inserted].tolist()
        first_wrong = next((at for at, each in enumerate(found) if each != at), len(found))
        where = int(inserted[first_wrong]) if first_wrong < len(inserted) else len(op)
        allowed = f"insertions of all {pages} pages in their order, each once; expected page {first_wrong}"
        raise TraceError(f"events[{where}].page", found[first_wrong : first_wrong + 1], allowed)
    if pages:
        first_use = inserted[np.where(none, 0, page)]
        used_late = none | (np.arange(len(op)) >= first_use)
        _demand(used_late, "page", page, "a page that came in before")


def _demand(holds: NDArray[Any], name: str, column: NDArray[Any], allowed: str) -> None:
    if not holds.all():
        where = int(np.argmin(holds))
        raise TraceError(f"events[{where}].{name}", int(column[where]), allowed)
