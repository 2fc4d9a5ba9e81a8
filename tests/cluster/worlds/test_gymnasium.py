"""Gymnasium: seeds, masks, text pictures; agents play real environments to their end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pagefault.cluster.worlds.environment import IllegalAction, Moment, Recipe
from pagefault.cluster.worlds.gymnasium import PLAYER, GymnasiumEnvironment, gymnasium_world, plain_picture
from pagefault.cluster.worlds.playing import Playing
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, nothing
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest
from tests.cluster.worlds.toys import Silence

gymnasium = pytest.importorskip("gymnasium", reason="the extra worlds is not installed")

DETOUR = ("down", "down", "right", "right", "down", "right")
"""The way over the lake."""


class Corridor:
    """What the adapter uses of a Gymnasium environment, with a mask where ``masked`` says."""

    render_mode = None

    def __init__(self, masked: str = "") -> None:
        self._masked = masked
        parts = {"place": gymnasium.spaces.Discrete(5)}
        if masked == "observation":
            parts["action_mask"] = gymnasium.spaces.MultiBinary(3)
        self.observation_space = gymnasium.spaces.Dict(parts)
        self.action_space = gymnasium.spaces.Discrete(3)
        if masked == "method":
            self.action_masks = lambda: np.array([1, 0, 1])
        self.actions: list[int] = []

    @property
    def unwrapped(self) -> Corridor:
        return self

    def close(self) -> None:
        pass

    def _seen(self) -> dict[str, Any]:
        mask = {"action_mask": np.array([0, 1, 1])} if self._masked == "observation" else {}
        return {"place": 2, **mask}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(action)
        return self._seen(), 1.0, False, len(self.actions) == 3, {}


def lake_walker(request: ModelRequest) -> Reply:
    """Knows the way."""
    shown = View(request).incoming
    if shown is None or not shown.text.startswith("Step") or View(request).result is not None:
        return nothing()
    return call("act", action=DETOUR[int(shown.text.split(".")[0].removeprefix("Step ")) - 1])


async def test_an_agent_crosses_the_lake() -> None:
    playing = Playing(gymnasium_world("FrozenLake-v1", is_slippery=False))
    async with Local(embedder="hash", functions=playing.functions) as fleet:
        agents = playing.agents({"model": f"scripted:{__name__}:lake_walker", "functions": ()})
        refs = await fleet.spawn_many(agents)
        report = await playing.run(fleet, refs, Silence())
        pages = (await refs[0].inspect()).pages
    assert report.results["rewards"] == {PLAYER: 1.0}
    assert report.results["world_steps"] == len(DETOUR)
    assert any("[S]FFF" in page.text and "one of left, down, right, up" in page.text for page in pages)


def played(environment: GymnasiumEnvironment, seed: int, steps: int) -> list[Moment]:
    moments = [environment.reset(seed)]
    for step in range(steps):
        if moments[-1].to_act:
            moments.append(environment.step({PLAYER: {"action": ("push left", "push right")[step % 2]}}))
    environment.close()
    return moments


def test_the_same_seed_and_actions_lead_to_the_same_moments() -> None:
    first, second, other = (played(GymnasiumEnvironment("CartPole-v1"), seed, 30) for seed in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.mark.parametrize(("masked", "legal"), [("observation", ("1", "2")), ("method", ("0", "2")), ("", None)])
def test_masks_are_found_wherever_they_are(masked: str, legal: tuple[str, ...] | None) -> None:
    environment = GymnasiumEnvironment("Corridor", make=Corridor, options={"masked": masked})
    sight = environment.reset(1).to_act[PLAYER]
    assert sight.legal == legal
    assert "action_mask" not in sight.text
    assert "2 (of 0 to 4)" in sight.text
    if legal is None:
        environment.check(PLAYER, {"action": 1})
        return
    assert f"Legal actions: {', '.join(legal)}" in sight.text
    forbidden = next(number for number in range(3) if str(number) not in legal)
    with pytest.raises(IllegalAction, match=f"'{forbidden}' is not legal now. Legal are: {', '.join(legal)}"):
        environment.check(PLAYER, {"action": forbidden})
    environment.check(PLAYER, {"action": int(legal[0])})


def test_a_truncated_episode_says_so() -> None:
    environment = GymnasiumEnvironment("Corridor", make=Corridor)
    environment.reset(1)
    moments = [environment.step({PLAYER: {"action": 0}}) for _ in range(3)]
    assert [dict(moment.ended) for moment in moments] == [{}, {}, {PLAYER: "truncated"}]
    assert moments[-1].rewards == {PLAYER: 1.0}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"env_id": "NoSuchLake-v1"}, "id"),
        ({"env_id": "CartPole-v1", "text": "ansi"}, "text"),
        ({"env_id": "CartPole-v1", "no_such_option": 1}, "id"),
    ],
)
def test_what_cannot_be_made_is_said(options: dict[str, Any], field: str) -> None:
    recipe: Recipe = gymnasium_world(**options)
    with pytest.raises(ConfigError, match=f"^{field}: found"):
        recipe.make()


def test_text_is_one_of_three() -> None:
    with pytest.raises(ConfigError, match="text: found 'html', allowed: auto, ansi or none"):
        gymnasium_world("FrozenLake-v1", text="html")


def test_pictures_lose_their_colours_but_not_what_they_mark() -> None:
    assert plain_picture("S\x1b[41mF\x1b[0mF\n\x1b[1mH") == "S[F]F\nH"
