"""PettingZoo: games in turn and at once, by the rules; chess and cards as people read them."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from pagefault.cluster.worlds.contract import Report
from pagefault.cluster.worlds.driving import PlaySettings
from pagefault.cluster.worlds.environment import IllegalAction, Recipe
from pagefault.cluster.worlds.pettingzoo import pettingzoo_world
from pagefault.cluster.worlds.playing import Playing
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.local import Local
from tests.cluster.worlds.toys import Silence

pytest.importorskip("pettingzoo", reason="the extra worlds is not installed")
MATE = ("f2f3", "e7e5", "g2g4", "d8h4")
"""The shortest game there is."""


def needs(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is not installed: it is not part of the extra worlds")


async def play(recipe: Recipe, **settings: Any) -> Report:
    playing = Playing(recipe, PlaySettings(**settings))
    async with Local(embedder="hash", durability="exit", functions=playing.functions) as fleet:
        model = "scripted:pagefault.cluster.worlds.players:chooser"
        refs = await fleet.spawn_many(playing.agents({"model": model, "functions": (), "context_tokens": 3072}))
        return await playing.run(fleet, refs, Silence())


@pytest.mark.parametrize(
    ("env_id", "options", "modules"),
    [
        ("classic/tictactoe-v3", {}, ("pygame",)),
        ("classic/connect_four-v3", {}, ("pygame",)),
        ("classic/texas_holdem-v4", {}, ("pygame", "rlcard")),
        ("classic/leduc_holdem-v4", {}, ("pygame", "rlcard")),
        ("classic/rps-v2", {"api": "parallel", "max_cycles": 4}, ("pygame",)),
    ],
)
async def test_games_are_played_to_their_ends_by_the_rules(
    env_id: str, options: dict[str, Any], modules: tuple[str, ...]
) -> None:
    needs(*modules)
    report = await play(pettingzoo_world(env_id, **options), worlds=2)
    results = report.results
    assert not report.failed
    assert (results["episodes"], results["finished"], results["illegal"]) == (2, 2, 0)
    assert sum(results["rewards"].values()) == pytest.approx(0), "what one wins the other loses"
    assert sum(results["endings"].values()) == 4


def test_chess_is_shown_as_a_board_and_moves_as_they_are_written() -> None:
    needs("pygame", "chess")
    chess = importlib.import_module("chess")
    environment = pettingzoo_world("classic/chess-v6").make()
    board = chess.Board()
    moment = environment.reset(1)
    for number, move in enumerate(MATE):
        player = f"player_{number % 2}"
        sight = moment.to_act[player]
        assert sight.legal == tuple(sorted(each.uci() for each in board.legal_moves))
        assert ("black" if number % 2 else "white") in sight.text
        assert "8 r n b" in sight.text
        with pytest.raises(IllegalAction, match=r"'a1a8' is not legal now\. Legal are: "):
            environment.check(player, {"move": "a1a8"})
        environment.check(player, {"move": move})
        moment = environment.step({player: {"move": move}})
        board.push_uci(move)
    assert board.is_checkmate()
    assert dict(moment.ended) == {"player_0": "terminated, lost", "player_1": "terminated, won"}
    assert moment.rewards == {"player_0": -1.0, "player_1": 1.0}
    assert "P q" in moment.parting or "q" in moment.parting
    environment.close()


async def test_a_promotion_and_a_long_game_stay_legal() -> None:
    needs("pygame", "chess")
    report = await play(pettingzoo_world("classic/chess-v6"), steps_max=120, seed=3)
    assert report.results["illegal"] == 0
    assert report.results["world_steps"] == 120 or report.results["finished"] == 1


def test_cards_are_shown_as_cards_and_only_ones_own() -> None:
    needs("pygame", "rlcard")
    environment = pettingzoo_world("classic/texas_holdem-v4").make()
    moment = environment.reset(7)
    player, sight = next(iter(moment.to_act.items()))
    assert f"You are {player}." in sight.text
    assert "hand: [" in sight.text
    assert set(sight.legal or ()) <= {"call", "raise", "fold", "check"}
    assert sight.text.count("hand:") == 1
    assert environment.reset(7) == moment
    environment.close()


@pytest.mark.parametrize("env_id", ["classic/no_such_game-v1", "nowhere/chess-v6", "chess", "classic/os.path"])
def test_an_environment_that_is_not_there_is_refused(env_id: str) -> None:
    with pytest.raises(ConfigError, match="id: found"):
        pettingzoo_world(env_id).make()


def test_what_is_only_played_in_turn_is_not_played_at_once() -> None:
    needs("pygame", "chess")
    with pytest.raises(ConfigError, match="api: found 'parallel', allowed: aec"):
        pettingzoo_world("classic/chess-v6", api="parallel").make()
    with pytest.raises(ConfigError, match="api: found 'both', allowed: aec or parallel"):
        pettingzoo_world("classic/chess-v6", api="both")
