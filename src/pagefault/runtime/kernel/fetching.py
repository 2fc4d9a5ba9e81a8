"""What comes in with a page that is needed: the pages that the agent's fetch policy asks for."""

from __future__ import annotations

from pagefault.policies.contract import SearchingFetch
from pagefault.runtime.kernel.effects import LoadPages
from pagefault.runtime.kernel.pages import cost, facts, render
from pagefault.runtime.kernel.state import AgentData
from pagefault.runtime.values import ArchiveQuery, Page, PageId, Space

RECENT_PAGES = 16
"""Newest pages that a fetch policy is shown."""
RELATED_MAX = 64
"""Pages that one search of a fetch policy may bring."""


def load_effect(data: AgentData) -> LoadPages:
    """The request for the pages that the outstanding call wants, and their companions."""
    outstanding = data.outstanding
    assert outstanding is not None
    companions: list[PageId] = []
    for page_id in outstanding.page_ids:
        if page_id[1:].isdigit():
            for ordinal in _companions(data, page_id):
                companion = PageId(f"p{ordinal}")
                if not data.is_resident(companion):
                    companions.append(companion)
    page_ids = tuple(outstanding.page_ids)
    return LoadPages(outstanding.cause, outstanding.call_id, page_ids, tuple(companions), _related(data))


def _related(data: AgentData) -> ArchiveQuery | None:
    """What a fetch policy wants searched for, besides the pages that it knows by their place."""
    fetch = data.fetch
    if not isinstance(fetch, SearchingFetch):
        return None
    shown = [entry.page for entry in data.context.pages()]
    try:
        text = fetch.query([facts(page) for page in shown[-RECENT_PAGES:]])
        limit = min(int(fetch.pages_max), RELATED_MAX)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the agent must go on
        data.statistics.policy_failures += 1
        data.notice("policy_failed", text=f"fetch {fetch.name}: {error}")
        return None
    if not text.strip() or limit < 1:
        return None
    spaces = (Space.RECALL.value, Space.ARCHIVAL.value)
    return ArchiveQuery(text, spaces, limit=limit, exclude=tuple(page.id for page in shown))


def _companions(data: AgentData, page_id: PageId) -> list[int]:
    room = data.context.page_tokens_max(data.pinned_tokens)
    try:
        return list(data.fetch.companions(page_id, int(page_id[1:]), room))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the agent must go on
        data.statistics.policy_failures += 1
        data.notice("policy_failed", (page_id,), text=f"fetch {data.fetch.name}: {error}")
        return []


def with_room(data: AgentData, pages: list[Page], wanted: list[PageId]) -> list[Page]:
    """All that is wanted, and of what was fetched along as much as one page may take."""
    room = data.context.page_tokens_max(data.pinned_tokens)
    kept = []
    for page in pages:
        if page.id not in wanted:
            room -= cost(data.counter, render(page, paged_in=True))
            if room < 0:
                continue
        kept.append(page)
    return kept
