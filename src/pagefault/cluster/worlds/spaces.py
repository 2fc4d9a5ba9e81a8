"""Gymnasium's spaces: observations as text that a model can read, actions as parameters that it can write.

Spaces are known by the names of their classes, so nothing is imported here but numpy.  Short arrays are shown whole;
long ones by shape, range and beginning, with counts.  What is said is a function of the value alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pagefault.cluster.worlds.environment import IllegalAction, Parameter
from pagefault.runtime.errors import ConfigError

NUMBERS_MAX = 32
"""A longer row of numbers is abbreviated."""
GRID_MAX = 20
"""A grid with more rows or columns than this is abbreviated."""
SHOWN = 8
ITEMS_MAX = 10
LABELS_MAX = 64
"""More named actions than this are not listed in the schema; each observation lists those that are legal."""
LEGAL_SHOWN_MAX = 128
PLANES = "12"
ACTION_SPACES = "Discrete, MultiDiscrete, MultiBinary, Box, Text, Dict, Tuple, or a Sequence of one of the first five"


def kind_of(space: object) -> str:
    """Which of Gymnasium's spaces it is, or is made from."""
    for cls in type(space).__mro__:
        if cls.__module__.startswith("gymnasium.spaces") and cls.__name__ != "Space":
            return cls.__name__
    return type(space).__name__


# --- observations ----------------------------------------------------------------------------------------


def describe(space: Any, value: Any) -> str:
    """An observation as text: one line for what is simple, a line a part for what is composed."""
    return "\n".join(_lines(space, value, ""))


def _lines(space: Any, value: Any, name: str) -> Iterator[str]:
    kind = kind_of(space)
    if kind in ("Dict", "Tuple", "Sequence", "Graph", "OneOf"):
        if name:
            yield f"{name}:"
        indent = "  " if name else ""
        for part, inner, found in _parts(space, kind, value):
            for line in [part] if inner is None else _lines(inner, found, part):
                yield indent + line
        return
    text = _simple(space, kind, value)
    head = f"{name}: " if name else ""
    if "\n" in text:
        if name:
            yield head.rstrip()
        yield from text.split("\n")
    else:
        yield head + text


def _parts(space: Any, kind: str, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """``(name, space, value)`` of each part; without a space the name is a line of its own."""
    if kind == "Dict":
        yield from ((str(key), inner, value[key]) for key, inner in space.spaces.items())
    elif kind == "Tuple":
        yield from ((f"part {number}", inner, value[number - 1]) for number, inner in enumerate(space.spaces, 1))
    elif kind == "OneOf":
        which, found = value
        yield f"alternative {int(which) + 1}", space.spaces[int(which)], found
    elif kind == "Graph":
        edges = 0 if value.edge_links is None else len(value.edge_links)
        yield f"a graph of {len(value.nodes)} nodes and {edges} edges", None, None
        yield "nodes", None, None
        yield array_text(np.asarray(value.nodes)), None, None
        if edges:
            yield "edges (from, to)", None, None
            yield array_text(np.asarray(value.edge_links)), None, None
    else:
        items = list(value)
        yield f"{len(items)} items", None, None
        yield from ((f"item {place}", space.feature_space, found) for place, found in enumerate(items[:ITEMS_MAX], 1))
        if len(items) > ITEMS_MAX:
            yield f"… and {len(items) - ITEMS_MAX} more", None, None


def _simple(space: Any, kind: str, value: Any) -> str:
    if kind == "Discrete":
        return f"{int(value)} (of {int(space.start)} to {int(space.start + space.n - 1)})"
    if kind == "Text":
        return str(value)
    if kind in ("Box", "MultiDiscrete", "MultiBinary"):
        return array_text(np.asarray(value))
    return str(value)


def array_text(array: np.ndarray[Any, Any]) -> str:
    """An array as text: a number, a row, a grid, a board of planes; or shape, range and beginning of a long one."""
    if array.ndim == 0:
        return _number(array[()])
    if array.ndim == 1 and array.size <= NUMBERS_MAX:
        return f"[{_numbers(array)}]"
    if array.ndim == 2 and max(array.shape) <= GRID_MAX:
        return "\n".join(" ".join(_number(each) for each in row) for row in array)
    if _is_board(array):
        return _board(array)
    shape = "x".join(map(str, array.shape))
    flat = array.reshape(-1)
    if not flat.size:
        return f"an empty array of shape {shape}"
    first = _numbers(flat[:SHOWN])
    nonzero = int(np.count_nonzero(flat))
    return (
        f"{shape} array of {flat.size:,} numbers, from {_number(flat.min())} to {_number(flat.max())}, "
        f"mean {_number(flat.mean(dtype=np.float64))}, {nonzero:,} of them not 0; it begins [{first}, …]"
    )


def _is_board(array: np.ndarray[Any, Any]) -> bool:
    """Two planes of zeros and ones over one small grid, such as the stones of two players."""
    return (
        array.ndim == 3
        and array.shape[2] == len(PLANES)
        and max(array.shape[:2]) <= GRID_MAX
        and bool(np.isin(array, (0, 1)).all())
        and not bool(np.logical_and(array[..., 0], array[..., 1]).any())
    )


def _board(array: np.ndarray[Any, Any]) -> str:
    marks = np.where(array[..., 0], "1", np.where(array[..., 1], "2", "."))
    rows = "\n".join(" ".join(row) for row in marks)
    return f"{rows}\n(1: first plane, 2: second plane, .: neither)"


def _numbers(values: Iterable[Any]) -> str:
    return ", ".join(_number(each) for each in values)


def _number(value: Any) -> str:
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return str(int(value))
    return f"{float(value):.4g}"


# --- actions ---------------------------------------------------------------------------------------------


class SpaceActions:
    """An action space of Gymnasium's as the parameters of a function.

    A Dict gives a parameter for each of its keys and a Tuple one for each part; what is nested is flattened, its names
    joined by ``_``.  ``names`` are words for the actions of a Discrete space, in order.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for a space that has no words in a JSON schema.
    """

    def __init__(self, space: Any, names: Sequence[str] | None = None) -> None:
        self._space = space
        self._names = tuple(names) if names is not None else None
        if self._names is not None and (kind_of(space) != "Discrete" or len(self._names) != int(space.n)):
            count = (
                f"{int(space.n)} names" if kind_of(space) == "Discrete" else "nothing: only Discrete actions are named"
            )
            raise ConfigError("names", list(self._names), count)
        self.parameters = tuple(
            Parameter(name, *_leaf(inner, self._names if len(path) == 0 else None))
            for path, name, inner in _leaves(space, (), "")
        )

    @property
    def is_discrete(self) -> bool:
        """Whether an action is one number: then masks can say which are legal."""
        return kind_of(self._space) == "Discrete"

    def decode(self, arguments: Mapping[str, Any]) -> Any:
        """The action that arguments mean.  Raises :class:`~pagefault.cluster.worlds.environment.IllegalAction`."""
        action = self._build(self._space, (), "", arguments)
        if not self._space.contains(action):
            raise IllegalAction(f"This is not an action here. {self.wanted()}")
        return action

    def wanted(self) -> str:
        """What arguments must be, in words."""
        return " ".join(f"{each.name}: {each.description}." for each in self.parameters)

    def label(self, action: int) -> str:
        """How a player writes a Discrete action."""
        return str(action) if self._names is None else self._names[action - int(self._space.start)]

    def legal(self, mask: Any) -> tuple[str, ...]:
        """The labels of the actions that a mask of zeros and ones allows."""
        start = int(self._space.start)
        return tuple(self.label(start + int(place)) for place in np.flatnonzero(np.asarray(mask)))

    def arguments(self, action: Any) -> dict[str, Any]:
        """What a player would have to write for an action of the space."""
        return {name: self._written(inner, _at(path, action)) for path, name, inner in _leaves(self._space, (), "")}

    def _written(self, space: Any, value: Any) -> Any:
        kind = kind_of(space)
        if kind == "Discrete":
            return self.label(int(value)) if self._names is not None else int(value)
        if kind == "Text":
            return str(value)
        if kind == "Sequence":
            return [self._written(space.feature_space, each) for each in value]
        flat = np.asarray(value).reshape(-1).tolist()
        return flat[0] if kind == "Box" and np.shape(value) in ((), (1,)) else flat

    def _build(self, space: Any, path: tuple[Any, ...], name: str, arguments: Mapping[str, Any]) -> Any:
        kind = kind_of(space)
        if kind == "Dict":
            return {
                key: self._build(inner, (*path, key), _joined(name, str(key)), arguments)
                for key, inner in space.spaces.items()
            }
        if kind == "Tuple":
            return tuple(
                self._build(inner, (*path, place), _joined(name, f"part{place + 1}"), arguments)
                for place, inner in enumerate(space.spaces)
            )
        return self._value(space, arguments[name or "action"])

    def _value(self, space: Any, written: Any) -> Any:
        kind = kind_of(space)
        if kind == "Discrete":
            if self._names is None:
                return int(written)
            if written not in self._names:
                raise IllegalAction(f"There is no action {written!r}. {self.wanted()}")
            return int(space.start) + self._names.index(written)
        if kind == "Text":
            return str(written)
        if kind == "Sequence":
            return tuple(self._value(space.feature_space, each) for each in written)
        try:
            return np.asarray(written, dtype=space.dtype).reshape(space.shape)
        except (ValueError, OverflowError):
            raise IllegalAction(f"These are not the numbers of an action here. {self.wanted()}") from None


def legal_text(legal: Sequence[str]) -> str:
    """Labels as a list; a very long one is abbreviated, with its count."""
    if len(legal) <= LEGAL_SHOWN_MAX:
        return ", ".join(legal)
    return f"{', '.join(legal[:LEGAL_SHOWN_MAX])}, … ({len(legal)} in all)"


def _joined(name: str, part: str) -> str:
    return f"{name}_{part}" if name else part


def _leaves(space: Any, path: tuple[Any, ...], name: str) -> Iterator[tuple[tuple[Any, ...], str, Any]]:
    kind = kind_of(space)
    if kind == "Dict":
        for key, inner in space.spaces.items():
            yield from _leaves(inner, (*path, key), _joined(name, str(key)))
    elif kind == "Tuple":
        for place, inner in enumerate(space.spaces):
            yield from _leaves(inner, (*path, place), _joined(name, f"part{place + 1}"))
    else:
        yield path, name or "action", space


def _at(path: tuple[Any, ...], value: Any) -> Any:
    for step in path:
        value = value[step]
    return value


def _leaf(space: Any, names: tuple[str, ...] | None) -> tuple[Any, str]:
    """The hint and the description of a parameter."""
    kind = kind_of(space)
    if kind == "Discrete":
        first, last = int(space.start), int(space.start + space.n - 1)
        if names is None:
            return Annotated[int, Field(ge=first, le=last)], f"a whole number from {first} to {last}"
        if len(names) <= LABELS_MAX:
            return Literal[names], f"one of {', '.join(names)}"
        return str, "one of the legal actions that you were shown"
    if kind == "Text":
        hint = Annotated[str, Field(min_length=int(space.min_length), max_length=int(space.max_length))]
        letters = "".join(sorted(space.character_set))
        return hint, f"a text of {space.min_length} to {space.max_length} characters out of {letters!r}"
    if kind == "Sequence" and kind_of(space.feature_space) not in ("Dict", "Tuple", "Sequence", "Graph", "OneOf"):
        inner, meaning = _leaf(space.feature_space, None)
        return list[inner], f"a list, each {meaning}"  # type: ignore[valid-type]  # a hint made at run time
    if kind in ("MultiDiscrete", "MultiBinary", "Box"):
        return _array_leaf(space, kind)
    raise ConfigError("action_space", type(space).__name__, ACTION_SPACES)


def _array_leaf(space: Any, kind: str) -> tuple[Any, str]:
    size = int(np.prod(space.shape))
    if kind == "MultiBinary":
        element: Any = Literal[0, 1]
        meaning = f"{size} numbers, each 0 or 1"
    elif kind == "MultiDiscrete":
        lows = np.asarray(getattr(space, "start", np.zeros_like(space.nvec))).reshape(-1)
        element = int
        meaning = f"{size} whole numbers: {_bounds(lows, lows + np.asarray(space.nvec).reshape(-1) - 1)}"
    else:
        whole = np.issubdtype(space.dtype, np.integer)
        element = int if whole else float
        bounds = _bounds(space.low.reshape(-1), space.high.reshape(-1))
        if space.shape in ((), (1,)):
            return element, f"a {'whole ' if whole else ''}number, {bounds}"
        meaning = f"{size} {'whole ' if whole else ''}numbers: {bounds}"
    if len(space.shape) > 1:
        meaning += f" (a {'x'.join(map(str, space.shape))} array, row by row)"
    hint = Annotated[list[element], Field(min_length=size, max_length=size)]
    return hint, meaning


def _bounds(low: np.ndarray[Any, Any], high: np.ndarray[Any, Any]) -> str:
    pairs = [f"from {_number(a)} to {_number(b)}" for a, b in zip(low, high, strict=True)]
    if len(set(pairs)) == 1:
        return pairs[0] if len(pairs) == 1 else f"each {pairs[0]}"
    shown = "; ".join(pairs[:SHOWN])
    return shown if len(pairs) <= SHOWN else f"{shown}; … ({len(pairs)} in all)"
