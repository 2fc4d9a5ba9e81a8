"""Columns give back what they were given, are small where values are alike, and refuse what they did not write."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.store.codec import TAGS, decode, encode
from pagefault.runtime.store.columns import Columns
from pagefault.runtime.values import Fidelity, FunctionCall, Page, PageId, PageKind

KNOWN = frozenset(TAGS.values())
PAGES = Columns(Page, KNOWN)

CALLS = st.lists(st.builds(FunctionCall, st.text(max_size=4), st.text(max_size=4), st.text(max_size=9)), max_size=2)
PAGE = st.builds(
    Page,
    id=st.text(max_size=5).map(PageId),
    kind=st.sampled_from(PageKind),
    text=st.text(max_size=60),
    tokens=st.integers(0, 2**40),
    created_ms=st.integers(0, 2**45),
    ordinal=st.integers(0, 2**40),
    author=st.text(max_size=3),
    fidelity=st.sampled_from(Fidelity),
    importance=st.none() | st.floats(0, 1),
    calls=CALLS.map(tuple),
    refs=st.lists(st.text(max_size=3).map(PageId), max_size=3).map(tuple),
)
ONE = Page(PageId("p1"), PageKind.MESSAGE, "hello", 5, 1_000, 1)


@given(st.lists(PAGE, max_size=12))
def test_what_is_written_is_read(pages: list[Page]) -> None:
    back = PAGES.read(decode(encode(PAGES.write(pages))))
    assert back == pages
    assert [repr(page) for page in back] == [repr(page) for page in pages]  # 1, 1.0 and True are equal, and differ


def test_what_is_alike_is_written_once() -> None:
    pages = [replace(ONE, id=PageId(f"p{number}"), author="ada") for number in range(100)]
    assert len(encode(PAGES.write(pages))) < 1_000
    assert "refs" not in PAGES.write(pages)["same"]  # the default of all


@dataclass(frozen=True)
class Older:
    name: str


@dataclass(frozen=True)
class Newer:
    name: str
    size: int = 7


def test_a_field_that_is_added_with_a_default_opens_old_data() -> None:
    written = Columns(Older, KNOWN).write([Older("a"), Older("b")])
    assert Columns(Newer, KNOWN).read(written) == [Newer("a"), Newer("b")]
    with pytest.raises(StoreCorrupt, match="size"):
        Columns(Older, KNOWN).read(Columns(Newer, KNOWN).write([Newer("a", 1), Newer("b", 2)]))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([], "allowed: a map"),
        ({"count": 1, "same": {}}, "allowed: a map"),
        ({"count": -1, "same": {}, "each": {}}, "count"),
        ({"count": True, "same": {}, "each": {}}, "count"),
        ({"count": 10**12, "same": {}, "each": {}}, "count"),
        ({"count": 2, "same": {"name": "a"}, "each": {"name": ["a", "b"]}}, "each once"),
        ({"count": 2, "same": {}, "each": {"name": ["a"]}}, "a list of 2"),
        ({"count": 2, "same": {}, "each": {"name": "ab"}}, "a list of 2"),
        ({"count": 2, "same": {}, "each": {"name": ["a", 1]}}, "allowed: str"),
        ({"count": 2, "same": {}, "each": {"name": [1, 2]}}, "allowed: str"),
        ({"count": 2, "same": {"name": b"a"}, "each": {}}, "allowed: str"),
        ({"count": 2, "same": {}, "each": {}}, "has no default"),
        ({"count": 2, "same": {"nose": "a"}, "each": {}}, "nose"),
        ({"count": 2, "same": {"name": "a"}, "each": {"size": [1, True]}}, "allowed: int"),
        ({"count": 2, "same": {"name": "a"}, "each": {"size": [True, False]}}, "allowed: int"),
    ],
)
def test_what_it_did_not_write_is_refused(data: object, problem: str) -> None:
    with pytest.raises(StoreCorrupt, match=problem):
        Columns(Newer, KNOWN).read(data)


def test_an_unknown_member_of_an_enumeration_is_refused() -> None:
    written = PAGES.write([ONE, replace(ONE, kind=PageKind.RESULT)])
    written["each"]["kind"] = ["message", "rumour"]
    with pytest.raises(StoreCorrupt, match="'kind'"):
        PAGES.read(written)


def test_classes_with_and_without_slots_are_filled_alike() -> None:
    @dataclass(frozen=True, slots=True)
    class Slotted:
        name: str
        size: int = 7

    some = [("a", 1), ("b", 7), ("c", 7)]
    for cls in (Newer, Slotted):
        values = [cls(*each) for each in some]
        assert Columns(cls, KNOWN).read(Columns(cls, KNOWN).write(values)) == values
        assert Columns(cls, KNOWN).read(Columns(cls, KNOWN).write([])) == []


def test_tuples_of_other_values_are_columns_too_and_damage_is_refused() -> None:
    call = FunctionCall("a", "say", "{}")
    pages = [replace(ONE, calls=(call, replace(call, id="b"))), ONE, replace(ONE, calls=(call,))]
    written = PAGES.write(pages)
    assert written["each"]["calls"]["lengths"] == [2, 0, 1]
    assert PAGES.read(decode(encode(written))) == pages
    plain = {**written, "each": {**written["each"], "calls": [[call, replace(call, id="b")], [], [call]]}}
    assert PAGES.read(decode(encode(plain))) == pages  # as it was first written
    for lengths in ([2, 0], [2, 0, 2], [2, -1, 2], [2, True, 0], ["2", 0, 1], None):
        damaged = {**written["each"]["calls"], "lengths": lengths}
        with pytest.raises(StoreCorrupt, match="'calls'"):
            PAGES.read(decode(encode({**written, "each": {**written["each"], "calls": damaged}})))
