"""What an agent may ask of its host.

Effects with ``gated = True`` reach outside the agent (messages, function runs, deliveries,
acknowledgements): the host performs them only when the event that caused them is durable.  The others
(model calls, archive reads) only gather input; they may start at once and cost nothing but work if the
host dies.  Every effect carries ``cause``, the interrupt that began it all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pagefault.runtime.values import (
    AgentId,
    ArchiveQuery,
    CallId,
    Effect,
    Interrupt,
    InterruptId,
    ModelRequest,
    Page,
    PageId,
)


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model; answer with ``ModelReplied`` or ``ModelFailed`` under the same ``call_id``."""

    gated: ClassVar[bool] = False
    cause: InterruptId
    call_id: CallId
    request: ModelRequest


@dataclass(frozen=True, slots=True)
class CancelCall:
    """Stop a model call or function run; answer ``Cancelled`` unless it ends by itself first."""

    gated: ClassVar[bool] = False
    cause: InterruptId
    call_id: CallId


@dataclass(frozen=True, slots=True)
class Summarize:
    """Ask the summariser to fold texts into a summary; answer ``SummaryReady`` or ``SummaryFailed``."""

    gated: ClassVar[bool] = False
    cause: InterruptId
    call_id: CallId
    request: ModelRequest


@dataclass(frozen=True, slots=True)
class RunFunction:
    """Run a function of the agent's; answer ``FunctionReturned``.  ``arguments`` is checked JSON text."""

    gated: ClassVar[bool] = True
    cause: InterruptId
    call_id: CallId
    name: str
    arguments: str
    effect: Effect
    runs_in: str


@dataclass(frozen=True, slots=True)
class SearchArchive:
    """Search memory; answer ``SearchReturned``.  What the agent stored before must be findable."""

    gated: ClassVar[bool] = False
    cause: InterruptId
    call_id: CallId
    query: ArchiveQuery


@dataclass(frozen=True, slots=True)
class LoadPages:
    """Read pages by id, and ``companions`` if they are there, and what ``related`` finds; answer ``PagesLoaded``."""

    gated: ClassVar[bool] = False
    cause: InterruptId
    call_id: CallId
    page_ids: tuple[PageId, ...]
    companions: tuple[PageId, ...] = ()
    related: ArchiveQuery | None = None


@dataclass(frozen=True, slots=True)
class StorePages:
    """Write pages to the archive (it may follow a moment later, idempotently)."""

    gated: ClassVar[bool] = True
    cause: InterruptId
    pages: tuple[Page, ...]


@dataclass(frozen=True, slots=True)
class ForgetPages:
    """Take pages out of the archive, so that searches no longer find them."""

    gated: ClassVar[bool] = True
    cause: InterruptId
    page_ids: tuple[PageId, ...]


@dataclass(frozen=True, slots=True)
class DemotePages:
    """Pages that are stored have left the context; whoever likes may keep them at hand.  Nothing depends on it."""

    gated: ClassVar[bool] = False
    cause: InterruptId
    pages: tuple[Page, ...]


@dataclass(frozen=True, slots=True)
class RatePage:
    """Ask a model how important a page is; answer ``PageRated``.  Nothing waits for it."""

    gated: ClassVar[bool] = False
    cause: InterruptId
    page_id: PageId
    request: ModelRequest


@dataclass(frozen=True, slots=True)
class Accept:
    """The interrupt is in the mailbox; tell the sender.

    ``duplicate``: it was accepted before; ``page_id`` is then the page that it became, if it was handled, and
    ``under_way`` whether its chain has not ended yet.
    """

    gated: ClassVar[bool] = True
    cause: InterruptId
    duplicate: bool = False
    page_id: PageId = PageId("")
    under_way: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """The interrupt was not taken; tell the sender to try again after ``retry_after_ms``."""

    gated: ClassVar[bool] = False
    cause: InterruptId
    reason: str
    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Send:
    """Deliver an interrupt to another agent."""

    gated: ClassVar[bool] = True
    cause: InterruptId
    to: AgentId
    interrupt: Interrupt


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Write into the fleet's table of topics that this agent hears one, or no more; answer ``FunctionReturned``."""

    gated: ClassVar[bool] = True
    cause: InterruptId
    call_id: CallId
    topic: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class FindSubscribers:
    """Look up who hears a topic; answer ``SubscribersFound``."""

    gated: ClassVar[bool] = False
    cause: InterruptId
    call_id: CallId
    topic: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Deliver an interrupt to each of these agents.  All get it under the same id, so doing it again is harmless."""

    gated: ClassVar[bool] = True
    cause: InterruptId
    agents: tuple[AgentId, ...]
    interrupt: Interrupt


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Keep a dead letter of an interrupt that took the host down too often; ``why`` says in what."""

    gated: ClassVar[bool] = True
    cause: InterruptId
    interrupt: Interrupt
    why: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message from this agent to whoever sent ``cause`` (a user, the program, or nobody)."""

    gated: ClassVar[bool] = True
    cause: InterruptId
    to: str
    text: str


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Send ``ClockAdvanced`` at ``at_ms`` or soon after.

    The timer itself (a reminder, a deadline, the end of a pause) is in the agent's state, so it is as
    durable as the agent; asking twice for one time is harmless.
    """

    gated: ClassVar[bool] = False
    cause: InterruptId
    at_ms: int


@dataclass(frozen=True, slots=True)
class ChainEnded:
    """A chain is over.

    ``outcome``: ``yielded``, ``step_limit``, ``malformed``, ``model_failed``, ``overflow``, ``cancelled``,
    ``withdrawn`` (by the agent that waited for it), ``killed``, ``expired``, ``coalesced``, ``quarantined``.
    ``message`` explains all but the first.  ``page_id`` is the page that the interrupt became, empty if it never was
    one.
    """

    gated: ClassVar[bool] = True
    cause: InterruptId
    outcome: str
    steps: int
    message: str = ""
    page_id: PageId = PageId("")


@dataclass(frozen=True, slots=True)
class Notice:
    """Something worth seeing, for streams, logs and metrics; nothing depends on it.

    ``name`` is one of the names in :data:`NOTICES`; ``page_ids`` and ``value`` as that name says there.
    """

    gated: ClassVar[bool] = False
    cause: InterruptId
    name: str
    page_ids: tuple[PageId, ...] = ()
    value: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """A good moment to save a snapshot."""

    gated: ClassVar[bool] = True
    cause: InterruptId


AnyEffect = (
    CallModel
    | CancelCall
    | Summarize
    | RunFunction
    | SearchArchive
    | LoadPages
    | StorePages
    | ForgetPages
    | DemotePages
    | RatePage
    | Accept
    | Reject
    | Send
    | Subscribe
    | FindSubscribers
    | Publish
    | Quarantine
    | Deliver
    | SetTimer
    | ChainEnded
    | Notice
    | TakeSnapshot
)

NOTICES: dict[str, str] = {
    "chain_started": "an interrupt is being handled; text: its kind",
    "memory_changed": "an operator changed the memory; page_ids: what was named; value: pages taken out",
    "memory_refused": "somebody who is no operator wanted to change the memory",
    "chain_preempted": "a chain was put aside for a higher interrupt",
    "chain_resumed": "a chain that was put aside goes on",
    "step": "a model reply was taken; value: prompt tokens as counted; text: the reply's text",
    "function_called": "text: name and arguments",
    "function_failed": "text: name and problem",
    "pressure": "the warning mark was passed; value: tokens in the context",
    "flushed": "pages were evicted; page_ids: which; value: tokens freed",
    "paged_in": "pages came back at full fidelity; value: tokens",
    "page_fault": "a page was needed and not resident; page_ids: which",
    "summarized": "the recursive summary was renewed; value: its tokens",
    "summary_failed": "the summariser failed; the pages left handles instead",
    "calls_limit": "a reply called more functions than may run at once; value: the limit",
    "rating_skipped": "too many pages wait for a rating, or the question has no room; page_ids: the page",
    "rating_failed": "a page was not rated; text: the answer, or the problem",
    "cut": "a page was too large and was cut into parts; page_ids: the parts",
    "mailbox_full": "an interrupt was refused; text: which bound",
    "approval_wanted": "a call waits for an operator; text: the id to approve or deny, function and arguments",
    "approved": "an operator agreed to a call; text: its id",
    "denied": "an operator did not agree to a call, or not in time; text: its id and why",
    "approval_refused": "an approval was for nothing that waits, or came from an agent; text: its target",
    "capabilities": "what has come together in the agent has grown; text: all of it",
    "parked": "a chain waits for another agent; text: which",
    "published": "a message goes to all who hear a topic; text: which; value: to how many",
    "called": "another agent runs an exported function; text: which",
    "cancel_refused": "an agent would have cancelled what it did not send; text: the target",
    "ticks_missed": "a periodic timer ticks after ticks that nobody saw; text: its id; value: how many",
    "expired": "an interrupt's deadline passed before it was handled",
    "coalesced": "an interrupt replaced an older one with the same key",
    "suppressed": "a heartbeat or timer was dropped while heartbeats are paused",
    "step_limit": "a chain reached its limit of steps; value: the limit",
    "depth_limit": "preemption was put off: too many chains are put aside; value: the limit",
    "call_cycle": "an agent would have waited for one that waits for it; text: the circle",
    "hop_limit": "a message was refused after too many agents; value: the limit",
    "malformed_limit": "too many calls in a row could not be run; value: the limit",
    "overflow": "the context could not be brought under its budget",
    "recounted": "the server counted other tokens than we did; value: the correction in per mille",
    "late": "a result came for a call that nobody waits for; text: its id",
    "quarantined": "the host died too often in a chain, which is put away; text: in what; value: how often",
    "policy_failed": "the eviction policy broke its contract; oldest pages were taken instead",
}
