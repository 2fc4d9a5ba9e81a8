"""From a tool's ``inputSchema`` to what a model is shown, and how its arguments are checked.

Types, enums, lists, objects, unions and local references are checked here, so that the model is told in our words what
to mend; what else JSON Schema can say is left to the server.  References are followed to a bounded depth and a bounded
number of nodes: a schema is somebody else's, and may be made to grow without end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.errors import PydanticUserError

from pagefault.runtime.errors import FunctionDefinitionError
from pagefault.runtime.functions.schema import HEARTBEAT, Parameter, Shape, shape_of
from pagefault.runtime.kernel.trust import escaped

PARAMETERS_MAX = 64
DEPTH_MAX = 10
NODES_MAX = 1_000
ENUM_MAX = 200
TEXT_CHARS_MAX = 300
DEFAULT_CHARS_MAX = 60
_PROPERTY = re.compile(r"[A-Za-z0-9_.$@-]{1,64}")
_PLAIN = {"string": str, "integer": int, "number": float, "boolean": bool, "null": type(None)}
_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
}
_BOUNDED = {
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "array": ("minItems", "maxItems"),
}


class _Object(BaseModel):
    """An object inside of the arguments; a ``null`` for what may be left out leaves it out."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, populate_by_name=False)


def read_input_schema(name: str, description: str, schema: Mapping[str, Any]) -> Shape:
    """Read a tool's schema.

    Args:
        name: what models call the tool by.
        description: what they are told of it, already bounded.
        schema: JSON Schema of an object.

    Raises:
        FunctionDefinitionError: it cannot be offered to a model; the text says why.
    """
    try:
        return _Reader(name, schema).shape(description)
    except (PydanticUserError, RecursionError, TypeError, ValueError) as error:
        raise FunctionDefinitionError(
            f"function {name!r}: its schema cannot be checked ({type(error).__name__}); the server has to mend it"
        ) from error


class _Reader:
    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        self._name = name
        self._root = schema
        self._nodes = 0

    def shape(self, description: str) -> Shape:
        if self._root.get("type", "object") != "object":
            raise self._refused("its schema is not that of an object")
        fields: dict[str, Any] = {}
        parameters: list[Parameter] = []
        for name, field, optional in self._properties(self._root, 0):
            read = Parameter(name, f"arg_{len(parameters)}", optional, nullable=False)
            parameters.append(read)
            fields[read.field] = field
        return shape_of(self._name, description, fields, tuple(parameters), chains="requested", strict=False)

    def _refused(self, why: str) -> FunctionDefinitionError:
        return FunctionDefinitionError(f"function {self._name!r}: {why}")

    def _properties(self, node: Mapping[str, Any], depth: int) -> list[tuple[str, tuple[Any, Any], bool]]:
        """Name, field of a pydantic model, and whether it may be left out, of each property."""
        properties = node.get("properties", {})
        required = node.get("required", ())
        if not isinstance(properties, Mapping) or not isinstance(required, list | tuple):
            raise self._refused("its properties are not an object, or what is required is no list")
        if len(properties) > PARAMETERS_MAX:
            raise self._refused(f"an object has {len(properties)} properties, allowed: {PARAMETERS_MAX}")
        found: list[tuple[str, tuple[Any, Any], bool]] = []
        for name, inner in properties.items():
            if not _PROPERTY.fullmatch(name) or name == HEARTBEAT:
                raise self._refused(f"a property is named {name[:64]!r}, allowed: 1 to 64 letters, digits and _.$@-")
            hint = self._hint(inner, depth + 1)
            settings: dict[str, Any] = {"alias": name}
            told = _text(inner)
            if told:
                settings["description"] = told
            optional = name not in required
            found.append(
                (name, (hint | None, Field(None, **settings)) if optional else (hint, Field(**settings)), optional)
            )
        return found

    def _hint(self, node: object, depth: int) -> Any:
        """The type that a schema node describes; ``Any`` where the server has to check for itself."""
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise self._refused(f"its schema has more than {NODES_MAX} nodes once its references are followed")
        if not isinstance(node, Mapping) or depth > DEPTH_MAX:
            return Any
        if "$ref" in node:
            return self._hint(self._referenced(node["$ref"]), depth + 1)
        if "const" in node or "enum" in node:
            return self._choice([node["const"]] if "const" in node else node["enum"])
        alternatives = node.get("anyOf") or node.get("oneOf")
        if isinstance(alternatives, list) and alternatives:
            return _union([self._hint(each, depth + 1) for each in alternatives])
        kind = node.get("type")
        if isinstance(kind, list):
            return _union([self._hint({**node, "type": each}, depth + 1) for each in kind])
        return self._of_kind(kind, node, depth)

    def _of_kind(self, kind: object, node: Mapping[str, Any], depth: int) -> Any:
        if kind == "array":
            return _bounded(list[self._hint(node.get("items"), depth + 1)], kind, node)  # type: ignore[misc]  # a type made at run time
        if kind == "object" or (kind is None and "properties" in node):
            return self._object(node, depth)
        plain = _PLAIN.get(kind) if isinstance(kind, str) else None
        return Any if plain is None else _bounded(plain, str(kind), node)

    def _object(self, node: Mapping[str, Any], depth: int) -> Any:
        if not node.get("properties"):
            values = node.get("additionalProperties")
            return dict[str, self._hint(values, depth + 1) if isinstance(values, Mapping) else Any]  # type: ignore[misc]  # a type made at run time
        fields = {f"arg_{number}": field for number, (_, field, _) in enumerate(self._properties(node, depth))}
        name, made = f"Object_{self._nodes}", cast("Callable[..., type[BaseModel]]", create_model)
        return made(name, __base__=_Object, **fields)

    def _referenced(self, reference: object) -> object:
        """A node of the same schema; ``None``, and so any value, for what is elsewhere or not there."""
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return None
        found: object = self._root
        for step in reference.removeprefix("#/").split("/"):
            if not isinstance(found, Mapping):
                return None
            found = found.get(step.replace("~1", "/").replace("~0", "~"))
        return found

    def _choice(self, values: object) -> Any:
        if not isinstance(values, list) or not 0 < len(values) <= ENUM_MAX:
            raise self._refused(f"an enum has no values, or more than {ENUM_MAX}")
        for value in values:
            if isinstance(value, str) and (
                len(value) > TEXT_CHARS_MAX or not value.isprintable() or escaped(value) != value
            ):
                raise self._refused(f"an enum has the value {value[:60]!r}, allowed: short visible text")
        if not all(value is None or type(value) in (str, int, bool) for value in values):
            return Any
        return Literal[tuple(values)]


def _bounded(hint: Any, kind: str, node: Mapping[str, Any]) -> Any:
    bounds = {_BOUNDS[key]: node[key] for key in _BOUNDED.get(kind, ()) if type(node.get(key)) in (int, float)}
    return Annotated[hint, Field(**bounds)] if bounds else hint


def _union(hints: list[Any]) -> Any:
    return Any if Any in hints else reduce(or_, hints)


def _text(node: object) -> str:
    """A description inside of a schema: one bounded line that cannot end the model's delimiters."""
    if not isinstance(node, Mapping):
        return ""
    found = node.get("description", "")
    found = found if isinstance(found, str) else ""
    default = node.get("default")
    if default is not None:
        shown = json.dumps(default, ensure_ascii=False)
        found = f"{found[:TEXT_CHARS_MAX]} (default: {shown})" if len(shown) <= DEFAULT_CHARS_MAX else found
    line = " ".join("".join(each if each.isprintable() else " " for each in found).split())
    return escaped(line[: TEXT_CHARS_MAX + 2 * DEFAULT_CHARS_MAX])
