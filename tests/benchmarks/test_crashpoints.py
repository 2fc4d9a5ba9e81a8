"""The benchmark of crashes in small: processes really die, and a promise that is broken is seen."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from benchmarks._crashes import HOST_POINTS, JOURNAL_POINTS, HostLine, JournalLine, Tell, in_child
from benchmarks.crashpoints import measure
from pagefault.runtime.failpoints import FAILPOINTS


def test_every_name_belongs_to_a_worker() -> None:
    assert {*JOURNAL_POINTS, *HOST_POINTS} == set(FAILPOINTS)


def test_nothing_is_lost_and_nothing_appears() -> None:
    found = measure(seed=3, cycles=40)
    assert (found["cycles"], found["lost"], found["phantom"]) == (40, 0, 0), found["examples"]
    assert found["killed"] > 26


@pytest.mark.parametrize("name", HOST_POINTS)
def test_a_host_dies_at_each_of_its_points(tmp_path: Path, name: str) -> None:
    place = tmp_path / "host"
    place.mkdir()
    verdict, is_dead = HostLine(place).cycle(name, 1, "t")
    assert is_dead
    assert (verdict.lost, verdict.phantom) == ([], [])


def test_records_that_go_missing_are_seen(tmp_path: Path) -> None:
    line = JournalLine(tmp_path)
    verdict, _ = line.cycle("journal.close", 1, "a")
    assert (verdict.lost, verdict.phantom) == ([], [])
    for statement in ("DELETE FROM records", "UPDATE heads SET next_seq = 1"):
        connection = sqlite3.connect(tmp_path / "journal.sqlite")
        connection.execute(statement)
        connection.commit()
        connection.close()
    verdict, _ = line.cycle("journal.append.begun", 1, "b")
    assert verdict.lost


def fail(_: Tell) -> None:
    raise ZeroDivisionError


def test_a_worker_that_fails_is_no_crash() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        in_child(fail)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_thousand_cycles() -> None:
    found = measure(seed=7, cycles=10_000)
    assert (found["lost"], found["phantom"], found["never_reached"]) == (0, 0, []), found["examples"]
