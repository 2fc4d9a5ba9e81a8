"""Entries in snapshots: the same entry comes back, from today's rows and from older snapshots' whole entries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.host.records import CODEC
from pagefault.runtime.kernel.pages import Entry, entry, from_row, handle_entry, row
from pagefault.runtime.models.tokens import ByteTokenCounter
from pagefault.runtime.values import FunctionCall, Message, Page, PageId, PageKind

COUNTER = ByteTokenCounter()


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from(PageKind))
    calls = (FunctionCall("c1", "send_message", '{"message": "hi"}'),) if draw(st.booleans()) else ()
    page = Page(
        PageId(f"p{draw(st.integers(1, 999))}"),
        kind,
        draw(st.text(max_size=60)),
        0,
        draw(st.integers(0, 2**41)),
        1,
        author=draw(st.sampled_from(("", "ann", "bob"))),
        answers=draw(st.sampled_from(("", "c1"))),
        calls=calls if kind is PageKind.REPLY else (),
    )
    shown = entry(COUNTER, page, stored=draw(st.booleans()), paged_in=draw(st.booleans()))
    form = draw(st.sampled_from(("plain", "handle", "cut", "shown otherwise")))
    if form == "handle":
        return handle_entry(COUNTER, shown.page)
    if form == "cut":
        return replace(shown, is_cut=True)
    return shown if form == "plain" else replace(shown, message=Message("user", "in words of its own"))


@given(shown=entries())
def test_an_entry_comes_back_as_it_was(shown: Entry) -> None:
    saved = CODEC.decode(CODEC.encode({"entries": [row(shown)]}))
    assert isinstance(saved, dict)
    assert from_row(saved["entries"][0]) == shown


@given(shown=entries())
def test_older_snapshots_have_whole_entries(shown: Entry) -> None:
    whole = replace(shown, message=shown.look())
    back = from_row(CODEC.decode(CODEC.encode(whole)))
    assert back == shown or (shown.message is not None and back.look() == shown.look())


def test_what_can_be_rendered_again_is_not_kept() -> None:
    page = Page(PageId("p1"), PageKind.MESSAGE, "a long text " * 100, 0, 1, 1)
    shown = entry(COUNTER, page, stored=True)
    assert shown.message is None
    assert page.text in shown.look().text
    whole = replace(shown, message=shown.look())
    assert len(CODEC.encode(row(shown))) < len(CODEC.encode(whole)) * 0.6
    assert from_row(whole) == shown


@pytest.mark.parametrize("saved", ["text", [], [None, None, True, False, False], {"page": None}])
def test_what_is_no_entry_is_refused(saved: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        from_row(saved)
