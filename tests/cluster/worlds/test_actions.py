"""Functions from action spaces: their schemas, their way to an arena, their names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field
from ray import cloudpickle

from pagefault.cluster.worlds.actions import HERE, make_action
from pagefault.cluster.worlds.environment import Parameter
from pagefault.runtime.errors import ConfigError, FunctionDefinitionError
from pagefault.runtime.functions.decorator import definition_of
from pagefault.runtime.functions.definition import CallContext
from pagefault.runtime.functions.executor import run_function
from pagefault.runtime.values import AgentId, CallId, Effect


class Space:
    def __init__(self, *parameters: Parameter) -> None:
        self.parameters = parameters

    def decode(self, arguments: Mapping[str, Any]) -> Any:
        return arguments


LEVER = Space(
    Parameter("which way", Literal["up", "down"], "one of up, down"),
    Parameter("force", Annotated[float, Field(ge=0, le=1)], "a number, from 0 to 1"),
)


class Arena:
    def __init__(self) -> None:
        self.taken: list[tuple[str, str, Mapping[str, Any]]] = []

    async def act(self, agent: str, call_id: str, arguments: Mapping[str, Any]) -> str:
        self.taken.append((agent, call_id, arguments))
        return "Done."


def test_the_schema_is_strict_and_says_what_is_allowed() -> None:
    definition = definition_of(make_action("pull", "Pull the lever.", LEVER, "nowhere"))
    schema = json.loads(definition.schema.parameters)
    assert definition.schema.description == "Pull the lever."
    assert definition.effect is Effect.IDEMPOTENT
    assert schema["additionalProperties"] is False
    assert schema["properties"]["which_way"]["enum"] == ["up", "down"]
    assert schema["properties"]["force"]["description"].startswith("a number, from 0 to 1")
    assert "context" not in schema["properties"]


async def test_a_call_reaches_its_arena_under_the_names_of_the_space() -> None:
    arena = Arena()
    HERE["levers"] = arena
    try:
        definition = definition_of(make_action("pull", "Pull.", LEVER, "levers"))
        context = CallContext(AgentId("ada"), CallId("call-7"))
        done = await run_function(definition, '{"which_way": "up", "force": 0.5}', context)
    finally:
        del HERE["levers"]
    assert done == ("ok", "Done.")
    assert arena.taken == [("ada", "call-7", {"which way": "up", "force": 0.5})]


def test_a_function_travels_to_other_processes_as_it_is() -> None:
    action = make_action("pull", "Pull.", LEVER, "levers")
    pickler: Any = cloudpickle  # as Ray carries the code of a program
    travelled = pickler.loads(pickler.dumps(action))
    assert definition_of(travelled).schema == definition_of(action).schema
    assert definition_of(travelled).target == definition_of(action).target


@pytest.mark.parametrize("names", [("a b", "a_b"), ("2nd",), ("",)])
def test_keys_must_be_names(names: tuple[str, ...]) -> None:
    space = Space(*(Parameter(name, int, "a number") for name in names))
    if names == ("",):
        make_action("act", "Act.", space, "x")  # it is called `value`
        return
    with pytest.raises(ConfigError, match="action_space: found"):
        make_action("act", "Act.", space, "x")


def test_a_function_needs_a_name() -> None:
    with pytest.raises(FunctionDefinitionError, match="a name has 1 to 64 letters"):
        make_action("act now", "Act.", LEVER, "x")
