"""Replay: a trace through the very policy object that runs live.

A trace of insertions and references alone, with nothing left behind and nothing fetched along, is that of a
cache: it runs in one tight loop that writes down which page left when, and everything else is worked out of
that when it is asked for.  Pins, checks, handles, summaries, companions and pages that leave by
themselves take the longer way through :class:`~pagefault.policies.lab.context.LabContext`.  Both follow one
set of rules, and a test holds them together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pagefault.policies.contract import CapacityAware, EvictionPolicy, FetchPolicy, PageFacts, WriteBack
from pagefault.policies.lab.context import LabContext, PolicyBreach
from pagefault.policies.lab.leavings import Leavings
from pagefault.policies.lab.log import Edits, History, Stays, history_of_cache
from pagefault.policies.lab.trace import Booleans, Budget, Integers, Trace

Floats = NDArray[np.float64]
DEFAULT_LEAVINGS = Leavings()
_SUMMARISER = ("summariser_at", "summariser_input", "summariser_output")


@dataclass(frozen=True, eq=False)
class Replay:
    """What happened when a trace was played; the measures of it are in ``pagefault.policies.lab.measures``.

    Arrays that end in ``_at`` are events, in order.  ``soft_retention`` says what the summary was
    worth for each reference in ``soft_at``, whose page was in it.  ``lost_at`` are references to pages that a
    write-back had forgotten.  ``summary_tokens`` is the summary's size from each of ``summary_at`` on,
    ``summariser_input`` and ``summariser_output`` are the tokens of each call.  ``cpu_ns`` is the processor
    time of the replay, the policy's included.
    """

    trace: Trace
    budget: Budget
    policy: str
    write_back: str
    fetch: str
    soft_at: Integers
    soft_retention: Floats
    lost_at: Integers
    summary_at: Integers
    summary_tokens: Integers
    summariser_at: Integers
    summariser_input: Integers
    summariser_output: Integers
    cpu_ns: int
    work_out: Callable[[], History] = field(repr=False)

    @cached_property
    def history(self) -> History:
        """Stays, edits and evictions; worked out of the log when it is first asked for."""
        return self.work_out()

    @property
    def hit(self) -> Booleans:
        """One truth an event: whether it is a reference that found its page at full fidelity."""
        return self.history.hit

    @property
    def stays(self) -> Stays:
        """Which page was resident from when to when."""
        return self.history.stays

    @property
    def edits(self) -> Edits:
        """What was left in the queue where pages had been."""
        return self.history.edits

    @property
    def evicted(self) -> Integers:
        """Stays that ended by an eviction, in the order of eviction."""
        return self.history.evicted

    @property
    def overfull_at(self) -> Integers:
        """Events at which the pages that may not leave did not fit."""
        return self.history.overfull_at

    @property
    def evictions(self) -> list[tuple[int, str]]:
        """Turn and page id of every eviction, in order: what a live run is compared with."""
        turns = self.trace.events.turn[self.stays.until[self.evicted]].tolist()
        pages = self.stays.page[self.evicted].tolist()
        return [(turn, self.trace.pages[page].id) for turn, page in zip(turns, pages, strict=True)]

    @property
    def faults(self) -> int:
        """References that found no full page."""
        return int(np.count_nonzero(self.trace.is_reference & ~self.hit))


def replay(
    trace: Trace,
    policy: EvictionPolicy,
    budget: Budget,
    *,
    write_back: WriteBack | None = None,
    fetch: FetchPolicy | None = None,
    leavings: Leavings = DEFAULT_LEAVINGS,
    tell_capacity: bool = True,
) -> Replay:
    """Play ``trace`` with a fresh ``policy`` and say what happened.

    Without ``write_back`` evicted pages leave nothing, without ``fetch`` only what is needed comes in; a fetch
    policy that searches is asked for companions alone, as there is no archive here.
    Where the trace has no checks, the capacity is looked at after every page that enters, which is itself
    protected, and the rest of the context counts for nothing.  ``tell_capacity`` tells it to a policy that is
    ``CapacityAware``; without it such a policy learns from its flushes.  A replay uses its policy up.

    Raises :class:`~pagefault.policies.lab.context.PolicyBreach` for a policy that breaks its contract, with
    its name, the event and the breach.
    """
    if tell_capacity and isinstance(policy, CapacityAware):
        policy.set_capacity(budget.high_tokens)
    is_cache = trace.is_plain and write_back is None and fetch is None and not budget.keep_last_pages
    started_ns = time.process_time_ns()
    if is_cache:
        log = _cache(trace, policy, budget)
    else:
        context = LabContext(trace, policy, budget, write_back=write_back, fetch=fetch, leavings=leavings)
        context.run()
        log = _log_of(context)
    return Replay(
        trace=trace,
        budget=budget,
        policy=policy.name,
        write_back="" if write_back is None else write_back.name,
        fetch="" if fetch is None else fetch.name,
        cpu_ns=time.process_time_ns() - started_ns,
        **log,
    )


def _cache(trace: Trace, policy: EvictionPolicy, budget: Budget) -> dict[str, Any]:
    left_at: list[int] = []
    left: list[int] = []
    _play(trace, policy, budget, left_at, left)
    none = np.empty(0, dtype=np.int64)
    logs = ("soft_at", "lost_at", "summary_at", "summary_tokens", *_SUMMARISER)
    return {
        "work_out": partial(history_of_cache, trace, budget, left_at, left),
        "soft_retention": np.empty(0),
        **dict.fromkeys(logs, none),
    }


def _play(trace: Trace, policy: EvictionPolicy, budget: Budget, left_at: list[int], left: list[int]) -> None:
    """The loop for plain traces.

    Written for speed: pages are numbers, and the same few objects for millions of events; places are turns
    where the trace has it so; and all that is written down is which page was evicted at
    which event: the rest follows.
    """
    pages, index_of, sizes = trace.pages, dict(trace.index_of), trace.tokens.tolist()
    ids = list(index_of)
    indices = np.arange(len(pages)).astype(object)[trace.events.page].tolist()
    is_numbered = bool(np.array_equal(trace.events.turn, np.arange(len(trace))))
    told = policy if is_numbered else _InTurns(policy, trace.events.turn.tolist())
    on_insert, on_hit, on_remove, victims = told.on_insert, told.on_hit, policy.on_remove, told.victims
    high, low = budget.high_tokens, budget.low_tokens
    here = [False] * len(pages) + [False]  # which pages are resident; the last is for names that are no page's
    note_leaving, note_left = left_at.append, left.append
    used = event = 0
    try:
        for event, index in enumerate(indices):
            if here[index]:
                on_hit(ids[index], event)
                continue
            on_insert(pages[index], event)
            used += sizes[index]
            if used > high:
                # The page is not yet said to be here, so that naming it is as bad as naming a stranger.
                for victim in victims(used - low, {ids[index]}, event):
                    gone = index_of.get(victim, -1)
                    if not here[gone]:
                        _refuse(policy, event, victim, "resident, unprotected pages, each once")
                    here[gone] = False
                    used -= sizes[gone]
                    on_remove(victim, True)
                    note_left(gone)
                    note_leaving(event)
                if used > low and True in here:
                    _refuse(policy, event, f"{used - low} tokens too few", "enough, or every unprotected page")
            here[index] = True
    except PolicyBreach:
        raise
    except Exception as error:  # a plug-in may raise anything; what it raised is named
        methods = "on_insert, on_hit, on_remove or victims"
        raise PolicyBreach(policy.name, methods, event, repr(error), "no error") from error


class _InTurns:
    """Tells a policy turns where the loop says events."""

    def __init__(self, policy: EvictionPolicy, turns: list[int]) -> None:
        self._policy = policy
        self._turns = turns

    def on_insert(self, page: PageFacts, event: int) -> None:
        self._policy.on_insert(page, self._turns[event])

    def on_hit(self, page_id: str, event: int) -> None:
        self._policy.on_hit(page_id, self._turns[event])

    def victims(self, tokens_needed: int, protected: Collection[str], event: int) -> Sequence[str]:
        return self._policy.victims(tokens_needed, protected, self._turns[event])


def _refuse(policy: EvictionPolicy, event: int, found: object, allowed: str) -> NoReturn:
    raise PolicyBreach(policy.name, "victims", event, found, allowed)


def _log_of(context: LabContext) -> dict[str, Any]:
    summaries = np.array(context.summaries, dtype=np.int64).reshape(-1, 2)
    summariser = np.array(context.summariser, dtype=np.int64).reshape(-1, 3)
    return {
        "work_out": context.history().itself,
        "soft_at": np.array([event for event, _ in context.soft], dtype=np.int64),
        "soft_retention": np.array([retention for _, retention in context.soft], dtype=np.float64),
        "lost_at": np.array(context.lost_at, dtype=np.int64),
        "summary_at": summaries[:, 0],
        "summary_tokens": summaries[:, 1],
        **dict(zip(_SUMMARISER, summariser.T, strict=True)),
    }
