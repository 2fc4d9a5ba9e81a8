"""The exact offline optimum, with sizes and forced admission.

Belady's rule is optimal for pages of one size only; with sizes the problem is NP-hard (Chrobak et al. 2012,
"Caching is hard, even in the fault model"), but contexts have hundreds of references, not millions, and a
mixed-integer program of that size is solved in a fraction of a second.  The interval formulation is that of
FOO (Berger, Beckmann, Harchol-Balter 2018, "Practical bounds on optimal caching with variable object sizes",
section 3), with two differences: intervals are kept whole or not at all, and every page that enters is let
in, as a model is always shown what is new.

With ``x[v]`` = 1 if interval v (:mod:`~pagefault.policies.offline.intervals`) is kept::

    maximise    sum of worth[v] * x[v]
    subject to  sum of tokens[v] * x[v] over v that span t  <=  room[t]      for every event t
                x[v] in {0, 1}                                               (relaxed: 0 <= x[v] <= 1)

The worth is 1 (objects), the tokens (tokens), or what keeping saves (cost).  An event whose own page fills the
capacity leaves no room: nothing is kept over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagefault.policies import parameters
from pagefault.policies.contract import PolicyError
from pagefault.policies.lab.extras import analysis
from pagefault.policies.offline.intervals import Integers, Intervals

Numbers = NDArray[np.float64]

PURPOSE = "the exact optimum"
TOLERANCE = 1e-6
"""Of the solver: a sum this near to a whole number is that."""
COST_GAP = 1e-4
"""The share of the saving by which a schedule that costs least may miss the least."""


class Objective(StrEnum):
    """What an optimum has most of."""

    OBJECTS = "objects"  # references that are hits
    TOKENS = "tokens"  # tokens of the references that are hits


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best that can be done.

    ``kept`` says of each interval whether it is kept (a share of it, if relaxed), ``hits`` and ``hit_tokens``
    what follows for all references, of which there are ``references`` with ``reference_tokens``.  ``exact``
    is false for a relaxation, which is a bound from above, and for a search that ran out of time, whose
    ``bound`` is the most that any schedule could still reach.
    """

    kept: Numbers
    hits: float
    hit_tokens: float
    references: int
    reference_tokens: int
    bound: float
    exact: bool

    @property
    def object_hit_ratio(self) -> float:
        """Share of references that are hits; 1 if there are none."""
        return self.hits / self.references if self.references else 1.0

    @property
    def token_hit_ratio(self) -> float:
        """Share of the tokens of references that are hits; 1 if there are none."""
        return self.hit_tokens / self.reference_tokens if self.reference_tokens else 1.0


@dataclass(frozen=True, slots=True)
class Prices:
    """What memory costs: ``keep`` a token and turn, a fault ``fault`` and ``page_in`` a token, all at least 0."""

    keep: float
    fault: float
    page_in: float

    def __post_init__(self) -> None:
        for name in ("keep", "fault", "page_in"):
            parameters.number(f"prices.{name}", getattr(self, name), at_least=0.0)


@dataclass(frozen=True, eq=False)
class CostOptimum:
    """The least that a trace can cost: ``cost`` = ``keep_cost`` + ``fault_cost``.

    A page that is kept pays for every turn from one use to the next, one that is not pays for its fault.
    Being there at its own event is what every policy pays, and is left out.  ``schedule`` says what is kept;
    its ``bound`` is a saving over keeping nothing.
    """

    cost: float
    keep_cost: float
    fault_cost: float
    schedule: Optimum


def optimum(
    trace: Intervals,
    *,
    objective: Objective = Objective.OBJECTS,
    relaxed: bool = False,
    time_limit_s: float = 60.0,
) -> Optimum:
    """The most hits that any schedule of evictions has on a trace, or its relaxation.

    Memory and time grow with the events that intervals span, all together.  Raises ``MissingExtra`` without
    scipy, and ``PolicyError`` for an objective that does not exist.
    """
    if objective not in set(Objective):
        raise PolicyError("objective", objective, "one of " + ", ".join(Objective))
    worth = np.ones(len(trace)) if objective is Objective.OBJECTS else trace.tokens.astype(np.float64)
    return _solved(trace, worth, relaxed=relaxed, time_limit_s=time_limit_s)


def cost_optimum(
    trace: Intervals,
    prices: Prices,
    *,
    turns: Integers | None = None,
    relaxed: bool = False,
    time_limit_s: float = 60.0,
) -> CostOptimum:
    """The schedule that costs least: the fewest faults is not the least cost where keeping has a price.

    ``turns`` gives the turn of each event; without it, events are turns.  Raises as :func:`optimum`.
    """
    when = np.arange(len(trace.room_tokens)) if turns is None else np.asarray(turns, dtype=np.int64)
    if len(when) != len(trace.room_tokens):
        raise PolicyError("turns", len(when), f"one turn for each of the {len(trace.room_tokens)} events")
    keeping = prices.keep * trace.tokens * (when[trace.end] - when[trace.start])
    faulting = prices.fault + prices.page_in * trace.tokens
    schedule = _solved(
        trace, np.asarray(faulting - keeping, dtype=np.float64), relaxed=relaxed, time_limit_s=time_limit_s
    )
    keep_cost = float(schedule.kept @ keeping)
    fault_cost = float((1.0 - schedule.kept) @ faulting)
    return CostOptimum(keep_cost + fault_cost, keep_cost, fault_cost, schedule)


def _solved(trace: Intervals, worth: Numbers, *, relaxed: bool, time_limit_s: float) -> Optimum:
    kept = np.zeros(len(trace))
    free = ~trace.spans & (worth > 0)
    kept[free] = 1.0
    # What is worth nothing or cannot fit is never kept, and would only slow the search down.
    open_ = np.flatnonzero(trace.spans & (worth > 0) & (trace.tokens <= trace.least_room()))
    bound, exact = 0.0, True
    if open_.size:
        limits = _limits(trace, open_)
        kept[open_], bound, exact = _solve(worth[open_], *limits, relaxed=relaxed, time_limit_s=time_limit_s)
    return Optimum(
        kept=kept,
        hits=_tidy(float(kept.sum())),
        hit_tokens=_tidy(float(kept @ trace.tokens)),
        references=len(trace),
        reference_tokens=int(trace.tokens.sum()),
        bound=_tidy(float(worth[free].sum()) + bound),
        exact=exact and not relaxed,
    )


def _limits(trace: Intervals, open_: Integers) -> tuple[Any, Integers]:
    """A sparse matrix (a row a limit, a column an open interval) of tokens, and the room of each limit.

    Most events do not limit anything that another does not limit as much: one that is spanned by no more
    intervals than a neighbour and has no less room is left out, and so is one at which everything fits.
    """
    sparse = analysis("scipy.sparse", purpose=PURPOSE)
    start, end, tokens = trace.start[open_], trace.end[open_], trace.tokens[open_]
    events = len(trace.room_tokens)
    held = np.zeros(events + 1, dtype=np.int64)
    np.add.at(held, start + 1, tokens)
    np.add.at(held, end, -tokens)
    spanning = np.cumsum(held)[:events]
    # What is open fits at every event that it spans: where nothing is open, too little room limits nothing.
    tight = (spanning > 0) & (spanning > trace.room_tokens)
    starts = np.concatenate(([0], np.cumsum(np.bincount(start, minlength=events))))  # starts[t]: before event t
    ends = np.cumsum(np.bincount(end, minlength=events))  # ends[t]: up to event t
    limits = _undominated(np.flatnonzero(tight).tolist(), trace.room_tokens, starts, ends)
    first = np.searchsorted(limits, start, side="right")
    spanned = np.searchsorted(limits, end, side="left") - first
    columns = np.repeat(np.arange(len(open_)), spanned)
    offsets = np.arange(int(spanned.sum())) - np.repeat(np.cumsum(spanned) - spanned, spanned)
    rows = np.repeat(first, spanned) + offsets
    matrix = sparse.csr_array(
        (np.repeat(tokens, spanned).astype(np.float64), (rows, columns)), shape=(len(limits), len(open_))
    )
    return matrix, trace.room_tokens[limits]


def _undominated(tight: list[int], room: Integers, starts: Integers, ends: Integers) -> Integers:
    """The events of ``tight`` without those that a neighbour makes superfluous."""
    left: list[int] = []
    for event in tight:
        while left and ends[event] == ends[left[-1]] and room[event] <= room[left[-1]]:
            left.pop()  # nothing ended since, so that all that spanned it spans this one too
        if not (left and starts[event] == starts[left[-1]] and room[left[-1]] <= room[event]):
            left.append(event)
    return np.array(left, dtype=np.int64)


def _solve(
    worth: Numbers, matrix: Any, room: Integers, *, relaxed: bool, time_limit_s: float
) -> tuple[Numbers, float, bool]:
    """What is kept of each, the bound on the worth, and whether the answer was proven to be the best."""
    if not len(room):
        return np.ones(len(worth)), float(worth.sum()), True
    optimize = analysis("scipy.optimize", purpose=PURPOSE)
    # Sums of whole numbers differ by 1 at least, so that a smaller gap is none; other sums get a small gap.
    whole = bool(np.all(worth == np.rint(worth)))
    scale = 1.0 if whole else float(worth.max())
    found = optimize.milp(
        -worth / scale,
        integrality=np.full(len(worth), 0 if relaxed else 1),
        bounds=optimize.Bounds(0, 1),
        constraints=optimize.LinearConstraint(matrix, -np.inf, room),
        options={"time_limit": time_limit_s, "mip_rel_gap": 0.5 / float(worth.sum()) if whole else COST_GAP},
    )
    assert found.status in {0, 1}, found.message  # keeping nothing is always allowed, so that there is an answer
    if found.x is None:  # out of time before any schedule was found: keeping nothing always is one
        return np.zeros(len(worth)), float(worth.sum()), False
    kept = np.clip(found.x, 0.0, 1.0) if relaxed else np.rint(found.x)
    dual = found.mip_dual_bound
    bound = float(kept @ worth) if relaxed or dual is None or found.status == 0 else -float(dual) * scale
    return kept, bound, found.status == 0


def _tidy(value: float) -> float:
    nearest = round(value)
    return float(nearest) if abs(value - nearest) < TOLERANCE else value
