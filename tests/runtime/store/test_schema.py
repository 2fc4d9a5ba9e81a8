"""Journals of older releases are opened, and lose nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pagefault.runtime.store.protocols import WORK, Append
from pagefault.runtime.store.schema import MIGRATIONS, SCHEMA_VERSION
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId

ANN, BOB = AgentId("ann"), AgentId("bob")
FIRST = """
DROP INDEX wakes;
ALTER TABLE heads DROP COLUMN wake_ms;
PRAGMA user_version = 1;
"""
"""What makes a journal of today one of the first release, once the tables are gone that it did not have."""
FIRST_TABLES = {"definitions", "agents", "heads", "snapshots", "records"}


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
    connection.close()
    return found


def test_every_older_version_has_a_way_up() -> None:
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))


def test_a_journal_of_the_first_release_opens_and_whoever_has_lived_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    journal.register_many([(ANN, b"x"), (BOB, b"x")])
    epoch = journal.activate(ANN).epoch
    journal.append([Append(ANN, epoch, 1, (b"one", b"two"))])
    journal.close()
    today = tables(path)
    connection = sqlite3.connect(path)
    for later in today.keys() - FIRST_TABLES - {"sqlite_sequence"}:
        connection.execute(f"DROP TABLE {later}")
    connection.executescript(FIRST)
    connection.close()
    assert tables(path) != today
    journal = SqliteJournal(path)
    assert tables(path) == today
    assert list(journal.due(10**15)) == [(ANN, WORK)], "it may have work: the first release did not say"
    assert [data for _, data in journal.records(ANN)] == [b"one", b"two"]
    assert journal.append([Append(ANN, epoch, 3, (b"three",), wake_ms=7)]) == [None]
    assert list(journal.due(10**15)) == [(ANN, 7)]
    journal.close()
    SqliteJournal(path).close()
