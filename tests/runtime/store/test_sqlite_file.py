"""When a journal's appends are safe: each durability, with processes that are killed for real."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pagefault.runtime.errors import ConfigError, StaleEpoch, StoreUnavailable
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.store.sqlite_file import DURABILITY, JournalFile
from pagefault.runtime.values import AgentId

ANN = AgentId("ann")

WRITER = """
import sys
from pathlib import Path
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.store.sqlite import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]), sys.argv[2])
journal.register("ann", b"gardener")
epoch = journal.activate("ann").epoch
for number in range(1, 21):
    assert journal.append([Append("ann", epoch, number, (b"record %d" % number,))]) == [None]
if sys.argv[3] == "close":
    journal.close()
print("acknowledged", flush=True)
sys.stdin.read()
"""


def write_and_die(path: Path, durability: str, end: str) -> None:
    """Another process appends twenty records and is killed when it has been told that they are taken."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), durability, end],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"acknowledged\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_what_was_acknowledged_survives_the_process(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "journal.sqlite"
    write_and_die(path, durability, "leave")
    journal = SqliteJournal(path)
    assert [data for _, data in journal.records(ANN)] == [b"record %d" % number for number in range(1, 21)]
    journal.close()


def test_exit_loses_all_that_came_after_opening_and_nothing_that_was_closed(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write_and_die(path, "exit", "leave")
    journal = SqliteJournal(path)
    assert list(journal.agents()) == []
    journal.close()
    write_and_die(path, "exit", "close")
    journal = SqliteJournal(path)
    assert len(list(journal.records(ANN))) == 20
    journal.close()


def fail_in_the_middle(journal: SqliteJournal) -> None:
    with journal._transaction() as connection:
        connection.execute("UPDATE heads SET next_seq = 99")
        connection.execute("nonsense")


@pytest.mark.parametrize("durability", DURABILITY)
def test_a_group_that_fails_leaves_no_trace_and_the_next_goes_on(tmp_path: Path, durability: str) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite", durability)
    journal.register(ANN, b"gardener")
    epoch = journal.activate(ANN).epoch
    with pytest.raises(StoreUnavailable, match="syntax error"):
        fail_in_the_middle(journal)
    assert journal.append([Append(ANN, epoch, 1, (b"one",))]) == [None]
    (refused,) = journal.append([Append(ANN, epoch - 1, 2, (b"stale",))])
    assert isinstance(refused, StaleEpoch)
    assert [data for _, data in journal.records(ANN)] == [b"one"]
    journal.close()


def test_async_brings_its_log_to_the_disk_though_nothing_more_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    file = JournalFile(path, "async")
    syncer = file._syncer
    assert syncer is not None
    with file.transaction() as connection:
        connection.execute("INSERT INTO definitions (digest, data) VALUES (x'00', x'00')")
    while syncer.syncs == 0:  # the test's time-out is the limit: it must come by itself
        syncer.is_needed.wait(0.01)
    file.close()
    assert not syncer._thread.is_alive()
    file.close()


def test_async_brings_to_the_disk_what_a_process_that_died_had_not(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "journal.sqlite", "async")
    with file.transaction() as connection:
        connection.execute("INSERT INTO definitions (digest, data) VALUES (x'00', x'00')")
    left = tmp_path / "left"
    left.mkdir()
    for name in ("journal.sqlite", "journal.sqlite-wal"):
        shutil.copy(tmp_path / name, left / name)
    file.close()
    with closing(JournalFile(left / "journal.sqlite", "async")) as heir:
        syncer = heir._syncer
        assert syncer is not None
        while syncer.syncs == 0:  # as above, and nothing at all is written
            syncer.is_needed.wait(0.01)


@pytest.mark.parametrize(("durability", "synchronous"), [("sync", 2), ("async", 1), ("exit", 0)])
def test_durability_is_what_sqlite_is_told(tmp_path: Path, durability: str, synchronous: int) -> None:
    file = JournalFile(tmp_path / "journal.sqlite", durability)
    assert file.read(lambda connection: connection.execute("PRAGMA synchronous").fetchone()) == (synchronous,)
    assert file.read(lambda connection: connection.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
    file.close()


def test_an_unknown_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="durability: found 'maybe', allowed: 'sync' or 'async' or 'exit'"):
        JournalFile(tmp_path / "journal.sqlite", "maybe")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_closed_says_so(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "journal.sqlite", "sync")
    file.close()
    with pytest.raises(StoreUnavailable, match="is closed"), file.transaction():
        pass
    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
