"""How a page looks in the context, and what it costs.

A page is rendered once, when it enters; its text and cost do not change while it is resident.  Results of
functions have two looks: right after the reply that called them they are ``tool`` messages, as the
chat protocols demand; anywhere else (the reply was evicted, or another chain came between) they are
plain messages that say what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

from pagefault.policies.contract import PageFacts
from pagefault.runtime.kernel.functions import TokenCounter
from pagefault.runtime.kernel.trust import quoted
from pagefault.runtime.values import Fidelity, FunctionCall, Message, Page, PageId, PageKind

MESSAGE_OVERHEAD_TOKENS = 4
"""What a chat message costs besides its text: role and delimiters (OpenAI's published rule: 3, and 1 for a name)."""
CALL_OVERHEAD_TOKENS = 8
"""What a function call costs besides its name and arguments."""
HANDLE_EXCERPT_CHARS = 48
MISSING_RESULT = "(this result is no longer here)"


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the queue: the page, whether the archive has it, and whether what the archive has is longer.

    ``message`` is how it is shown if that does not follow from the page.  Where it does it is not kept: at rest
    an agent has each text once.
    """

    page: Page
    message: Message | None
    stored: bool
    paged_in: bool = False
    is_cut: bool = False

    def look(self) -> Message:
        """The message that shows the page."""
        return render(self.page, paged_in=self.paged_in) if self.message is None else self.message


def stamp(at_ms: int) -> str:
    """``2023-05-08 13:56``, UTC."""
    return _stamp_minute(at_ms // 60_000)


@lru_cache(4096)
def _stamp_minute(minute: int) -> str:
    try:
        return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return f"{minute * 60_000} ms"


def cost(counter: TokenCounter, message: Message) -> int:
    """Tokens of one message as it is sent."""
    tokens = MESSAGE_OVERHEAD_TOKENS + (counter.count(message.text) if message.text else 0)
    for call in message.calls:
        tokens += CALL_OVERHEAD_TOKENS + counter.count(call.name) + counter.count(call.arguments)
    return tokens


def heading(page: Page) -> str:
    """``p17 2023-05-08 13:56 alice``: how a page is introduced to the model."""
    author = f" {page.author}" if page.author else ""
    session = f" ({page.session})" if page.session else ""
    return f"{page.id} {stamp(page.created_ms)}{author}{session}"


def words(page: Page) -> str:
    """A page's text as it is shown: what others wrote says so."""
    if not page.untrusted:
        return page.text
    if page.kind is PageKind.RESULT:
        status, colon, text = page.text.partition(": ")  # the runtime's own word, and theirs
        return f"{status}{colon}{quoted(text)}" if colon else quoted(page.text)
    return quoted(page.text)


def render(page: Page, *, paged_in: bool = False) -> Message:
    """The message that shows a page at full fidelity."""
    if paged_in:
        return Message("user", f"[{heading(page)}, paged in] {words(page)}")
    if page.kind is PageKind.REPLY:
        return Message("assistant", page.text, calls=page.calls)
    if page.kind is PageKind.RESULT:
        return Message("tool", f"[{page.id}] {words(page)}", answers=page.answers, name=page.author)
    if page.kind is PageKind.NOTICE:
        return Message("user", f"[system] {page.text}")
    return Message("user", f"[{heading(page)}] {words(page)}")


def render_orphan(page: Page) -> Message:
    """A function's result away from the reply that called it."""
    return Message("user", f"[{heading(page)} result] {words(page)}")


def render_handle(page: Page) -> Message:
    """The one line that an evicted page leaves: enough to decide whether to page it in."""
    excerpt = " ".join(page.text.split())
    if len(excerpt) > HANDLE_EXCERPT_CHARS:
        excerpt = excerpt[:HANDLE_EXCERPT_CHARS].rstrip() + "…"
    if page.untrusted:
        excerpt = quoted(excerpt)
    return Message("user", f"[{heading(page)}, paged out: {page.kind.value}, {page.tokens} tokens] {excerpt}")


def entry(counter: TokenCounter, page: Page, *, stored: bool, paged_in: bool = False) -> Entry:
    """Render a page and count it."""
    message = render(page, paged_in=paged_in)
    return Entry(sized(page, cost(counter, message)), None, stored, paged_in)


def sized(page: Page, tokens: int) -> Page:
    """The page at full fidelity with its cost."""
    if page.tokens == tokens and page.fidelity is Fidelity.FULL:
        return page
    return _remade(page, page.text, tokens=tokens, fidelity=Fidelity.FULL, calls=page.calls, refs=page.refs)


def _remade(
    page: Page,
    text: str,
    *,
    tokens: int,
    fidelity: Fidelity,
    calls: tuple[FunctionCall, ...],
    refs: tuple[PageId, ...],
) -> Page:
    """The page with these fields changed.  Spelt out: ``dataclasses.replace`` takes five times as long."""
    return Page(
        page.id,
        page.kind,
        text,
        tokens,
        page.created_ms,
        page.ordinal,
        page.author,
        page.source,
        page.session,
        page.cause,
        page.space,
        fidelity,
        page.importance,
        calls,
        page.answers,
        refs,
        page.tags,
        page.untrusted,
    )


def handle_entry(counter: TokenCounter, page: Page) -> Entry:
    """The handle of an evicted page; its ``tokens`` are the handle's own."""
    message = render_handle(page)
    handle = _remade(page, page.text, tokens=cost(counter, message), fidelity=Fidelity.HANDLE, calls=(), refs=())
    return Entry(handle, message, stored=True)


def facts(page: Page) -> PageFacts:
    """What policies may know of a page."""
    return PageFacts(
        id=page.id,
        kind=page.kind.value,
        tokens=page.tokens,
        ordinal=page.ordinal,
        created_ms=page.created_ms,
        author=page.author,
        text=page.text,
        importance=page.importance,
        fidelity=page.fidelity.value,
    )


def row(shown: Entry) -> list[object]:
    """An entry for a snapshot."""
    return [shown.page, shown.message, shown.stored, shown.paged_in, shown.is_cut]


def from_row(saved: object) -> Entry:
    """The entry of a :func:`row`, or of an older snapshot, which has whole entries.

    Raises ``TypeError`` or ``ValueError`` for what is neither.
    """
    if isinstance(saved, Entry):
        is_plain = saved.page.fidelity is Fidelity.FULL and saved.message == replace(saved, message=None).look()
        return replace(saved, message=None) if is_plain else saved
    if not isinstance(saved, list | tuple):
        raise TypeError(f"an entry is saved as {type(saved).__name__}")
    page, message, stored, paged_in, is_cut = saved
    if type(page) is not Page or (message is not None and type(message) is not Message):
        raise TypeError("an entry is saved without its page or message")
    return Entry(page, message, bool(stored), bool(paged_in), bool(is_cut))


def said(call: FunctionCall) -> str:
    """A call as one line of a transcript."""
    return f"{call.name}({call.arguments})"


def archived(page: Page, spoken: str) -> Page:
    """The page as the archive keeps it: a reply's calls become text, so that they can be read and found.

    ``spoken`` is what the reply's calls said to somebody, if anything.
    """
    if page.kind is not PageKind.REPLY:
        return page
    lines = [page.text] if page.text else []
    if spoken:
        lines.append(spoken)
    else:
        lines.extend(said(call) for call in page.calls)
    return _remade(page, "\n".join(lines), tokens=page.tokens, fidelity=page.fidelity, calls=(), refs=page.refs)
