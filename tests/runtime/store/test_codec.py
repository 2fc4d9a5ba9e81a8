"""The codec: what goes in comes out, old bytes stay readable, and bad bytes are refused by name."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.runtime.errors import InternalError, StoreCorrupt
from pagefault.runtime.kernel.events import EVENT_TYPES, FunctionReturned, InterruptArrived, ModelReplied, PagesLoaded
from pagefault.runtime.store.codec import DEPTH_MAX, SIZE_BYTES_MAX, TAGS, VERSION, Codec, decode, encode
from pagefault.runtime.values import (
    CallId,
    Fidelity,
    FunctionCall,
    Interrupt,
    InterruptId,
    InterruptKind,
    ModelReply,
    Page,
    PageId,
    PageKind,
    Priority,
    Usage,
)

GOLDEN = Path(__file__).parent / "golden" / "codec_v1.txt"

INTERRUPT = Interrupt(
    id=InterruptId("u-1"),
    kind=InterruptKind.MESSAGE,
    priority=Priority.USER,
    sender="user",
    text="Where did we leave the lantern?",
    created_ms=1_700_000_000_000,
    importance=0.5,
    mask=(Priority.TIMER, Priority.BACKGROUND),
)
PAGE = Page(
    id=PageId("p7"),
    kind=PageKind.RESULT,
    text="On the shelf — beside the żółty jar.",
    tokens=12,
    created_ms=1_700_000_000_500,
    ordinal=7,
    fidelity=Fidelity.SUMMARY,
    refs=(PageId("p2"), PageId("p3")),
    answers="call_9",
)
REPLY = ModelReply(
    text="Looking.",
    calls=(FunctionCall("call_9", "conversation_search", '{"query": "lantern"}'),),
    usage=Usage(prompt_tokens=700, reply_tokens=20),
    finish="calls",
)
SAMPLES: dict[str, object] = {
    "interrupt_arrived": InterruptArrived(1_700_000_000_001, INTERRUPT),
    "model_replied": ModelReplied(1_700_000_000_002, CallId("c1"), REPLY),
    "pages_loaded": PagesLoaded(1_700_000_000_003, CallId("c2"), (PAGE,), missing=(PageId("p99"),)),
    "function_returned": FunctionReturned(1_700_000_000_004, CallId("c3"), "failed", "no such file"),
    "plain": {"pages": [PAGE], "counts": {"a": 1, "b": -2}, "x": [None, True, 1.5, b"\x00\xff"]},
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Every storable value of a declared type, extremes included."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    if hint is Any:
        return st.none() | st.booleans() | st.text()
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{field.name: values_of(hints[field.name]) for field in dataclasses.fields(hint)})
    origin = typing.get_origin(hint)
    if origin is tuple:
        arms = typing.get_args(hint)
        if arms[-1] is not Ellipsis:
            return st.tuples(*(values_of(arm) for arm in arms))
        return st.lists(values_of(arms[0]), max_size=3).map(tuple)
    if origin in {types.UnionType, typing.Union}:
        return st.one_of([values_of(arm) for arm in typing.get_args(hint)])
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    leaves: dict[Any, st.SearchStrategy[Any]] = {
        # All code points, surrogates too: JSON from a model may hold a lone one.
        str: st.text(st.characters(exclude_categories=()), max_size=12),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
        bytes: st.binary(max_size=12),
        types.NoneType: st.none(),
    }
    return leaves[hint]


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | values_of(Page),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=6).filter(lambda key: key != "~"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.one_of([values_of(cls) for cls in EVENT_TYPES]))
def test_every_event_reads_back_as_it_was(event: object) -> None:
    assert decode(encode(event)) == event


@pytest.mark.parametrize("tag", sorted(TAGS))
def test_every_class_of_the_table_reads_back_as_it_was(tag: str) -> None:
    @settings(max_examples=20)
    @given(values_of(TAGS[tag]))
    def check(value: object) -> None:
        again = decode(encode(value))
        assert again == value
        assert type(again) is TAGS[tag]

    check()


@given(plain_values)
def test_plain_data_with_pages_inside_reads_back(value: object) -> None:
    assert decode(encode(value)) == value


def test_fields_come_back_as_their_declared_types() -> None:
    event = decode(encode(InterruptArrived(1, INTERRUPT)))
    assert isinstance(event, InterruptArrived)
    assert type(event.interrupt.priority) is Priority
    assert type(event.interrupt.kind) is InterruptKind
    assert type(event.interrupt.mask) is tuple
    whole = decode(encode(dataclasses.replace(INTERRUPT, importance=1)))  # an int where a float is declared
    assert isinstance(whole, Interrupt)
    assert type(whole.importance) is float


def test_lone_surrogates_survive() -> None:
    event = FunctionReturned(1, CallId("c"), "ok", "cut \ud83d here")
    assert decode(encode(event)) == event


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_golden_bytes_of_version_1_are_still_written_and_read(name: str) -> None:
    golden = dict(line.split(" ", 1) for line in GOLDEN.read_text(encoding="utf-8").splitlines())
    assert encode(SAMPLES[name]).hex() == golden[name]
    assert decode(bytes.fromhex(golden[name])) == SAMPLES[name]


# --- change over time --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lamp:
    colour: str
    watts: int = 40


@dataclass(frozen=True, slots=True)
class LampWithHeight:
    colour: str
    watts: int = 40
    height_mm: int | None = None


def test_a_field_added_later_takes_its_default() -> None:
    old, new = Codec({"lamp": Lamp}), Codec({"lamp": LampWithHeight})
    assert new.decode(old.encode(Lamp("red", 25))) == LampWithHeight("red", 25)


def test_new_data_without_new_fields_opens_in_old_code_and_with_them_is_refused() -> None:
    old, new = Codec({"lamp": Lamp}), Codec({"lamp": LampWithHeight})
    assert old.decode(new.encode(LampWithHeight("red"))) == Lamp("red")
    with pytest.raises(StoreCorrupt, match="'lamp' has the unknown field 'height_mm'"):
        old.decode(new.encode(LampWithHeight("red", height_mm=300)))


def test_another_format_version_is_named_even_if_its_content_is_unknown() -> None:
    data = msgpack.packb([VERSION + 1, {"~": "from_the_future"}])
    with pytest.raises(StoreCorrupt, match=f"format version {VERSION + 1}, this release reads {VERSION}"):
        decode(data)


# --- refusals ----------------------------------------------------------------------------------------


def envelope(value: object) -> bytes:
    packed: bytes = msgpack.packb([VERSION, value])
    return packed


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


DUPLICATE_KEY = b"\x92\x01\x82\xa1a\x01\xa1a\x02"
USAGE = {"~": "usage"}
BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "envelope"),
    "no envelope": (msgpack.packb({"a": 1}), "envelope"),
    "trailing bytes": (envelope(1) + b"\x00", "ExtraData"),
    "cut short": (encode(SAMPLES["model_replied"])[:-5], "not readable msgpack"),
    "unknown tag": (envelope({"~": "os.system", "command": "true"}), "unknown tag 'os.system'"),
    "tag that is no string": (envelope({"~": 7}), "unknown tag 7"),
    "unknown field": (envelope({**USAGE, "money": 1}), "unknown field 'money'"),
    "missing field": (envelope({"~": "call", "id": "c", "name": "f"}), "'call' cannot be rebuilt.*arguments"),
    "wrong type": (envelope({**USAGE, "prompt_tokens": "7"}), "field 'prompt_tokens': found '7', allowed: int"),
    "bool for int": (envelope({**USAGE, "prompt_tokens": True}), "found True, allowed: int"),
    "unknown member": (envelope({"~": "page", "fidelity": "blurred"}), "found 'blurred', allowed: one of 'full'"),
    "float for member": (envelope({"~": "interrupt", "priority": 1.0}), "found 1.0, allowed: one of 0, 1"),
    "wrong item": (envelope({"~": "page", "refs": ["p1", 2]}), "field 'refs'"),
    "wrong class": (envelope({"~": "arrived", "at_ms": 1, "interrupt": USAGE}), "field 'interrupt'"),
    "extension": (envelope(msgpack.ExtType(5, b"x")), "extension .code 5."),
    "timestamp": (envelope([msgpack.Timestamp(1)]), "timestamp"),
    "timestamp in a field": (envelope({**USAGE, "prompt_tokens": msgpack.Timestamp(1)}), "field 'prompt_tokens'"),
    "duplicate key": (DUPLICATE_KEY, "key twice"),
    "number as key": (envelope({1: 2}), "not readable msgpack"),
    "bytes as key": (envelope({b"a": 2}), "key that is not a string"),
    "too deep": (envelope(nested(DEPTH_MAX + 1)), f"deeper than {DEPTH_MAX}"),
    "far too deep": (b"\x92\x01" + b"\x91" * 100_000 + b"\x01", "not readable msgpack"),
    "array that claims to be huge": (b"\x92\x01\xdd\xff\xff\xff\xff", "not readable msgpack"),
    "broken text": (b"\x92\x01\xa1\xff", "not readable msgpack"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_bytes_are_refused_with_what_was_wrong(name: str) -> None:
    data, said = BAD[name]
    with pytest.raises(StoreCorrupt, match=said):
        decode(data)


@given(st.binary(max_size=64).map(lambda tail: b"\x92\x01" + tail) | st.binary(max_size=64))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except StoreCorrupt:
        return
    assert repr(decode(encode(value))) == repr(value)


@given(st.data())
def test_a_changed_byte_never_raises_anything_else(data: st.DataObject) -> None:
    good = bytearray(encode(data.draw(st.sampled_from(list(SAMPLES.values())))))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(StoreCorrupt):
        decode(bytes(good))


def test_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(StoreCorrupt, match=f"allowed: {SIZE_BYTES_MAX}"):
        decode(b"\x92" * (SIZE_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "object is not in the codec's table"),
        ({"a": {1, 2}}, "set is not in the codec's table"),
        ({1: "a"}, "map key 1, allowed: strings"),
        ({"~": "page"}, "'~' is reserved"),
        (2**64, "cannot be stored"),
        (nested(DEPTH_MAX + 1), f"deeper than {DEPTH_MAX}"),
        (Lamp("red"), "Lamp is not in the codec's table"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(value: object, said: str) -> None:
    with pytest.raises(InternalError, match=said):
        encode(value)


def test_a_table_is_checked_when_it_is_made() -> None:
    @dataclass(frozen=True)
    class Loose:
        anything: dict[str, object]

    with pytest.raises(TypeError, match=r"Loose\.anything: .* cannot be stored"):
        Codec({"loose": Loose})
    with pytest.raises(TypeError, match="int is not a dataclass"):
        Codec({"number": int})
    with pytest.raises(TypeError, match="two tags"):
        Codec({"a": Lamp, "b": Lamp})


# --- JSON --------------------------------------------------------------------------------------------

CODEC = Codec(TAGS)


@given(values_of(Page) | values_of(InterruptArrived))
def test_dataclasses_read_back_from_json_too(value: object) -> None:
    text = CODEC.encode_json(value)
    assert text.isascii()
    assert CODEC.decode_json(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "format version"),
        ('[2,{"~":"usage"}]', "format version"),
        ("[1,", "not readable JSON"),
        ("[1,2,3]", "envelope"),
        ('[1,{"~":"usage","money":1}]', "unknown field 'money'"),
        ('[1,{"~":"usage","prompt_tokens":1.5}]', "found 1.5, allowed: int"),
        ('[1,{"a":1,"a":2}]', "key twice"),
        ("[1," + "[" * 100_000, "not readable JSON"),
    ],
)
def test_bad_json_is_refused_with_what_was_wrong(text: str, said: str) -> None:
    with pytest.raises(StoreCorrupt, match=said):
        CODEC.decode_json(text)


def test_what_json_cannot_hold_is_not_written() -> None:
    with pytest.raises(InternalError, match="bytes"):
        CODEC.encode_json({"a": b"x"})
