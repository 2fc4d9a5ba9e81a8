"""Journals of every release open and are whole; damaged ones fail closed, for the damaged agent alone."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from pagefault.runtime.errors import StoreCorrupt, StoreError, StoreUnavailable, UnknownAgent
from pagefault.runtime.host.records import decode_definition, decode_event
from pagefault.runtime.host.snapshots import decode_snapshot
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.store.schema import SCHEMA_VERSION
from pagefault.runtime.store.sqlite import SqliteJournal
from pagefault.runtime.values import AgentId

GOLDEN = Path(__file__).parent / "golden"
ANN, BOB = AgentId("ann"), AgentId("bob")


def test_there_is_a_journal_of_every_schema() -> None:
    made = [GOLDEN / f"journal_v{version}.sqlite.gz" for version in range(1, SCHEMA_VERSION + 1)]
    assert [path.name for path in made if not path.exists()] == []


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_journal_of_an_older_release_opens_and_goes_on(tmp_path: Path, version: int) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(gzip.decompress((GOLDEN / f"journal_v{version}.sqlite.gz").read_bytes()))
    for _ in range(2):  # the second time as a journal of this release
        journal = SqliteJournal(path)
        assert list(journal.agents()) == ["ada", "bob"]
        for agent in journal.agents():
            life = journal.life(agent)
            assert decode_definition(agent, life.definition).model.name.endswith("echo")
            assert life.snapshot is not None
            assert decode_snapshot(agent, life.snapshot)["phase"] == "idle"
            events = [decode_event(agent, data) for _, data in journal.records(agent)]
            assert len(events) == life.last_seq > 2
            found = journal.activate(agent)
            record = next(data for _, data in journal.records(agent))
            assert journal.append([Append(agent, found.epoch, found.next_seq, (record,))]) == [None]
        journal.close()


def _filled(path: Path) -> dict[AgentId, list[bytes]]:
    journal = SqliteJournal(path)
    written = {agent: [b"%s record %d " % (agent.encode(), seq) * 9 for seq in range(1, 41)] for agent in (ANN, BOB)}
    journal.register_many([(agent, b"definition of " + agent.encode()) for agent in written])
    for agent, records in written.items():
        epoch = journal.activate(agent).epoch
        journal.append([Append(agent, epoch, 1, tuple(records[:20]), b"snapshot " * 9)])
        journal.append([Append(agent, epoch, 21, tuple(records[20:]))])
    journal.close()
    return written


def _damaged(pristine: bytes, chance: random.Random) -> bytes:
    data = bytearray(pristine)
    place = chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            data[place] ^= 1 << chance.randrange(8)
        case 1:
            del data[place:]
        case 2:
            data[place : place + 64] = bytes(len(data[place : place + 64]))
        case _:
            data[place : place + 512] = chance.randbytes(len(data[place : place + 512]))
    return bytes(data)


def _look(journal: SqliteJournal, agent: AgentId, written: list[bytes]) -> bool:
    """Whether an agent is whole; what is read of it must be what was written, in any case."""
    try:
        seen = 0
        for seq, data in journal.records(agent):
            assert data == written[seq - 1]
            assert seq == (seen := seen + 1)
        found = journal.activate(agent)
        assert found.definition == b"definition of " + agent.encode()
        assert found.records == tuple(written[found.snapshot_seq :])
        assert found.snapshot in {b"snapshot " * 9, None}
    except (StoreError, UnknownAgent):
        return False
    return True


def _damage_again_and_again(tmp_path: Path, times: int) -> None:
    path = tmp_path / "journal.sqlite"
    written = _filled(path)
    pristine = path.read_bytes()
    chance = random.Random(23)
    outcomes = {"refused": 0, "whole": 0, "one": 0, "none": 0}
    for _ in range(times):
        path.write_bytes(_damaged(pristine, chance))
        try:
            journal = SqliteJournal(path, durability="async")
        except (StoreCorrupt, StoreUnavailable):
            outcomes["refused"] += 1
        else:
            whole = [_look(journal, agent, records) for agent, records in written.items()]
            outcomes["whole" if all(whole) else "one" if any(whole) else "none"] += 1
            journal.close()
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert min(outcomes.values()) > 0, outcomes  # each of these was really tried


def test_hundreds_of_damaged_files_are_never_a_silent_gap(tmp_path: Path) -> None:
    _damage_again_and_again(tmp_path, 400)


@pytest.mark.soak
def test_thousands_of_damaged_files_are_never_a_silent_gap(tmp_path: Path) -> None:
    _damage_again_and_again(tmp_path, 20_000)
