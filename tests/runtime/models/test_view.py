"""The view reads what the kernel writes: every look of a page, made by the kernel itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.kernel.effects import CallModel
from pagefault.runtime.kernel.events import SearchReturned
from pagefault.runtime.kernel.pages import heading, render, render_handle, render_orphan
from pagefault.runtime.models import View
from pagefault.runtime.models.view import read_hits, read_line
from pagefault.runtime.values import (
    AgentId,
    Hit,
    InterruptKind,
    Message,
    ModelRequest,
    Page,
    PageId,
    PageKind,
    SearchResult,
)
from tests.runtime.kernel.harness import Desk, call, message

AT_MS = 1_683_554_160_000  # 2023-05-08 13:56


def page(number: int = 17, text: str = "I live in Oslo.", **fields: Any) -> Page:
    fields = {"kind": PageKind.MESSAGE, "author": "Alice", "session": "session 3", "created_ms": AT_MS, **fields}
    return Page(id=PageId(f"p{number}"), text=text, tokens=9, ordinal=number, **fields)


def view_of(desk: Desk) -> View:
    (asked,) = [effect for effect in desk.last if isinstance(effect, CallModel)]
    return View(asked.request)


# --- one page ---------------------------------------------------------------------------------------


def test_a_message() -> None:
    line = read_line(render(page()).text)
    assert line is not None
    assert (line.id, line.at, line.author, line.session, line.text) == (
        "p17",
        "2023-05-08 13:56",
        "Alice",
        "session 3",
        "I live in Oslo.",
    )
    assert line.form == "message"
    assert line.at_ms == AT_MS


@pytest.mark.parametrize("author", ["Alice", "the village elder", "a.b/c-7", ""])
@pytest.mark.parametrize("session", ["", "1", "Monday, at noon"])
@pytest.mark.parametrize(
    ("look", "form"),
    [
        (render, "message"),
        (lambda each: render(each, paged_in=True), "paged_in"),
        (render_handle, "handle"),
        (render_orphan, "result"),
    ],
)
def test_every_look(author: str, session: str, look: Any, form: str) -> None:
    if not author and look is render_orphan:
        author = "search"  # a result's author is the function that gave it
    line = read_line(look(page(author=author, session=session)).text)
    assert line is not None
    assert (line.form, line.author, line.session, line.text) == (form, author, session, "I live in Oslo.")


@pytest.mark.parametrize("created_ms", [-1, -62_135_596_800_000, 0, 10**18])
def test_any_time(created_ms: int) -> None:
    line = read_line(render(page(created_ms=created_ms)).text)
    assert line is not None
    assert created_ms - 60_000 < line.at_ms <= created_ms


@given(text=st.text())
def test_any_text_is_told_from_its_heading(text: str) -> None:
    line = read_line(render(page(text=text)).text)
    assert line is not None
    assert line.text == text or line.waits or line.cut
    View(ModelRequest(AgentId("a"), (Message("user", text), Message("tool", text)), (), 1, 1)).results  # noqa: B018  must not fail


@pytest.mark.parametrize(
    "text", ["", "hello", "[system] near the limit", "[summary of 3 earlier pages] x", "[p17]", "[p17 x"]
)
def test_other_text_is_no_line(text: str) -> None:
    assert read_line(text) is None


# --- a whole chain, through the kernel --------------------------------------------------------------


def test_what_came_in_and_what_the_blocks_say() -> None:
    desk = Desk()
    desk.send(message(1, "Where is Oslo?\nTell me.", sender="Alice", session="s1"))
    view = view_of(desk)
    assert view.agent == "a"
    assert view.incoming is not None
    assert (view.incoming.author, view.incoming.session) == ("Alice", "s1")
    assert view.incoming.text == "Where is Oslo?\nTell me."
    assert not view.incoming.waits
    assert view.blocks == {"human": "nothing yet", "law": "never lie"}
    assert "send_message" in view.functions
    assert (view.results, view.result, view.steps, view.paged_in, view.notices) == ((), None, 0, (), ())


def test_somebody_waits() -> None:
    desk = Desk()
    desk.send(message(1, "Where?", sender="bo", wants_reply=True))
    incoming = view_of(desk).incoming
    assert incoming is not None
    assert incoming.waits
    assert incoming.text == "Where?"


def test_results_of_calls_since_then() -> None:
    desk = Desk()
    desk.send(message(1, "first"))
    desk.replies(call("core_memory_append", True, label="human", content="likes tea"))
    desk.replies()
    desk.send(message(2, "second", kind=InterruptKind.OBSERVATION, sender="world"))
    view = view_of(desk)
    assert view.incoming is not None
    assert view.incoming.text == "second"
    assert view.results == ()
    assert [line.text for line in view.lines] == ["first", "second"]
    assert view.blocks["human"] == "nothing yet\nlikes tea"
    one = call("core_memory_append", True, label="law", content="x")
    desk.replies(one, replace(call("core_memory_append", True, label="human", content="y"), id="c2"))
    view = view_of(desk)
    assert [(each.name, each.ok, each.arguments["label"]) for each in view.results] == [
        ("core_memory_append", False, "law"),
        ("core_memory_append", True, "human"),
    ]
    assert "read-only" in view.results[0].text
    assert view.result is view.results[-1]
    assert view.steps == 1


def test_hits_of_a_search() -> None:
    desk = Desk()
    desk.send(message(1, "Where does Alice live?"))
    desk.replies(call("conversation_search", True, query="Oslo"))
    shared = page(3, "It rains here.", author="", session="", space="library")
    hits = (Hit(page(), 2.0), Hit(page(18, "Oslo\nis " + "far " * 3, session=""), 1.0), Hit(shared, 0.5))
    desk.feed(SearchReturned(desk.tick(), desk.call_id, SearchResult(hits, 23, 10, 10)))
    found = view_of(desk).hits()
    assert (found.total, found.page, found.pages) == (23, 1, 3)
    assert [(line.id, line.author, line.session, line.form) for line in found.lines] == [
        ("p17", "Alice", "session 3", "hit"),
        ("p18", "Alice", "", "hit"),
        ("", "", "", "hit"),
    ]
    assert found.lines[1].text == "Oslo is far far far"
    assert found.lines[2].text == "It rains here."


def test_a_search_that_found_nothing() -> None:
    desk = Desk()
    desk.send(message(1, "Where?"))
    assert view_of(desk).hits().lines == ()
    desk.replies(call("conversation_search", True, query="Oslo"))
    desk.feed(SearchReturned(desk.tick(), desk.call_id, SearchResult((), 0, 0, 10)))
    found = view_of(desk).hits()
    assert (found.lines, found.total, found.pages) == ((), 0, 0)
    assert read_hits("no search at all").lines == ()


def test_long_hits_are_marked_as_cut() -> None:
    desk = Desk()
    desk.send(message(1, "Where?"))
    desk.replies(call("conversation_search", True, query="Oslo"))
    hits = tuple(Hit(page(number, "far " * 900), 1.0) for number in range(20, 26))
    desk.feed(SearchReturned(desk.tick(), desk.call_id, SearchResult(hits, 6, 0, 10)))
    lines = view_of(desk).hits().lines
    assert [line.id for line in lines] == [f"p{number}" for number in range(20, 26)]
    assert all(line.cut and line.text.startswith("far far") and not line.text.endswith("]") for line in lines)


def test_pages_that_came_back() -> None:
    desk = Desk()
    told = "I live in Oslo. " + "It rains. " * 50
    desk.send(message(1, told))
    desk.replies()
    desk.send(message(2, "What was p1?"))
    desk.replies(call("page_out", True, page_id="p1"))
    assert [line.form for line in view_of(desk).lines] == ["handle", "message"]
    desk.replies(call("page_in", True, page_id="p1"))
    desk.answer()
    view = view_of(desk)
    assert [(line.id, line.text) for line in view.paged_in] == [("p1", told)]
    assert [result.name for result in view.results] == ["page_out", "page_in"]
    assert view.incoming is not None
    assert view.incoming.text == "What was p1?"


def test_handles_and_notices() -> None:
    head = Message("system", "x")
    handle = render_handle(page(text="long " * 100))
    told = Message("user", "[p3 2023-05-08 13:56 Bo] hi")
    view = View(ModelRequest(AgentId("a"), (head, handle, Message("user", "[system] nearly full"), told), (), 1, 1))
    assert view.notices == ("nearly full",)
    assert [line.form for line in view.lines] == ["handle", "message"]
    assert heading(page()) in handle.text
    assert View(ModelRequest(AgentId("a"), (), (), 1, 1)).incoming is None
    assert View(ModelRequest(AgentId("a"), (), (), 1, 1)).blocks == {}
