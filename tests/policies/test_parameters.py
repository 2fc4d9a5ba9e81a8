from typing import Any

import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.parameters import flag, number, rows, whole


@pytest.mark.parametrize("found", [True, "1", None, -0.1, 1.1, float("nan")])
def test_number_refuses(found: object) -> None:
    with pytest.raises(PolicyError, match=r"^x\.y: found .*, allowed: a number of at least 0 and at most 1$"):
        number("x.y", found, at_least=0, at_most=1)


def test_number_accepts_whole_numbers_and_its_bounds() -> None:
    assert [number("x", found, at_least=0, at_most=1) for found in (0, 1, 0.5)] == [0.0, 1.0, 0.5]


@pytest.mark.parametrize("found", [True, 1.0, "1", None, -1, 4])
def test_whole_refuses(found: object) -> None:
    with pytest.raises(PolicyError, match="a whole number from 0 to 3"):
        whole("x", found, at_least=0, at_most=3)


@pytest.mark.parametrize("found", [0, 1, "true", None])
def test_flag_refuses_what_merely_counts_as_true(found: object) -> None:
    with pytest.raises(PolicyError, match="true or false"):
        flag("x", found)


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ({}, "x.state.policy"),
        ({"policy": "y", "pages": []}, "x.state.policy"),
        ({"policy": "x"}, "x.state.pages"),
        ({"policy": "x", "pages": {"a": 1}}, "x.state.pages"),
        ({"policy": "x", "pages": [["a", 1], ["b"]]}, r"x.state.pages\[1\]"),
        ({"policy": "x", "pages": [["a", True]]}, r"x.state.pages\[0\]"),
        ({"policy": "x", "pages": [["a", 1.5]]}, r"x.state.pages\[0\]"),
        ({"policy": "x", "pages": [["a", 1], ["a", 2]]}, "x.state.pages"),
    ],
)
def test_a_state_that_was_not_dumped_here_is_refused(state: dict[str, Any], field: str) -> None:
    with pytest.raises(PolicyError, match=f"^{field}: found"):
        rows("x", state, (str, int))


def test_rows_take_lists_and_tuples_and_whole_numbers_for_floats() -> None:
    assert rows("x", {"policy": "x", "pages": (("a", 1), ["b", 2.5])}, (str, float)) == [("a", 1), ("b", 2.5)]
