"""Schemas: types, docstring styles, nullable defaults, canonical text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from pagefault.runtime.functions import CallContext, definition_of, function
from pagefault.runtime.functions.strict import canonical_json


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    number: int = 1


@dataclass
class Point:
    x: float
    y: float


class Tag(TypedDict):
    label: str


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


@function(chains="never")
def everything(  # noqa: PLR0917  one parameter a type
    text: str,
    count: Annotated[int, Field(ge=1, le=9)],
    ratio: float,
    flag: bool,
    colour: Colour,
    when: date,
    where: Address,
    points: list[Point],
    tags: list[Tag],
    tree: Tree,
    mode: Literal["a", "b"] = "a",
    either: int | str = 3,
    maybe: str | None = None,
    five: int | None = 5,
    copy: str = "x",
    _hidden: str = "y",
) -> str:
    """Take everything."""
    return repr((text, count, ratio, flag, colour, when, where, points, tags, tree, mode, either, maybe, five, copy))


@function(chains="never", strict=False)
def free(options: dict[str, Any], pair: tuple[int, str]) -> str:
    """Take free-form things."""
    return repr((options, pair))


def objects_in(node: object) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [each for item in node for each in objects_in(item)]
    if not isinstance(node, dict):
        return []
    inner = [each for value in node.values() for each in objects_in(value)]
    return [node, *inner] if node.get("type") == "object" else inner


def keywords_in(node: object, *, names: bool = False) -> set[str]:
    """Every JSON schema keyword in use (the keys of ``properties`` and ``$defs`` are names, not keywords)."""
    if isinstance(node, list):
        return {key for item in node for key in keywords_in(item)}
    if not isinstance(node, dict):
        return set()
    own = set() if names else set(node)
    return own.union(*(keywords_in(value, names=key in ("properties", "$defs")) for key, value in node.items()))


def test_strict_mode_is_kept_everywhere() -> None:
    schema = json.loads(definition_of(everything).schema.parameters)
    objects = objects_in(schema)
    assert len(objects) >= 5  # the arguments, an address, a point, a tag, a tree
    for each in objects:
        assert each["additionalProperties"] is False
        assert sorted(each["required"]) == sorted(each["properties"])
    allowed = {"type", "enum", "const", "description", "anyOf", "properties", "required", "additionalProperties"}
    assert keywords_in(schema) <= allowed | {"items", "$ref", "$defs"}


def test_optional_parameters_are_required_and_nullable() -> None:
    properties = json.loads(definition_of(everything).schema.parameters)["properties"]
    assert properties["copy"]["type"] == ["string", "null"]
    assert "default" in properties["copy"]["description"]
    assert {"type": "null"} in properties["mode"]["anyOf"]
    assert {"type": "null"} in properties["either"]["anyOf"]
    assert properties["text"]["type"] == "string"


def test_bounds_are_told_in_words() -> None:
    properties = json.loads(definition_of(everything).schema.parameters)["properties"]
    assert properties["count"] == {"type": "integer", "description": "(at least 1, at most 9)"}


def test_text_is_canonical() -> None:
    text = definition_of(everything).schema.parameters
    assert text == canonical_json(json.loads(text))
    assert "title" not in keywords_in(json.loads(text))


def test_free_form_types_need_strict_off() -> None:
    schema = definition_of(free).schema
    assert schema.strict is False
    assert json.loads(schema.parameters)["properties"]["options"] == {"type": "object", "additionalProperties": True}


def test_arguments_become_what_the_signature_asks_for() -> None:
    given = {
        "text": "t", "count": 2, "ratio": 1, "flag": True, "colour": "blue", "when": "2024-05-07",
        "where": {"street": "Elm", "number": 4}, "points": [{"x": 1, "y": 2.5}], "tags": [{"label": "z"}],
        "tree": {"value": 1, "children": [{"value": 2, "children": []}]},
        "mode": None, "either": "three", "maybe": None, "five": None, "copy": None, "_hidden": "h",
    }  # fmt: skip
    typed = definition_of(everything).keyword_arguments(json.dumps(given))
    assert typed["colour"] is Colour.BLUE
    assert typed["when"] == date(2024, 5, 7)
    assert typed["where"] == Address(street="Elm", number=4)
    assert typed["points"] == [Point(1.0, 2.5)]
    assert typed["tree"].children[0].value == 2
    # null means the default, except where null is a value of the type.
    assert "mode" not in typed
    assert "copy" not in typed
    assert typed["five"] is None
    assert typed["_hidden"] == "h"
    assert eval_roundtrip(typed)


def eval_roundtrip(typed: dict[str, Any]) -> bool:
    return "Colour.BLUE" in everything(**typed) and "'x'" in everything(**typed)


def google(city: str, days: int = 1) -> str:
    """Tell the weather.

    In all detail.

    Args:
        city: Where it is
            to be told.
        days (int): For how long.

    Returns:
        The weather.
    """
    return city * days


def numpy(city: str, days: int = 1) -> str:
    """Tell the weather.

    In all detail.

    Parameters
    ----------
    city : str
        Where it is
        to be told.
    days : int, optional
        For how long.

    Returns
    -------
    str
        The weather.
    """
    return city * days


def sphinx(city: str, days: int = 1) -> str:
    """Tell the weather.

    In all detail.

    :param city: Where it is
        to be told.
    :param int days: For how long.
    :return: The weather.
    """
    return city * days


@pytest.mark.parametrize("target", [google, numpy, sphinx])
def test_docstring_styles(target: Any) -> None:
    schema = definition_of(function(target)).schema
    properties = json.loads(schema.parameters)["properties"]
    assert schema.description == "Tell the weather.\nIn all detail."
    assert properties["city"]["description"] == "Where it is to be told."
    assert properties["days"]["description"] == "For how long. (default: 1)"


def test_a_description_in_the_annotation_wins() -> None:
    @function
    def target(city: Annotated[str, Field(description="from the hint")]) -> str:
        """Do.

        Args:
            city: from the docstring
        """
        return city

    properties = json.loads(definition_of(target).schema.parameters)["properties"]
    assert properties["city"]["description"] == "from the hint"


def test_context_is_filled_in() -> None:
    @function
    def target(context: CallContext, city: str) -> str:
        """Do."""
        return city + context.call_id

    context = CallContext()
    assert definition_of(target).keyword_arguments('{"city":"a"}', context) == {"city": "a", "context": context}
