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

import json
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

import msgpack

from pagefault.runtime import values
from pagefault.runtime.errors import InternalError, StoreCorrupt
from pagefault.runtime.kernel import effects, events, functions
from pagefault.runtime.store.layout import NAME_CHARS_MAX, TAG_KEY, Mistyped, layout_of, shared

__all__ = ["TAGS", "VERSION", "Codec", "decode", "encode"]

VERSION: Final = 1
ENVELOPE: Final = b"\x92"  # a msgpack array of two
JSON_ENVELOPE: Final = f"[{VERSION},"
SIZE_BYTES_MAX: Final = 64 * 1024 * 1024
DEPTH_MAX: Final = 48

TAGS: Final[Mapping[str, type]] = types.MappingProxyType(
    {
        "call": values.FunctionCall,
        "schema": values.FunctionSchema,
        "page": values.Page,
        "interrupt": values.Interrupt,
        "shown_page": values.ShownPage,
        "memory_change": values.MemoryChange,
        "dead_letter": values.DeadLetter,
        "message": values.Message,
        "request": values.ModelRequest,
        "usage": values.Usage,
        "reply": values.ModelReply,
        "reasoning": values.Reasoning,
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
        "rated": events.PageRated,
        "subscribers": events.SubscribersFound,
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
        "do_demote": effects.DemotePages,
        "do_rate": effects.RatePage,
        "do_accept": effects.Accept,
        "do_reject": effects.Reject,
        "do_send": effects.Send,
        "do_subscribe": effects.Subscribe,
        "do_find": effects.FindSubscribers,
        "do_publish": effects.Publish,
        "do_quarantine": effects.Quarantine,
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
        "stop_timer": functions.StopTimer,
        "send_to": functions.SendTo,
        "done": functions.Done,
        "search": functions.Search,
        "fetch": functions.FetchPages,
        "call_agent": functions.CallAgent,
        "subscribe_to": functions.SubscribeTo,
        "publish_to": functions.PublishTo,
    }
)
"""The tags of everything that may be stored.  A tag, once released, keeps its meaning for ever."""


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
        self._layouts = {cls: layout_of(cls, tag, known) for tag, cls in tags.items()}
        self._by_tag = {layout.tag: layout for layout in self._layouts.values()}
        self._to_json = json.JSONEncoder(default=self._fields, separators=(",", ":")).encode
        self._from_json = json.JSONDecoder(object_pairs_hook=self._build).decode

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

    def encode_json(self, value: object) -> str:
        """A dataclass of the table as JSON, for stores that people look into; plain data is not checked.

        ASCII only.  Raises :class:`~pagefault.runtime.errors.InternalError` for a value that JSON cannot hold.
        """
        try:
            return self._to_json((VERSION, value))
        except (TypeError, ValueError) as error:
            raise InternalError(f"cannot be stored: {error}") from error

    def decode_json(self, text: str) -> object:
        """What :meth:`encode_json` was given.  Raises :class:`~pagefault.runtime.errors.StoreCorrupt`."""
        if not text.startswith(JSON_ENVELOPE):
            raise StoreCorrupt(f"stored text is not of format version {VERSION}: {text:.40}")
        try:
            envelope = self._from_json(text)
        except (ValueError, RecursionError) as error:
            raise StoreCorrupt(f"stored text is not readable JSON: {error!r:.200}") from error
        if len(envelope) != 2:
            raise StoreCorrupt("stored text has no [version, value] envelope")
        value: object = envelope[1]
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
            except Mistyped as error:
                raise StoreCorrupt(f"stored {tag!r}, field {name!r}: found {item!r:.80}, allowed: {error}") from None
        try:
            return layout.cls(**fields)
        except (TypeError, ValueError) as error:
            raise StoreCorrupt(f"stored {tag!r} cannot be rebuilt: {error}") from error


CONTAINERS: Final = (list, dict, tuple)
LOOKED_AT: Final = frozenset({list, dict, msgpack.Timestamp})


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
        # Leaves are most of what there is, and nothing about them needs a look.
        pending.extend([(child, depth + 1) for child in children if isinstance(child, CONTAINERS)])


def _check_decoded(value: object) -> None:
    """Refuse what no encoder wrote: too deep, keys that are bytes, msgpack's own timestamp type.

    On the way, names in lists become one object where they are equal, as those in fields are.
    """
    level: list[object] = [value]
    for _ in range(DEPTH_MAX):
        below: list[object] = []
        for item in level:
            if type(item) is dict:
                if not all(type(key) is str for key in item):
                    raise StoreCorrupt("stored map has a key that is not a string")
                below.extend([child for child in item.values() if type(child) in LOOKED_AT])
            elif type(item) is list:
                kinds = set(map(type, item))  # leaves are most of what there is: they are looked at in C
                if str in kinds:
                    is_names = len(kinds) == 1 and max(map(len, item)) <= NAME_CHARS_MAX
                    item[:] = map(sys.intern if is_names else shared, item)
                if not kinds.isdisjoint(LOOKED_AT):
                    below.extend([child for child in item if type(child) in LOOKED_AT])
            elif type(item) is msgpack.Timestamp:
                raise StoreCorrupt("stored value holds a msgpack timestamp; none is allowed")
        if not below:
            return
        level = below
    raise StoreCorrupt(f"stored value is nested deeper than {DEPTH_MAX}")


_CODEC: Final = Codec(TAGS)
encode: Final = _CODEC.encode
decode: Final = _CODEC.decode
