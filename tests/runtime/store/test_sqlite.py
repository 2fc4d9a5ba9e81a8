"""The SQLite journal: durable groups, fenced epochs, damage that stays with its agent."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagefault.runtime.errors import (
    StoreCorrupt,
    StoreUnavailable,
    UnknownAgent,
)
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.store.schema import SCHEMA_VERSION
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId

ANN, BOB = AgentId("ann"), AgentId("bob")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    opened = SqliteJournal(path)
    yield opened
    opened.close()


def texts(*items: str) -> tuple[bytes, ...]:
    return tuple(item.encode() for item in items)


# --- damage ------------------------------------------------------------------------------------------


def filled(path: Path) -> None:
    journal = SqliteJournal(path)
    journal.register_many([(ANN, b"gardener"), (BOB, b"baker")])
    for agent in (ANN, BOB):
        epoch = journal.activate(agent).epoch
        assert journal.append([Append(agent, epoch, 1, texts("one", "two"), snapshot=b"snap")]) == [None]
        assert journal.append([Append(agent, epoch, 3, texts("three", "four"))]) == [None]
    journal.close()


def test_random_damage_to_the_file_never_passes_silently(path: Path) -> None:
    filled(path)
    pristine = path.read_bytes()
    chance = random.Random(7)
    noticed = 0
    for _ in range(150):
        damaged = bytearray(pristine)
        place = chance.randrange(len(damaged))
        damaged[place : place + 8] = chance.randbytes(8)
        path.write_bytes(damaged)
        try:
            journal = SqliteJournal(path)
        except (StoreCorrupt, StoreUnavailable):
            noticed += 1
            continue
        try:
            found = journal.activate(ANN)
            assert (found.definition, found.snapshot, found.records) == (b"gardener", b"snap", texts("three", "four"))
        except (StoreCorrupt, StoreUnavailable, UnknownAgent):
            noticed += 1
        finally:
            journal.close()
    assert noticed > 0


# --- opening -----------------------------------------------------------------------------------------


def test_a_second_opener_is_refused_in_a_clear_sentence(journal: SqliteJournal, path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=f"{path.parent}: this store is open in process {os.getpid()}"):
        SqliteJournal(path)


def test_what_is_no_journal_is_left_alone(path: Path) -> None:
    path.write_bytes(b"These are my holiday plans, and certainly no database. " * 20)
    with pytest.raises(StoreUnavailable, match=f"{path}: is not a SQLite database"):
        SqliteJournal(path)
    assert path.read_bytes().startswith(b"These are my holiday plans")


def test_another_programs_database_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="not a Pagefault journal"):
        SqliteJournal(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(path: Path) -> None:
    SqliteJournal(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreUnavailable, match=f"schema 99, this release reads and writes {SCHEMA_VERSION}"):
        SqliteJournal(path)


def test_a_folder_where_the_file_should_be_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreUnavailable, match=f"{path}: cannot be read or written"):
        SqliteJournal(path)


# --- processes and disks that fail -------------------------------------------------------------------

ACK_EACH_APPEND = """
import sys
from pathlib import Path
from pagefault.runtime.store.protocols import WORK, Append
from pagefault.runtime.store.sqlite import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]))
names = [f"agent-{number}" for number in range(4)]
journal.register_many([(name, b"") for name in names])
found = {name: journal.activate(name) for name in names}
next_seq = {name: found[name].next_seq for name in names}
while True:
    group = []
    for name in names:
        group.append(Append(name, found[name].epoch, next_seq[name], (b"x" * 300, str(next_seq[name]).encode())))
        next_seq[name] += 2
    assert journal.append(group) == [None] * 4
    print(next_seq[names[0]] - 1, flush=True)
"""


def kill_while_it_appends(path: Path, acknowledgements: int) -> int:
    """Kill -9 an appending process in the middle of its work; returns the last acknowledged number."""
    with subprocess.Popen(
        [sys.executable, "-c", ACK_EACH_APPEND, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        last = 0
        for _ in range(acknowledgements):
            last = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        for line in child.stdout:  # what it had said before it died
            last = int(line) if line.endswith("\n") else last
    return last


def check_kills(path: Path, kills: int) -> None:
    chance = random.Random(11)
    for _ in range(kills):
        acknowledged = kill_while_it_appends(path, chance.randrange(1, 60))
        journal = SqliteJournal(path)
        for name in map(AgentId, (f"agent-{number}" for number in range(4))):
            records = dict(journal.records(name))
            assert len(records) >= acknowledged
            assert len(records) % 2 == 0  # no half of an append
            assert all(records[seq] == str(seq - 1).encode() for seq in range(2, len(records) + 1, 2))
        journal.close()


def test_kill_9_loses_nothing_acknowledged_and_leaves_no_half_append(path: Path) -> None:
    check_kills(path, 3)


@pytest.mark.soak
def test_kill_9_again_and_again(path: Path) -> None:
    check_kills(path, 500)


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.store.protocols import WORK, Append
from pagefault.runtime.store.sqlite import SqliteJournal
path = Path(sys.argv[1])
journal = SqliteJournal(path)
journal.register("ann", b"")
epoch = journal.activate("ann").epoch
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
seq = 1
try:
    while True:
        assert journal.append([Append("ann", epoch, seq, (b"x" * 50_000,))]) == [None]
        seq += 1
except StoreUnavailable as error:
    assert str(path) in str(error), error
assert len(list(journal.records("ann"))) == seq - 1
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert journal.append([Append("ann", epoch, seq, (b"there is room again",))]) == [None]
journal.close()
journal = SqliteJournal(path)
assert len(journal.activate("ann").records) == seq
print("acknowledged", seq)
"""


def test_a_full_disk_is_reported_and_the_journal_goes_on_when_there_is_room(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) > 3


OPEN_WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from pagefault.runtime.errors import StoreUnavailable
from pagefault.runtime.store.sqlite import SqliteJournal
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    SqliteJournal(Path(sys.argv[1]))
except StoreUnavailable as error:
    print(error)
"""


def test_a_folder_without_write_permission_is_named() -> None:
    folder = Path("/proc/1") if os.geteuid() == 0 else Path("/")
    done = subprocess.run(
        [sys.executable, "-c", OPEN_WITHOUT_RIGHTS, str(folder / "journal.sqlite")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith(f"{folder / 'journal.sqlite.lock'}: cannot be opened"), done.stderr
