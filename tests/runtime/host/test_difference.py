"""Differences are named by their place, and nothing that is equal is one."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.host.difference import first_difference
from pagefault.runtime.values import Usage

PLAIN = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=15,
)


@given(PLAIN, PLAIN)
def test_what_differs_is_found_and_what_is_equal_is_not(one: object, other: object) -> None:
    assert first_difference(one, one) == ""
    assert (first_difference(one, other) == "") == (one == other)


def test_the_place_is_named() -> None:
    assert first_difference({"a": [1, {"b": 2}]}, {"a": (1, {"b": 2})}) == ""
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == (
        "state.a[1].b was recorded as 2 and replayed as 3"
    )
    assert first_difference({"a": 1}, {}) == "state.a is only in what was recorded"
    assert first_difference([1], [1, 2]) == "state[1] is only in what was replayed"
    assert first_difference(Usage(1, 2), replace(Usage(1, 2), reply_tokens=3)) == (
        "state.reply_tokens was recorded as 2 and replayed as 3"
    )


def test_long_texts_are_shown_from_where_they_part() -> None:
    assert first_difference("x" * 99 + "one", "x" * 99 + "two") == (
        f"state was recorded as {'x' * 30 + 'one'!r} and replayed as {'x' * 30 + 'two'!r}"
    )
