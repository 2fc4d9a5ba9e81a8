"""What is read from outside may be anything: it is refused by our own error, and does nothing else."""

from __future__ import annotations

import random
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pagefault.cluster.console.plan import read_plan
from pagefault.runtime.errors import ConfigError, PagefaultError, StoreCorrupt
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.records import CODEC
from pagefault.runtime.kernel.events import FunctionReturned, InterruptArrived, Recovered
from pagefault.runtime.kernel.functions import CallProblem
from pagefault.runtime.values import CallId, Interrupt, InterruptId, InterruptKind, Page, PageId, PageKind, Priority

QUICK, SOAK = 1_000, 10_000
DANGEROUS = ("exec", "compile", "import", "pickle.", "socket.", "subprocess.", "os.", "ctypes.", "shutil.", "marshal.")
COUNTS = [pytest.param(QUICK, id="quick"), pytest.param(SOAK, id="soak", marks=pytest.mark.soak)]
HARMLESS = frozenset({"os.listdir", "os.scandir"})

_seen: list[str] = []
_is_watching = False


def _hook(event: str, _arguments: tuple[object, ...]) -> None:
    if _is_watching and event.startswith(DANGEROUS) and event not in HARMLESS:
        _seen.append(event)


sys.addaudithook(_hook)  # for good: a hook cannot be taken out


@contextmanager
def watched() -> Iterator[None]:
    """Nothing dangerous happens in here."""
    global _is_watching  # noqa: PLW0603 - the hook has nothing else to look at
    _seen.clear()
    _is_watching = True
    try:
        yield
    finally:
        _is_watching = False
    assert not _seen, f"reading data did this: {sorted(set(_seen))}"


def mutated(chance: random.Random, whole: bytes, spice: list[bytes]) -> bytes:
    """The bytes with a few of them changed, cut, doubled, or something else put in."""
    data = bytearray(whole)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0 and data:
            data[place % len(data)] = chance.randrange(256)
        elif kind == 1:
            del data[place : place + chance.randint(1, 20)]
        elif kind == 2:
            data[place:place] = chance.choice(spice)
        elif kind == 3:
            data[place:place] = data[place : place + chance.randint(1, 40)]
        else:
            data[place:place] = chance.randbytes(chance.randint(1, 8))
    return bytes(data) if chance.random() > 0.02 else chance.randbytes(chance.randint(0, 300))


def run(
    count: int,
    seed: int,
    seeds: list[bytes],
    spice: list[bytes],
    read: Callable[[bytes], object],
    *,
    allowed: type[PagefaultError],
) -> int:
    """How many of so many mutations were refused; ``read`` raises nothing but what is ``allowed``."""
    chance = random.Random(seed)
    refused = 0
    for each in seeds:
        read(each)  # whole, it is read; and whatever reading imports has been imported
    for _ in range(count):
        data = mutated(chance, chance.choice(seeds), spice)
        with watched():
            try:
                read(data)
            except allowed:
                refused += 1
    return refused


ARRIVED = InterruptArrived(
    5, Interrupt(InterruptId("m-1"), InterruptKind.MESSAGE, Priority.USER, "user", "hello" * 9, tags=("a", "b"))
)
STORED = [
    CODEC.encode(ARRIVED),
    CODEC.encode(Recovered(7, 3, crashed=True)),
    CODEC.encode(FunctionReturned(8, CallId("a/1"), "ok", "fine")),
    CODEC.encode({"pages": [Page(PageId("p1"), PageKind.RESULT, "text", 3, 4, 5)], "deep": [[[[1, 2.5, None]]]]}),
]
PICKLE = b"cos\nsystem\n(S'true'\ntR."
MSGPACK_SPICE = [
    b"\xc7\x05\x05hello", b"\xd6\xff\x00\x00\x00\x01", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
    b"\x91" * 60, b"\x81\xa1~\xa6system", b"\xa1~", b"\xc6\xff\xff\xff\xff", PICKLE, b"\x92\x01", b"\xc1",
]  # fmt: skip


@pytest.mark.parametrize("count", COUNTS)
def test_malformed_msgpack_is_refused_and_does_nothing(count: int) -> None:
    assert run(count, 1, STORED, MSGPACK_SPICE, CODEC.decode, allowed=StoreCorrupt) > count // 2


@pytest.mark.parametrize("count", COUNTS)
def test_malformed_arguments_are_told_to_the_model_and_do_nothing(count: int) -> None:
    table = Registry().table(("all",))
    names = [schema.name for schema in table.schemas()]
    valid = [
        b'{"message": "hello there, how are you", "agent": "bob", "timeout_seconds": 30, "request_heartbeat": true}',
        b'{"content": "a passage", "tags": ["x", "y"], "space": "archival", "request_heartbeat": false}',
        b'{"query": "pear trees", "page": 0, "request_heartbeat": true}',
    ]
    spice = [
        b'{"__class__": "os.system"}', b"NaN", b"1e999", b"[" * 500, b"\\u0000\\ud800", b'"a": 1, "a": 2,',
        b"__import__('os').system('true')", b"9" * 400, b"/*", b"'", PICKLE, b'{"query": ' * 200,
    ]  # fmt: skip
    chance = random.Random(2)
    problems = 0

    def read(data: bytes) -> None:
        nonlocal problems
        try:
            arguments, _ = table.check(chance.choice(names), data.decode("utf-8", "surrogateescape"))
            assert isinstance(arguments, dict)
        except CallProblem:
            problems += 1

    for name in names:  # whatever checking imports has been imported
        for text in ("{}", "{", '{"a": 1}'):
            try:
                table.check(name, text)
            except CallProblem:
                continue
    run(count, 3, valid, spice, read, allowed=PagefaultError)
    assert problems > count // 2


@pytest.mark.parametrize("count", COUNTS)
def test_malformed_toml_is_refused_and_does_nothing(tmp_path: Path, count: int) -> None:
    file = tmp_path / "plan.toml"
    valid = [
        (
            b'world = "village"\nagents = 20\nseed = 3\n[agent]\nmodel = "scripted:village"\ncontext_tokens = 2048\n'
            b'[fleet]\nkind = "local"\nhosts = 2\n[village]\ndays = 2\n'
        ),
    ]
    spice = [
        b"[[agent]]\n", b"[fleet]\n", b'"""', b"= = =", b"inf", b"1979-05-27T07:32:00Z", b"a." * 200 + b"b = 1\n",
        b"\xff\xfe", b"[" * 300, b'folder = "../../etc/passwd"\n', b"x = {" * 100, PICKLE,
    ]  # fmt: skip

    def read(data: bytes) -> None:
        file.write_bytes(data)
        read_plan(file)

    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads("= = =")  # its errors are made, and imported, once
    assert run(count, 4, valid, spice, read, allowed=ConfigError) > count // 2
