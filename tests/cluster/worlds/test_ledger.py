"""A ledger keeps what was committed, in order, for one opener, and only for what it was begun with."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from pagefault.cluster.worlds.ledger import Ledger, Row, Save
from pagefault.runtime.errors import ConfigError, StoreCorrupt, StoreUnavailable

ROWS = [Row("a", "begin", digest=1), Row("b", "begin", digest=2), Row("a", "act", "p", "call", '{"x":1}', 3)]


async def test_rows_come_back_by_world_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.sqlite"
    ledger = Ledger(path, "chess")
    for row in ROWS:
        ledger.add(row)
    await ledger.commit()
    ledger.add(Row("a", "tick"))
    ledger.close()  # what was not committed is not kept
    again = Ledger(path, "chess", in_threads=False)
    assert list(again.rows("a")) == [ROWS[0], ROWS[2]]
    assert list(again.rows("b")) == [ROWS[1]]
    again.close()


async def test_a_save_stands_for_the_rows_before_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", "chess")
    entries: list[Row | Save] = [*ROWS, Save("a", "{}", b"state"), Row("a", "tick")]
    for entry in entries:
        ledger.add(entry)
    await ledger.commit()
    assert [row.kind for row in ledger.rows("a")] == ["tick"]
    assert ledger.last_save("a") == Save("a", "{}", b"state")
    assert [row.kind for row in ledger.rows("b")] == ["begin"]
    assert ledger.last_save("b") is None
    ledger.close()


def test_there_is_one_opener(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", "chess")
    with pytest.raises(StoreUnavailable, match="open in process"):
        Ledger(tmp_path / "ledger.sqlite", "chess")
    ledger.close()
    ledger.close()
    Ledger(tmp_path / "ledger.sqlite", "chess").close()


def test_a_ledger_of_something_else_is_refused(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.sqlite", "chess").close()
    with pytest.raises(ConfigError, match="or go; it has chess"):
        Ledger(tmp_path / "ledger.sqlite", "go")


def test_what_cannot_be_a_ledger_is_said(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("not a database at all, but long enough to be looked at" * 20)
    with pytest.raises(StoreCorrupt, match="is no ledger"):
        Ledger(tmp_path / "ledger.sqlite", "chess")
    with pytest.raises(ConfigError, match="durability: found 'maybe', allowed: sync, async, exit"):
        Ledger(tmp_path / "other.sqlite", "chess", durability="maybe")
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        Ledger(tmp_path / "file" / "ledger.sqlite", "chess")


async def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, "chess")
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    assert ledger._database is not None
    ledger._database.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")
    ledger.add(ROWS[0])
    with pytest.raises(StoreUnavailable, match="locked"):
        await ledger.commit()
    other.execute("ROLLBACK")
    other.close()
    ledger.add(ROWS[2])
    await ledger.commit()
    assert list(ledger.rows("a")) == [ROWS[0], ROWS[2]]
    ledger.close()


async def test_without_a_file_nothing_is_kept() -> None:
    ledger = Ledger(None, "chess")
    ledger.add(ROWS[0])
    await ledger.commit()
    assert list(ledger.rows("a")) == []
    assert ledger.last_save("a") is None
    ledger.close()


async def test_a_commit_that_is_cancelled_writes_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, "chess")
    ledger._writing.acquire()  # the thread that writes has to wait
    ledger.add(ROWS[0])
    cancelled = asyncio.create_task(ledger.commit())
    while not ledger._turn.locked():  # noqa: ASYNC110 - it is not ours to tell when it has begun
        await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    ledger.add(ROWS[2])
    waiting = asyncio.create_task(ledger.commit())
    await asyncio.sleep(0)
    ledger._writing.release()
    await waiting
    assert list(ledger.rows("a")) == [ROWS[0], ROWS[2]]
    ledger.close()


async def test_many_commits_at_once_write_each_row_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", "chess")

    async def write(number: int) -> None:
        ledger.add(Row("a", "act", text=str(number)))
        await ledger.commit()

    await asyncio.gather(*(write(number) for number in range(200)))
    assert [row.text for row in ledger.rows("a")] == [str(number) for number in range(200)]
    ledger.close()
