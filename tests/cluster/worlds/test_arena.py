"""An arena: who has a place, what is kept, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster.worlds.arena import Arena, ArenaPlan, Seating
from pagefault.cluster.worlds.environment import IllegalAction, Recipe
from pagefault.runtime.errors import ConfigError, ReplayDivergence, UsageError
from tests.cluster.worlds.toys import Sum, WaywardSum, sum_recipe

SEATS = (Seating("w1", 1, {"p0": "ada", "p1": "bob"}), Seating("w2", 1, {"p0": "cy", "p1": "dee"}))


def plan(folder: Path | None, recipe: Recipe | None = None) -> ArenaPlan:
    ledger = "" if folder is None else str(folder / "arena.sqlite")
    return ArenaPlan(recipe or sum_recipe(players=2, goal=20), SEATS, ledger)


async def act(arena: Arena, agent: str, call_id: str, number: int) -> str:
    return await arena.act(agent, call_id, {"number": number})


async def test_what_was_done_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    arena = Arena(plan(tmp_path))
    await arena.begin("w1")
    await arena.begin("w2")
    assert await act(arena, "ada", "a1", 2) == "Done. Reward +2."
    assert await act(arena, "cy", "c1", 3) == "Done. Reward +3."
    with pytest.raises(IllegalAction, match="not your turn"):
        await act(arena, "ada", "a2", 1)
    await act(arena, "bob", "b1", 1)
    looks, tallies = [await arena.look(world) for world in ("w1", "w2")], await arena.tallies()
    arena.close()
    again = Arena(plan(tmp_path))
    assert [await again.look(world) for world in ("w1", "w2")] == looks
    assert await again.tallies() == tallies
    assert tallies[0]["illegal"] == 1
    assert await act(again, "bob", "b1", 1) == "Done. Reward +1.", "answered as it was"
    assert await again.tallies() == tallies, "and not done again"
    again.close()


async def test_a_call_whose_answer_was_lost_is_answered_by_the_next_arena(tmp_path: Path) -> None:
    arena = Arena(plan(tmp_path))
    await arena.begin("w1")
    await act(arena, "ada", "lost", 3)
    arena.close()
    again = Arena(plan(tmp_path))
    before = await again.look("w1")
    assert await act(again, "ada", "lost", 3) == "Done. Reward +3."
    assert await again.look("w1") == before
    again.close()


async def test_nobody_plays_without_a_place_and_no_world_is_made_up() -> None:
    arena = Arena(plan(None))
    with pytest.raises(IllegalAction, match="no place in this world"):
        await act(arena, "eve", "e1", 1)
    with pytest.raises(UsageError, match="world: found 'w3', allowed: w1, w2"):
        await arena.look("w3")
    arena.close()


@pytest.mark.parametrize("recipe", [sum_recipe(players=2, goal=21), Recipe("other", Sum, {"players": 2, "goal": 20})])
def test_a_ledger_is_of_one_play(tmp_path: Path, recipe: Recipe) -> None:
    Arena(plan(tmp_path)).close()
    with pytest.raises(ConfigError, match="folder: found"):
        Arena(plan(tmp_path, recipe))
    Arena(plan(tmp_path)).close()


async def test_a_world_that_does_not_follow_from_its_seed_is_named(tmp_path: Path) -> None:
    options: dict[str, Any] = {"players": 2}
    arena = Arena(plan(tmp_path, Recipe("wayward", WaywardSum, options)))
    await arena.begin("w2")
    arena.close()
    with pytest.raises(ReplayDivergence, match="w2: episode 1, step 0"):
        Arena(plan(tmp_path, Recipe("wayward", WaywardSum, options)))


def test_code_in_a_recipe_is_known_by_its_name() -> None:
    first, second = (Recipe("r", Sum, {"make": Sum, "x": [number]}).description() for number in (1, 1))
    assert first == second == 'r {"make": "Sum", "x": [1]}'
