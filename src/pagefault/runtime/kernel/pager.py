"""The pager: keeps the context under its budget.

Warn the model once at the warning mark; at the high mark flush down to the low mark, in one batch (evicting
a page a turn would rewrite the provider's prefix cache every turn).  What evicted pages leave behind is the
write-back's choice.  A flush strictly shrinks the context, or the chain fails; over budget is never sent.

Source: MemGPT (Packer et al. 2023) §2.2, queue manager.  Different here: what leaves is chosen by a policy,
and the summariser's input is itself bounded, piece by piece.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum, auto

from pagefault.policies.contract import Leave
from pagefault.runtime.kernel.context import Assembled
from pagefault.runtime.kernel.effects import ForgetPages, Summarize
from pagefault.runtime.kernel.pages import MESSAGE_OVERHEAD_TOKENS, cost, facts, handle_entry, heading
from pagefault.runtime.kernel.state import AgentData, FlushJob, Outstanding, Phase
from pagefault.runtime.kernel.trust import CLOSE, MARK_TOKENS, OPEN, SUMMARIZER_NOTE, escaped, without_delimiters
from pagefault.runtime.values import Message, ModelRequest, Page, PageId, PageKind

SUMMARIZER_SYSTEM = (
    "You keep the memory of an agent. Some pages of its context are about to leave. Fold them into the summary so far: "
    "write one new summary, in the first person as the agent, that replaces the old one. Keep names, numbers, dates, "
    "decisions, promises and open questions; leave out small talk. Write at most {words} words and nothing else."
)
WORDS_PER_TOKEN = 0.7
PIECE_TOKENS_MIN = 64
EVERYTHING = 10**9
"""More tokens than a context has: what a policy is asked for when all that can leave must."""


class Room(Enum):
    """Whether the next model call can be made."""

    READY = auto()
    WAITING = auto()  # a summary is being made
    OVERFLOW = auto()  # the context cannot be brought under its budget


def make_room(data: AgentData) -> tuple[Room, Assembled]:
    """Warn, flush if need be, and return what would be sent.

    ``WAITING`` means that a ``Summarize`` effect is out and the phase is ``paging``.
    """
    settings = data.definition.context
    assembled, used = _measure(data)
    if used >= settings.warn_tokens and not data.warned and settings.warn_tokens < settings.high_tokens:
        _warn(data, used)
        assembled, used = _measure(data)
    if used <= settings.high_tokens:
        return Room.READY, assembled
    return _flush(data, used)


def _measure(data: AgentData) -> tuple[Assembled, int]:
    assembled = data.context.assemble()
    return assembled, data.context.corrected(assembled.tokens)


def _warn(data: AgentData, used: int) -> None:
    limit = data.definition.context.prompt_limit
    text = (
        f"Memory pressure: {used} of {limit} tokens are in use ({100 * used // limit} %). Older pages will soon be "
        "paged out. Save what matters now, with core_memory_append, core_memory_replace or archival_memory_insert."
    )
    data.warned = True
    data.statistics.warnings += 1
    data.enter(data.new_page(PageKind.NOTICE, text), stored=False)
    data.notice("pressure", value=used)


# --- flush ------------------------------------------------------------------------------------------


def _flush(data: AgentData, used: int) -> tuple[Room, Assembled]:
    settings = data.definition.context
    chosen = _choose(data, tokens_to_free(data, used), settings.keep_last_pages)
    victims = {page_id: _leave(data, page_id) for page_id in chosen}
    summarised = [page_id for page_id, leave in victims.items() if leave is Leave.SUMMARY]
    data.statistics.flushes += 1
    if summarised:
        pieces = _pieces(data, [data.context.entries[page_id].page for page_id in summarised])
        if pieces:
            data.flush = FlushJob(victims, pieces, data.context.summary, len(summarised))
            _ask_for_summary(data)
            return Room.WAITING, Assembled((), 0)
    return _finish(data, victims)


def protected(data: AgentData, keep_last: int) -> Collection[PageId]:
    """Pages that stay; in an order that is the same in every process, should a policy iterate over them."""
    newest = [shown.page.id for shown in data.context.pages()][-keep_last:]
    staying = dict.fromkeys([*sorted(data.pinned), *newest])
    if keep_last > 1 and data.chain is not None:
        staying[data.chain.page_id] = None
    return staying.keys()


def tokens_to_free(data: AgentData, used: int) -> int:
    """What a flush has to free by our own count when ``used`` tokens, as corrected, are in the context."""
    return -(-(used - data.definition.context.low_tokens) * 1000 // data.context.correction_permille)


def _choose(data: AgentData, needed: int, keep_last: int) -> list[PageId]:
    before = data.eviction.problem
    victims = data.eviction.victims(needed, protected(data, keep_last), data.turn)
    if data.eviction.problem and not before:
        data.statistics.policy_failures += 1
        data.notice("policy_failed", text=data.eviction.problem)
    return [PageId(page_id) for page_id in victims]


def _leave(data: AgentData, page_id: PageId) -> Leave:
    shown = data.context.entries[page_id]
    try:
        leave = Leave(data.write_back.choose(facts(shown.page), data.turn))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the agent must go on
        data.statistics.policy_failures += 1
        data.notice("policy_failed", (page_id,), text=f"write-back {data.write_back.name}: {error}")
        leave = Leave.HANDLE
    if shown.page.kind is PageKind.NOTICE or (leave is Leave.HANDLE and not shown.stored):
        return Leave.NOTHING  # a notice is about the past; a handle must lead somewhere
    return leave


def _finish(
    data: AgentData, victims: Mapping[PageId, Leave], *, summary_failed: bool = False
) -> tuple[Room, Assembled]:
    """Evict; then make sure that it was enough, by harder means if need be."""
    _, before = _measure(data)
    freed = 0
    for page_id, chosen in victims.items():
        leave = chosen
        if summary_failed and chosen is Leave.SUMMARY:
            leave = Leave.HANDLE if data.context.entries[page_id].stored else Leave.NOTHING
        freed += evict(data, page_id, leave)
    _trim_handles(data, data.definition.context.handle_tokens_max)
    data.warned = False
    data.notice("flushed", tuple(victims), freed)
    assembled, used = _measure(data)
    settings = data.definition.context
    if used > settings.high_tokens or used >= before:
        _trim_handles(data, 0)
        for page_id in _choose(data, EVERYTHING, 1):
            evict(data, page_id, Leave.NOTHING)
        assembled, used = _measure(data)
    if used > settings.high_tokens:
        data.statistics.overflows += 1
        data.notice("overflow", value=used)
        return Room.OVERFLOW, assembled
    assert used < before, f"a flush left {used} of {before} tokens"
    return Room.READY, assembled


def evict(data: AgentData, page_id: PageId, leave: Leave, *, by_policy: bool = True) -> int:
    """Take a resident page out and leave what was chosen; returns the tokens freed."""
    shown = data.context.entries[page_id]
    page = shown.page
    data.eviction.on_remove(page_id, by_policy)
    data.pinned.discard(page_id)
    data.note_evicted(page_id)
    data.statistics.evictions += 1
    data.statistics.tokens_paged_out += page.tokens
    if shown.stored and not shown.is_cut and leave is not Leave.FORGOTTEN:
        data.demoted.append(page)
    if leave is Leave.HANDLE and shown.stored:
        handle = handle_entry(data.counter, page)
        if handle.page.tokens < page.tokens:
            data.context.queue.replace(handle)
            return page.tokens - handle.page.tokens
    if leave is Leave.FORGOTTEN and shown.stored:
        data.emit(ForgetPages(data.cause, (page_id,)))
    data.context.queue.remove(page_id)
    return page.tokens


def _trim_handles(data: AgentData, tokens_max: int) -> None:
    handles = data.context.handles()
    tokens = sum(handle.page.tokens for handle in handles)
    for handle in handles:
        if tokens <= tokens_max:
            return
        data.context.queue.remove(handle.page.id)
        tokens -= handle.page.tokens


# --- recursive summary ------------------------------------------------------------------------------


def _summarizer_system(data: AgentData) -> Message:
    words = max(20, int(data.definition.context.summary_tokens_max * WORDS_PER_TOKEN))
    note = SUMMARIZER_NOTE if data.definition.tracks_trust else ""
    return Message("system", SUMMARIZER_SYSTEM.format(words=words) + note)


def _lines(data: AgentData, page: Page, tokens_max: int) -> list[str]:
    """A page as the summariser reads it, in parts of at most ``tokens_max`` tokens."""
    line = f"[{heading(page)}] {page.text}"
    if not page.untrusted:
        return split_text(data, line, tokens_max)
    return [f"{OPEN}{part}{CLOSE}" for part in split_text(data, escaped(line), tokens_max - MARK_TOKENS)]


def _pieces(data: AgentData, pages: list[Page]) -> list[str]:
    """The texts to fold in, each small enough that the summariser's own prompt stays within the budget."""
    settings = data.definition.context
    frame = cost(data.counter, _summarizer_system(data)) + 2 * MESSAGE_OVERHEAD_TOKENS + 16
    room = data.context.uncorrected(settings.prompt_limit) - frame - 2 * settings.summary_tokens_max
    room = max(room, PIECE_TOKENS_MIN)
    pieces: list[str] = []
    lines: list[str] = []
    tokens = 0
    for page in sorted(pages, key=lambda page: page.ordinal):
        if page.kind is PageKind.NOTICE:
            continue
        for line in _lines(data, page, room):
            line_tokens = data.counter.count(line) + 1
            if lines and tokens + line_tokens > room:
                pieces.append("\n".join(lines))
                lines, tokens = [], 0
            lines.append(line)
            tokens += line_tokens
    if lines:
        pieces.append("\n".join(lines))
    return pieces


def _ask_for_summary(data: AgentData) -> None:
    data.outstanding = Outstanding(data.next_call_id(), "summary", data.cause)
    data.phase = Phase.PAGING
    data.emit(summarize_effect(data))


def summarize_effect(data: AgentData) -> Summarize:
    """The request for the flush's next piece (made again after a recovery)."""
    job, outstanding = data.flush, data.outstanding
    assert job is not None, "no flush is under way"
    assert outstanding is not None, "nobody waits for a summary"
    assert job.pieces, "no piece to summarise"
    so_far = job.summary or "(none)"
    messages = (
        _summarizer_system(data),
        Message("user", f"Summary so far:\n{so_far}\n\nPages that leave:\n{job.pieces[0]}"),
    )
    tokens = sum(cost(data.counter, message) for message in messages)
    request = ModelRequest(
        agent=data.definition.id,
        messages=messages,
        functions=(),
        prompt_tokens=data.context.corrected(tokens),
        reply_tokens_max=data.definition.context.summary_tokens_max,
        purpose="summarize",
        priority=data.priority,
    )
    return Summarize(outstanding.cause, outstanding.call_id, request)


def take_summary(data: AgentData, text: str) -> tuple[Room, Assembled]:
    """A piece is folded in: ask for the next, or finish the flush."""
    job = data.flush
    assert job is not None, "a summary without a flush"
    text = text.strip()
    is_untrusted = data.is_tainted
    if is_untrusted:
        text = without_delimiters(text)
    if not text:
        return drop_summary(data, "the summariser answered nothing")
    overhead = data.counter.count("[summary of 1000000 earlier pages, no longer shown] ") + MESSAGE_OVERHEAD_TOKENS
    overhead += data.counter.count(OPEN) + data.counter.count(CLOSE) if is_untrusted else 0
    job.summary = data.counter.cut(text, data.definition.context.summary_tokens_max - overhead)[0]
    job.pieces.pop(0)
    if job.pieces:
        _ask_for_summary(data)
        return Room.WAITING, Assembled((), 0)
    data.flush = None
    data.outstanding = None
    data.context.set_summary(job.summary, data.context.summary_pages + job.summarised, untrusted=is_untrusted)
    data.statistics.summaries += 1
    data.notice("summarized", value=data.context.summary_tokens)
    return _finish(data, job.victims)


def drop_summary(data: AgentData, problem: str) -> tuple[Room, Assembled]:
    """No summary can be had: the pages leave handles instead, and the old summary stays."""
    job = data.flush
    assert job is not None, "a summary without a flush"
    data.flush = None
    data.outstanding = None
    data.notice("summary_failed", value=job.summarised, text=problem)
    return _finish(data, job.victims, summary_failed=True)


def split_text(data: AgentData, text: str, tokens_max: int) -> list[str]:
    """Cut a text into parts of at most ``tokens_max`` tokens; joined they are the text again."""
    assert tokens_max > 0
    parts: list[str] = []
    rest = text
    while 4 * len(rest) > tokens_max and data.counter.count(rest) > tokens_max:
        head, tail = data.counter.cut(rest, tokens_max)
        if not head:  # one character costs more than the limit: it goes whole
            head, tail = rest[:1], rest[1:]
        parts.append(head)
        rest = tail
    if rest or not parts:
        parts.append(rest)
    return parts
