"""The transition table: which handler serves which event in which phase.

::

    idle ── interrupt ──▶ thinking ── reply with calls ──▶ acting ── results ──▶ thinking …
                             │  ▲                            │
              over the mark  ▼  │ summary           page_in  ▼
                            paging ◀──────────────────────── paging
    thinking ── reply that asks for nothing ──▶ (a chain put aside, the next interrupt, or) idle
    idle ── a call of an exported function ──▶ acting ── its result ──▶ (as after a reply that asks for nothing)
    acting ── call_agent ──▶ awaiting_reply ── reply ──▶ acting …
    thinking, acting, paging ── cancel, kill ──▶ cancelling ── its end, whatever it is ──▶ idle, stopped

A pair that is not here raises :class:`~pagefault.runtime.errors.InvalidTransition` with the story.
Results that nobody waits for (``on_late``) are legal in every phase, since hosts deliver at least once;
but only under ids that this agent has given out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pagefault.runtime.kernel import arrivals, handlers, rating, timers
from pagefault.runtime.kernel.events import (
    Cancelled,
    ClockAdvanced,
    Event,
    FunctionReturned,
    InterruptArrived,
    ModelFailed,
    ModelReplied,
    PageRated,
    PagesLoaded,
    Recovered,
    SearchReturned,
    SubscribersFound,
    SummaryFailed,
    SummaryReady,
)
from pagefault.runtime.kernel.state import AgentData, Phase

Handler = Callable[[AgentData, Any], None]
Row = dict[type[Event], Handler]

_RESULTS: tuple[type[Event], ...] = (
    ModelReplied,
    ModelFailed,
    FunctionReturned,
    SearchReturned,
    SubscribersFound,
    PagesLoaded,
    SummaryReady,
    SummaryFailed,
    Cancelled,
)
_LATE: Row = dict.fromkeys(_RESULTS, handlers.on_late)
_ALWAYS: Row = {
    InterruptArrived: arrivals.on_interrupt,
    ClockAdvanced: timers.on_clock,
    Recovered: handlers.on_recovered,
    PageRated: rating.on_page_rated,
}

TABLE: dict[Phase, Row] = {
    Phase.IDLE: {**_LATE, **_ALWAYS},
    Phase.AWAITING_REPLY: {**_LATE, **_ALWAYS},
    Phase.THINKING: {
        **_LATE,
        **_ALWAYS,
        ModelReplied: handlers.on_model_replied,
        ModelFailed: handlers.on_model_failed,
        Cancelled: handlers.on_broken_off,
    },
    Phase.ACTING: {
        **_LATE,
        **_ALWAYS,
        FunctionReturned: handlers.on_function_returned,
        SearchReturned: handlers.on_search_returned,
        SubscribersFound: handlers.on_subscribers_found,
        Cancelled: handlers.on_broken_off,
    },
    Phase.PAGING: {
        **_LATE,
        **_ALWAYS,
        PagesLoaded: handlers.on_pages_loaded,
        SummaryReady: handlers.on_summary_ready,
        SummaryFailed: handlers.on_summary_failed,
        ModelFailed: handlers.on_model_failed,
        Cancelled: handlers.on_broken_off,
    },
    Phase.CANCELLING: {**dict.fromkeys(_RESULTS, handlers.on_cancelled_end), **_ALWAYS},
    Phase.STOPPED: {**_LATE, **_ALWAYS, InterruptArrived: arrivals.on_interrupt_stopped},
}
