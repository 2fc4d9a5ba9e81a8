"""How hosts write definitions, events, snapshots and inspections: one codec for all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.host.services import Owner
from pagefault.runtime.kernel.agent import SNAPSHOT_TYPES
from pagefault.runtime.kernel.events import EVENT_TYPES, Event
from pagefault.runtime.kernel.settings import (
    AgentDefinition,
    ChainSettings,
    ContextSettings,
    MailboxSettings,
    ModelSettings,
    PolicySettings,
)
from pagefault.runtime.store.codec import TAGS, Codec
from pagefault.runtime.store.protocols import Activation, Append, Past
from pagefault.runtime.values import AgentId, InterruptId, Message, PageId


@dataclass(frozen=True, slots=True)
class PageState:
    """A page of the context, as :class:`Inspection` shows it.

    ``shown_tokens`` is what it adds to what is sent: now and then more than ``tokens``, as a result that has lost its
    call is shown otherwise.  ``kept``: why no policy may choose it (``pinned``, ``newest``, ``in hand``, ``handle``),
    or empty; then ``rank`` is its place among those that go next, from 1, ``goes`` whether a flush would take it now,
    and ``leaves`` what it would leave behind.  ``calls`` are those of a reply, as
    ``name(arguments)``.  See :mod:`pagefault.runtime.kernel.outlook`.
    """

    id: PageId
    kind: str
    author: str
    tokens: int
    fidelity: str
    pinned: bool
    created_ms: int
    refs: tuple[PageId, ...]
    explanation: str
    text: str
    ordinal: int
    source: str
    session: str
    cause: InterruptId
    importance: float | None
    untrusted: bool
    paged_in: bool
    stored: bool
    shown_tokens: int
    kept: str
    rank: int
    goes: bool
    leaves: str
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the context that is no page, in the order in which they are sent.

    ``kind``: ``schemas``, ``system``, ``block`` (``name`` is its label) or ``summary``, which stands for ``pages`` that
    left.  ``tokens`` as counted.
    """

    kind: str
    name: str
    tokens: int
    untrusted: bool = False
    pages: int = 0


@dataclass(frozen=True, slots=True)
class Inspection:
    """An agent seen from outside: what it does, what it remembers, what it has cost.

    ``tokens`` is what would be sent now, of ``prompt_limit``; ``statistics`` are the kernel's counters by
    name; ``messages`` is the context exactly as a processor would get it; ``story`` the last transitions.
    ``warn_tokens``, ``high_tokens`` and ``low_tokens`` are the marks of the pager, ``reply_tokens`` the room kept for
    the reply.  Single tokens of ``parts`` and pages are as counted; ``correction_permille`` makes them the server's.
    """

    agent: AgentId
    phase: str
    epoch: int
    records: int
    tokens: int
    prompt_limit: int
    fixed_tokens: int
    summary: str
    blocks: tuple[tuple[str, str], ...]
    pages: tuple[PageState, ...]
    waiting: int
    suspended: int
    parked: int
    statistics: dict[str, int]
    messages: tuple[Message, ...]
    digest: str
    story: str
    at_ms: int
    parts: tuple[Part, ...]
    correction_permille: int
    reply_tokens: int
    warn_tokens: int
    high_tokens: int
    low_tokens: int
    policy: str
    write_back: str
    model: str
    problem: str


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One agent in a survey of many: what can be said of it without waking it.

    ``place`` is its host (on Ray with its node), empty for an agent that is asleep; then ``phase`` is ``asleep``, or
    ``due`` for one that has work under way and waits for a host.  ``oldest_ms`` is when the oldest interrupt of its
    mailbox was made, ``timer_ms`` when the clock next matters to it, ``held`` whether some
    interrupts are masked.  What is ``None`` is not known without waking it.
    """

    agent: AgentId
    phase: str
    place: str = ""
    waiting: int | None = None
    oldest_ms: int | None = None
    tokens: int | None = None
    prompt_limit: int | None = None
    steps: int | None = None
    faults: int | None = None
    timer_ms: int | None = None
    held: bool | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Something an agent did, as it happened.

    ``kind`` is the name of a notice (:data:`pagefault.runtime.kernel.effects.NOTICES`), ``message`` (the
    agent said ``text``), ``ended`` (``text`` is the chain's outcome), ``topic_limit`` (the agent may
    hear no more topics), ``dead_letter`` (``text`` says to whom something could not be delivered, and why) or
    ``dead_letters_dropped`` (``value`` older ones went).
    """

    agent: AgentId
    cause: str
    kind: str
    text: str = ""
    page_ids: tuple[PageId, ...] = ()
    value: int = 0
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a sent interrupt: accepted, or not and why.

    ``duplicate``: it had been accepted before; then ``under_way`` says whether its chain has not ended yet,
    and ``page_id`` which page it became.
    """

    accepted: bool
    duplicate: bool = False
    reason: str = ""
    retry_after_ms: int = 0
    page_id: PageId = PageId("")
    under_way: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What a chain said to whoever began it, how it ended, and the page that its interrupt became."""

    text: str
    outcome: str
    steps: int
    message: str = ""
    page_id: PageId = PageId("")


_SNAPSHOT_TAGS = {f"s_{cls.__name__.lower()}": cls for cls in SNAPSHOT_TYPES if cls not in TAGS.values()}
UNSENT = "unsent"
"""The key of a snapshot under which the host keeps the effects of messages under way."""
CODEC = Codec(
    {
        **TAGS,
        **_SNAPSHOT_TAGS,
        "definition": AgentDefinition,
        "model_settings": ModelSettings,
        "policy_settings": PolicySettings,
        "context_settings": ContextSettings,
        "mailbox_settings": MailboxSettings,
        "chain_settings": ChainSettings,
        "page_state": PageState,
        "inspection": Inspection,
        "context_part": Part,
        "agent_row": AgentRow,
        "step": Step,
        "receipt": Receipt,
        "answer": Answer,
        "append": Append,
        "activation": Activation,
        "past": Past,
        "owner": Owner,
    }
)


def encode_definition(definition: AgentDefinition) -> bytes:
    """Record 0 of a journal.  The id is left out, so that agents made alike share one stored definition."""
    return CODEC.encode(replace(definition, id=AgentId("")))


def decode_definition(agent: AgentId, data: bytes) -> AgentDefinition:
    """Raises :class:`~pagefault.runtime.errors.StoreCorrupt` when the bytes are something else."""
    definition = CODEC.decode(data)
    if not isinstance(definition, AgentDefinition):
        raise StoreCorrupt(f"{agent}: its definition is stored as {type(definition).__name__}")
    return replace(definition, id=agent)


def decode_event(agent: AgentId, data: bytes) -> Event:
    """Raises :class:`~pagefault.runtime.errors.StoreCorrupt` when the bytes are something else."""
    event: Any = CODEC.decode(data)
    if not isinstance(event, EVENT_TYPES):
        raise StoreCorrupt(f"{agent}: a record of its journal is a {type(event).__name__}, not an event")
    return event
