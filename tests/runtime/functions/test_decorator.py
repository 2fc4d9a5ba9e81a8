"""Declaring functions: what is read from a signature, and what is refused with which words."""

from __future__ import annotations

import inspect
import json
import pickle
import sys
from typing import Any

import pytest

from pagefault.runtime.errors import FunctionDefinitionError
from pagefault.runtime.functions import CallContext, SystemSettings, definition_of, function
from pagefault.runtime.kernel.functions import Done, MemoryView, Outcome
from pagefault.runtime.values import Effect


@function
def weather(city: str, days: int = 3) -> str:
    """Tell the weather.

    Args:
        city: Where.
        days: For how long.
    """
    return f"{city}: {days} days of rain"


@function(effect="pure", chains="never", name="look-up", timeout_ms=50)
async def look_up(key: str) -> str:
    """Look something up."""
    return key.upper()


@function(runs_in="ray", resources={"num_cpus": 2})
def heavy(size: int) -> int:
    """Work hard."""
    return size


def schema_of(decorated: Any) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(definition_of(decorated).schema.parameters)
    return schema


def test_a_decorated_function_is_still_the_function() -> None:
    assert weather("Oslo", days=2) == "Oslo: 2 days of rain"
    assert inspect.isfunction(getattr(sys.modules[__name__], "weather"))  # noqa: B009  its static type is narrower
    assert weather.definition.function is weather
    assert weather.definition is definition_of(weather)


async def test_a_decorated_coroutine_function_is_still_one() -> None:
    assert inspect.iscoroutinefunction(look_up)
    assert await look_up("a") == "A"


def test_options_are_kept() -> None:
    definition = definition_of(look_up)
    assert (definition.name, definition.effect, definition.chains) == ("look-up", Effect.PURE, "never")
    assert definition.timeout_ms == 50
    assert definition_of(heavy).resources == {"num_cpus": 2}
    assert definition_of(heavy).runs_in == "ray"
    assert definition_of(weather).effect is Effect.ONCE
    assert definition_of(weather).target == f"{__name__}:weather"


def test_heartbeat_is_shown_only_where_it_can_be_requested() -> None:
    assert "request_heartbeat" in schema_of(weather)["properties"]
    assert "request_heartbeat" in schema_of(weather)["required"]
    assert "request_heartbeat" not in schema_of(look_up)["properties"]


def test_a_definition_travels_without_what_is_derived() -> None:
    copy = pickle.loads(pickle.dumps(definition_of(weather)))  # noqa: S301  our own bytes
    assert copy.schema == definition_of(weather).schema
    assert copy.function is weather


def test_runtime_parameters_are_not_shown() -> None:
    @function
    def greet(context: CallContext, name: str) -> str:
        """Greet."""
        return f"{context.agent} greets {name}"

    assert set(schema_of(greet)["properties"]) == {"name", "request_heartbeat"}
    assert not definition_of(greet).is_system_call


def test_a_memory_view_makes_a_system_call() -> None:
    @function
    def remember(view: MemoryView, settings: SystemSettings, text: str) -> Outcome:
        """Remember."""
        return Done(f"{text} {settings.recall_mode}")

    spec = definition_of(remember).spec(SystemSettings(recall_mode="words"))
    assert spec.system_call is not None
    assert spec.system_call(None, {"text": "x"}) == Done("x words")  # type: ignore[arg-type]  # it does not look


def no_docstring(name: str) -> None: ...


def no_hint(name) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Do."""


def star(*names: str) -> None:
    """Do."""


def double_star(**names: str) -> None:
    """Do."""


def positional(name: str, /) -> None:
    """Do."""


def free_form(name: dict[str, int]) -> None:
    """Do."""


def anything(name: Any) -> None:
    """Do."""


def pair(name: tuple[int, str]) -> None:
    """Do."""


def unwritable(name: object) -> None:
    """Do."""


class Engine:
    pass


def arbitrary(name: Engine) -> None:
    """Do."""


def unknown_type(name: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Do."""


def bad_default(name: int = "three") -> None:  # type: ignore[assignment]  # that is the mistake
    """Do."""


def heartbeat(request_heartbeat: bool) -> None:
    """Do."""


def misspelt(name: str) -> None:
    """Do.

    Args:
        nmae: Whom.
    """


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (no_docstring, ["'no_docstring'", "docstring", "write one sentence"]),
        (no_hint, ["'no_hint'", "'name'", "no type hint", "name: str"]),
        (star, ["'star'", "'names'", "*names", "write each one"]),
        (double_star, ["'double_star'", "'names'", "write each one"]),
        (positional, ["'positional'", "'name'", "remove the '/'"]),
        (free_form, ["'free_form'", "'name'", "dict[str, int]", "name the keys", "strict=False"]),
        (anything, ["'anything'", "'name'", "any value", "strict=False"]),
        (pair, ["'pair'", "'name'", "tuple", "strict=False"]),
        (unwritable, ["'unwritable'", "'name'", "object"]),
        (arbitrary, ["'arbitrary'", "'name'", "Engine", "pydantic model"]),
        (unknown_type, ["'unknown_type'", "'Missing'", "import"]),
        (bad_default, ["'bad_default'", "'name'", "'three'", "does not fit"]),
        (heartbeat, ["'heartbeat'", "'request_heartbeat'", "choose another"]),
        (misspelt, ["'misspelt'", "'nmae'", "name", "rename"]),
    ],
)
def test_what_cannot_be_offered_is_refused_with_the_way_out(target: Any, words: list[str]) -> None:
    with pytest.raises(FunctionDefinitionError) as caught:
        function(target)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effect": "twice"}, ["effect", "'twice'", "'idempotent'"]),
        ({"runs_in": "cloud"}, ["runs_in", "'cloud'", "'ray'"]),
        ({"chains": "maybe"}, ["chains", "'maybe'", "'requested'"]),
        ({"timeout_ms": 0}, ["timeout_ms", "0"]),
        ({"timeout_ms": True}, ["timeout_ms", "True"]),
        ({"resources": {"num_cpus": 1}}, ["resources", "runs_in='ray'"]),
        ({"runs_in": "ray", "resources": {"num_cpus": -1}}, ["num_cpus", "-1"]),
        ({"name": "two words"}, ["'two words'", "letters"]),
        ({"name": "x" * 65}, ["64"]),
        ({"name": ""}, ["letters"]),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: list[str]) -> None:
    def target(text: str) -> str:
        """Do."""
        return text

    with pytest.raises(FunctionDefinitionError) as caught:
        function(**options)(target)
    for word in words:
        assert word in str(caught.value)


def test_a_system_call_must_be_plain() -> None:
    async def later(view: MemoryView) -> Outcome:
        """Do."""
        return Done("")

    def elsewhere(view: MemoryView) -> Outcome:
        """Do."""
        return Done("")

    def configured(settings: SystemSettings) -> str:
        """Do."""
        return str(settings)

    for target, options in ((later, {}), (elsewhere, {"runs_in": "ray"}), (configured, {})):
        with pytest.raises(FunctionDefinitionError, match="system call"):
            function(**options)(target)  # type: ignore[call-overload]  # three kinds of options


def test_only_functions_are_decorated() -> None:
    things: list[Any] = [Engine, 3, "weather"]
    for thing in things:
        with pytest.raises(FunctionDefinitionError, match="is for functions"):
            function(thing)
    with pytest.raises(FunctionDefinitionError, match=r"write @pagefault\.function above it"):
        definition_of(no_docstring)
