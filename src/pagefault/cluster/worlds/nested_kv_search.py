"""Archival memory searched as the paper's task does it: by text, which is what ids need."""

from __future__ import annotations

from pagefault.runtime.functions.builtin.recall import PAGE_MAX, PageNumber
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.kernel.functions import MemoryView, Outcome, Search
from pagefault.runtime.values import ArchiveQuery, Space


@function(effect="pure")
def archival_text_search(view: MemoryView, query: str, page: PageNumber = 0) -> Outcome:
    """Search archival memory for a text, letter for letter, whatever the case.

    Args:
        query: The text to look for. Empty lists everything, oldest first.
        page: Which page of the results, counted from 0.
    """
    found = ArchiveQuery(
        text=query.strip(),
        spaces=(Space.ARCHIVAL.value, *view.spaces),
        mode="substring",
        offset=min(page, PAGE_MAX) * view.search_results,
        limit=view.search_results,
    )
    return Search(found, page)
