"""Spaces: what is observed can be read, what is written is an action, and what cannot be said is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.cluster.worlds.actions import make_action
from pagefault.cluster.worlds.environment import IllegalAction
from pagefault.cluster.worlds.spaces import LEGAL_SHOWN_MAX, SpaceActions, array_text, describe, legal_text
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.check import check_arguments
from pagefault.runtime.functions.decorator import definition_of
from pagefault.runtime.kernel.functions import CallProblem

spaces = pytest.importorskip("gymnasium.spaces", reason="the extra worlds is not installed")


def test_simple_observations_are_one_line() -> None:
    assert describe(spaces.Discrete(5, start=3), 4) == "4 (of 3 to 7)"
    assert describe(spaces.Text(9), "north") == "north"
    assert describe(spaces.MultiDiscrete([3, 4]), np.array([2, 0])) == "[2, 0]"
    assert describe(spaces.MultiBinary(3), np.array([1, 0, 1])) == "[1, 0, 1]"
    assert describe(spaces.Box(-1, 1, (3,)), np.array([0.5, -0.123456, 0])) == "[0.5, -0.1235, 0]"
    assert describe(spaces.Box(0, 9, ()), np.array(2.5)) == "2.5"


def test_composed_observations_are_a_line_a_part() -> None:
    space = spaces.Dict(
        {
            "hand": spaces.Sequence(spaces.Discrete(52)),
            "map": spaces.Box(0, 9, (2, 3), dtype=np.int64),
            "rest": spaces.Tuple((spaces.Discrete(2), spaces.Dict({"x": spaces.Text(5)}))),
        }
    )
    value = {"hand": tuple(range(12)), "map": np.arange(6).reshape(2, 3), "rest": (1, {"x": "y"})}
    text = describe(space, value)
    assert text.split("\n")[:3] == ["hand:", "  12 items", "  item 1: 0 (of 0 to 51)"]
    assert "  … and 2 more" in text
    assert "map:\n0 1 2\n3 4 5" in text
    assert "rest:\n  part 1: 1 (of 0 to 1)\n  part 2:\n    x: y" in text


def test_graphs_and_alternatives_have_words() -> None:
    graph = spaces.GraphInstance(np.array([1, 2]), np.array([3]), np.array([[0, 1]]))
    text = describe(spaces.Graph(spaces.Discrete(4), spaces.Discrete(4)), graph)
    assert "a graph of 2 nodes and 1 edges" in text
    assert "0 1" in text
    one_of = spaces.OneOf((spaces.Discrete(3), spaces.Text(4)))
    assert describe(one_of, (np.int64(1), "ab")) == "alternative 2: ab"


def test_long_arrays_are_abbreviated_with_counts() -> None:
    picture = np.zeros((84, 84, 3), dtype=np.uint8)
    picture[0, 0, 1] = 255
    text = describe(spaces.Box(0, 255, (84, 84, 3), np.uint8), picture)
    assert text.startswith("84x84x3 array of 21,168 numbers, from 0 to 255")
    assert "1 of them not 0" in text
    assert "begins [0, 255, 0," in text
    assert len(text) < 200
    assert array_text(np.zeros((0, 40, 2))) == "an empty array of shape 0x40x2"


def test_two_planes_are_a_board() -> None:
    planes = np.zeros((2, 3, 2), dtype=np.int8)
    planes[0, 1, 0] = planes[1, 2, 1] = 1
    assert array_text(planes).split("\n")[:2] == [". 1 .", ". . 2"]


def test_a_long_list_of_what_is_legal_says_how_long_it_is() -> None:
    labels = [str(number) for number in range(LEGAL_SHOWN_MAX + 5)]
    assert legal_text(labels[:3]) == "0, 1, 2"
    assert legal_text(labels).endswith(f"… ({len(labels)} in all)")


SIMPLE = st.one_of(
    st.builds(spaces.Discrete, st.integers(1, 9), start=st.integers(-5, 5)),
    st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 5), min_size=1, max_size=4)),
    st.builds(spaces.MultiBinary, st.integers(1, 5)),
    st.builds(lambda shape: spaces.Box(-2, 3, shape, np.float32), st.sampled_from([(), (1,), (3,), (2, 2)])),
    st.builds(lambda shape: spaces.Box(-2, 3, shape, np.int64), st.sampled_from([(), (4,)])),
    st.builds(spaces.Text, st.integers(1, 6)),
)
SPACES = st.recursive(
    st.one_of(SIMPLE, st.builds(spaces.Sequence, SIMPLE)),
    lambda inner: st.one_of(
        st.builds(spaces.Tuple, st.lists(inner, min_size=1, max_size=3)),
        st.builds(spaces.Dict, st.dictionaries(st.sampled_from("abc"), inner, min_size=1)),
    ),
    max_leaves=5,
)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return set(left) == set(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(np.array_equal(left, right)) if isinstance(left, np.ndarray) else bool(left == right)


@settings(max_examples=60, deadline=None)
@given(space=SPACES, seed=st.integers(0, 2**31 - 1))
def test_every_action_can_be_written_checked_and_read_again(space: Any, seed: int) -> None:
    space.seed(seed)
    action = space.sample()
    actions = SpaceActions(space)
    written = actions.arguments(action)
    shape = definition_of(make_action("act", "Act.", actions, "here")).shape
    assert set(written) <= {each.name for each in shape.parameters}
    checked, _ = check_arguments("act", shape, json.dumps(written))
    assert same(actions.decode(checked), action)
    assert describe(space, action)


@pytest.mark.parametrize(
    ("space", "wrong"),
    [
        (spaces.Discrete(3), {"action": 3}),
        (spaces.Discrete(3), {"action": "1"}),
        (spaces.Discrete(3), {}),
        (spaces.MultiBinary(2), {"action": [0, 2]}),
        (spaces.MultiBinary(2), {"action": [0]}),
        (spaces.MultiDiscrete([2, 3]), {"action": [0, 0, 0]}),
        (spaces.Box(0, 1, (2,)), {"action": [0.5]}),
        (spaces.Text(3), {"action": "abcd"}),
        (spaces.Dict({"x": spaces.Discrete(2)}), {"x": 0, "y": 1}),
    ],
)
def test_what_does_not_fit_the_schema_is_told_before_it_is_run(space: Any, wrong: dict[str, Any]) -> None:
    shape = definition_of(make_action("act", "Act.", SpaceActions(space), "here")).shape
    with pytest.raises(CallProblem, match="Wrong arguments for act"):
        check_arguments("act", shape, json.dumps(wrong))


def test_what_the_schema_cannot_say_is_checked_against_the_space() -> None:
    box = SpaceActions(spaces.Box(0, 1, (2,)))
    with pytest.raises(IllegalAction, match="2 numbers: each from 0 to 1"):
        box.decode({"action": [0.5, 1.5]})
    with pytest.raises(IllegalAction, match="2 whole numbers"):
        SpaceActions(spaces.MultiDiscrete([2, 3])).decode({"action": [1, 3]})
    with pytest.raises(IllegalAction, match="out of"):
        SpaceActions(spaces.Text(3, charset="ab")).decode({"action": "c"})


def test_actions_have_names_and_masks_speak_in_them() -> None:
    actions = SpaceActions(spaces.Discrete(3, start=1), ("left", "right", "jump"))
    assert actions.decode({"action": "jump"}) == 3
    assert actions.legal(np.array([1, 0, 1])) == ("left", "jump")
    assert '"enum":["left","right","jump"]' in definition_of(make_action("act", "A.", actions, "x")).schema.parameters
    with pytest.raises(IllegalAction, match=r"no action 'fly'\. action: one of left, right, jump"):
        actions.decode({"action": "fly"})


def test_names_must_be_as_many_as_actions() -> None:
    with pytest.raises(ConfigError, match=r"names: found .*, allowed: 3 names"):
        SpaceActions(spaces.Discrete(3), ("left",))
    with pytest.raises(ConfigError, match="only Discrete actions are named"):
        SpaceActions(spaces.MultiBinary(1), ("left",))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Graph(spaces.Discrete(2), None),
        spaces.OneOf((spaces.Discrete(2), spaces.Discrete(3))),
        spaces.Sequence(spaces.Tuple((spaces.Discrete(2),))),
    ],
)
def test_a_space_without_words_is_refused(space: Any) -> None:
    with pytest.raises(ConfigError, match="action_space: found"):
        SpaceActions(space)
