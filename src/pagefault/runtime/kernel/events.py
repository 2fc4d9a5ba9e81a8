"""What may enter an agent.  A journal is a sequence of these; nothing else changes an agent.

Every event carries ``at_ms``, the host's clock when it entered: the kernel has no other time.
"""

from __future__ import annotations

from dataclasses import dataclass

from pagefault.runtime.values import AgentId, CallId, Interrupt, ModelReply, Page, PageId, SearchResult, Usage


@dataclass(frozen=True, slots=True)
class InterruptArrived:
    """Somebody wants attention.  Recording this event is accepting the interrupt."""

    at_ms: int
    interrupt: Interrupt


@dataclass(frozen=True, slots=True)
class ModelReplied:
    """A model call ended with a complete reply."""

    at_ms: int
    call_id: CallId
    reply: ModelReply


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """A model call ended without one.

    ``reason``: ``unavailable``, ``refused``, ``busy``, ``malformed``, ``overflow``, ``budget``.
    """

    at_ms: int
    call_id: CallId
    reason: str
    message: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class FunctionReturned:
    """A function run ended.  ``status``: ``ok``, ``failed`` or ``unknown`` (a ``once`` function was under
    way when its host died: nobody knows whether it happened)."""

    at_ms: int
    call_id: CallId
    status: str
    text: str


@dataclass(frozen=True, slots=True)
class SearchReturned:
    """An archive search ended; ``problem`` (when not empty) says why it could not be done."""

    at_ms: int
    call_id: CallId
    result: SearchResult | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PagesLoaded:
    """Evicted pages came back; ``missing`` are ids that no store knows."""

    at_ms: int
    call_id: CallId
    pages: tuple[Page, ...]
    missing: tuple[PageId, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SummaryReady:
    """A piece of a recursive summary is made."""

    at_ms: int
    call_id: CallId
    text: str
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class SummaryFailed:
    """The summariser gave nothing; the flush goes on without it."""

    at_ms: int
    call_id: CallId
    message: str


@dataclass(frozen=True, slots=True)
class PageRated:
    """A model said how important a page is; ``problem`` (when not empty) says why it did not."""

    at_ms: int
    page_id: PageId
    answer: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SubscribersFound:
    """Who hears a topic; ``problem`` (when not empty) says why nobody knows."""

    at_ms: int
    call_id: CallId
    agents: tuple[AgentId, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The host stopped a call that it was asked to stop; no reply will come."""

    at_ms: int
    call_id: CallId


@dataclass(frozen=True, slots=True)
class ClockAdvanced:
    """Time has passed: deadlines and pauses are looked at."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """A new activation took over from a snapshot and journal; what was outstanding is asked for again.

    ``crashed``: the last activation did not end in order (its process died, or was fenced off), so what was
    outstanding may be to blame.
    """

    at_ms: int
    epoch: int
    crashed: bool = False


Event = (
    InterruptArrived
    | ModelReplied
    | ModelFailed
    | FunctionReturned
    | SearchReturned
    | PagesLoaded
    | SummaryReady
    | SummaryFailed
    | PageRated
    | SubscribersFound
    | Cancelled
    | ClockAdvanced
    | Recovered
)
EVENT_TYPES: tuple[type[Event], ...] = (
    InterruptArrived,
    ModelReplied,
    ModelFailed,
    FunctionReturned,
    SearchReturned,
    PagesLoaded,
    SummaryReady,
    SummaryFailed,
    PageRated,
    SubscribersFound,
    Cancelled,
    ClockAdvanced,
    Recovered,
)
