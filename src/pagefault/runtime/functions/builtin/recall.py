"""Searching everything that was ever said to or by the agent."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Annotated

from pydantic import Field

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.functions.definition import SystemSettings
from pagefault.runtime.kernel.functions import CallProblem, MemoryView, Outcome, Search
from pagefault.runtime.values import ArchiveQuery, PageKind, Space

PAGE_MAX = 1_000_000  # past every archive, and far from the end of 64 bits
# As in MemGPT, results of functions and notices are not searched: else every search would find earlier searches.
CONVERSATION = (PageKind.MESSAGE, PageKind.OBSERVATION, PageKind.REPLY)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_DAY = time(23, 59, 59, 999_000)

PageNumber = Annotated[int, Field(ge=0)]


@function(effect="pure")
def conversation_search(view: MemoryView, settings: SystemSettings, query: str, page: PageNumber = 0) -> Outcome:
    """Search the whole conversation, also the part that is no longer in your context.

    Args:
        query: What to look for. Empty lists everything, oldest first.
        page: Which page of the results, counted from 0.
    """
    return _search(view, settings, query, page)


@function(effect="pure")
def conversation_search_date(
    view: MemoryView, settings: SystemSettings, start_date: str, end_date: str, page: PageNumber = 0
) -> Outcome:
    """List what was said between two dates, oldest first.

    Args:
        start_date: ISO date such as 2024-05-07, or date and time such as 2024-05-07T14:30; UTC unless it has an offset.
        end_date: The same; a date without a time includes that whole day.
        page: Which page of the results, counted from 0.
    """
    after_ms = _instant_ms("start_date", start_date, end_of_day=False)
    before_ms = _instant_ms("end_date", end_date, end_of_day=True)
    if after_ms > before_ms:
        raise CallProblem(f"start_date {start_date!r} is after end_date {end_date!r}; exchange them.")
    return _search(view, settings, "", page, after_ms=after_ms, before_ms=before_ms)


def _search(
    view: MemoryView,
    settings: SystemSettings,
    text: str,
    page: int,
    *,
    after_ms: int | None = None,
    before_ms: int | None = None,
) -> Search:
    query = ArchiveQuery(
        text=text.strip(),
        spaces=(Space.RECALL.value,),
        mode=settings.recall_mode,
        kinds=CONVERSATION,
        after_ms=after_ms,
        before_ms=before_ms,
        offset=min(page, PAGE_MAX) * view.search_results,
        limit=view.search_results,
    )
    return Search(query, page)


def _instant_ms(name: str, text: str, *, end_of_day: bool) -> int:
    """Milliseconds since the epoch of an ISO date or date and time."""
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise CallProblem(
            f"{name}: found {text[:40]!r}, allowed: an ISO date such as 2024-05-07, or 2024-05-07T14:30."
        ) from None
    date_only = len(text.strip()) <= len("2024-05-07")
    if date_only and end_of_day:
        instant = datetime.combine(instant, _END_OF_DAY)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - _EPOCH) // timedelta(milliseconds=1)
