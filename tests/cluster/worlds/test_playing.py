"""Agents that play: what is told, what is refused, who is reminded; killed runs go on; Ray and one process alike."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster.api import Cluster
from pagefault.cluster.worlds.contract import Report
from pagefault.cluster.worlds.driving import PlaySettings
from pagefault.cluster.worlds.environment import Recipe
from pagefault.cluster.worlds.playing import Playing
from pagefault.runtime.errors import ConfigError, UsageError
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import Inspection
from tests.cluster.worlds.toys import PatientSum, Silence, Sum, sum_recipe

ROOT = Path(__file__).resolve().parents[3]
HERE = "tests.cluster.worlds.toys"


def template(mind: str) -> dict[str, Any]:
    return {"model": f"scripted:{HERE}:{mind}", "functions": ("send_message",), "context_tokens": 4096}


async def play(
    mind: str, recipe: Recipe, folder: Path | None = None, **settings: Any
) -> tuple[Report, list[Inspection]]:
    playing = Playing(recipe, PlaySettings(**settings))
    async with Local(folder, embedder="hash", functions=playing.functions) as fleet:
        refs = await fleet.spawn_many(playing.agents(template(mind)))
        report = await playing.run(fleet, refs, Silence())
        return report, [await ref.inspect() for ref in refs]


async def test_worlds_are_played_to_their_ends_and_everybody_is_told() -> None:
    report, inspections = await play("adder", sum_recipe(players=2), worlds=3, episodes=2)
    results = report.results
    assert not report.failed
    assert (results["episodes"], results["finished"], results["illegal"]) == (6, 6, 0)
    assert results["world_steps"] * 2 == pytest.approx(sum(results["rewards"].values()) * 6, abs=0.01)
    for inspection in inspections:
        texts = [page.text for page in inspection.pages]
        assert any("The sum is" in text for text in texts)
        assert any(text.startswith("It is over for you") and "The end." in text for text in texts)
        assert any("in all +" in text for text in texts)


async def test_a_player_is_told_what_is_legal_and_mends_it() -> None:
    report, inspections = await play("corrected", sum_recipe(goal=4))
    assert report.results["finished"] == 1
    assert report.results["illegal"] == report.results["world_steps"]
    assert any("7 is not legal. Legal are: 1, 2, 3." in page.text for page in inspections[0].pages)


async def test_whoever_forgets_to_act_is_reminded() -> None:
    report, _ = await play("forgetful", sum_recipe())
    assert report.results["finished"] == 1
    assert report.results["rewards"] == {"p0": report.results["world_steps"] * 3.0}


async def test_an_episode_is_given_up_when_reminding_does_not_help() -> None:
    report, _ = await play("silent", sum_recipe(players=2), reminders=1, episodes=2)
    assert (report.results["episodes"], report.results["finished"]) == (2, 0)
    assert report.results["endings"] == {f"p{n}: abandoned: p0 did not act": 2 for n in (0, 1)}


async def test_an_episode_ends_with_its_last_step() -> None:
    report, _ = await play("adder", sum_recipe(goal=1000), steps_max=5)
    assert report.results["endings"] == {"p0: abandoned: no end within 5 steps": 1}


async def test_acting_out_of_turn_is_refused_and_changes_nothing() -> None:
    report, inspections = await play("eager", sum_recipe(players=2, goal=4))
    assert report.results["finished"] == 1
    assert report.results["illegal"] >= report.results["world_steps"] - 1
    assert any("not your turn" in page.text for page in inspections[0].pages)


async def test_free_running_worlds_do_not_wait_for_those_who_sleep() -> None:
    recipe = Recipe("sum", PatientSum, {"players": 2, "at_once": True})
    report, _ = await play("silent", recipe, pace="free", tick_s=0.01)
    assert report.results["finished"] == 1, "the worlds went on by themselves"
    assert report.results["rewards"] == {"p0": report.results["world_steps"], "p1": report.results["world_steps"]}


async def test_what_nobody_does_can_be_said_for_worlds_that_do_not_know() -> None:
    report, _ = await play("silent", sum_recipe(), pace="free", tick_s=0.01, idle={"number": 3})
    assert report.results["finished"] == 1
    assert report.results["rewards"] == {"p0": report.results["world_steps"] * 3.0}


async def test_free_running_agents_act_in_time_when_they_can() -> None:
    recipe = Recipe("sum", PatientSum, {"players": 2, "at_once": True})
    report, _ = await play("adder", recipe, pace="free", tick_s=30.0)
    assert report.results["rewards"] == {f"p{n}": report.results["world_steps"] * 2 for n in (0, 1)}


async def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    whole, _ = await play("adder", sum_recipe(players=2, goal=30), tmp_path / "whole", worlds=2, episodes=2)
    playing = Playing(sum_recipe(players=2, goal=30), PlaySettings(worlds=2, episodes=2))

    class Stop(Exception):
        """The run ends here."""

    class StopSoon(Silence):
        def advance(self, count: int = 1) -> None:
            if count:
                raise Stop

    async with Local(tmp_path / "part", embedder="hash", functions=playing.functions) as fleet:
        refs = await fleet.spawn_many(playing.agents(template("adder")))
        with pytest.raises(Stop):
            await playing.run(fleet, refs, StopSoon())
    rest, _ = await play("adder", sum_recipe(players=2, goal=30), tmp_path / "part", worlds=2, episodes=2)
    same = ("episodes", "finished", "illegal", "rewards", "endings")
    assert {key: rest.results[key] for key in same} == {key: whole.results[key] for key in same}
    assert 0 < rest.results["world_steps"] < whole.results["world_steps"], "what was done was not done again"


async def test_a_run_that_was_killed_in_the_midst_of_a_step_goes_on(tmp_path: Path) -> None:
    plain, _ = await play("adder", sum_recipe(players=2, goal=12), worlds=2, episodes=2)

    def live() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.cluster.worlds.killed_run", str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    killed = await asyncio.to_thread(live)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    rest = await asyncio.to_thread(live)
    assert rest.returncode == 0, rest.stderr
    found = json.loads(rest.stdout)
    assert found == {key: plain.results[key] for key in found}


async def test_another_game_is_not_played_on_the_same_folder(tmp_path: Path) -> None:
    await play("adder", sum_recipe(), tmp_path)
    with pytest.raises(ConfigError, match="folder: found"):
        await play("adder", sum_recipe(), tmp_path, seed=2)


async def test_there_must_be_an_agent_for_every_place() -> None:
    playing = Playing(sum_recipe(players=2), PlaySettings())
    async with Local(embedder="hash", functions=playing.functions) as fleet:
        refs = await fleet.spawn_many(playing.agents(template("adder")))
        with pytest.raises(UsageError, match="refs: found 1 agents, allowed: 2"):
            await playing.run(fleet, refs[:1], Silence())


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"worlds": 0}, "worlds"),
        ({"episodes": 0}, "episodes"),
        ({"steps_max": 0}, "steps_max"),
        ({"reminders": -1}, "reminders"),
        ({"pace": "slow"}, "pace"),
        ({"pace": "free"}, "tick_s"),
        ({"tick_s": 1.0}, "tick_s"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=rf"play\.{field}: found"):
        PlaySettings(**settings)


def test_a_world_that_cannot_go_on_alone_does_not_run_freely() -> None:
    with pytest.raises(ConfigError, match=r"play\.idle: found None, allowed: the arguments .* nothing: number"):
        Playing(sum_recipe(), PlaySettings(pace="free", tick_s=1.0))
    with pytest.raises(ConfigError, match=r"play\.idle: found \{'amount': 1\}"):
        Playing(sum_recipe(), PlaySettings(idle={"amount": 1}))


def test_players_with_different_actions_have_different_functions() -> None:
    class Odd(Sum):
        def __init__(self) -> None:
            super().__init__(2)
            first = self.spaces["p0"]
            renamed = type("Others", (), {"parameters": (first.parameters[0],) * 1, "decode": first.decode})()
            renamed.parameters = (type(first.parameters[0])("amount", int, "how much"),)
            self.spaces = {"p0": first, "p1": renamed}

    playing = Playing(Recipe("odd", Odd), PlaySettings())
    made: list[Callable[..., Any]] = playing.functions
    assert [each.__name__ for each in made] == ["act_p0", "act_p1"]
    agents = playing.agents({"functions": ("send_message",)})
    assert [agent.functions for agent in agents] == [("send_message", "act_p0"), ("send_message", "act_p1")]


@pytest.mark.usefixtures("ray_session")
async def test_on_ray_worlds_are_actors_and_one_that_is_killed_goes_on(tmp_path: Path) -> None:
    settings = PlaySettings(worlds=3, batch=2)
    plain, _ = await play("adder", sum_recipe(players=2, goal=12), worlds=3)
    killer = sum_recipe(players=2, goal=12, kills_once=str(tmp_path / "killed"))
    playing = Playing(killer, settings)
    async with Cluster(embedder="hash", hosts=1, functions=playing.functions) as fleet:
        refs = await fleet.spawn_many(playing.agents(template("adder")))
        report = await playing.run(fleet, refs, Silence())
    assert (tmp_path / "killed").exists()
    same = ("episodes", "finished", "illegal", "rewards", "endings", "world_steps")
    assert {key: report.results[key] for key in same} == {key: plain.results[key] for key in same}
