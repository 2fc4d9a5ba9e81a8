"""Whatever enters the context enters here, and is bounded first.

A text that is larger than the largest page is cut into parts: the first is resident and says where it goes
on, the others are pages of recall that the model can page in.
"""

from __future__ import annotations

import json
from dataclasses import replace

from pagefault.runtime.kernel.context import HIT_TOKENS_MIN
from pagefault.runtime.kernel.functions import Insert
from pagefault.runtime.kernel.pager import split_text
from pagefault.runtime.kernel.pages import archived, cost, entry, heading, render
from pagefault.runtime.kernel.rating import ask_for_rating
from pagefault.runtime.kernel.state import AgentData, Chain
from pagefault.runtime.kernel.trust import CLOSE, OPEN, UNTRUSTED, WAITS, quoted
from pagefault.runtime.values import (
    FunctionCall,
    Interrupt,
    InterruptKind,
    ModelReply,
    Page,
    PageId,
    PageKind,
    SearchResult,
    Space,
)

PRIVATE_SPACES = frozenset({Space.RECALL.value, Space.ARCHIVAL.value})
CONTINUES = " […continues in {}; page_in it to read on]"
CONTINUES_TOKENS = 24
TEXT_TOKENS_MIN = 16
CUT_ARGUMENTS_CHARS = 200
CALL_TOKENS = 64
"""What an agent remembers of a call from another agent."""
CALL_RESULT_CHARS = 65_536
"""What the other agent gets of its result."""

_KINDS = {
    InterruptKind.MESSAGE: PageKind.MESSAGE,
    InterruptKind.REPLY: PageKind.MESSAGE,
    InterruptKind.OBSERVATION: PageKind.OBSERVATION,
    InterruptKind.DOCUMENT: PageKind.OBSERVATION,
    InterruptKind.TIMER: PageKind.OBSERVATION,
    InterruptKind.HEARTBEAT: PageKind.NOTICE,
    InterruptKind.REVIEW: PageKind.OBSERVATION,
}
TRUSTED_SENDERS = frozenset({"user", "operator", "timer", "system"})
_SOURCES = {"user": "user", "operator": "user", "world": "world", "timer": "system"}


def take_interrupt(data: AgentData, interrupt: Interrupt) -> PageId:
    """The page of an interrupt that is being handled."""
    kind = _KINDS[interrupt.kind]
    text = interrupt.text or f"({interrupt.kind.value})"
    if interrupt.wants_reply:
        text += WAITS
    page = data.new_page(
        kind,
        text,
        author=interrupt.sender,
        source=_source(interrupt),
        created_ms=interrupt.created_ms or data.now_ms,
        session=interrupt.session,
        importance=interrupt.importance,
        tags=interrupt.tags,
        untrusted=_is_untrusted(data, interrupt),
    )
    return enter_bounded(data, page, stored=kind is not PageKind.NOTICE)


def is_from_others(interrupt: Interrupt) -> bool:
    """Whether it comes from an agent, a world or a stranger, and not from the program or its user."""
    return bool(interrupt.hops) or interrupt.sender not in TRUSTED_SENDERS


def is_of_others(interrupt: Interrupt) -> bool:
    """Whether its words are somebody else's: whoever hands over a document did not write it."""
    return is_from_others(interrupt) or interrupt.kind is InterruptKind.DOCUMENT


def _is_untrusted(data: AgentData, interrupt: Interrupt) -> bool:
    if interrupt.kind is InterruptKind.TIMER:
        return data.is_tainted  # the agent's own words to itself
    return data.definition.tracks_trust and is_of_others(interrupt)


def _source(interrupt: Interrupt) -> str:
    """Whose words these are.  What has passed through an agent is an agent's, even of one that is named ``user``."""
    return "agent" if interrupt.hops else _SOURCES.get(interrupt.sender, "agent")


def take_reply(data: AgentData, reply: ModelReply) -> None:
    """The page of what the model said and called; nothing enters for a reply that is empty."""
    if not reply.text and not reply.calls:
        return
    whole = data.new_page(
        PageKind.REPLY,
        reply.text,
        author=data.definition.id,
        source="model",
        calls=reply.calls,
        session=_session(data),
        untrusted=data.is_tainted,
    )
    stored = not _is_ephemeral(data)
    if stored:
        data.store(archived(whole, spoken(reply.calls)))
    limit = data.context.page_tokens_max(data.pinned_tokens)
    shown = entry(data.counter, whole, stored=stored)
    if shown.page.tokens > limit:
        page = replace(whole, calls=tuple(_shortened(call) for call in whole.calls))
        over = cost(data.counter, render(page)) - data.counter.count(page.text)
        if over + data.counter.count(page.text) > limit:
            room = max(TEXT_TOKENS_MIN, limit - over - CONTINUES_TOKENS)
            page = replace(page, text=data.counter.cut(page.text, room)[0] + " […cut]")
        shown = replace(entry(data.counter, page, stored=stored), is_cut=True)
    data.enter_shown(shown)


def take_result(
    data: AgentData,
    call: FunctionCall,
    ok: bool,
    text: str,
    *,
    refs: tuple[PageId, ...] = (),
    stored: bool = True,
    of_others: bool = False,
) -> None:
    """The page of what a call gave; it follows the reply that called.  ``of_others``: another agent answered.

    The result of a call from another agent goes to that agent instead, and enters nothing here.
    """
    if data.chain is not None and data.chain.is_call:
        cut = f" […cut: {CALL_RESULT_CHARS} of {len(text)} characters]" if len(text) > CALL_RESULT_CHARS else ""
        data.chain.said.append(text[:CALL_RESULT_CHARS] + cut)
        data.chain.failed = not ok
        return
    page = data.new_page(
        PageKind.RESULT,
        f"OK: {text}" if ok else f"Failed: {text}",
        author=call.name,
        source="function",
        answers=call.id,
        refs=refs,
        session=_session(data),
        untrusted=data.definition.tracks_trust and (of_others or _brings_in(data, call)),
    )
    if refs or not stored:
        data.enter(page, stored=False)  # quotes of stored pages, and bare confirmations, can be had again
    else:
        enter_bounded(data, page, stored=True)


def _brings_in(data: AgentData, call: FunctionCall) -> bool:
    """Whether a function's results are words of others; searches and page loads mark what is such themselves."""
    spec = data.functions.get(call.name)
    return spec is not None and spec.system_call is None and UNTRUSTED in spec.capabilities


def take_call(data: AgentData, chain: Chain) -> PageId:
    """What is remembered of a call from another agent: who called what, and how that began and ended."""
    interrupt = chain.interrupt
    arguments = " ".join(interrupt.text.split())
    asked = data.counter.cut(f"called {interrupt.function}({arguments})", CALL_TOKENS // 2)[0]
    answered = " ".join(" ".join(chain.said)[: 16 * CALL_TOKENS].split())
    told = data.counter.cut(f"{'Failed' if chain.failed else 'OK'}: {answered}", CALL_TOKENS // 2)[0]
    page = data.new_page(
        PageKind.OBSERVATION,
        f"{asked}; {told}",
        author=interrupt.sender,
        source="agent",
        created_ms=interrupt.created_ms or data.now_ms,
        session=interrupt.session,
        importance=interrupt.importance,
        tags=interrupt.tags,
        untrusted=data.definition.tracks_trust,
    )
    return enter_bounded(data, page, stored=True)


def take_loaded(data: AgentData, page: Page) -> None:
    """A page that was paged in, at the queue's end."""
    enter_bounded(data, page, stored=True, paged_in=True)


def take_insert(data: AgentData, passage: Insert) -> list[PageId]:
    """Write a passage to the archive, in parts if it is large; nothing enters the context."""
    room = max(TEXT_TOKENS_MIN, data.context.page_tokens_max(data.pinned_tokens) - CONTINUES_TOKENS)
    pages = []
    for part in split_text(data, passage.text, room):
        page = data.new_page(
            PageKind.PASSAGE,
            part,
            author=passage.author or data.definition.id,
            source=passage.source,
            session=passage.session or _session(data),
            importance=passage.importance,
            tags=passage.tags,
            space=passage.space,
            refs=passage.refs,
            untrusted=data.is_tainted or (data.definition.tracks_trust and passage.source != "model"),
        )
        pages.append(replace(page, tokens=cost(data.counter, render(page))))
    data.store(*pages)
    if data.chain is None or not data.chain.is_review:  # what a review writes is not looked over again
        data.filed.note(pages, data.now_ms)
    return [page.id for page in pages]


def enter_bounded(data: AgentData, page: Page, *, stored: bool, paged_in: bool = False) -> PageId:
    """Enter a page, cut to the largest size that may enter; returns the id of what is resident."""
    stored = stored and (paged_in or not _is_ephemeral(data))
    limit = data.context.page_tokens_max(data.pinned_tokens)
    shown = entry(data.counter, page, stored=stored, paged_in=paged_in)
    if shown.page.tokens <= limit:
        data.enter_shown(shown)
        if stored and not paged_in:
            data.store(shown.page)
        if not paged_in:
            ask_for_rating(data, shown)
        return page.id
    room = max(TEXT_TOKENS_MIN, limit - (shown.page.tokens - data.counter.count(page.text)) - CONTINUES_TOKENS)
    texts = split_text(data, page.text, room)
    pages = [page]
    for text in texts[1:]:
        data.ordinal += 1
        part = replace(
            page, id=PageId(f"p{data.ordinal}"), ordinal=data.ordinal, text=text, answers="", kind=_part_kind(page)
        )
        pages.append(part)
    for index, text in enumerate(texts):
        more = CONTINUES.format(pages[index + 1].id) if index + 1 < len(texts) else ""
        pages[index] = replace(pages[index], text=text + more)
    sized = [replace(part, tokens=cost(data.counter, render(part))) for part in pages]
    if stored:
        data.store(*(sized[1:] if paged_in else sized))
    first = entry(data.counter, pages[0], stored=stored, paged_in=paged_in)
    data.enter_shown(replace(first, is_cut=paged_in))
    if not paged_in:
        ask_for_rating(data, first)
    data.notice("cut", tuple(part.id for part in pages), len(pages))
    return page.id


def format_hits(data: AgentData, result: SearchResult, number: int) -> tuple[str, tuple[PageId, ...]]:
    """Hits as the model reads them, true total first; and the private pages that are quoted whole.

    Counts what the search means for paging: hits that are resident are page hits, the others page faults.
    """
    pages = -(-result.total // result.limit)
    if not result.hits:
        if result.total == 0:
            return "No results.", ()
        return f"No results on page {number}; there are {result.total} results on pages 0 to {pages - 1}.", ()
    head = f"Showing {len(result.hits)} of {result.total} results (page {number + 1}/{pages}):"
    lines = [f"[{_hit_heading(hit.page)}] {_hit_words(hit.page)}" for hit in result.hits]
    room = data.context.results_tokens_max(data.pinned_tokens) - data.counter.count(head) - 2 * CONTINUES_TOKENS
    whole = [True] * len(lines)
    if data.counter.count("\n".join(lines)) > room:
        lines, whole = _fit(data, lines, room)
    quoted: list[PageId] = []
    missing: list[PageId] = []
    tokens = 0
    for hit, complete in zip(result.hits, whole, strict=True):
        if hit.page.space not in PRIVATE_SPACES:
            continue
        if complete:
            quoted.append(hit.page.id)
        if not data.touch(hit.page.id):
            missing.append(hit.page.id)
            tokens += hit.page.tokens
    if missing:
        data.fault(tuple(missing), tokens)
    return "\n".join([head, *lines]), tuple(quoted)


def _fit(data: AgentData, lines: list[str], room: int) -> tuple[list[str], list[bool]]:
    """Cut long lines so that all fit: short ones leave their share to the others."""
    counts = [data.counter.count(line) + 1 for line in lines]
    left, cap = room, 0
    for rank, count in enumerate(sorted(counts)):
        cap = left // (len(counts) - rank)
        if count > cap:
            break
        left -= count
        cap = count
    cap = max(cap, HIT_TOKENS_MIN)
    fitted, whole = [], []
    for line, count in zip(lines, counts, strict=True):
        complete = count <= cap
        whole.append(complete)
        fitted.append(line if complete else _cut_line(data, line, cap - 8) + " […cut; page_in it]")
    return fitted, whole


def _cut_line(data: AgentData, line: str, tokens: int) -> str:
    """The beginning of a hit; if it ends within words of others, their delimiter closes it."""
    is_marked = line.endswith(CLOSE)
    room = tokens - (data.counter.count(CLOSE) if is_marked else 0)
    kept = data.counter.cut(line.removesuffix(CLOSE), max(8, room))[0]
    return kept + CLOSE if is_marked and OPEN in kept else kept


def _hit_words(page: Page) -> str:
    text = " ".join(page.text.split())
    return quoted(text) if page.untrusted else text


def _hit_heading(page: Page) -> str:
    if page.space in PRIVATE_SPACES:
        return heading(page)
    return heading(replace(page, id=PageId(f"{page.space}:")))


def _is_ephemeral(data: AgentData) -> bool:
    return data.chain is not None and (data.chain.interrupt.ephemeral or data.chain.is_review)


def _session(data: AgentData) -> str:
    return data.chain.interrupt.session if data.chain is not None else ""


def spoken(calls: tuple[FunctionCall, ...]) -> str:
    """What the calls say to others, so that a search of the conversation finds it."""
    said = []
    for call in calls:
        if call.name in ("send_message", "send_to_agent", "call_agent"):
            try:
                message = json.loads(call.arguments).get("message")
            except (ValueError, AttributeError, RecursionError):
                continue
            if isinstance(message, str):
                said.append(message)
    return "\n".join(said)


def _shortened(call: FunctionCall) -> FunctionCall:
    if len(call.arguments) <= CUT_ARGUMENTS_CHARS:
        return call
    cut = json.dumps({"cut": call.arguments[:CUT_ARGUMENTS_CHARS], "characters": len(call.arguments)})
    return FunctionCall(call.id, call.name, cut)


def _part_kind(page: Page) -> PageKind:
    return PageKind.PASSAGE if page.kind is PageKind.RESULT else page.kind
