"""The SQLite journal: durable groups, fenced epochs, damage that stays with its agent."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pagefault.runtime.errors import (
    AgentExists,
    StaleEpoch,
    StoreCorrupt,
    StoreUnavailable,
    UnknownAgent,
)
from pagefault.runtime.store.protocols import WORK, Append
from pagefault.runtime.store.schema import SCHEMA_VERSION
from pagefault.runtime.store.sqlite import ROWS_A_READ, SqliteJournal
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


# --- agents ------------------------------------------------------------------------------------------


def test_registering_twice_is_once_and_differently_is_refused(journal: SqliteJournal) -> None:
    assert journal.register(ANN, b"gardener")
    assert not journal.register(ANN, b"gardener")
    with pytest.raises(AgentExists, match="'ann' is registered with another definition"):
        journal.register(ANN, b"baker")
    assert journal.definition(ANN) == b"gardener"
    assert journal.count() == 1


def test_registering_many_is_all_or_none(journal: SqliteJournal) -> None:
    journal.register(BOB, b"baker")
    with pytest.raises(AgentExists):
        journal.register_many([(ANN, b"gardener"), (BOB, b"gardener")])
    assert list(journal.agents()) == [BOB]
    assert journal.register_many([(ANN, b"gardener"), (BOB, b"baker"), (ANN, b"gardener")]) == 1
    assert list(journal.agents()) == [ANN, BOB]


def test_agents_are_listed_by_prefix_over_many_reads(journal: SqliteJournal) -> None:
    names = [AgentId(f"village/{number:04}") for number in range(2 * ROWS_A_READ + 1)]
    journal.register_many([(name, b"villager") for name in [*names, AgentId("z"), AgentId("town/1")]])
    assert list(journal.agents("village/")) == names
    assert list(journal.agents("village/000")) == names[:10]
    assert list(journal.agents("absent")) == []
    assert journal.count() == len(names) + 2


def test_an_unknown_agent_is_named(journal: SqliteJournal) -> None:
    calls: list[Callable[[], object]] = [
        lambda: journal.definition(ANN),
        lambda: journal.activate(ANN),
        lambda: list(journal.records(ANN)),
    ]
    for call in calls:
        with pytest.raises(UnknownAgent, match="no agent has the id 'ann'"):
            call()
    [result] = journal.append([Append(ANN, 1, 1, texts("x"))])
    assert isinstance(result, UnknownAgent)


# --- records and epochs ------------------------------------------------------------------------------


def test_what_was_appended_comes_back_after_reopening(path: Path) -> None:
    journal = SqliteJournal(path)
    journal.register(ANN, b"gardener")
    epoch = journal.activate(ANN).epoch
    assert journal.append([Append(ANN, epoch, 1, texts("one", "two"))]) == [None]
    assert journal.append([Append(ANN, epoch, 3, texts("three"), snapshot=b"after three")]) == [None]
    assert journal.append([Append(ANN, epoch, 4, texts("four"))]) == [None]
    journal.close()

    journal = SqliteJournal(path)
    found = journal.activate(ANN)
    assert (found.epoch, found.definition) == (epoch + 1, b"gardener")
    assert (found.snapshot, found.snapshot_seq, found.records) == (b"after three", 3, texts("four"))
    assert found.next_seq == 5
    assert list(journal.records(ANN)) == list(enumerate(texts("one", "two", "three", "four"), 1))
    assert list(journal.records(ANN, after_seq=3)) == [(4, b"four")]
    journal.close()


def test_records_are_read_in_order_over_many_reads(journal: SqliteJournal) -> None:
    journal.register(ANN, b"")
    epoch = journal.activate(ANN).epoch
    written = tuple(str(number).encode() for number in range(2 * ROWS_A_READ))
    assert journal.append([Append(ANN, epoch, 1, written)]) == [None]
    assert list(journal.records(ANN)) == list(enumerate(written, 1))


def test_a_stale_activation_fails_alone(journal: SqliteJournal) -> None:
    journal.register_many([(ANN, b""), (BOB, b"")])
    old = journal.activate(ANN).epoch
    bob = journal.activate(BOB).epoch
    new = journal.activate(ANN).epoch
    stale, fine, taken = journal.append(
        [
            Append(ANN, old, 1, texts("from the old copy"), snapshot=b"old"),
            Append(BOB, bob, 1, texts("b1")),
            Append(ANN, new, 1, texts("from the new copy")),
        ]
    )
    assert isinstance(stale, StaleEpoch)
    assert f"epoch {old} was superseded by {new}" in str(stale)
    assert (fine, taken) == (None, None)
    assert list(journal.records(ANN)) == [(1, b"from the new copy")]
    assert journal.activate(ANN).snapshot is None


def test_a_wrong_number_is_refused_and_a_repeat_is_acknowledged_again(journal: SqliteJournal) -> None:
    journal.register(ANN, b"")
    epoch = journal.activate(ANN).epoch
    first = Append(ANN, epoch, 1, texts("one", "two"))
    assert journal.append([first, first]) == [None, None]  # the answer was lost, so it was sent again
    assert journal.append([first]) == [None]
    gap, other, overlap = journal.append(
        [
            Append(ANN, epoch, 4, texts("four")),
            Append(ANN, epoch, 2, texts("another two")),
            Append(ANN, epoch, 2, texts("two", "three")),
        ]
    )
    for refused in (gap, other, overlap):
        assert isinstance(refused, StaleEpoch)
        assert "the next one is 3" in str(refused)
    assert list(journal.records(ANN)) == [(1, b"one"), (2, b"two")]


def test_one_agent_may_append_several_times_in_a_group(journal: SqliteJournal) -> None:
    journal.register(ANN, b"")
    epoch = journal.activate(ANN).epoch
    group = [
        Append(ANN, epoch, 1, texts("one")),
        Append(ANN, epoch, 2, (), snapshot=b"s1"),
        Append(ANN, epoch, 2, texts("two")),
    ]
    assert journal.append(group) == [None, None, None]
    found = journal.activate(ANN)
    assert (found.snapshot, found.snapshot_seq, found.records) == (b"s1", 1, texts("two"))


agents_drawn = st.sampled_from([AgentId("a"), AgentId("b"), AgentId("c")])
steps = st.lists(
    st.tuples(st.just("activate"), agents_drawn, st.just(0))
    | st.tuples(
        st.sampled_from(["append", "append_stale", "append_ahead", "snapshot"]), agents_drawn, st.integers(0, 3)
    ),
    max_size=30,
)


@given(script=steps)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_against_a_naive_model(
    script: list[tuple[str, AgentId, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    journal = SqliteJournal(tmp_path_factory.mktemp("model") / "journal.sqlite", durability="async")
    model: dict[AgentId, list[bytes]] = {AgentId(name): [] for name in "abc"}
    epochs = dict.fromkeys(model, 0)
    snapshots: dict[AgentId, tuple[int, bytes | None]] = dict.fromkeys(model, (0, None))
    journal.register_many([(agent, b"") for agent in model])
    for number, (action, agent, size) in enumerate(script):
        held, next_seq = model[agent], len(model[agent]) + 1
        new = tuple(f"{number}.{index}".encode() for index in range(size))
        if action == "activate":
            found = journal.activate(agent)
            epochs[agent] += 1
            assert found.epoch == epochs[agent]
            assert (found.snapshot_seq, found.snapshot) == snapshots[agent]
            assert list(found.records) == held[found.snapshot_seq :]
            continue
        snapshot = f"s{number}".encode() if action == "snapshot" else None
        epoch = epochs[agent] - (action == "append_stale")
        [result] = journal.append([Append(agent, epoch, next_seq + (action == "append_ahead"), new, snapshot)])
        if action in {"append", "snapshot"}:
            assert result is None
            held.extend(new)
            if snapshot is not None:
                snapshots[agent] = (len(held), snapshot)
        else:
            assert isinstance(result, StaleEpoch)
    for agent, held in model.items():
        assert [data for _, data in journal.records(agent)] == held
    journal.close()


def test_threads_share_one_journal(journal: SqliteJournal) -> None:
    names = [AgentId(f"agent-{number}") for number in range(8)]
    journal.register_many([(name, b"") for name in names])
    failures: list[object] = []

    def live(name: AgentId) -> None:
        epoch = journal.activate(name).epoch
        for seq in range(1, 51):
            failures.extend(filter(None, journal.append([Append(name, epoch, seq, (str(seq).encode(),))])))

    threads = [threading.Thread(target=live, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for name in names:
        assert len(journal.activate(name).records) == 50


# --- damage ------------------------------------------------------------------------------------------


def filled(path: Path) -> None:
    journal = SqliteJournal(path)
    journal.register_many([(ANN, b"gardener"), (BOB, b"baker")])
    for agent in (ANN, BOB):
        epoch = journal.activate(agent).epoch
        assert journal.append([Append(agent, epoch, 1, texts("one", "two"), snapshot=b"snap")]) == [None]
        assert journal.append([Append(agent, epoch, 3, texts("three", "four"))]) == [None]
    journal.close()


DAMAGE = {
    "bit flipped": ("UPDATE records SET data = x'746872656465' WHERE agent = 1 AND seq = 3", "record 3 fails"),
    "torn": ("UPDATE records SET data = substr(data, 1, 2) WHERE agent = 1 AND seq = 4", "record 4 fails"),
    "swapped with another's": (
        """UPDATE records SET (crc, data) = (SELECT crc, data FROM records WHERE agent = 2 AND seq = 3)
        WHERE agent = 1 AND seq = 3""",
        "record 3 fails",
    ),
    "lost in the middle": ("DELETE FROM records WHERE agent = 1 AND seq = 3", "record 3 is missing, 4 follows"),
    "lost at the end": ("DELETE FROM records WHERE agent = 1 AND seq = 4", "records end at 3, 4 were written"),
    "snapshot": ("UPDATE snapshots SET data = x'00' WHERE agent = 1", "snapshot 2 fails its checksum"),
    "head": ("DELETE FROM heads WHERE agent = 1", "next record number are missing"),
    "definition": (
        "UPDATE definitions SET data = x'00' WHERE id = (SELECT definition FROM agents WHERE id = 1)",
        "definition does not read back",
    ),
}


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_damage_is_noticed_at_activation_and_stays_with_its_agent(path: Path, name: str) -> None:
    filled(path)
    statement, said = DAMAGE[name]
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()
    journal = SqliteJournal(path)
    for _ in range(2):  # a refused activation takes no epoch and changes nothing
        with pytest.raises(StoreCorrupt, match=f"'ann'.*{said}"):
            journal.activate(ANN)
    found = journal.activate(BOB)
    assert (found.epoch, found.snapshot, found.records) == (2, b"snap", texts("three", "four"))
    journal.close()


def test_reading_records_notices_damage_before_the_snapshot_too(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE records SET data = x'00' WHERE agent = 1 AND seq = 1")
    connection.close()
    journal = SqliteJournal(path)
    with pytest.raises(StoreCorrupt, match="record 1 fails its checksum"):
        list(journal.records(ANN))
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


def test_a_closed_journal_says_so(path: Path) -> None:
    journal = SqliteJournal(path)
    journal.close()
    journal.close()
    with pytest.raises(StoreUnavailable, match="the journal is closed"):
        journal.count()


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


# --- who must be awake when --------------------------------------------------------------------------


def test_the_last_append_says_when_an_agent_must_be_awake(journal: SqliteJournal) -> None:
    journal.register_many([(ANN, b"x"), (BOB, b"x")])
    epochs = {agent: journal.activate(agent).epoch for agent in (ANN, BOB)}
    assert list(journal.due(10**15)) == []
    journal.append(
        [Append(ANN, epochs[ANN], 1, texts("a"), wake_ms=5_000), Append(BOB, epochs[BOB], 1, texts("b"), wake_ms=WORK)]
    )
    assert list(journal.due(10**15)) == [(BOB, WORK), (ANN, 5_000)]
    assert list(journal.due(4_999)) == [(BOB, WORK)]
    assert list(journal.due(5_000, from_ms=1)) == [(ANN, 5_000)]
    assert list(journal.due(9_000, from_ms=5_000)) == [(ANN, 5_000)]
    assert list(journal.due(9_000, from_ms=5_001)) == []
    journal.append([Append(BOB, epochs[BOB], 2, (), b"snapshot", wake_ms=None)])
    refused = journal.append([Append(ANN, epochs[ANN] + 1, 2, texts("stale"), wake_ms=WORK)])
    assert isinstance(refused[0], StaleEpoch)
    assert list(journal.due(10**15)) == [(ANN, 5_000)]
    journal.activate(ANN)
    assert list(journal.due(10**15)) == [(ANN, 5_000)], "who takes an agent over has not yet done its work"


@given(
    times=st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=3 * ROWS_A_READ),
    span=st.tuples(*[st.integers(0, 60)] * 2),
)
@settings(max_examples=20, deadline=None)
def test_what_is_due_comes_earliest_first_and_whole(times: list[int | None], span: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = SqliteJournal(Path(folder) / "journal.sqlite", "async")
        names = [AgentId(f"agent-{number}") for number in range(len(times))]
        journal.register_many([(name, b"x") for name in names])
        journal.append([Append(name, 0, 1, texts("r"), wake_ms=time) for name, time in zip(names, times, strict=True)])
        first, last = span
        due = list(journal.due(last, from_ms=first))
        journal.close()
    wanted = [
        (name, time) for name, time in zip(names, times, strict=True) if time is not None and first <= time <= last
    ]
    assert sorted(due) == sorted(wanted)
    assert [time for _, time in due] == sorted(time for _, time in wanted)
