"""Snapshots: the state comes back as it was, also from older releases, and damage is one clear error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.errors import InternalError, StoreCorrupt
from pagefault.runtime.host.records import CODEC
from pagefault.runtime.host.snapshots import decode_snapshot, encode_snapshot
from pagefault.runtime.values import AgentId, Message, Page, PageId, PageKind

ADA = AgentId("ada")
PAGE = Page(PageId("p1"), PageKind.MESSAGE, "hello", 5, 1_000, 1)
ROWS: list[list[Any]] = [[PAGE, None, True, False, False], [PAGE, Message("user", "cut"), False, True, True]]

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(PLAIN, st.lists(st.lists(st.integers(0, 9) | st.text(max_size=40), min_size=2, max_size=2), max_size=9))
def test_a_state_comes_back_as_it_was(value: object, rows: list[list[object]]) -> None:
    state = {"entries": ROWS, "eviction": {"pages": rows, "more": value}, "remembered": rows}
    found = decode_snapshot(ADA, encode_snapshot(state))
    assert [list(row) for row in found.pop("entries")] == ROWS
    assert found == {"eviction": {"pages": rows, "more": value}, "remembered": rows}


def test_no_pages_is_a_state_too() -> None:
    assert decode_snapshot(ADA, encode_snapshot({"entries": []})) == {"entries": []}


def test_a_snapshot_of_an_earlier_release_is_read() -> None:
    state = {"entries": ROWS, "remembered": [["a", "p1"], ["b", "p2"]]}
    assert decode_snapshot(ADA, CODEC.encode(state)) == state


def test_a_key_that_would_not_come_back_is_refused() -> None:
    with pytest.raises(InternalError, match="reserved"):
        encode_snapshot({"entries": [], "eviction": {"~rows": [1]}})


@pytest.mark.parametrize(
    "state",
    [
        [],
        {"entries": {}},
        {"entries": {"pages": {"count": 1, "same": {}, "each": {}}, "others": [[], [], [], []]}},
        {"entries": {"pages": {"count": 0, "same": {}, "each": {}}, "others": [[1], [], [], []]}},
        {"entries": [], "remembered": {"~rows": [[1, 2], [3]]}},
        {"entries": [], "remembered": {"~rows": 5}},
    ],
)
def test_damage_is_one_clear_error(state: object) -> None:
    with pytest.raises(StoreCorrupt):
        decode_snapshot(ADA, CODEC.encode(state))
