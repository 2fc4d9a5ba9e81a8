"""The journal in PostgreSQL where it differs from one in a file: a server that dies, others who write, addresses."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pagefault.runtime.errors import AgentExists, ConfigError, StaleEpoch, StoreUnavailable
from pagefault.runtime.store.postgres import PostgresJournal
from pagefault.runtime.store.postgres_session import Place
from pagefault.runtime.store.protocols import Append
from pagefault.runtime.values import AgentId
from tests.postgres_server import PASSWORD, PostgresServer, running_server

ANN, BOB = AgentId("ann"), AgentId("bob")
NAMES = [AgentId(f"agent-{number}") for number in range(4)]


@pytest.fixture(scope="module")
def shared() -> Iterator[PostgresServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(shared: PostgresServer) -> PostgresServer:
    if not shared.is_running:
        shared.start()
    for schema in ("pagefault_00", "pagefault_01"):
        shared.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    return shared


def test_a_killed_server_is_reported_and_the_journal_goes_on_when_it_is_back(server: PostgresServer) -> None:
    journal = PostgresJournal(server.address())
    journal.register(ANN, b"d")
    epoch = journal.activate(ANN).epoch
    server.kill()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="cannot be read or written now") as caught:
            journal.append([Append(ANN, epoch, 1, (b"one",))])
        assert PASSWORD not in str(caught.value)
        assert "postgresql://pagefault@" in str(caught.value)
    server.start()
    assert journal.append([Append(ANN, epoch, 1, (b"one",))]) == [None]
    server.hang_up()
    assert journal.append([Append(ANN, epoch, 2, (b"two",))]) == [None], "an old connection is no reason to fail"
    journal.close()


def test_kill_9_of_the_server_loses_nothing_acknowledged_and_leaves_no_half_append(server: PostgresServer) -> None:
    journal = PostgresJournal(server.address())
    journal.register_many([(name, b"") for name in NAMES])
    epochs = {name: journal.activate(name).epoch for name in NAMES}
    next_seq = 1
    for kill in range(2):
        acknowledged = threading.Semaphore(0)

        def strike(turns: int, heard: threading.Semaphore = acknowledged) -> None:
            for _ in range(turns):
                heard.acquire()
            server.kill()

        killer = threading.Thread(target=strike, args=(20 * kill + 3,))
        killer.start()
        while True:
            group = [
                Append(name, epochs[name], next_seq, (b"x" * 300, str(next_seq).encode()), snapshot=b"s")
                for name in NAMES
            ]
            try:
                assert journal.append(group) == [None] * len(NAMES)
            except StoreUnavailable:
                break
            next_seq += 2
            acknowledged.release()
        killer.join()
        server.start()
        # The last group may have been written, as a whole; sent again, it is there once.
        assert journal.append(group) == [None] * len(NAMES)
        next_seq += 2
        for name in NAMES:
            records = dict(journal.records(name))
            assert len(records) == next_seq - 1
            assert all(records[seq] == str(seq - 1).encode() for seq in range(2, next_seq, 2))
    journal.close()


def test_two_who_have_it_open_are_kept_apart_by_epochs(server: PostgresServer) -> None:
    old, new = PostgresJournal(server.address()), PostgresJournal(server.address())
    old.register(ANN, b"d")
    first, second = old.activate(ANN).epoch, new.activate(ANN).epoch
    assert new.append([Append(ANN, second, 1, (b"new",))]) == [None]
    [refused] = old.append([Append(ANN, first, 1, (b"old",), snapshot=b"old")])
    assert isinstance(refused, StaleEpoch)
    assert list(old.records(ANN)) == [(1, b"new")]
    assert new.activate(ANN).snapshot is None
    old.close()
    new.close()


def test_many_who_write_the_same_agents_in_any_order_all_get_through(server: PostgresServer) -> None:
    """Groups that lock each other's agents the other way round would be a deadlock."""
    journals = [PostgresJournal(server.address(), 1) for _ in range(4)]
    names = [AgentId(f"agent-{number}") for number in range(30)]
    failures: list[object] = []

    def live(turn: int, journal: PostgresJournal) -> None:
        try:
            ordered = names[::-1] if turn % 2 else names
            journal.register_many([(name, b"d%d" % (len(name))) for name in ordered])
            own = ordered[turn::4]
            epochs = {name: journal.activate(name).epoch for name in own}
            for seq in range(1, 21):
                group = [Append(name, epochs.get(name, 999), seq, (b"r",)) for name in ordered]
                results = dict(zip(ordered, journal.append(group), strict=True))
                failures.extend(results[name] for name in own if results[name] is not None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test has to hear of it
            failures.append(error)

    def owners() -> list[threading.Thread]:
        return [threading.Thread(target=live, args=(2 * turn, journals[turn])) for turn in range(2)]

    threads = owners()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for journal in journals:
        journal.close()


def test_shards_and_namespaces_of_one_database_know_nothing_of_each_other(server: PostgresServer) -> None:
    addresses = [(server.address(), 0), (server.address(), 1), (server.address() + "&namespace=other", 0)]
    journals = [PostgresJournal(address, shard) for address, shard in addresses]
    for number, journal in enumerate(journals):
        journal.register(ANN, str(number).encode())
    with pytest.raises(AgentExists):
        journals[0].register(ANN, b"1")
    for number, journal in enumerate(journals):
        assert journal.definition(ANN) == str(number).encode()
        journal.close()
    server.execute("DROP SCHEMA other_00 CASCADE")


def test_a_newer_schema_and_other_programs_tables_are_refused(server: PostgresServer) -> None:
    PostgresJournal(server.address()).close()
    server.execute("UPDATE pagefault_meta SET version = 99", schema="pagefault_00")
    with pytest.raises(StoreUnavailable, match="schema 99, this release reads and writes"):
        PostgresJournal(server.address())
    server.execute("CREATE SCHEMA pagefault_01")
    server.execute("CREATE TABLE recipes (name text)", schema="pagefault_01")
    with pytest.raises(StoreUnavailable, match="is no Pagefault journal"):
        PostgresJournal(server.address(), 1)


def test_a_wrong_password_is_refused_without_saying_it(server: PostgresServer) -> None:
    with pytest.raises(StoreUnavailable, match="password authentication failed") as caught:
        PostgresJournal(server.address("swordfish"))
    assert "swordfish" not in str(caught.value)


def test_sync_needs_a_server_that_syncs(server: PostgresServer) -> None:
    server.kill()
    server.start("fsync=off")
    with pytest.raises(ConfigError, match="fsync and synchronous_commit on, or durability 'async'"):
        PostgresJournal(server.address())
    PostgresJournal(server.address(), durability="async").close()
    server.kill()


def test_exit_is_for_files() -> None:
    with pytest.raises(ConfigError, match="durability: found 'exit', allowed: 'sync' or 'async'"):
        PostgresJournal("postgresql://h/d", durability="exit")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://u:swordfish@h/d?nonsense=swordfish", "an address that libpq cannot read"),
        ("postgresql://u:swordfish@h:port/d%zz", "an address that libpq cannot read"),
        ("postgresql://u:swordfish@h/d?namespace=a-b", "small letters, digits and _"),
    ],
)
def test_a_wrong_address_is_refused_without_its_password(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Place.of(address, 0)
    assert "swordfish" not in str(caught.value)


def test_a_place_says_where_it_is_and_never_its_password() -> None:
    place = Place.of("postgres://ann:swordfish@db.example:5433/fleet?namespace=ours&sslmode=require", 7)
    assert str(place) == "postgresql://ann@db.example:5433/fleet (ours_07)"
    assert "swordfish" not in repr(place)
    assert place.parameters["sslmode"] == "require"


def test_a_name_that_the_server_cannot_keep_is_a_clear_error(server: PostgresServer) -> None:
    journal = PostgresJournal(server.address())
    for name in ("a\0b", "a\ud800b"):
        with pytest.raises(ConfigError, match="without NUL characters and lone surrogates"):
            journal.register(AgentId(name), b"d")
    assert journal.register(BOB, b"d"), "and the journal goes on"
    journal.close()
