"""How one dataclass is written as a map of its fields, and read back with every field checked.

Made once a class from its type hints; :mod:`pagefault.runtime.store.codec` turns the maps into bytes.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

__all__ = ["NAME_CHARS_MAX", "TAG_KEY", "Layout", "Mistyped", "Reader", "Writer", "layout_of", "shared"]

TAG_KEY: Final = "~"
"""The key, among the names of fields, under which a map carries its class's tag."""

NAME_CHARS_MAX: Final = 32
"""Texts so short are names (ids, authors, roles) that recur: equal ones are kept once a process."""

Writer = Callable[[Any], dict[str, Any]]
"""Makes the map that stands for one instance, its tag included, fields at their default left out."""
Reader = Callable[[Any], Any]
"""Checks one decoded field and returns it as its declared type; raises ``Mistyped``."""


class Mistyped(Exception):
    """What was allowed in a field; the caller knows what was found and where."""


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """How one class is written and read."""

    cls: type
    tag: str
    write: Writer
    readers: Mapping[str, Reader]


def layout_of(cls: type, tag: str, known: frozenset[type]) -> Layout:
    """The layout of a dataclass under a tag; ``known`` are the classes that its fields may hold.

    Raises :class:`TypeError` for a class that is no dataclass or has a field of a type that cannot be stored.
    """
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__name__} is not a dataclass")
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    return Layout(
        cls=cls,
        tag=tag,
        write=_writer(tag, fields),
        readers={field.name: _reader(hints[field.name], known, f"{cls.__name__}.{field.name}") for field in fields},
    )


def _writer(tag: str, fields: tuple[dataclasses.Field[Any], ...]) -> Writer:
    """Generate the writer of one class, as :mod:`dataclasses` generates ``__init__``.

    A loop over the fields would do, at 1.7 times the cost of the encoding of a whole event.
    """
    lines = ["def write(value):", f" fields = {{{TAG_KEY!r}: {tag!r}}}"]
    scope: dict[str, Any] = {}
    for field in fields:
        default = f"default_{field.name}"
        if field.default is not dataclasses.MISSING:
            scope[default] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            scope[default] = field.default_factory()
        else:
            lines.append(f" fields[{field.name!r}] = value.{field.name}")
            continue
        lines.append(f" item = value.{field.name}")
        lines.append(f" if item is not {default} and item != {default}: fields[{field.name!r}] = item")
    lines.append(" return fields")
    exec("\n".join(lines), scope)  # noqa: S102 - made of our own classes' field names only, at import
    writer: Writer = scope["write"]
    return writer


def _reader(hint: Any, known: frozenset[type], where: str) -> Reader:
    """The reader of one declared type.  Raises ``TypeError`` for a type that cannot be stored."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    if hint is Any:
        return lambda value: value
    origin = typing.get_origin(hint)
    if origin is tuple:
        item, *rest = typing.get_args(hint)
        if rest == [Ellipsis]:
            return _sequence(_reader(item, known, where), tuple)
        return _row([_reader(each, known, where) for each in (item, *rest)])
    if origin is list:
        return _sequence(_reader(typing.get_args(hint)[0], known, where), list)
    if origin is dict and _is_text(typing.get_args(hint)[0]):
        return _mapping(_reader(typing.get_args(hint)[1], known, where))
    if origin is types.UnionType or origin is typing.Union:
        return _union(typing.get_args(hint), known, where)
    if hint is float:
        return _number
    if hint is None or hint in {str, int, bool, bytes, types.NoneType}:
        return _exactly(types.NoneType if hint is None else hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member(hint)
    if hint in known:
        return _exactly(hint)
    raise TypeError(f"{where}: {hint} cannot be stored")


def _is_text(hint: Any) -> bool:
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    return hint is str


def _exactly(cls: type) -> Reader:
    if cls is str:
        return _text
    name = cls.__name__

    def read(value: Any) -> Any:
        if type(value) is not cls:
            raise Mistyped(name)
        return value

    return read


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Mistyped("str")
    return sys.intern(value) if len(value) <= NAME_CHARS_MAX else value


def shared(value: Any) -> Any:
    """The same value; of equal names the same object."""
    return sys.intern(value) if type(value) is str and len(value) <= NAME_CHARS_MAX else value


def _number(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise Mistyped("float")
    return float(value)


def _member(cls: type[Enum]) -> Reader:
    members = {member.value: member for member in cls}
    raw = type(next(iter(members)))

    def read(value: Any) -> Enum:
        # The exact type first: True and 1.0 would find the member whose value is 1.
        member = members.get(value) if type(value) is raw else None
        if member is None:
            raise Mistyped(f"one of {', '.join(map(repr, members))}")
        return member

    return read


def _sequence(read_item: Reader, make: type[list[Any] | tuple[Any, ...]]) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise Mistyped("a list")
        return make(map(read_item, value))

    return read


def _row(readers: list[Reader]) -> Reader:
    """A tuple of fixed length, each place with its own type."""

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(readers):
            raise Mistyped(f"a list of {len(readers)}")
        return tuple(reader(item) for reader, item in zip(readers, value, strict=True))

    return read


def _mapping(read_item: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Mistyped("a map")
        return {key: read_item(item) for key, item in value.items()}

    return read


def _union(hints: tuple[Any, ...], known: frozenset[type], where: str) -> Reader:
    # A float may be stored as a whole number, so where both are allowed the exact type is tried first.
    readers = [_reader(hint, known, where) for hint in sorted(hints, key=lambda hint: hint is float)]

    def read(value: Any) -> Any:
        allowed = []
        for reader in readers:
            try:
                return reader(value)
            except Mistyped as error:
                allowed.append(str(error))
        raise Mistyped(" or ".join(allowed))

    return read
