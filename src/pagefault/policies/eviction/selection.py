"""The end that all eviction policies share: from an order of leaving to an answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def first_to_leave(order: Iterable[tuple[str, int]], tokens_needed: int, protected: Collection[str]) -> list[str]:
    """The shortest prefix of the unprotected pages in ``order`` whose tokens reach ``tokens_needed``.

    ``order`` gives ``(page id, tokens)``, first to leave first; all unprotected pages are returned when they
    do not suffice, and none when nothing is needed.  Reads no further than it must: its cost is the pages
    returned plus the protected ones among them.
    """
    if tokens_needed <= 0:
        return []
    held = protected if isinstance(protected, (set, frozenset)) else frozenset(protected)
    leaving: list[str] = []
    for page_id, tokens in order:
        if page_id in held:
            continue
        leaving.append(page_id)
        tokens_needed -= tokens
        if tokens_needed <= 0:
            break
    return leaving


def rank(page_id: str, order: Iterable[str]) -> int:
    """The place of a page in an order of leaving, counted from 1.  Raises ``KeyError`` if it has none."""
    for place, each in enumerate(order, start=1):
        if each == page_id:
            return place
    raise KeyError(page_id)
