"""What the kernel needs from outside to be complete: a token counter and a table of functions.

Both are pure: the same input gives the same output for ever, or replay would diverge.  The kernel never
imports an implementation; the host hands them in.

A *system call* is a function that acts on the agent's own memory.  It is a pure function from a
:class:`MemoryView` and checked arguments to an :class:`Outcome`; the kernel applies the outcome's changes
only when the whole call succeeded, so a call that fails leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pagefault.runtime.values import ArchiveQuery, Effect, FunctionSchema, PageId


class CallProblem(Exception):
    """A call that cannot be done, told to the model: the text says what was wrong and how to mend it.

    Raised by ``FunctionTable.check`` and by system calls; never leaves the agent.
    """


class TokenCounter(Protocol):
    """Counts tokens of a text, offline.  ``cut`` returns the longest prefix of at most ``tokens`` tokens
    that ends between characters, and the rest; joined they are the text again."""

    def count(self, text: str) -> int: ...
    def cut(self, text: str, tokens: int) -> tuple[str, str]: ...
    def __hash__(self) -> int: ...  # what it has counted once is remembered under it


@dataclass(frozen=True, slots=True)
class Block:
    """A working block: editable text that is always in the context.  ``untrusted``: it may hold words of others."""

    label: str
    text: str
    limit_chars: int
    read_only: bool = False
    untrusted: bool = False


@dataclass(frozen=True, slots=True)
class PageLine:
    """What a system call may see of a resident page."""

    id: PageId
    kind: str
    tokens: int
    pinned: bool
    fidelity: str


class MemoryView(Protocol):
    """A read-only look at the agent, for system calls."""

    @property
    def now_ms(self) -> int: ...
    @property
    def agent_id(self) -> str: ...
    @property
    def blocks(self) -> Mapping[str, Block]: ...
    @property
    def sender(self) -> str:
        """Who sent the interrupt that the present chain serves."""

    @property
    def free_tokens(self) -> int:
        """Room for results before the context's high-water mark."""

    @property
    def results_tokens_max(self) -> int:
        """The largest page that may enter the context."""

    @property
    def spaces(self) -> Sequence[str]:
        """Shared spaces that this agent was given."""

    @property
    def search_results(self) -> int:
        """How many hits one page of search results has."""

    @property
    def review_since_ms(self) -> int:
        """From when on the present review of archival memory, or the last one, looks at what was written."""

    def page(self, page_id: PageId) -> PageLine | None:
        """A resident page, or ``None``."""

    def resident(self) -> Sequence[PageLine]: ...


# --- what a system call may ask the kernel to do ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetBlock:
    """Replace the text of a working block (already checked against its limit)."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Say:
    """Deliver a message to whoever sent the interrupt being served."""

    text: str


@dataclass(frozen=True, slots=True)
class Insert:
    """Write a passage to archival memory (or to the shared space named).

    ``author``, ``source`` and ``session`` are its provenance: by default the agent, its model, and the session of what
    it is doing.  Who files what others wrote says so here.  ``refs`` are pages that it was made from.
    """

    text: str
    space: str = "archival"
    tags: tuple[str, ...] = ()
    importance: float | None = None
    author: str = ""
    source: str = "model"
    session: str = ""
    refs: tuple[PageId, ...] = ()


@dataclass(frozen=True, slots=True)
class Pin:
    """Keep a resident page from being evicted, or stop keeping it."""

    page_id: PageId
    pinned: bool


@dataclass(frozen=True, slots=True)
class PageOut:
    """Evict a resident page now, leaving a handle."""

    page_id: PageId


@dataclass(frozen=True, slots=True)
class PauseHeartbeats:
    """Drop heartbeats and timers until this time."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Interrupt this agent with ``text`` at a time; periodic when ``every_ms`` is given."""

    timer_id: str
    at_ms: int
    text: str
    every_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Take a timer off, if it is running."""

    timer_id: str


@dataclass(frozen=True, slots=True)
class SendTo:
    """Send a message to another agent, without waiting."""

    agent: str
    text: str


Change = SetBlock | Say | Insert | Pin | PageOut | PauseHeartbeats | StartTimer | StopTimer | SendTo


@dataclass(frozen=True, slots=True)
class Done:
    """The call succeeded: ``text`` goes back to the model, ``changes`` are applied in order.

    ``yields`` ends the chain even if a heartbeat was asked for.
    """

    text: str
    changes: tuple[Change, ...] = ()
    yields: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """The result needs a search; the kernel shows hits page by page with the true total.

    ``page`` counts from 0 (for the heading only: ``query.offset`` is what is searched).
    """

    query: ArchiveQuery
    page: int = 0


@dataclass(frozen=True, slots=True)
class FetchPages:
    """The result needs evicted pages: an explicit page fault."""

    page_ids: tuple[PageId, ...]


@dataclass(frozen=True, slots=True)
class MergePassages:
    """The result needs passages of the agent's own archival memory, which are then replaced by one."""

    page_ids: tuple[PageId, ...]
    text: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CallAgent:
    """Park this chain until the agent answers, or ``deadline_ms`` passes.

    With ``function``, that function of the agent is run, without its model; ``text`` is then its arguments as JSON.
    """

    agent: str
    text: str
    deadline_ms: int
    function: str = ""


@dataclass(frozen=True, slots=True)
class SubscribeTo:
    """The result needs the fleet's table of topics: hear what is published there, or no more."""

    topic: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class PublishTo:
    """The result needs the fleet's table of topics: send a message to whoever hears one."""

    topic: str
    text: str


CAPABILITIES = ("reads_private", "sees_untrusted", "sends_out")
"""What a function makes possible: it gives access to what is private, brings in text that somebody else wrote, or
carries something out of the agent.  All three together are what an injection needs to steal (the lethal trifecta;
Meta's Agents Rule of Two, 2025)."""
Outcome = Done | Search | FetchPages | MergePassages | CallAgent | SubscribeTo | PublishTo
SystemCall = Callable[[MemoryView, Mapping[str, Any]], Outcome]


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One function as the kernel knows it.

    ``system_call`` is set for functions that act on the agent's own memory; the others run in the host
    (``runs_in="host"``) or as a Ray task (``"ray"``).  ``chains``: ``requested`` (by ``request_heartbeat``),
    ``always`` or ``never``.  ``needs_approval``: an operator has to agree to each call.  ``capabilities`` are of
    :data:`CAPABILITIES`.
    """

    schema: FunctionSchema
    effect: Effect
    runs_in: str = "host"
    system_call: SystemCall | None = None
    chains: str = "requested"
    needs_approval: bool = False
    capabilities: tuple[str, ...] = ()


class FunctionTable(Protocol):
    """The functions one agent was given, and no others."""

    def get(self, name: str) -> FunctionSpec | None: ...
    def schemas(self) -> tuple[FunctionSchema, ...]:
        """In a fixed order, ``request_heartbeat`` included where it applies."""

    def check(self, name: str, arguments: str) -> tuple[dict[str, Any], bool]:
        """Parse and validate raw JSON arguments: ``(arguments, heartbeat requested)``.

        Raises :class:`CallProblem` for an unknown or forbidden name, unreadable JSON, or arguments that
        break the schema; the text names each wrong argument, what was found and what is allowed.
        """
