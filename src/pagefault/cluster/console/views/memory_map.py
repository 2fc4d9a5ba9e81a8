"""The memory map: what is in an agent's context, in the order in which it is sent, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pagefault.runtime.host.records import Inspection, PageState, Part

QUEUE = "queue"
PAGED_IN = "paged_in"
HANDLES = "handles"
FREE = "free"
REPLY = "reply"
REGIONS = ("schemas", "system", "block", "summary", HANDLES, QUEUE, PAGED_IN, FREE, REPLY)
"""Kinds of regions, in the order of a legend."""
_STAYS = {
    "pinned": "pinned: no flush takes it",
    "newest": "one of the newest pages, which a flush leaves alone if it can",
    "in hand": "the interrupt that is being handled",
    "handle": "has left; this line with its id is what is shown of it",
}


@dataclass(frozen=True, slots=True)
class PageView:
    """A page that is shown.

    ``region``: ``queue``, ``paged_in`` or ``handles``.  ``tokens`` is its part of what is sent, ``share`` that of the
    budget, from 0 to 1.  ``trust``: ``own`` or ``others`` (its words are, or may be made from, those of others).
    ``age_ms``: since it was made; ``age_pages``: how many pages were made since.  ``why`` is one line: why it is here.
    ``rank`` is its place among those that leave next, from 1; 0 for those that no flush takes.  ``goes``: a flush
    would take it, now or when the context is full; ``leaves`` is what it would leave behind (``nothing``, ``summary``,
    ``handle``, ``forgotten``).  ``calls`` are those of a reply, as ``name(arguments)``.
    """

    id: str
    region: str
    kind: str
    author: str
    source: str
    session: str
    cause: str
    tokens: int
    share: float
    fidelity: str
    pinned: bool
    trust: str
    importance: float | None
    created_ms: int
    age_ms: int
    age_pages: int
    refs: tuple[str, ...]
    stored: bool
    why: str
    rank: int
    goes: bool
    leaves: str
    text: str
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of the window, from token ``start`` on.

    ``kind`` is one of :data:`REGIONS`; ``name`` the label of a block, else the kind.  Neighbours of one kind in the
    queue are one region; ``pages`` are their ids.  ``pages_summed``: of a summary, how many pages it stands for.
    """

    kind: str
    name: str
    start: int
    tokens: int
    share: float
    trust: str = "own"
    pages: tuple[str, ...] = ()
    pages_summed: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """An agent's context against its budget.

    Regions and pages are in the order in which they are sent; regions fill ``budget_tokens``, the window: the prompt up
    to ``tokens``, what is ``free`` up to the ``prompt_limit``, and the room kept for the ``reply``.  A context over its
    limit has no free region, and regions that sum to more than the budget.  ``warn_tokens``, ``high_tokens`` and
    ``low_tokens`` are where the model is warned, where a flush begins and where it ends.  ``going`` are the pages that
    leave next, first to go first; the first ``flushed`` of them in one flush.  ``problem`` (when not empty) says what
    is wrong with the eviction policy.
    """

    agent: str
    phase: str
    epoch: int
    record: int
    step: int
    at_ms: int
    tokens: int
    prompt_limit: int
    budget_tokens: int
    free_tokens: int
    warn_tokens: int
    high_tokens: int
    low_tokens: int
    correction_permille: int
    policy: str
    write_back: str
    model: str
    problem: str
    waiting: int
    suspended: int
    parked: int
    regions: tuple[Region, ...]
    pages: tuple[PageView, ...]
    going: tuple[str, ...]
    flushed: int
    statistics: dict[str, int]

    def page(self, page_id: str) -> PageView | None:
        """The page of that id, if it is shown."""
        return next((page for page in self.pages if page.id == page_id), None)


def memory_map(seen: Inspection) -> MemoryMap:
    """The map of an agent that was looked into, alive or in the past."""
    budget = seen.prompt_limit + seen.reply_tokens
    cursor = _Cursor(seen.correction_permille, max(1, budget))
    texts = dict(seen.blocks) | {"summary": seen.summary}
    regions = [_part(part, cursor, texts.get(part.name, "")) for part in seen.parts]
    newest = max((page.ordinal for page in seen.pages), default=0)
    pages = [_page(page, cursor, seen.at_ms, newest) for page in seen.pages]
    regions += _queue(pages, sum(region.tokens for region in regions), max(1, budget))
    free = max(0, seen.prompt_limit - seen.tokens)
    for kind, tokens in ((FREE, free), (REPLY, seen.reply_tokens)):
        start = regions[-1].start + regions[-1].tokens
        regions.append(Region(kind, kind, start, tokens, tokens / max(1, budget)))
    going = sorted((page for page in pages if page.rank), key=lambda page: page.rank)
    return MemoryMap(
        agent=seen.agent,
        phase=seen.phase,
        epoch=seen.epoch,
        record=seen.records,
        step=seen.statistics["steps"],
        at_ms=seen.at_ms,
        tokens=seen.tokens,
        prompt_limit=seen.prompt_limit,
        budget_tokens=budget,
        free_tokens=free,
        warn_tokens=seen.warn_tokens,
        high_tokens=seen.high_tokens,
        low_tokens=seen.low_tokens,
        correction_permille=seen.correction_permille,
        policy=seen.policy,
        write_back=seen.write_back,
        model=seen.model,
        problem=seen.problem,
        waiting=seen.waiting,
        suspended=seen.suspended,
        parked=seen.parked,
        regions=tuple(regions),
        pages=tuple(pages),
        going=tuple(page.id for page in going),
        flushed=sum(page.goes for page in pages),
        statistics=dict(seen.statistics),
    )


class _Cursor:
    """Where in the window we are.  Each stretch is rounded so that all of them sum to the corrected whole."""

    def __init__(self, correction_permille: int, budget_tokens: int) -> None:
        self._permille = correction_permille
        self._counted = 0
        self.at = 0
        self.budget_tokens = budget_tokens

    def advance(self, counted: int) -> tuple[int, int]:
        """Where the next stretch starts, and its tokens."""
        start = self.at
        self._counted += counted
        self.at = -(-self._counted * self._permille // 1000)
        return start, self.at - start


def _part(part: Part, cursor: _Cursor, text: str) -> Region:
    start, tokens = cursor.advance(part.tokens)
    trust = _trust(part.untrusted)
    is_text = part.kind in {"block", "summary"}
    return Region(
        part.kind,
        part.name,
        start,
        tokens,
        tokens / cursor.budget_tokens,
        trust,
        pages_summed=part.pages,
        text=text if is_text else "",
    )


def _page(page: PageState, cursor: _Cursor, now_ms: int, newest: int) -> PageView:
    _, tokens = cursor.advance(page.shown_tokens)
    stays = _STAYS.get(page.kept, "")
    return PageView(
        id=page.id,
        region=_region_of(page),
        kind=page.kind,
        author=page.author,
        source=page.source,
        session=page.session,
        cause=page.cause,
        tokens=tokens,
        share=tokens / cursor.budget_tokens,
        fidelity=page.fidelity,
        pinned=page.pinned,
        trust=_trust(page.untrusted),
        importance=page.importance,
        created_ms=page.created_ms,
        age_ms=max(0, now_ms - page.created_ms),
        age_pages=max(0, newest - page.ordinal),
        refs=tuple(page.refs),
        stored=page.stored,
        why=stays or page.explanation,
        rank=page.rank,
        goes=page.goes,
        leaves=page.leaves,
        text=page.text,
        calls=tuple(page.calls),
    )


def _region_of(page: PageState) -> str:
    if page.fidelity == "handle":
        return HANDLES
    return PAGED_IN if page.paged_in else QUEUE


def _queue(pages: list[PageView], start: int, budget_tokens: int) -> Iterator[Region]:
    """Neighbours of one kind as one region each."""
    at = 0
    while at < len(pages):
        kind, first = pages[at].region, at
        while at < len(pages) and pages[at].region == kind:
            at += 1
        stretch = pages[first:at]
        tokens = sum(page.tokens for page in stretch)
        yield Region(kind, kind, start, tokens, tokens / budget_tokens, pages=tuple(page.id for page in stretch))
        start += tokens


def _trust(untrusted: bool) -> str:
    return "others" if untrusted else "own"
