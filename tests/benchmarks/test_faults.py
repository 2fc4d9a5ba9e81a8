"""The audit of journals: what was promised and is not there, and what happened twice, is seen."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import pytest

from benchmarks._audit import audit
from benchmarks.faults import AIM_S, measure
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import CODEC, decode_event
from pagefault.runtime.kernel.events import InterruptArrived, Recovered
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

ADA = AgentId("ada")


async def live(folder: Path) -> dict[str, str]:
    async with Local(folder, embedder="hash") as fleet:
        ref = await fleet.spawn(Agent("ada", snapshot_steps=1))
        for key in ("a", "b"):
            await ref.ask(Interrupt(InterruptId(key), InterruptKind.MESSAGE, Priority.USER, "bench", key))
    return {"a": "ada", "b": "ada"}


def journal(folder: Path) -> SqliteJournal:
    return SqliteJournal(folder / "shards" / "00" / "journal.sqlite")


async def test_kept_promises_are_kept(tmp_path: Path) -> None:
    found = audit(tmp_path, await live(tmp_path))
    assert (found.lost, found.duplicated, found.stale_commits, found.replay_divergences) == (0, 0, 0, 0)
    assert found.records >= 4


async def test_what_never_arrived_is_lost(tmp_path: Path) -> None:
    acked = await live(tmp_path)
    found = audit(tmp_path, {**acked, "c": "ada", "d": "eve"})
    assert found.lost == 2
    assert any("ada/c never arrived" in example for example in found.examples)


async def test_what_was_not_handled_is_lost(tmp_path: Path) -> None:
    acked = await live(tmp_path)
    opened = journal(tmp_path)
    active = opened.activate(ADA)
    late = Interrupt(InterruptId("late"), InterruptKind.MESSAGE, Priority.USER, "bench", "late")
    event = CODEC.encode(InterruptArrived(1, late))
    assert opened.append([Append(ADA, active.epoch, active.next_seq, (event,))]) == [None]
    opened.close()
    found = audit(tmp_path, {**acked, "late": "ada"})
    assert "ada/late was never handled" in "".join(found.examples)


async def test_an_older_activation_that_commits_is_seen(tmp_path: Path) -> None:
    acked = await live(tmp_path)
    opened = journal(tmp_path)
    active = opened.activate(ADA)
    records = tuple(CODEC.encode(Recovered(at_ms, epoch)) for at_ms, epoch in ((1, active.epoch), (2, 1)))
    assert opened.append([Append(ADA, active.epoch, active.next_seq, records)]) == [None]
    opened.close()
    assert audit(tmp_path, acked).stale_commits == 1


async def test_another_life_than_the_snapshot_says_is_seen(tmp_path: Path) -> None:
    acked = await live(tmp_path)
    opened = journal(tmp_path)
    first = next(data for _, data in opened.records(ADA))
    event = decode_event(ADA, first)
    assert isinstance(event, InterruptArrived)
    opened.close()
    forged = first.replace(b"\xa1a", b"\xa1z")  # the same text, and the same id, by another letter
    assert forged != first
    connection = sqlite3.connect(tmp_path / "shards" / "00" / "journal.sqlite")
    rowid, seq = connection.execute("SELECT agent, seq FROM records ORDER BY seq LIMIT 1").fetchone()
    checksum = crc(rowid, seq, forged)
    connection.execute("UPDATE records SET data = ?, crc = ? WHERE seq = ?", (forged, checksum, seq))
    connection.commit()
    connection.close()
    found = audit(tmp_path, acked)
    assert found.replay_divergences == 1


def crc(rowid: int, seq: int, data: bytes) -> int:
    return zlib.crc32(data, (rowid * 0x9E3779B1 + seq) & 0xFFFFFFFF)


@pytest.mark.soak
@pytest.mark.timeout(8 * 3600)
def test_a_million_interrupts_and_five_hundred_kills() -> None:
    found = measure(seed=7, interrupts=1_000_000, kills=500, pause_s=1.0)
    assert found["interrupts_acked"] >= 1_000_000
    assert found["kills"] >= 500
    broken = {key: found[key] for key in ("lost", "duplicated", "stale_commits", "replay_divergences")}
    assert set(broken.values()) == {0}, found["examples"]
    assert found["recovery_s_p99"] <= AIM_S
