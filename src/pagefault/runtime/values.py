"""Identifiers and frozen values shared by every room of the house.

Nothing here does anything: these are the words of the design as types.  All values are frozen
dataclasses made only of strings, numbers, tuples and each other, so they can be compared, hashed,
journalled (:mod:`pagefault.runtime.store.codec`) and sent between processes without pickle.

Times are integers in milliseconds since the Unix epoch (``*_ms``); sizes are in tokens (``*_tokens``),
characters (``*_chars``) or bytes (``*_bytes``), as the name says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NewType

AgentId = NewType("AgentId", str)
"""An agent's address: unique within a tenant, for ever."""
LetterId = NewType("LetterId", str)
"""Names a dead letter: the same message to the same agent is the same letter."""
PageId = NewType("PageId", str)
"""A page's name within its agent (``"p17"``): short, because models read and write it."""
InterruptId = NewType("InterruptId", str)
"""Chosen by the sender; the same id is the same interrupt however often it is sent."""
CallId = NewType("CallId", str)
"""Names one outstanding effect (a model call, a function run, a page load) of one agent."""


class Priority(IntEnum):
    """Lower values are served first; the order is the design's."""

    KILL = 0
    OPERATOR = 1
    USER = 2
    REPLY = 3
    AGENT = 4
    WORLD = 5
    TIMER = 6
    BACKGROUND = 7


class InterruptKind(StrEnum):
    """What an interrupt asks for.  The first group becomes a page; the second steers the agent."""

    MESSAGE = "message"
    OBSERVATION = "observation"
    REPLY = "reply"
    TIMER = "timer"
    HEARTBEAT = "heartbeat"
    DOCUMENT = "document"
    CALL = "call"
    CANCEL = "cancel"
    KILL = "kill"
    MASK = "mask"
    APPROVAL = "approval"
    MEMORY = "memory"
    REVIEW = "review"


class PageKind(StrEnum):
    """What a page holds."""

    MESSAGE = "message"
    OBSERVATION = "observation"
    REPLY = "reply"
    RESULT = "result"
    PASSAGE = "passage"
    SUMMARY = "summary"
    NOTICE = "notice"


class Fidelity(StrEnum):
    """How much of a page is in the main context."""

    FULL = "full"
    SUMMARY = "summary"
    HANDLE = "handle"


class Space(StrEnum):
    """Private spaces of the archive.  Shared spaces have names of their own."""

    RECALL = "recall"
    ARCHIVAL = "archival"


class Effect(StrEnum):
    """What running a function twice would do; decides what recovery may do."""

    PURE = "pure"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call as the model wrote it.  ``arguments`` is the raw JSON text, so it can be shown back unchanged."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class FunctionSchema:
    """What the model is shown of a function.  ``parameters`` is a JSON schema as canonical JSON text."""

    name: str
    description: str
    parameters: str
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """The unit of memory.

    ``text`` is the content at full fidelity; ``tokens`` is what the page costs in the context, message
    overhead included.  ``author``, ``session`` and ``created_ms`` are provenance that searches may use;
    ``cause`` is the interrupt that brought the page about, ``source`` says where its text came from
    (``user``, ``agent``, ``world``, ``model``, ``function``, ``system``, ``import``).  ``refs`` are pages
    quoted inside this one (search results).  ``untrusted``: the text is, or may be made from, words of others
    (:mod:`pagefault.runtime.kernel.trust`).  ``calls`` belong to a model's reply, ``answers`` is the id of
    the call that a result answers.  ``ordinal`` grows by one with every page of an agent: neighbours in
    time are neighbours in ``ordinal``.
    """

    id: PageId
    kind: PageKind
    text: str
    tokens: int
    created_ms: int
    ordinal: int
    author: str = ""
    source: str = "system"
    session: str = ""
    cause: InterruptId = InterruptId("")
    space: str = Space.RECALL.value
    fidelity: Fidelity = Fidelity.FULL
    importance: float | None = None
    calls: tuple[FunctionCall, ...] = ()
    answers: str = ""
    refs: tuple[PageId, ...] = ()
    tags: tuple[str, ...] = ()
    untrusted: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message as a processor sends it.  ``role``: ``system``, ``user``, ``assistant`` or ``tool``.  ``reasoning``
    are the items, as JSON, that a server gave with this message's calls and wants to have back."""

    role: str
    text: str
    calls: tuple[FunctionCall, ...] = ()
    answers: str = ""
    name: str = ""
    reasoning: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownPage:
    """A page in a context: ``message`` if how it is shown does not follow from the page, ``stored`` if the archive has
    it, ``is_cut`` if what that has is longer."""

    page: Page
    message: Message | None = None
    stored: bool = True
    paged_in: bool = False
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """What an operator changes of an agent's memory.

    ``removed`` pages leave the context and the archive, ``stored`` ones are written to the archive (again); ``blocks``
    get these texts, of which ``untrusted_blocks`` may hold words of others; a ``summary`` that is not ``None`` takes
    the place of the present one.  With ``to_ordinal`` it is a rollback: pages with a higher ordinal are removed, and
    the context is ``entries``, with what is ``pinned`` of them and the capabilities ``seen`` by then.
    """

    removed: tuple[PageId, ...] = ()
    stored: tuple[Page, ...] = ()
    blocks: tuple[tuple[str, str], ...] = ()
    untrusted_blocks: tuple[str, ...] = ()
    summary: str | None = None
    summary_pages: int = 0
    summary_untrusted: bool = False
    to_ordinal: int | None = None
    entries: tuple[ShownPage, ...] = ()
    pinned: tuple[PageId, ...] = ()
    seen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Anything that wants an agent's attention.

    ``coalesce`` (when not empty): a queued interrupt with the same key from the same sender is replaced.
    ``deadline_ms``: not handled after this time.  ``in_reply_to``: the call that a ``reply`` answers.
    ``wants_reply``: the sender is parked until a reply with this interrupt's id comes back.
    ``target``: the interrupt that a ``cancel`` is aimed at (empty: whatever runs now), or the call that an ``approval``
    is for; with ``failed`` that is a denial, and ``text`` says why.
    ``mask``: for kind ``mask``, the priorities to hold back from now on.
    ``hops`` counts agents passed on the way, for the hop limit.  ``ephemeral``: nothing of its chain is
    written to the archive, so that a question can be put (by an evaluation, say) without being remembered.
    ``callers`` are the agents that wait for the reply, the first to call first: who calls one of them back and
    waits goes round in a circle.  ``function``: for kind ``call``, which of the agent's exported functions to run;
    ``text`` is then its arguments as JSON.  ``change``: for kind ``memory``, what an operator changes of the memory.
    ``trace`` is a W3C ``traceparent``: the span that this came from, for traces alone; nothing depends on it.
    """

    id: InterruptId
    kind: InterruptKind
    priority: Priority
    sender: str
    text: str = ""
    created_ms: int = 0
    deadline_ms: int | None = None
    session: str = ""
    importance: float | None = None
    coalesce: str = ""
    in_reply_to: str = ""
    wants_reply: bool = False
    failed: bool = False
    hops: int = 0
    target: InterruptId = InterruptId("")
    mask: tuple[Priority, ...] = ()
    tags: tuple[str, ...] = ()
    ephemeral: bool = False
    callers: tuple[AgentId, ...] = ()
    function: str = ""
    change: MemoryChange | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An interrupt between agents that could not be delivered: whom it was for, why not, and when that was known."""

    id: LetterId
    to: AgentId
    interrupt: Interrupt
    why: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Everything a processor needs for one model call.

    ``prompt_tokens`` is the kernel's count of what is sent (reply reserve not included), ``reply_tokens_max``
    the room kept for the answer.  ``purpose`` is ``step``, ``summarize`` or
    ``rate`` (how important is a page).  ``priority`` is that of the chain that asks: where calls have to wait
    for their turn, it says whose is first.
    """

    agent: AgentId
    messages: tuple[Message, ...]
    functions: tuple[FunctionSchema, ...]
    prompt_tokens: int
    reply_tokens_max: int
    purpose: str = "step"
    priority: Priority = Priority.USER


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server reports them; zeros mean that it did not say."""

    prompt_tokens: int = 0
    reply_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A complete answer.  ``finish`` is ``stop``, ``calls``, ``length`` or ``refusal``; ``repaired`` says
    that the text had to be mended before calls could be read from it; ``attempts`` counts requests sent.
    ``reasoning`` are items for the server alone, as JSON; they are sent back with the calls while the chain lasts."""

    text: str = ""
    calls: tuple[FunctionCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    finish: str = "stop"
    repaired: bool = False
    attempts: int = 1
    reasoning: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a server gave with the call of this id, for the rest of its chain."""

    call_id: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A page found by a search.  ``score`` grows with relevance and is comparable within one result only."""

    page: Page
    score: float


@dataclass(frozen=True, slots=True)
class ArchiveQuery:
    """A search of memory.

    ``text`` empty means "everything that passes the filters, oldest first".  ``mode``: ``hybrid`` (meaning
    and words, fused), ``dense``, ``words``, or ``substring`` (case-insensitive, literal).  ``spaces`` names
    the private or shared spaces; ``kinds`` restricts page kinds (empty: all); times are inclusive.
    ``offset`` and ``limit`` page through the results; the total is always reported.  ``exclude`` are private
    pages that are not looked for: the question itself, say.
    """

    text: str
    spaces: tuple[str, ...]
    mode: str = "hybrid"
    kinds: tuple[PageKind, ...] = ()
    authors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    after_ms: int | None = None
    before_ms: int | None = None
    offset: int = 0
    limit: int = 10
    exclude: tuple[PageId, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One page of hits, best first, and the true total of what matches."""

    hits: tuple[Hit, ...]
    total: int
    offset: int
    limit: int
