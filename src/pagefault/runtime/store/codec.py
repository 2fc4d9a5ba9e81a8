"""How values become bytes: msgpack with a version, a table of tags, and nothing that can run.

Whatever is persisted or sent between agents goes through a :class:`Codec`.  The bytes are one msgpack
array ``[version, value]``.  A value is plain data (``None``, ``bool``, ``int`` of 64 bits, ``float``,
``str``, ``bytes``, lists, and maps with string keys) or a frozen dataclass from the codec's table,
written as a map from field names to values, with the class's tag under the key ``"~"``.  Fields that
equal their default are left out, so a field added later with a default opens old data.

Reading trusts nothing.  An unknown version or tag, an unknown, missing or mistyped field, a duplicate
key, an extension type, trailing bytes, or data too large or too deep is a
:class:`~pagefault.runtime.errors.StoreCorrupt` that says which.  Tags are looked up in the table and
never imported: LangGraph's checkpoint format, where they were, let stored bytes call any function
(CVE-2026-28277).

Tuples in plain data come back as lists and enumeration members as their values; the fields of a
dataclass come back as their declared types.  Lone surrogates in strings, which JSON from a model may
hold, survive.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, NoReturn

import msgpack

from pagefault.runtime import values
from pagefault.runtime.errors import InternalError, StoreCorrupt
from pagefault.runtime.kernel import effects, events, functions

__all__ = ["TAGS", "VERSION", "Codec", "decode", "encode"]

VERSION: Final = 1
TAG_KEY: Final = "~"
ENVELOPE: Final = b"\x92"  # a msgpack array of two
SIZE_BYTES_MAX: Final = 64 * 1024 * 1024
DEPTH_MAX: Final = 48

TAGS: Final[Mapping[str, type]] = types.MappingProxyType(
    {
        "call": values.FunctionCall,
        "schema": values.FunctionSchema,
        "page": values.Page,
        "interrupt": values.Interrupt,
        "message": values.Message,
        "request": values.ModelRequest,
        "usage": values.Usage,
        "reply": values.ModelReply,
        "hit": values.Hit,
        "query": values.ArchiveQuery,
        "result": values.SearchResult,
        "arrived": events.InterruptArrived,
        "replied": events.ModelReplied,
        "model_failed": events.ModelFailed,
        "returned": events.FunctionReturned,
        "searched": events.SearchReturned,
        "loaded": events.PagesLoaded,
        "summary": events.SummaryReady,
        "summary_failed": events.SummaryFailed,
        "cancelled": events.Cancelled,
        "clock": events.ClockAdvanced,
        "recovered": events.Recovered,
        "do_model": effects.CallModel,
        "do_cancel": effects.CancelCall,
        "do_summarize": effects.Summarize,
        "do_function": effects.RunFunction,
        "do_search": effects.SearchArchive,
        "do_load": effects.LoadPages,
        "do_store": effects.StorePages,
        "do_forget": effects.ForgetPages,
        "do_accept": effects.Accept,
        "do_reject": effects.Reject,
        "do_send": effects.Send,
        "do_deliver": effects.Deliver,
        "do_timer": effects.SetTimer,
        "do_end": effects.ChainEnded,
        "do_notice": effects.Notice,
        "do_snapshot": effects.TakeSnapshot,
        "block": functions.Block,
        "page_line": functions.PageLine,
        "set_block": functions.SetBlock,
        "say": functions.Say,
        "insert": functions.Insert,
        "pin": functions.Pin,
        "page_out": functions.PageOut,
        "pause": functions.PauseHeartbeats,
        "start_timer": functions.StartTimer,
        "send_to": functions.SendTo,
        "done": functions.Done,
        "search": functions.Search,
        "fetch": functions.FetchPages,
        "call_agent": functions.CallAgent,
    }
)
"""The tags of everything that may be stored.  A tag, once released, keeps its meaning for ever."""

Writer = Callable[[Any], dict[str, Any]]
"""Makes the map that stands for one instance, its tag included, fields at their default left out."""
Reader = Callable[[Any], Any]
"""Checks one decoded field and returns it as its declared type; raises ``_MistypedError``."""


class _MistypedError(Exception):
    """What was allowed in a field; the caller knows what was found and where."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Layout:
    """How one class is written and read."""

    cls: type
    tag: str
    write: Writer
    readers: Mapping[str, Reader]


class Codec:
    """Writes and reads plain data and the dataclasses of one table of tags.

    The module's :func:`encode` and :func:`decode` use :data:`TAGS`; a room with values of its own makes
    ``Codec({**TAGS, "name": Class})``.  Immutable, so threads may share one.

    Raises :class:`TypeError` for a class that is no dataclass or has a field of a type that cannot be
    stored, and for a class that is given two tags.
    """

    def __init__(self, tags: Mapping[str, type]) -> None:
        if len(set(tags.values())) != len(tags):
            raise TypeError("a class has two tags")
        known = frozenset(tags.values())
        self._layouts = {cls: _layout(cls, tag, known) for tag, cls in tags.items()}
        self._by_tag = {layout.tag: layout for layout in self._layouts.values()}

    def encode(self, value: object) -> bytes:
        """The bytes of a value.

        Raises :class:`~pagefault.runtime.errors.InternalError` for a value that would not read back:
        another class, a map key that is no string, an integer of more than 64 bits, too deep or large.
        """
        if type(value) not in self._layouts:
            _check_plain(value)
        # A packer of its own: the hook may be entered again from another thread between two bytecodes.
        packer = msgpack.Packer(default=self._fields, unicode_errors="surrogatepass")
        try:
            data: bytes = packer.pack((VERSION, value))
        except (TypeError, ValueError, OverflowError) as error:
            raise InternalError(f"cannot be stored: {error}") from error
        if len(data) > SIZE_BYTES_MAX:
            raise InternalError(f"cannot be stored: {len(data)} bytes, allowed: {SIZE_BYTES_MAX}")
        return data

    def decode(self, data: bytes) -> object:
        """The value that :meth:`encode` was given.  Raises :class:`~pagefault.runtime.errors.StoreCorrupt`."""
        if len(data) > SIZE_BYTES_MAX:
            raise StoreCorrupt(f"stored value has {len(data)} bytes, allowed: {SIZE_BYTES_MAX}")
        # On the bytes and first: a newer version may hold tags that this release does not know.
        if data[:1] != ENVELOPE or len(data) < 3:
            raise StoreCorrupt("stored value has no [version, value] envelope")
        if data[1] != VERSION:
            raise StoreCorrupt(f"stored value has format version {data[1]}, this release reads {VERSION}")
        try:
            envelope = msgpack.unpackb(
                data,
                object_pairs_hook=self._build,
                ext_hook=_refuse_extension,
                timestamp=0,
                unicode_errors="surrogatepass",
                strict_map_key=True,
            )
        except StoreCorrupt:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            # msgpack's own errors are ValueErrors; the others come from keys and nesting it cannot hold.
            raise StoreCorrupt(f"stored value is not readable msgpack: {error!r}") from error
        value: object = envelope[1]
        if type(value) not in self._layouts:
            _check_decoded(value)
        return value

    def _fields(self, value: object) -> dict[str, Any]:
        """The packer's hook for everything that msgpack does not know."""
        layout = self._layouts.get(type(value))
        if layout is None:
            raise TypeError(f"{type(value).__name__} is not in the codec's table")
        return layout.write(value)

    def _build(self, pairs: list[tuple[str, Any]]) -> object:
        """The unpacker's hook for maps, called from the inside out."""
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise StoreCorrupt("stored map has a key twice")
        if TAG_KEY not in fields:
            return fields
        tag = fields.pop(TAG_KEY)
        layout = self._by_tag.get(tag) if type(tag) is str else None
        if layout is None:
            raise StoreCorrupt(f"stored value has the unknown tag {tag!r}")
        for name, item in fields.items():
            reader = layout.readers.get(name)
            if reader is None:
                raise StoreCorrupt(f"stored {tag!r} has the unknown field {name!r}")
            try:
                fields[name] = reader(item)
            except _MistypedError as error:
                raise StoreCorrupt(f"stored {tag!r}, field {name!r}: found {item!r:.80}, allowed: {error}") from None
        try:
            return layout.cls(**fields)
        except (TypeError, ValueError) as error:
            raise StoreCorrupt(f"stored {tag!r} cannot be rebuilt: {error}") from error


def _refuse_extension(code: int, _data: bytes) -> NoReturn:
    raise StoreCorrupt(f"stored value holds a msgpack extension (code {code}); none is allowed")


def _check_plain(value: object) -> None:
    """Refuse plain data that could be written but not read back.  Iterative, so depth is only a number."""
    pending: list[tuple[object, int]] = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        children: Iterable[object] = ()
        if isinstance(item, dict):
            for key in item:
                if type(key) is not str:
                    raise InternalError(f"cannot be stored: map key {key!r:.80}, allowed: strings")
            if TAG_KEY in item:
                raise InternalError(f"cannot be stored: the map key {TAG_KEY!r} is reserved")
            children = item.values()
        elif isinstance(item, list | tuple):
            children = item
        if depth > DEPTH_MAX:
            raise InternalError(f"cannot be stored: nested deeper than {DEPTH_MAX}")
        pending.extend((child, depth + 1) for child in children)


def _check_decoded(value: object) -> None:
    """Refuse what no encoder wrote: too deep, keys that are bytes, msgpack's own timestamp type."""
    level: list[object] = [value]
    for _ in range(DEPTH_MAX):
        below: list[object] = []
        for item in level:
            if type(item) is dict:
                if not all(type(key) is str for key in item):
                    raise StoreCorrupt("stored map has a key that is not a string")
                below.extend(item.values())
            elif type(item) is list:
                below.extend(item)
            elif type(item) is msgpack.Timestamp:
                raise StoreCorrupt("stored value holds a msgpack timestamp; none is allowed")
        if not below:
            return
        level = below
    raise StoreCorrupt(f"stored value is nested deeper than {DEPTH_MAX}")


# --- from type hints to readers ----------------------------------------------------------------------


def _layout(cls: type, tag: str, known: frozenset[type]) -> _Layout:
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__name__} is not a dataclass")
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    return _Layout(
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
    elif origin is list:
        return _sequence(_reader(typing.get_args(hint)[0], known, where), list)
    elif origin is dict and typing.get_args(hint)[0] is str:
        return _mapping(_reader(typing.get_args(hint)[1], known, where))
    elif origin is types.UnionType or origin is typing.Union:
        return _union(typing.get_args(hint), known, where)
    elif hint is float:
        return _number
    elif hint is None or hint in {str, int, bool, bytes, types.NoneType}:
        return _exactly(types.NoneType if hint is None else hint)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        return _member(hint)
    elif hint in known:
        return _exactly(hint)
    raise TypeError(f"{where}: {hint} cannot be stored")


def _exactly(cls: type) -> Reader:
    name = cls.__name__

    def read(value: Any) -> Any:
        if type(value) is not cls:
            raise _MistypedError(name)
        return value

    return read


def _number(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise _MistypedError("float")
    return float(value)


def _member(cls: type[Enum]) -> Reader:
    members = {member.value: member for member in cls}
    raw = type(next(iter(members)))

    def read(value: Any) -> Enum:
        # The exact type first: True and 1.0 would find the member whose value is 1.
        member = members.get(value) if type(value) is raw else None
        if member is None:
            raise _MistypedError(f"one of {', '.join(map(repr, members))}")
        return member

    return read


def _sequence(read_item: Reader, make: type[list[Any]] | type[tuple[Any, ...]]) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _MistypedError("a list")
        return make(map(read_item, value))

    return read


def _row(readers: list[Reader]) -> Reader:
    """A tuple of fixed length, each place with its own type."""

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(readers):
            raise _MistypedError(f"a list of {len(readers)}")
        return tuple(reader(item) for reader, item in zip(readers, value, strict=True))

    return read


def _mapping(read_item: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _MistypedError("a map")
        return {key: read_item(item) for key, item in value.items()}

    return read


def _union(hints: tuple[Any, ...], known: frozenset[type], where: str) -> Reader:
    readers = [_reader(hint, known, where) for hint in hints]

    def read(value: Any) -> Any:
        allowed = []
        for reader in readers:
            try:
                return reader(value)
            except _MistypedError as error:
                allowed.append(str(error))
        raise _MistypedError(" or ".join(allowed))

    return read


_CODEC: Final = Codec(TAGS)
encode: Final = _CODEC.encode
decode: Final = _CODEC.decode
