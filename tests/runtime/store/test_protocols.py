"""What every journal promises, whichever driver keeps it: the same tests over SQLite and a real PostgreSQL."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pagefault.runtime.errors import AgentExists, StaleEpoch, StoreCorrupt, StoreUnavailable, UnknownAgent
from pagefault.runtime.failpoints import armed
from pagefault.runtime.store.checkpoints import CHECKPOINT_RECORDS
from pagefault.runtime.store.mail import TOPICS_MAX, letter_id
from pagefault.runtime.store.postgres import PostgresJournal
from pagefault.runtime.store.protocols import WORK, Append, Life, PortableJournal
from pagefault.runtime.store.sqlite import ROWS_A_READ, SqliteJournal
from pagefault.runtime.values import AgentId, DeadLetter, Interrupt, InterruptId, InterruptKind, LetterId, Priority
from tests.postgres_server import PostgresServer, running_server

ANN, BOB = AgentId("ann"), AgentId("bob")


class Place(Protocol):
    """Where one journal is."""

    def open(self) -> PortableJournal: ...
    def damage(self, statement: str) -> int:
        """Do something behind its back, while it is closed; returns to how many rows."""


class Driver(Protocol):
    """Makes places for journals that are not there yet."""

    def place(self) -> Place: ...


class SqlitePlace:
    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> SqliteJournal:
        return SqliteJournal(self._path, durability="async")

    def damage(self, statement: str) -> int:
        connection = sqlite3.connect(self._path)
        with connection:
            changed = connection.execute(statement).rowcount
        connection.close()
        return changed


class SqliteDriver:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    def place(self) -> Place:
        return SqlitePlace(self._folder / f"{next(self._numbers)}.sqlite")


class PostgresPlace:
    def __init__(self, server: PostgresServer, shard: int) -> None:
        self._server = server
        self._shard = shard

    def open(self) -> PostgresJournal:
        return PostgresJournal(self._server.address(), self._shard)

    def damage(self, statement: str) -> int:
        for written, meant in (("x'", r"E'\\x"), ("AS BLOB", "AS bytea")):
            statement = statement.replace(written, meant)
        return self._server.execute(statement, schema=f"pagefault_{self._shard:02d}")


class PostgresDriver:
    shards = itertools.count()

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def place(self) -> Place:
        return PostgresPlace(self._server, next(self.shards))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
    if request.param == "sqlite":
        return SqliteDriver(tmp_path)
    return PostgresDriver(request.getfixturevalue("server"))


@pytest.fixture
def place(driver: Driver) -> Place:
    return driver.place()


@pytest.fixture
def journal(place: Place) -> Iterator[PortableJournal]:
    opened = place.open()
    yield opened
    opened.close()


def texts(*items: str) -> tuple[bytes, ...]:
    return tuple(item.encode() for item in items)


# --- agents ------------------------------------------------------------------------------------------


def test_registering_twice_is_once_and_differently_is_refused(journal: PortableJournal) -> None:
    assert journal.register(ANN, b"gardener")
    assert not journal.register(ANN, b"gardener")
    with pytest.raises(AgentExists, match="'ann' is registered with another definition"):
        journal.register(ANN, b"baker")
    assert journal.definition(ANN) == b"gardener"
    assert journal.count() == 1


def test_registering_many_is_all_or_none(journal: PortableJournal) -> None:
    journal.register(BOB, b"baker")
    with pytest.raises(AgentExists):
        journal.register_many([(ANN, b"gardener"), (BOB, b"gardener")])
    assert list(journal.agents()) == [BOB]
    assert journal.register_many([(ANN, b"gardener"), (BOB, b"baker"), (ANN, b"gardener")]) == 1
    assert list(journal.agents()) == [ANN, BOB]


def test_agents_are_listed_by_prefix_over_many_reads(journal: PortableJournal) -> None:
    names = [AgentId(f"village/{number:04}") for number in range(2 * ROWS_A_READ + 1)]
    journal.register_many([(name, b"villager") for name in [*names, AgentId("z"), AgentId("town/1")]])
    assert list(journal.agents("village/")) == names
    assert list(journal.agents("village/000")) == names[:10]
    assert list(journal.agents("absent")) == []
    assert journal.count() == len(names) + 2


def test_an_unknown_agent_is_named(journal: PortableJournal) -> None:
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


def test_what_was_appended_comes_back_after_reopening(place: Place) -> None:
    journal = place.open()
    journal.register(ANN, b"gardener")
    epoch = journal.activate(ANN).epoch
    assert journal.append([Append(ANN, epoch, 1, texts("one", "two"))]) == [None]
    assert journal.append([Append(ANN, epoch, 3, texts("three"), snapshot=b"after three")]) == [None]
    assert journal.append([Append(ANN, epoch, 4, texts("four"))]) == [None]
    journal.close()

    journal = place.open()
    found = journal.activate(ANN)
    assert (found.epoch, found.definition) == (epoch + 1, b"gardener")
    assert (found.snapshot, found.snapshot_seq, found.records) == (b"after three", 3, texts("four"))
    assert found.next_seq == 5
    assert list(journal.records(ANN)) == list(enumerate(texts("one", "two", "three", "four"), 1))
    assert list(journal.records(ANN, after_seq=3)) == [(4, b"four")]
    journal.close()


def test_records_are_read_in_order_over_many_reads(journal: PortableJournal) -> None:
    journal.register(ANN, b"")
    epoch = journal.activate(ANN).epoch
    written = tuple(str(number).encode() for number in range(2 * ROWS_A_READ))
    assert journal.append([Append(ANN, epoch, 1, written)]) == [None]
    assert list(journal.records(ANN)) == list(enumerate(written, 1))


def test_a_stale_activation_fails_alone(journal: PortableJournal) -> None:
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


def test_a_wrong_number_is_refused_and_a_repeat_is_acknowledged_again(journal: PortableJournal) -> None:
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


def test_one_agent_may_append_several_times_in_a_group(journal: PortableJournal) -> None:
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
def test_against_a_naive_model(driver: Driver, script: list[tuple[str, AgentId, int]]) -> None:
    journal = driver.place().open()
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


def test_threads_share_one_journal(journal: PortableJournal) -> None:
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


# --- who must be awake when --------------------------------------------------------------------------


def test_the_last_append_says_when_an_agent_must_be_awake(journal: PortableJournal) -> None:
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
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
def test_what_is_due_comes_earliest_first_and_whole(
    driver: Driver, times: list[int | None], span: tuple[int, int]
) -> None:
    journal = driver.place().open()
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


# --- damage ------------------------------------------------------------------------------------------


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


def filled(place: Place) -> None:
    journal = place.open()
    journal.register_many([(ANN, b"gardener"), (BOB, b"baker")])
    for agent in (ANN, BOB):
        epoch = journal.activate(agent).epoch
        assert journal.append([Append(agent, epoch, 1, texts("one", "two"), snapshot=b"snap")]) == [None]
        assert journal.append([Append(agent, epoch, 3, texts("three", "four"))]) == [None]
    journal.close()


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_damage_is_noticed_at_activation_and_stays_with_its_agent(place: Place, name: str) -> None:
    filled(place)
    statement, said = DAMAGE[name]
    assert place.damage(statement) == 1
    journal = place.open()
    for _ in range(2):  # a refused activation takes no epoch and changes nothing
        with pytest.raises(StoreCorrupt, match=f"'ann'.*{said}"):
            journal.activate(ANN)
    found = journal.activate(BOB)
    assert (found.epoch, found.snapshot, found.records) == (2, b"snap", texts("three", "four"))
    journal.close()


def test_reading_records_notices_damage_before_the_snapshot_too(place: Place) -> None:
    filled(place)
    assert place.damage("UPDATE records SET data = x'00' WHERE agent = 1 AND seq = 1") == 1
    journal = place.open()
    with pytest.raises(StoreCorrupt, match="record 1 fails its checksum"):
        list(journal.records(ANN))
    journal.close()


def test_a_closed_journal_says_so(place: Place) -> None:
    journal = place.open()
    journal.close()
    journal.close()
    with pytest.raises(StoreUnavailable, match="the journal is closed"):
        journal.count()


# --- pasts, and whole lives --------------------------------------------------------------------------


def test_a_snapshot_in_a_thousand_records_stays(journal: PortableJournal) -> None:
    journal.register(ANN, b"d")
    epoch = journal.activate(ANN).epoch
    half = (b"r",) * (CHECKPOINT_RECORDS // 2)
    for number in range(4):
        append = Append(ANN, epoch, 1 + number * len(half), half, snapshot=f"s{number}".encode())
        assert journal.append([append]) == [None]
    past = journal.past(ANN)
    assert (past.definition, past.last_seq, past.checkpoints) == (b"d", 2_000, (1_000, 2_000))
    assert journal.checkpoint(ANN, 1_000) == b"s1"
    with pytest.raises(StoreCorrupt, match="checkpoint 500 is missing"):
        journal.checkpoint(ANN, 500)


def test_a_planted_agent_begins_as_its_snapshot_says(journal: PortableJournal) -> None:
    journal.plant(ANN, b"d", b"born")
    assert journal.past(ANN).checkpoints == (0,)
    assert journal.checkpoint(ANN, 0) == b"born"
    found = journal.activate(ANN)
    assert (found.epoch, found.snapshot, found.snapshot_seq, found.next_seq) == (1, b"born", 0, 1)
    with pytest.raises(AgentExists, match="'ann' is registered already"):
        journal.plant(ANN, b"d", b"born")


def test_an_agent_is_planted_with_what_it_has_lived_or_not_at_all(journal: PortableJournal) -> None:
    journal.plant(ANN, b"d", b"born", texts("one", "two"), 77)
    assert [data for _, data in journal.records(ANN)] == list(texts("one", "two"))
    assert list(journal.due(100)) == [(ANN, 77)]
    found = journal.activate(ANN)
    assert (found.snapshot, found.snapshot_seq, found.records, found.next_seq) == (b"born", 0, texts("one", "two"), 3)

    def fail() -> None:
        raise OSError("the disk is full")

    with armed("journal.register.before_commit", fail), pytest.raises((OSError, StoreUnavailable)):
        journal.plant(BOB, b"d", b"born", texts("one"))
    assert list(journal.agents()) == [ANN]
    journal.plant(BOB, b"d", b"born", texts("one"))


def test_a_life_is_the_same_after_it_was_taken_elsewhere(driver: Driver) -> None:
    first, other = driver.place().open(), driver.place().open()
    other.register(BOB, b"so that numbers differ")
    first.register(ANN, b"gardener")
    epoch = first.activate(ANN).epoch
    first.append([Append(ANN, epoch, 1, (b"r",) * 1_200, snapshot=b"s")])
    first.append([Append(ANN, epoch, 1_201, texts("last"), wake_ms=77)])
    first.mail.subscribe(ANN, "news")
    first.set_placements([(ANN, b"node 3")])
    life = first.life(ANN)
    other.restore(life, first.records(ANN), [(1_200, first.checkpoint(ANN, 1_200))])
    assert other.life(ANN) == life
    assert list(other.records(ANN)) == list(first.records(ANN))
    assert other.past(ANN) == first.past(ANN)
    assert list(other.due(100)) == [(ANN, 77)]
    assert other.mail.subscribers("news") == [ANN]
    assert dict(other.placements()) == {ANN: b"node 3"}
    again = other.activate(ANN)
    assert (again.epoch, again.snapshot, again.records) == (epoch + 1, b"s", texts("last"))
    with pytest.raises(AgentExists):
        other.restore(life, first.records(ANN), [])
    first.close()
    other.close()


@pytest.mark.parametrize("seqs", [[1, 3], [2], [1], [1, 2, 3], []])
def test_a_life_with_a_gap_is_refused_whole(journal: PortableJournal, seqs: list[int]) -> None:
    with pytest.raises(StoreCorrupt, match="'ann'"):
        journal.restore(Life(ANN, b"d", 1, 2, None, 0, None), ((seq, b"r") for seq in seqs), ())
    assert journal.count() == 0
    assert not list(journal.agents())


# --- wishes and mail ---------------------------------------------------------------------------------


def test_wishes_come_back_change_and_go_all_or_none(journal: PortableJournal) -> None:
    many = [AgentId(f"agent-{number}") for number in range(ROWS_A_READ + 7)]
    journal.register_many([(agent, b"x") for agent in many])
    journal.set_placements([(agent, agent.encode()) for agent in many])
    assert dict(journal.placements()) == {agent: agent.encode() for agent in many}
    journal.set_placements([(many[0], b"other"), (many[1], None)])
    with pytest.raises(UnknownAgent, match="nobody"):
        journal.set_placements([(many[2], None), (AgentId("nobody"), b"x")])
    kept = dict(journal.placements())
    assert kept == {agent: agent.encode() for agent in many if agent != many[1]} | {many[0]: b"other"}


def letter(number: int, to: AgentId = ANN) -> DeadLetter:
    interrupt = Interrupt(InterruptId(f"m/{number}"), InterruptKind.MESSAGE, Priority.AGENT, "bob", f"text {number}")
    return DeadLetter(letter_id(to, interrupt), to, interrupt, "its mailbox stayed full", 1_000 + number)


def test_letters_are_kept_once_and_read_back_newest_first(place: Place) -> None:
    journal = place.open()
    letters = [letter(number, BOB if number == 2 else ANN) for number in range(5)]
    assert journal.mail.add_letters(letters) == 0
    later = DeadLetter(letters[3].id, ANN, letters[3].interrupt, "there is no such agent", 9_000)
    journal.mail.add_letters([later])
    journal.close()
    journal = place.open()
    assert journal.mail.letters(2) == [letters[4], later]
    assert journal.mail.letters(9, BOB) == [letters[2]]
    assert journal.mail.letters_by_id([letters[4].id, letters[1].id, LetterId("gone")]) == [letters[1], letters[4]]
    assert journal.mail.remove_letters([letters[1].id, LetterId("gone")]) == 1
    assert journal.mail.letters(9) == [letters[4], later, letters[2], letters[0]]
    journal.close()


def test_topics_are_counted_and_an_agent_has_so_many_at_most(journal: PortableJournal) -> None:
    journal.register_many([(ANN, b"x"), (BOB, b"x")])
    taken = [journal.mail.subscribe(ANN, f"topic {number:02}") for number in range(TOPICS_MAX + 1)]
    assert taken == [True] * TOPICS_MAX + [False]
    assert journal.mail.subscribe(ANN, "topic 00"), "what it has, it has"
    assert journal.mail.subscribe(BOB, "topic 01")
    assert journal.mail.subscribers("topic 01") == [ANN, BOB]
    assert journal.mail.topics(BOB) == [("topic 01", 2)]
    assert len(journal.mail.topics()) == TOPICS_MAX
    assert journal.mail.unsubscribe(BOB, "topic 01")
    assert not journal.mail.unsubscribe(BOB, "topic 01")
    with pytest.raises(UnknownAgent, match="nobody"):
        journal.mail.subscribe(AgentId("nobody"), "topic 01")
