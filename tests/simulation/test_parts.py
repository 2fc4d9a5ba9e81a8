"""The parts of the simulation: processes die and stall, disks tear, and the witness sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from pagefault.runtime.errors import UsageError
from pagefault.runtime.failpoints import armed
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.store import sqlite_file
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.testing.simulation.disk import SimulatedDisk, SimulatedSyncer
from pagefault.runtime.testing.simulation.processes import Process, Stuck, running_process, simulate, this_process
from pagefault.runtime.testing.simulation.story import Story
from pagefault.runtime.values import AgentId

AGENT = AgentId("a")


async def tick(seen: list[str]) -> None:
    try:
        while True:
            await asyncio.sleep(1)
            seen.append(this_process().name)
    finally:
        seen.append("cleaned up")


def test_a_dead_process_runs_no_other_line() -> None:
    clock = VirtualClock()
    seen: list[str] = []

    async def main() -> None:
        process = Process("p", clock)
        task = process.start(tick(seen))
        await asyncio.sleep(2.5)
        process.kill()
        task.cancel()
        await asyncio.sleep(10)
        assert seen == ["p", "p"]

    simulate(clock, main())


def test_a_stopped_process_goes_on_where_it_was() -> None:
    clock = VirtualClock()
    seen: list[str] = []

    async def main() -> None:
        process = Process("p", clock)
        task = process.start(tick(seen))
        await asyncio.sleep(1.5)
        process.stop()
        await asyncio.sleep(10)
        assert seen == ["p"]
        process.go_on()
        await asyncio.sleep(0.5)
        assert seen == ["p", "p"]
        task.cancel()
        await asyncio.sleep(0.1)
        assert seen[-1] == "cleaned up"

    simulate(clock, main())


def test_what_was_cancelled_while_it_stood_still_does_not_run() -> None:
    clock = VirtualClock()
    seen: list[str] = []

    async def main() -> None:
        process = Process("p", clock)
        loop = asyncio.get_running_loop()
        process.stop()
        timer = loop.call_later(1, seen.append, "rang", context=process.context())
        await asyncio.sleep(2)
        timer.cancel()
        process.go_on()
        await asyncio.sleep(1)
        assert not seen

    simulate(clock, main())


def test_each_process_has_a_clock_of_its_own() -> None:
    clock = VirtualClock()
    process = Process("p", clock)
    process.clock.offset_ms = 300
    assert process.clock.now_ms() == clock.now_ms() + 300
    assert running_process() is None
    with pytest.raises(UsageError, match="this_process"):
        this_process()


def test_waiting_for_nothing_is_seen() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck):
        simulate(VirtualClock(), main())


def append(disk: SimulatedDisk, seq: int) -> None:
    journal = disk.journal
    assert journal is not None
    epoch = journal.activate(AGENT).epoch
    assert journal.append([Append(AGENT, epoch, seq, (b"x" * 500,))]) == [None]
    disk.committed()


def opened(folder: Path, durability: str, seed: int = 1) -> SimulatedDisk:
    disk = SimulatedDisk(folder, durability, Random(seed), lambda: 1_000_050)
    disk.open().register(AGENT, b"definition")
    disk.committed()
    return disk


@pytest.mark.parametrize("seed", range(5))
def test_a_power_cut_takes_nothing_that_was_synced(tmp_path: Path, seed: int) -> None:
    disk = opened(tmp_path, "sync", seed)
    append(disk, 1)
    append(disk, 2)
    disk.commits()
    assert disk.journal is not None
    epoch = disk.journal.activate(AGENT).epoch
    assert disk.journal.append([Append(AGENT, epoch, 3, (b"y",))]) == [None]
    disk.lose_power()  # while that one was being written
    assert [seq for seq, _ in disk.open().records(AGENT)] in ([1, 2], [1, 2, 3])
    disk.crash()
    assert len(list(disk.open().records(AGENT))) >= 2
    disk.crash()


@pytest.mark.parametrize("seed", range(5))
def test_no_epoch_is_given_twice_though_a_power_cut_takes_what_was_not_synced(tmp_path: Path, seed: int) -> None:
    disk = opened(tmp_path, "async", seed)
    given = []
    for _ in range(3):
        assert disk.journal is not None
        with armed("journal.activate.before_commit", disk.commits):
            given.append(disk.journal.activate(AGENT).epoch)
        disk.committed()
        assert disk.journal.synchronous() == 1, "what comes after it is not synced by each commit"
        disk.lose_power()
        disk.open()
    assert given == [1, 2, 3]
    disk.crash()


def test_without_syncing_a_power_cut_takes_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "LogSyncer", SimulatedSyncer)
    left: set[int] = set()
    for seed in range(12):
        disk = opened(tmp_path / str(seed), "async", seed)
        for seq in (1, 2, 3):
            append(disk, seq)
        disk.lose_power()
        journal = disk.open()
        left.add(len(list(journal.records(AGENT))) if list(journal.agents()) else 0)
        disk.crash()
    assert len(left) > 1
    assert max(left) <= 3


def found(journal: SqliteJournal) -> list[bytes] | None:
    return [data for _, data in journal.records(AGENT)] if list(journal.agents()) else None


@pytest.mark.parametrize("seed", range(8))
def test_what_a_power_cut_left_the_next_one_leaves_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(sqlite_file, "LogSyncer", SimulatedSyncer)
    disk = opened(tmp_path, "async", seed)
    append(disk, 1)
    disk.lose_power()
    left = found(disk.open())
    disk.lose_power()
    assert found(disk.open()) == left
    disk.crash()


def test_stories_are_told_apart_by_their_digest() -> None:
    one, same, other = (Story(lambda: 5) for _ in range(3))
    for story in (one, same):
        story.add("a")
    other.add("b")
    assert one.digest() == same.digest() != other.digest()
    assert one.tail() == ["       5  a"]
