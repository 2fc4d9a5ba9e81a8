"""From a Python signature and docstring to what a model is shown and how its arguments are checked."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, SchemaValidator, to_jsonable_python

from pagefault.runtime.errors import FunctionDefinitionError
from pagefault.runtime.functions.strict import NotStrict, SchemaNode, canonical_json, strict_node
from pagefault.runtime.values import FunctionSchema

HEARTBEAT = "request_heartbeat"
HEARTBEAT_DESCRIPTION = (
    "Request an immediate heartbeat after the function: set to true to send a follow-up message or run a "
    "follow-up function."
)
NAME_PATTERN = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PLAIN_TYPES = (str, int, float, bool, type(None))
CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """One argument that a model gives.

    ``field`` is its name in the validator; ``default`` is its default as JSON-like value (``optional`` says
    whether it has one).  A model may write ``null`` for an optional parameter: the default is meant, unless
    the type itself is ``nullable``.
    """

    name: str
    field: str
    optional: bool
    nullable: bool
    default: Any = None


@dataclass(frozen=True, slots=True)
class Shape:
    """A signature as read: what is shown, and what checks it.

    ``injected`` are parameters that the runtime fills in and a model never sees (name and type); ``plain``
    says that validated arguments are the same objects as the parsed JSON; ``rules`` is the schema with all
    its bounds, for telling a model what would have been accepted.
    """

    schema: FunctionSchema
    parameters: tuple[Parameter, ...]
    injected: tuple[tuple[str, type], ...]
    validator: SchemaValidator
    rules: SchemaNode
    plain: bool

    def typed(self, arguments: str) -> dict[str, Any]:
        """Keyword arguments of the types that the signature asks for, from checked JSON text.

        Raises:
            pydantic.ValidationError: the text does not fit the signature.
        """
        model = self.validator.validate_json(arguments, strict=True, extra="forbid")
        given: set[str] = model.model_fields_set
        values = {each: getattr(model, each.field) for each in self.parameters if each.field in given}
        return {
            each.name: value
            for each, value in values.items()
            if not (value is None and each.optional and not each.nullable)
        }


def read_signature(
    function: Callable[..., Any], *, name: str, chains: str, strict: bool, injectable: tuple[type, ...]
) -> Shape:
    """Read a function's hints and docstring.

    Args:
        function: what to read.
        name: the name that models call it by.
        chains: ``requested`` adds ``request_heartbeat`` to what is shown.
        strict: refuse types that strict mode cannot show.
        injectable: a parameter with one of these annotations is filled in by the runtime.

    Raises:
        FunctionDefinitionError: it cannot be offered to a model; the text names the parameter.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise FunctionDefinitionError(
            f"function {name!r}: a name has 1 to 64 letters, digits, '_' or '-'; give one with @function(name=...)"
        )
    documentation = _documentation(function, name)
    hints = _hints(function, name)
    parameters: list[Parameter] = []
    injected: list[tuple[str, type]] = []
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        hint = _checked_hint(parameter, hints, name)
        if hint in injectable:
            injected.append((parameter.name, hint))
            continue
        read, field = _field(parameter, hint, documentation, name, len(parameters), strict=strict)
        parameters.append(read)
        fields[read.field] = field
    _refuse_unknown_descriptions(documentation, [each.name for each in parameters], name)
    return shape_of(
        name,
        documentation.text,
        fields,
        tuple(parameters),
        chains=chains,
        strict=strict,
        injected=tuple(injected),
        plain=all(_is_plain(hints[each.name]) for each in parameters),
    )


def shape_of(
    name: str,
    description: str,
    fields: dict[str, Any],
    parameters: tuple[Parameter, ...],
    *,
    chains: str,
    strict: bool,
    injected: tuple[tuple[str, type], ...] = (),
    plain: bool = False,
) -> Shape:
    """The shape of a function whose parameters are given as the ``fields`` of a pydantic model."""
    # Every function tolerates the flag, for models that add it everywhere; only some show it.
    flag: dict[str, Any] = {"arg_heartbeat": (Any, Field(None, alias=HEARTBEAT))}
    model = create_model(f"Arguments_{name}", __config__=CONFIG, **fields, **flag)
    rules = model.model_json_schema(by_alias=True)
    del rules["properties"][HEARTBEAT]
    shown = strict_node(rules, strict=strict)
    shown.pop("description", None)
    if chains == "requested":
        shown["properties"][HEARTBEAT] = {"type": "boolean", "description": HEARTBEAT_DESCRIPTION}
    shown["required"] = sorted(shown["properties"])
    return Shape(
        schema=FunctionSchema(name, description, canonical_json(shown), strict),
        parameters=parameters,
        injected=injected,
        validator=typing.cast("SchemaValidator", model.__pydantic_validator__),
        rules=rules,
        plain=plain,
    )


@dataclass(frozen=True, slots=True)
class _Documentation:
    text: str
    parameters: Mapping[str, str]


def _documentation(function: Callable[..., Any], name: str) -> _Documentation:
    """The summary and the descriptions of parameters; Google, NumPy and Sphinx styles are recognised."""
    parsed = docstring_parser.parse(inspect.getdoc(function) or "")
    text = "\n".join(part.strip() for part in (parsed.short_description, parsed.long_description) if part)
    if not text:
        raise FunctionDefinitionError(
            f"function {name!r} has no docstring: models choose functions by it; "
            "write one sentence that says what it does"
        )
    described = {
        meta.arg_name: " ".join((meta.description or "").split())
        for meta in parsed.params
        if meta.args[:1] != ["attribute"]
    }
    return _Documentation(text, described)


def _refuse_unknown_descriptions(documentation: _Documentation, names: list[str], function_name: str) -> None:
    for described in documentation.parameters:
        if described not in names:
            raise FunctionDefinitionError(
                f"function {function_name!r}: its docstring describes {described!r}, which is not a parameter "
                f"that a model gives (those are: {', '.join(names) or 'none'}); rename or remove the description"
            )


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise FunctionDefinitionError(
            f"function {name!r}: the type hint {error.name!r} cannot be found; define or import that type at the "
            "top of the function's module"
        ) from error
    except TypeError as error:
        raise FunctionDefinitionError(f"function {name!r}: a type hint cannot be read: {error}") from error


def _checked_hint(parameter: inspect.Parameter, hints: Mapping[str, Any], function_name: str) -> Any:
    where = f"function {function_name!r}, parameter {parameter.name!r}"
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise FunctionDefinitionError(f"{where}: a model needs named parameters; write each one instead of {parameter}")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise FunctionDefinitionError(f"{where}: models give arguments by name; remove the '/' from the signature")
    if parameter.name not in hints:
        raise FunctionDefinitionError(f"{where} has no type hint; write, for example, {parameter.name}: str")
    if parameter.name == HEARTBEAT:
        raise FunctionDefinitionError(f"{where}: this name is taken by the runtime; choose another")
    return hints[parameter.name]


def _field(
    parameter: inspect.Parameter,
    hint: Any,
    documentation: _Documentation,
    function_name: str,
    index: int,
    *,
    strict: bool,
) -> tuple[Parameter, tuple[Any, Any]]:
    where = f"function {function_name!r}, parameter {parameter.name!r}"
    adapter = _adapter(hint, where, strict=strict)
    optional = parameter.default is not parameter.empty
    default = _json_default(adapter, parameter.default, where) if optional else None
    description = documentation.parameters.get(parameter.name) or None
    if optional and default is not None:
        description = f"{description or ''} (default: {canonical_json(default)})".strip()
    # Neutral field names: a parameter may be called "copy" or "_x", which a pydantic field may not.
    name = f"arg_{index}"
    settings: dict[str, Any] = {"alias": parameter.name}
    if description is not None and not _describes_itself(hint):
        settings["description"] = description
    read = Parameter(parameter.name, name, optional, _accepts_none(adapter), default)
    if optional:
        return read, (hint | None if not read.nullable else hint, Field(None, **settings))
    return read, (hint, Field(**settings))


def _describes_itself(hint: Any) -> bool:
    """A description in ``Annotated[..., Field(description=...)]`` is the author's last word."""
    return any(getattr(extra, "description", None) for extra in getattr(hint, "__metadata__", ()))


def _adapter(hint: Any, where: str, *, strict: bool) -> TypeAdapter[Any]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint, config=None if _has_config(hint) else CONFIG)
        strict_node(adapter.json_schema(), strict=strict)
    except NotStrict as error:
        raise FunctionDefinitionError(
            f"{where}: its type {_type_name(hint)} {error}; or define the function with strict=False"
        ) from error
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise FunctionDefinitionError(
            f"{where}: a model cannot write a {_type_name(hint)} as JSON; use str, int, float, bool, a list, "
            "an Enum, a Literal, a dataclass, a typing_extensions.TypedDict or a pydantic model"
        ) from error
    return adapter


def _json_default(adapter: TypeAdapter[Any], default: object, where: str) -> Any:
    try:
        adapter.validate_python(default, strict=True)
        return to_jsonable_python(default, inf_nan_mode="constants")
    except (ValidationError, PydanticSerializationError) as error:
        raise FunctionDefinitionError(
            f"{where}: the default {default!r} does not fit its type; change one of them"
        ) from error


def _accepts_none(adapter: TypeAdapter[Any]) -> bool:
    try:
        adapter.validate_python(None, strict=True)
    except ValidationError:
        return False
    return True


def _has_config(hint: Any) -> bool:
    """Pydantic refuses a configuration for types that have their own."""
    target = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    return isinstance(target, type) and (
        issubclass(target, BaseModel) or hasattr(target, "__dataclass_fields__") or typing.is_typeddict(target)
    )


def _is_plain(hint: Any) -> bool:
    """True when a JSON value of this type is the Python value already."""
    if hint in _PLAIN_TYPES:
        return True
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return all(isinstance(each, _PLAIN_TYPES) and type(each) in _PLAIN_TYPES for each in typing.get_args(hint))
    if origin is Annotated:
        # Anything but Field (bounds, descriptions) may change the value.
        return all(isinstance(extra, FieldInfo) for extra in hint.__metadata__) and _is_plain(typing.get_args(hint)[0])
    if origin in (list, typing.Union) or origin is type(int | str):
        return all(_is_plain(each) for each in typing.get_args(hint))
    return False


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
