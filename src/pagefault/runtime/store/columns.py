"""Many values of one class as columns: what an agent's pages take in a snapshot, and how fast they are read.

A list of dataclasses, each a map of its fields, is read by one call of Python a value.  As columns, a field that is
alike in all of them is written once, and the others are read field by field, in loops that run in C.
"""

from __future__ import annotations

import dataclasses
import typing
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice, repeat
from operator import attrgetter
from types import MemberDescriptorType
from typing import Any, Final, Generic, TypeVar

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.store.layout import Mistyped, Reader, layout_of

__all__ = ["Columns"]

T = TypeVar("T")
KEYS: Final = frozenset({"count", "same", "each"})
SIMPLE: Final = frozenset({str, int, float, bool, bytes})
HASHED: Final = frozenset({str, int})
COUNT_MAX: Final = 1_000_000
"""What is alike takes no room, so a damaged count could ask for any number of values."""


class Columns(Generic[T]):
    """Turns sequences of ``cls`` into plain data and back; ``known`` are the classes that its fields may hold.

    Raises :class:`TypeError` for a class whose fields cannot be stored.
    """

    def __init__(self, cls: type[T], known: frozenset[type]) -> None:
        self._cls = cls
        self._readers = layout_of(cls, cls.__name__.lower(), known).readers
        self._nested: dict[str, Columns[Any]] = {
            name: Columns(item, known) for name, item in _items_of_tuples(cls).items() if item in known and item != cls
        }
        self._new: Callable[[type[T]], T] = cls.__new__
        self._setters = _setters(cls, tuple(self._readers))
        self._defaults = {
            field.name: field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            for field in dataclasses.fields(cls)  # type: ignore[arg-type]  # layout_of has checked that it is one
        }

    def write(self, values: Sequence[T]) -> dict[str, Any]:
        """``{"count": how many, "same": {field: value}, "each": {field: [a value each]}}``.

        A field that is alike in all values is under ``same``; one that has its default in all is left out, so a
        field that is added later, with a default, opens old data.
        """
        same: dict[str, Any] = {}
        each: dict[str, Any] = {}
        for name, default in self._defaults.items() if values else ():
            column = list(map(attrgetter(name), values))
            first = column[0]
            # The type too: a whole number equals a fraction, and True equals 1.
            if column.count(first) != len(column) or len(set(map(type, column))) > 1:
                each[name] = self._flat(name, column) if name in self._nested else column
            elif first != default or type(first) is not type(default):
                same[name] = first
        return {"count": len(values), "same": same, "each": each}

    def read(self, data: object) -> list[T]:
        """What :meth:`write` was given.  Raises :class:`~pagefault.runtime.errors.StoreCorrupt`."""
        if type(data) is not dict or data.keys() != KEYS:
            raise self._corrupt(f"found {data!r:.80}, allowed: a map with count, same and each")
        count, same, each = data["count"], data["same"], data["each"]
        if type(count) is not int or type(same) is not dict or type(each) is not dict or count < 0:
            raise self._corrupt("found a count or a map of another type")
        if unknown := (same.keys() | each.keys()) - self._defaults.keys() or same.keys() & each.keys():
            raise self._corrupt(f"found the fields {sorted(unknown)}, allowed: {', '.join(self._defaults)}, each once")
        if count > COUNT_MAX:
            raise self._corrupt(f"found a count of {count}, allowed: {COUNT_MAX}")
        if count == 0:
            return []
        columns = [self._column(name, count, same, each) for name in self._defaults]
        if self._setters is None:
            return list(map(self._cls, *columns))
        made = [self._new(self._cls) for _ in range(count)]
        for setter, column in zip(self._setters, columns, strict=True):
            deque(map(setter, made, column), maxlen=0)
        return made

    def _flat(self, name: str, column: list[tuple[Any, ...]]) -> dict[str, Any]:
        """Tuples of values of another class: how long each is, and all of their items as columns."""
        return {"lengths": list(map(len, column)), "items": self._nested[name].write(list(chain(*column)))}

    def _tuples(self, name: str, count: int, data: dict[str, Any]) -> list[tuple[Any, ...]]:
        lengths = data.get("lengths")
        if data.keys() != {"lengths", "items"} or type(lengths) is not list or len(lengths) != count:
            raise self._corrupt(f"field {name!r}: allowed: {count} lengths, and items")
        items = self._nested[name].read(data["items"])
        if set(map(type, lengths)) != {int} or min(lengths) < 0 or sum(lengths) != len(items):
            raise self._corrupt(f"field {name!r}: {len(items)} items do not have the lengths that are stored")
        rest = iter(items)
        return [tuple(islice(rest, length)) if length else () for length in lengths]

    def _column(self, name: str, count: int, same: dict[str, Any], each: dict[str, Any]) -> Iterable[Any]:
        if name in each:
            column = each[name]
            if type(column) is dict and name in self._nested:
                return self._tuples(name, count, column)
            if type(column) is not list or len(column) != count:
                raise self._corrupt(f"field {name!r}: allowed: a list of {count}")
        elif name not in same:
            default = self._defaults[name]
            if default is dataclasses.MISSING:
                raise self._corrupt(f"field {name!r} is missing and has no default")
            return repeat(default, count)
        try:
            reader = self._readers[name]
            return repeat(reader(same[name]), count) if name in same else _read(reader, column)
        except Mistyped as error:
            raise self._corrupt(f"field {name!r}: allowed: {error}") from None

    def _corrupt(self, problem: str) -> StoreCorrupt:
        return StoreCorrupt(f"stored columns of {self._cls.__name__}: {problem}")


def _items_of_tuples(cls: type) -> dict[str, type]:
    """Fields that are tuples of any length, with the class of their items."""
    hints = typing.get_type_hints(cls)
    found = {name: typing.get_args(hint) for name, hint in hints.items() if typing.get_origin(hint) is tuple}
    return {name: args[0] for name, args in found.items() if args[1:] == (Ellipsis,) and isinstance(args[0], type)}


def _setters(cls: type, names: tuple[str, ...]) -> list[Callable[[Any, Any], None]] | None:
    """What sets each slot of an object, in loops that run in C: a third of the time that ``__init__`` of a frozen
    class takes.  ``None`` for a class without slots, or with an ``__init__`` that does more."""
    descriptors = [vars(cls).get(name) for name in names]
    if hasattr(cls, "__post_init__") or not all(isinstance(each, MemberDescriptorType) for each in descriptors):
        return None
    return [each.__set__ for each in descriptors if each is not None]


def _read(reader: Reader, column: list[Any]) -> list[Any]:
    """A checked column.  Most have few values, or one simple type, of which one stands for all."""
    kinds = set(map(type, column))
    if len(kinds) > 1:
        return list(map(reader, column))
    kind = kinds.pop()
    if kind is list:
        empty = reader([]) if [] in column else None
        return [reader(value) if value else empty for value in column]
    if kind not in SIMPLE or type(reader(column[0])) is not kind:  # an enumeration, say, or whole numbers as fractions
        known = {value: reader(value) for value in set(column)} if kind in HASHED else {}
        return [known[value] for value in column] if known else list(map(reader, column))
    return column  # of texts, the codec has made equal names one object
