"""What a replay writes down: which page was resident from when to when, and nothing that follows from it.

A *stay* is one page in the context, from its entry to its leaving.  Stays are numbered in order of entry,
which is the order of the queue: a page that is paged in goes to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from pagefault.policies.lab.trace import Booleans, Budget, Integers, Op, Trace


class Entered(IntEnum):
    """Why a page came in."""

    INSERTED = 0  # for the first time
    FAULTED = 1  # it was needed
    FETCHED = 2  # as a companion of one that was


class Left(IntEnum):
    """Why a page left, and what it left behind."""

    STAYED = 0  # it is still there
    NOTHING = 1
    SUMMARY = 2
    HANDLE = 3
    FORGOTTEN = 4  # nothing, and it cannot be paged in again
    REMOVED = 5  # by itself


@dataclass(frozen=True, eq=False)
class Stays:
    """Stays in order of entry, one a place in arrays of one length.

    ``since`` and ``until`` are events; the page was there after the one and before the end of the other,
    which is the number of events for a page that stayed.
    """

    page: Integers
    since: Integers
    until: Integers
    entered: Integers
    left: Integers

    def __len__(self) -> int:
        return len(self.page)

    def latest_before(self, pages: Integers, events: Integers, horizon: int) -> Integers:
        """For each page and event the last stay of that page that began before that event; -1 if none did.

        ``horizon`` is the number of events.
        """
        if not len(self):
            return np.full(len(pages), -1, dtype=np.int64)
        key = self.page * (horizon + 1) + self.since
        order = np.argsort(key, kind="stable")
        found = np.searchsorted(key[order], pages * (horizon + 1) + events) - 1
        stay = np.where(found >= 0, order[found], -1)
        return np.where((stay >= 0) & (self.page[stay] == pages), stay, -1)

    def resident_before(self, pages: Integers, events: Integers, horizon: int) -> Booleans:
        """Whether each page was resident when that event began."""
        stay = self.latest_before(pages, events, horizon)
        resident = stay >= 0
        resident[resident] = self.until[stay[resident]] >= events[resident]
        return resident


@dataclass(frozen=True, eq=False)
class Edits:
    """Changes of what is in the queue behind what stays there: ``tokens`` are left in the place of a stay."""

    event: Integers
    stay: Integers
    tokens: Integers

    def __len__(self) -> int:
        return len(self.event)


@dataclass(frozen=True, eq=False)
class History:
    """What happened: which references were hits (one truth an event), stays, edits, the stays that ended by an
    eviction in the order in which they did, and the events at which the pages that may not leave did not fit."""

    hit: Booleans
    stays: Stays
    edits: Edits
    evicted: Integers
    overfull_at: Integers

    def itself(self) -> History:
        """For whoever asks for a history that is there already."""
        return self


def history_of_cache(trace: Trace, budget: Budget, left_at: list[int], left: list[int]) -> History:
    """The history of a plain cache, where evicted pages leave nothing, from its evictions.

    ``left_at`` and ``left`` say at which event which page was evicted.  A page comes in when it
    is inserted, and when it is needed for the first time after an eviction; its k-th eviction ends its k-th
    stay.
    """
    events = trace.events
    gone_at = np.array(left_at, dtype=np.int64)
    left_page = np.array(left, dtype=np.int64)
    since = np.sort(np.concatenate((np.flatnonzero(events.op == Op.INSERT), _next_uses(trace, left_page, gone_at))))
    hit = trace.is_reference.copy()
    hit[since] = False
    page = events.page[since]
    by_entry = np.argsort(page, kind="stable")
    by_leaving = np.argsort(left_page, kind="stable")
    leaving = left_page[by_leaving]
    first_of_page = np.searchsorted(leaving, leaving, side="left")
    rank = np.arange(len(leaving)) - first_of_page
    ended = np.empty(len(left_page), dtype=np.int64)
    ended[by_leaving] = by_entry[np.searchsorted(page[by_entry], leaving, side="left") + rank]
    until = np.full(len(page), len(events), dtype=np.int64)
    until[ended] = gone_at
    left_as = np.full(len(page), Left.STAYED, dtype=np.int64)
    left_as[ended] = Left.NOTHING
    entered = np.where(events.op[since] == Op.INSERT, Entered.INSERTED, Entered.FAULTED).astype(np.int64)
    # Only a page that is larger than the whole does not fit, since everything else could leave.
    overfull_at = since[trace.tokens[page] > budget.high_tokens]
    stays = Stays(page, since, until, entered, left_as)
    return History(hit, stays, Edits(gone_at, ended, np.zeros_like(gone_at)), ended, overfull_at)


def _next_uses(trace: Trace, pages: Integers, after: Integers) -> Integers:
    """The next event of each page after an event, of those that have one."""
    width = len(trace) + 1
    keys = np.sort(trace.events.page * width + np.arange(len(trace)))
    place = np.searchsorted(keys, pages * width + after, side="right")
    if not len(pages):
        return place
    found = keys[np.minimum(place, len(keys) - 1)]
    is_use = (found // width == pages) & (found % width > after)
    return np.asarray(found[is_use] % width)
