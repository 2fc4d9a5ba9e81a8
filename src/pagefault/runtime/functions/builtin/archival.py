"""Archival memory: passages that the agent, or whoever gave it documents, put aside for later."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pagefault.runtime.functions.builtin.recall import PAGE_MAX, PageNumber
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.functions.definition import SystemSettings
from pagefault.runtime.kernel.functions import CallProblem, Done, Insert, MemoryView, Outcome, Search
from pagefault.runtime.values import ArchiveQuery, Space

TAGS_MAX = 16
TAG_CHARS_MAX = 64

Tags = Annotated[list[str], Field(max_length=TAGS_MAX)]


@function
def archival_memory_insert(
    view: MemoryView, content: str, tags: Tags | None = None, space: str = Space.ARCHIVAL.value
) -> Outcome:
    """Store a passage in archival memory, where it stays for ever. Write it so that it can be understood by itself.

    Args:
        content: What to store.
        tags: Words to file it under.
        space: Your own archival memory, or a shared space.
    """
    if not content.strip():
        raise CallProblem("The content is empty; write what to store.")
    spaces = (Space.ARCHIVAL.value, *view.spaces)
    if space not in spaces:
        raise CallProblem(f"space: found {space[:TAG_CHARS_MAX]!r}, allowed: {', '.join(map(repr, spaces))}.")
    return Done(f"Stored in {space} memory.", (Insert(content, space, checked_tags(tags)),))


def checked_tags(tags: list[str] | None) -> tuple[str, ...]:
    """Tags without blanks, each once.  Raises :class:`CallProblem` for one that is too long."""
    cleaned = tuple(dict.fromkeys(tag.strip() for tag in tags or () if tag.strip()))
    for tag in cleaned:
        if len(tag) > TAG_CHARS_MAX:
            raise CallProblem(f"tags: {tag[:TAG_CHARS_MAX]!r}… has {len(tag)} characters, allowed: {TAG_CHARS_MAX}.")
    return cleaned


@function(effect="pure")
def archival_memory_search(view: MemoryView, settings: SystemSettings, query: str, page: PageNumber = 0) -> Outcome:
    """Search archival memory, best matches first.

    Args:
        query: What to look for. Empty lists everything, oldest first.
        page: Which page of the results, counted from 0.
    """
    found = ArchiveQuery(
        text=query.strip(),
        spaces=(Space.ARCHIVAL.value, *view.spaces),
        mode=settings.archival_mode,
        offset=min(page, PAGE_MAX) * view.search_results,
        limit=view.search_results,
    )
    return Search(found, page)
