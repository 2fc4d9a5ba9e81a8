"""Checking what a model wrote: either arguments that fit, or a problem that tells how to mend them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field

from pagefault.runtime.functions import AgentFunctions, Registry, definition_of, function
from pagefault.runtime.functions.check import ARGUMENTS_CHARS_MAX, PROBLEM_CHARS_MAX
from pagefault.runtime.kernel.functions import CallProblem


class Item(BaseModel):
    name: str
    amount: Annotated[int, Field(ge=1)]


def even(number: int) -> int:
    if number % 2:
        raise ValueError("must be even")
    return number


@function
def order(
    items: list[Item],
    speed: Literal["slow", "fast"] = "slow",
    note: str | None = None,
    either: int | bool = 1,
    pairs: Annotated[int, AfterValidator(even)] = 2,
) -> str:
    """Order things."""
    return f"{items} {speed} {note} {either} {pairs}"


@function(strict=False, chains="never")
def free(options: dict[str, Any]) -> str:
    """Take anything."""
    return str(options)


TABLE = AgentFunctions(definition_of(each) for each in (order, free))
ITEM = {"name": "tea", "amount": 2}


def problem(name: str, arguments: str) -> str:
    with pytest.raises(CallProblem) as caught:
        TABLE.check(name, arguments)
    return str(caught.value)


def test_defaults_are_filled_in() -> None:
    raw = json.dumps({"items": [ITEM], "speed": None, "request_heartbeat": True})
    assert TABLE.check("order", raw) == (
        {"items": [ITEM], "speed": "slow", "note": None, "either": 1, "pairs": 2},
        True,
    )


def test_arguments_stay_json() -> None:
    checked, _ = TABLE.check("order", json.dumps({"items": [ITEM]}))
    assert json.loads(json.dumps(checked)) == checked


@pytest.mark.parametrize("heartbeat", [True, "true", "True", " TRUE "])
def test_heartbeat_may_be_quoted(heartbeat: object) -> None:
    assert TABLE.check("order", json.dumps({"items": [], "request_heartbeat": heartbeat}))[1] is True


@pytest.mark.parametrize("heartbeat", [False, None, "false"])
def test_no_heartbeat(heartbeat: object) -> None:
    assert TABLE.check("order", json.dumps({"items": [], "request_heartbeat": heartbeat}))[1] is False


def test_heartbeat_of_another_kind_is_told() -> None:
    text = problem("order", '{"items": [], "request_heartbeat": 1}')
    assert "request_heartbeat: found 1, allowed: true or false" in text


def test_a_heartbeat_that_is_not_offered_is_tolerated_and_has_no_effect() -> None:
    assert TABLE.check("free", '{"options": {}, "request_heartbeat": true}') == ({"options": {}}, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"items": 3}', ["items: found 3", "a list, each item an object with the keys name, amount"]),
        ('{"items": "[]"}', ['items: found the string "[]"', "a list"]),
        ("{}", ["items: missing"]),
        ('{"items": [{"name": "tea"}]}', ["items[0].amount: missing", "an integer (at least 1)"]),
        ('{"items": [{"name": "tea", "amount": 0}]}', ["items[0].amount: found 0", "at least 1"]),
        ('{"items": [{"name": "tea", "amount": "2"}]}', ['items[0].amount: found the string "2"', "an integer"]),
        ('{"items": [{"name": "tea", "amount": 2.0}]}', ["items[0].amount: found 2.0"]),
        ('{"items": [{"name": "tea", "amount": 1, "colour": 1}]}', ["items[0].colour", "no such argument"]),
        ('{"items": [], "speed": "fats"}', ['speed: found the string "fats"', 'one of "slow", "fast"']),
        ('{"items": [], "note": 7}', ["note: found 7", "a string or null"]),
        ('{"items": [], "either": "x"}', ['either: found the string "x"', "an integer or true or false"]),
        ('{"items": [], "pairs": 3}', ["pairs: found 3", "must be even"]),
        ('{"items": [], "sped": "fast"}', ["sped: there is no such argument", "items, speed, note"]),
        ("[1]", ["one JSON object", "a list", '"items": …']),
        ('"items"', ["one JSON object", "a string"]),
        ("null", ["one JSON object", "null"]),
        ('{"items": [', ["ends too early"]),
        ('{"items": [], "items": []}', ["'items'", "twice"]),
        ('{"items": [{"name": "a", "name": "b", "amount": 1}]}', ["'name'", "twice"]),
        ('{"items": [], }', ["mistake in line 1"]),
        ("{'items': []}", ["mistake in line 1"]),
        ('{"items": NaN}', ["not valid JSON"]),
        ('{"items": Infinity}', ["not valid JSON"]),
        ('{"items": ' + "[" * 10_000 + "]" * 10_000 + "}", ["nested too deeply"]),
        ('{"items": ' + "9" * 6_000 + "}", ["too large"]),
        ('{"items": "\ud800"}', ["half of a character"]),
        ('{"items": "\\ud800"}', ["not valid JSON"]),
        ('{"items": []} trailing', ["not valid JSON"]),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(arguments: str, words: list[str]) -> None:
    text = problem("order", arguments)
    for word in words:
        assert word in text
    assert len(text) <= PROBLEM_CHARS_MAX


def test_every_wrong_argument_is_told_at_once() -> None:
    text = problem("order", '{"items": 3, "speed": 1, "what": 2}')
    assert text.count("\n- ") == 3


def test_a_flood_of_mistakes_is_cut() -> None:
    text = problem("order", json.dumps({f"wrong{index}{'x' * 200}": "y" * 200 for index in range(300)}))
    assert "more" in text
    assert len(text) <= PROBLEM_CHARS_MAX


def test_arguments_too_large() -> None:
    text = problem("order", '{"items": [], "note": "' + "x" * ARGUMENTS_CHARS_MAX + '"}')
    assert str(ARGUMENTS_CHARS_MAX) in text
    assert "smaller calls" in text


def test_no_infinity_through_an_exponent() -> None:
    assert "too large" in problem("free", '{"options": {"a": [1e999]}}')
    assert TABLE.check("free", '{"options": {"a": [1e99]}}')[0] == {"options": {"a": [1e99]}}


def test_blank_arguments_are_none() -> None:
    table = Registry().table(["yield_control"])
    for blank in ("", "  \n", "{}"):
        assert table.check("yield_control", blank) == ({}, False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
near_misses = st.fixed_dictionaries(
    {},
    optional={
        "items": st.lists(st.fixed_dictionaries({"name": st.text(), "amount": st.integers(0, 3)})) | json_values,
        "speed": st.sampled_from(["slow", "fast", "", None]) | json_values,
        "note": json_values,
        "either": json_values,
        "pairs": st.integers() | json_values,
        "request_heartbeat": st.booleans() | json_values,
    },
)


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(["order", "free", "ordre"]) | st.text(max_size=20),
    raw=st.text(max_size=200)
    | json_values.map(json.dumps)
    | near_misses.map(json.dumps)
    | st.tuples(near_misses.map(json.dumps), st.integers(0, 120)).map(lambda pair: pair[0][: pair[1]]),
)
def test_either_a_problem_or_arguments_that_fit(name: str, raw: str) -> None:
    try:
        checked, heartbeat = TABLE.check(name, raw)
    except CallProblem as caught:
        told = str(caught)
    else:
        told = ""
    if told:
        assert len(told.encode(errors="strict")) >= len(told) > 0
        assert len(told) <= PROBLEM_CHARS_MAX
        return
    assert isinstance(heartbeat, bool)
    definition = TABLE.definition(name)
    assert set(checked) == {each.name for each in definition.shape.parameters}
    # What passed is JSON, passes again unchanged, and can be called with.
    text = json.dumps(checked, allow_nan=False)
    assert TABLE.check(name, text)[0] == checked
    definition.function(**definition.keyword_arguments(text))
