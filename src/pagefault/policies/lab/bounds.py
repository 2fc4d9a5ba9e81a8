"""From traces to what the offline optima take: their intervals, and the room at each event."""

from __future__ import annotations

import numpy as np

from pagefault.policies.lab.trace import NO_PAGE, Budget, Integers, Op, Trace
from pagefault.policies.offline.intervals import Intervals, intervals

UNLIMITED_TOKENS = 2**60


def intervals_of(trace: Trace, budget: Budget) -> Intervals:
    """The intervals of a trace under a budget, for ``pagefault.policies.offline``.

    The room is the high mark, less the page of the event.  On a plain trace, with a low mark as high as the
    high one and no pages kept for being the newest, an optimum is exact.  Otherwise it is a bound from above:
    capacity counts where the trace looks at it, whatever is pinned may be there, and, as in a replay, so may
    the newest page, however large.

    Raises :class:`~pagefault.policies.lab.trace.TraceError` for a trace on which no optimum is defined, its
    references being what retrieval returned.
    """
    trace.demand_optimum()
    events = trace.events
    page = np.where(events.op <= Op.REFERENCE, events.page, NO_PAGE)
    room = None if trace.is_plain else _room(trace, budget)
    return intervals(trace.tokens, page, trace.is_reference, budget.high_tokens, room)


def _room(trace: Trace, budget: Budget) -> Integers:
    """For each event of a trace that is not plain the most tokens that other pages than its own may take."""
    events, is_checked = trace.events, trace.is_checked
    room = np.full(len(events), UNLIMITED_TOKENS, dtype=np.int64)
    pinned: set[int] = set()
    pinned_tokens = largest_tokens = 0
    scale_permille = 1000
    columns = zip(events.op.tolist(), events.page.tolist(), events.value.tolist(), strict=True)
    for event, (op, page, value) in enumerate(columns):
        tokens = 0 if page == NO_PAGE else trace.pages[page].tokens
        if op == Op.CHECK:
            room[event] = max(budget.high_tokens * 1000 // scale_permille - value, pinned_tokens + largest_tokens)
        elif op == Op.SCALE:
            scale_permille = value
        elif op == Op.PIN and page not in pinned:
            pinned.add(page)
            pinned_tokens += tokens
        elif op in {Op.UNPIN, Op.REMOVE} and page in pinned:
            pinned.remove(page)
            pinned_tokens -= tokens
        elif op == Op.INSERT:
            largest_tokens = max(largest_tokens, tokens)
        if op <= Op.REFERENCE and not is_checked:
            room[event] = max(budget.high_tokens - tokens, pinned_tokens)
    return room
