"""Paging by hand: bring a page back, send one away, keep one in place."""

from __future__ import annotations

import difflib

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.kernel.functions import (
    CallProblem,
    Done,
    FetchPages,
    MemoryView,
    Outcome,
    PageLine,
    PageOut,
    Pin,
)
from pagefault.runtime.values import Fidelity, PageId

_SHOWN_MAX = 20


@function(effect="idempotent")
def page_in(view: MemoryView, page_id: str) -> Outcome:
    """Bring a page back into your context in full, by the id that its handle or a search result shows.

    Args:
        page_id: The page's id, such as p17.
    """
    return FetchPages((_named(page_id),))


@function(effect="idempotent")
def page_out(view: MemoryView, page_id: str) -> Outcome:
    """Send a page out of your context, to make room. A handle stays; page_in brings it back.

    Args:
        page_id: The page's id, such as p17.
    """
    line = _resident(view, page_id)
    if line.fidelity == Fidelity.HANDLE:
        return Done(f"{line.id} is out of your context already.")
    if line.pinned:
        raise CallProblem(f"{line.id} is pinned; call unpin first.")
    return Done(f"{line.id} is out of your context; {line.tokens} tokens are free again.", (PageOut(line.id),))


@function(effect="idempotent")
def pin(view: MemoryView, page_id: str) -> Outcome:
    """Keep a page in your context until you unpin it.

    Args:
        page_id: The page's id, such as p17.
    """
    line = _resident(view, page_id)
    if line.pinned:
        return Done(f"{line.id} is pinned already.")
    return Done(f"{line.id} is pinned.", (Pin(line.id, True),))


@function(effect="idempotent")
def unpin(view: MemoryView, page_id: str) -> Outcome:
    """Stop keeping a page in your context.

    Args:
        page_id: The page's id, such as p17.
    """
    line = _resident(view, page_id)
    if not line.pinned:
        return Done(f"{line.id} is not pinned.")
    return Done(f"{line.id} is no longer pinned.", (Pin(line.id, False),))


def _named(page_id: str) -> PageId:
    """The id without the brackets and blanks that models copy along with it."""
    name = page_id.strip().strip("[]<>()#\"'` ")
    if not name:
        raise CallProblem("page_id is empty; write an id such as p17.")
    return PageId(name)


def _resident(view: MemoryView, page_id: str) -> PageLine:
    wanted = _named(page_id)
    line = view.page(wanted)
    if line is None:
        ids = [each.id for each in view.resident()]
        near = difflib.get_close_matches(wanted[:_SHOWN_MAX], ids, n=3) or ids[-_SHOWN_MAX:]
        raise CallProblem(
            f"There is no page {wanted[:80]!r} in your context; page ids there are: {', '.join(near) or 'none'}. "
            "Bring a page in with page_in first."
        )
    return line
