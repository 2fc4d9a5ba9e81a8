"""Scripted players: they read what they are shown, act once, and say nothing when there is nothing to do."""

from __future__ import annotations

import json

import pytest

from pagefault.cluster.worlds.players import chooser, walkthrough
from pagefault.runtime.models.scripted import Act
from pagefault.runtime.values import AgentId, FunctionSchema, Message, ModelRequest


def request(text: str, kind: str = "string", function: str = "act_x") -> ModelRequest:
    parameters = {"properties": {"move": {"type": kind}, "request_heartbeat": {"type": "boolean"}}}
    schema = FunctionSchema(function, "Act.", json.dumps(parameters))
    page = f"[p1 2026-01-01 10:00 w-1 (episode 1)] {text}"
    return ModelRequest(AgentId("ada"), (Message("system", "You."), Message("user", page)), (schema,), 10, 10)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("Step 1.\nA board.\nLegal moves: e2e4, d2d4", {"e2e4", "d2d4"}),
        ("Step 2. Reward +1.\nLegal actions: pick up", {"pick up"}),
        ("Step 3.\nYou may: go east, open chest.\nThe walkthrough says: go east", {"go east", "open chest"}),
        ("Step 4.\nActions: action: one of left, right.", {"left", "right"}),
        ("Step 5.\nLegal actions: a, b, … (200 in all)", {"a", "b"}),
        ("You have not acted yet, and it is still your turn: call act.\nStep 1.\nLegal actions: x", {"x"}),
    ],
)
def test_the_chooser_takes_something_legal_and_always_the_same(text: str, allowed: set[str]) -> None:
    first, second = chooser(request(text)), chooser(request(text))
    assert isinstance(first, Act)
    assert first == second
    assert first.name == "act_x"
    assert json.loads(first.arguments)["move"] in allowed


def test_numbers_are_written_as_numbers() -> None:
    acted = chooser(request("Step 1.\nLegal actions: 7", "integer"))
    assert isinstance(acted, Act)
    assert json.loads(acted.arguments) == {"move": 7}


@pytest.mark.parametrize("text", ["It is over for you after 3 steps: won.", "Hello", "Step 1.\nNothing is legal"])
def test_nothing_is_done_when_there_is_nothing_to_do(text: str) -> None:
    assert chooser(request(text)) == ()
    assert walkthrough(request(text)) == ()


def test_the_walkthrough_is_followed() -> None:
    acted = walkthrough(request("Step 1.\nYou may: go east, go west.\nThe walkthrough says: go west"))
    assert isinstance(acted, Act)
    assert json.loads(acted.arguments) == {"move": "go west"}
