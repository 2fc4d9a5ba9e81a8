"""A table: turns, rewards and endings; a call is done once; the same rows give the same table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.cluster.worlds.environment import IllegalAction
from pagefault.cluster.worlds.ledger import Row
from pagefault.cluster.worlds.table import SAVED_STEPS, Table, episode_seed
from pagefault.runtime.errors import ReplayDivergence, UsageError
from tests.cluster.worlds.toys import PatientSum, SavedSum, Sum, WaywardSum


def begun(environment: Sum, seed: int = 1) -> Table:
    table = Table("w", environment, seed)
    table.begin()
    return table


def act(table: Table, player: str, number: int, call_id: str = "") -> str:
    return table.act(player, call_id or f"{player}-{table.tally.steps}", {"number": number})[0]


def test_seeds_differ_by_world_and_episode_and_are_always_the_same() -> None:
    seeds = {episode_seed(seed, world, episode) for seed in (1, 2) for world in "ab" for episode in (1, 2)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert episode_seed(1, "a", 1) == episode_seed(1, "a", 1)


def test_players_act_in_turn_until_the_end() -> None:
    table = begun(Sum(2, goal=5))
    start = table.look()
    assert list(start.sights) == ["p0"]
    with pytest.raises(IllegalAction, match="not your turn"):
        act(table, "p1", 1)
    assert act(table, "p0", 2) == "Done. Reward +2."
    assert table.look().has_left(start)
    act(table, "p1", 1)
    while not table.look().is_over:
        act(table, next(iter(table.look().sights)), 3)
    end = table.look()
    assert set(end.ended) == {"p0", "p1"}
    assert end.parting == "The end."
    assert sum(end.totals.values()) == sum(table.tally.rewards.values())
    assert (table.tally.episodes, table.tally.finished) == (1, 1)
    with pytest.raises(IllegalAction, match="This has ended"):
        act(table, "p0", 1)


def test_what_is_not_legal_never_reaches_the_environment() -> None:
    environment = Sum(1)
    table = begun(environment)
    with pytest.raises(IllegalAction, match="Legal are: 1, 2, 3"):
        act(table, "p0", 9)
    assert environment.taken == []
    assert table.look().number == 0


def test_those_who_act_at_once_wait_for_each_other() -> None:
    environment = Sum(3, goal=50, at_once=True)
    table = begun(environment)
    assert act(table, "p2", 1) == "Taken."
    assert act(table, "p0", 2) == "Taken."
    assert environment.taken == []
    assert table.look().acted == ("p2", "p0")
    with pytest.raises(IllegalAction, match="acted already"):
        act(table, "p0", 1, "another")
    act(table, "p1", 3)
    assert sorted(environment.taken) == [1, 2, 3]
    assert table.look().acted == ()


def test_a_call_that_comes_twice_is_answered_twice_and_done_once() -> None:
    environment = Sum(1, goal=50)
    table = begun(environment)
    first = table.act("p0", "call-1", {"number": 2})
    again = table.act("p0", "call-1", {"number": 2})
    assert again == (first[0], None)
    assert environment.taken == [2]


def test_an_episode_does_not_begin_while_one_goes_on() -> None:
    with pytest.raises(UsageError, match="goes on"):
        begun(Sum(1)).begin()


def test_an_abandoned_episode_has_ended_but_did_not_finish() -> None:
    table = begun(Sum(2))
    table.abandon("p0 did not act")
    assert table.look().ended == dict.fromkeys(("p0", "p1"), "abandoned: p0 did not act")
    assert (table.tally.episodes, table.tally.finished) == (1, 0)
    table.begin()
    assert table.tally.episodes == 2


def test_a_tick_acts_for_those_who_have_not_and_comes_once() -> None:
    environment = PatientSum(2, goal=50, at_once=True)
    table = begun(environment)
    act(table, "p1", 3)
    assert table.tick(0) is not None
    assert sorted(environment.taken) == [1, 3]
    assert table.tick(0) is None, "the environment has left that step"


def test_doing_nothing_is_the_first_that_is_legal_where_it_is_not() -> None:
    environment = Sum(1, goal=50, legal=("2", "3"))
    table = Table("w", environment, 1, {"number": 1})
    rows = [table.begin(), table.tick(0)]
    assert environment.taken == [2]
    again = Table("w", Sum(1, goal=50, legal=("2", "3")), 1)  # what was done is in the rows
    again.restore(None, [row for row in rows if row is not None])
    assert again.look() == table.look()


Moves = st.lists(st.tuples(st.sampled_from(("act", "tick", "abandon", "wrong")), st.integers(1, 3)), max_size=40)


@given(moves=Moves, players=st.integers(1, 3), at_once=st.booleans(), seed=st.integers(0, 9))
def test_the_same_rows_give_the_same_table(
    moves: list[tuple[str, int]], players: int, at_once: bool, seed: int
) -> None:
    table = Table("w", PatientSum(players, at_once=at_once), seed)
    rows: list[Row] = []
    for number, (what, amount) in enumerate(moves):
        look = table.look()
        if look.is_over:
            rows.append(table.begin())
        elif what == "act":
            player = next(each for each in look.sights if each not in look.acted)
            row = table.act(player, f"call-{number}", {"number": amount})[1]
            rows += [row] if row else []
        elif what == "tick":
            ticked = table.tick(look.number)
            rows += [ticked] if ticked else []
        else:
            rows.append(table.abandon("why") if what == "abandon" else table.refused("p0"))
    again = Table("w", PatientSum(players, at_once=at_once), seed)
    again.restore(None, rows)
    assert again.look() == table.look()
    assert again.tally == table.tally


def test_an_environment_that_does_something_else_is_found_out() -> None:
    table = Table("w", WaywardSum(1), 1)
    row = table.begin()
    with pytest.raises(ReplayDivergence, match=r"w: episode 1, step 0 \(row 1, begin\)"):
        Table("w", WaywardSum(1), 1).restore(None, [row])


def test_one_that_saves_itself_is_built_up_from_its_save() -> None:
    table = begun(SavedSum(2, goal=10_000))
    rows: list[Row] = []
    save = None
    for number in range(SAVED_STEPS + 5):
        row = table.act(f"p{number % 2}", f"call-{number}", {"number": 1})[1]
        assert row is not None
        rows.append(row)
        if (due := table.save()) is not None:
            save, rows = due, []
    assert save is not None
    assert len(rows) == 5
    environment = SavedSum(2, goal=10_000)
    again = Table("w", environment, 1)
    again.restore(save, rows)
    assert environment.loaded == 1
    state: Any = again.look()
    assert state == table.look()
    assert again.tally == table.tally
    last = f"p{(SAVED_STEPS + 4) % 2}"
    assert again.act(last, f"call-{SAVED_STEPS + 4}", {"number": 1})[1] is None, "its last call is known"
