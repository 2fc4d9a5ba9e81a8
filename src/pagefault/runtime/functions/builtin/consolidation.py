"""Tidying archival memory: what is new in it, and one passage in the place of several.

An agent gets these with a consolidation policy; they are in no other set.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pagefault.runtime.functions.builtin.archival import Tags, checked_tags
from pagefault.runtime.functions.builtin.recall import PAGE_MAX, PageNumber
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.kernel.functions import CallProblem, MemoryView, MergePassages, Outcome, Search
from pagefault.runtime.values import ArchiveQuery, PageId, PageKind, Space

PASSAGES_MAX = 32

Passages = Annotated[list[str], Field(min_length=1, max_length=PASSAGES_MAX)]


@function(effect="pure")
def archival_memory_review(view: MemoryView, page: PageNumber = 0) -> Outcome:
    """List the passages that are new in your archival memory since you last looked it over, oldest first.

    Args:
        page: Which page of the list, counted from 0.
    """
    found = ArchiveQuery(
        text="",
        spaces=(Space.ARCHIVAL.value,),
        kinds=(PageKind.PASSAGE,),
        after_ms=view.review_since_ms,
        offset=min(page, PAGE_MAX) * view.search_results,
        limit=view.search_results,
    )
    return Search(found, page)


@function
def archival_memory_merge(view: MemoryView, passages: Passages, content: str, tags: Tags | None = None) -> Outcome:
    """Replace passages of your archival memory by one: write it so that it is right now and stands by itself.

    Args:
        passages: Ids of the passages it replaces, such as p17, as lists and search results show them.
        content: The passage that takes their place.
        tags: Words to file it under; those of the passages where nothing is said.
    """
    if not content.strip():
        raise CallProblem("The content is empty; write what takes the place of the passages.")
    named = tuple(dict.fromkeys(PageId(each.strip().strip("[]<>()#\"'` ")) for each in passages))
    if PageId("") in named:
        raise CallProblem("passages: an id is empty; write ids such as p17.")
    return MergePassages(named, content, checked_tags(tags))
