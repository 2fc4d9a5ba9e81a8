"""Worlds that agents play in, on a Ray cluster: TextWorld quests, chess, Gymnasium; and what the adapter costs a step.

Every move is made by an agent: it is shown an observation by an interrupt, thinks (a scripted mind), and calls its
function, which reaches the environment in another process; what was done is kept in its journal and in the
environment's ledger.  The quests are generated, each from a seed of its own, and all are played at once, by a mind that
follows the walkthrough; the chess games go on to their own ends, by minds that choose among the legal moves.

``overhead_us_per_step`` compares two loops over the same environment with the same actions in this process: bare, and
behind the adapter (legality, observation in words, the record of the step), without an agent.  It is the median of
several rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

from benchmarks._report import Options, read_options, report
from pagefault.cluster.api import Cluster
from pagefault.cluster.worlds.contract import Report
from pagefault.cluster.worlds.driving import PlaySettings
from pagefault.cluster.worlds.environment import Recipe, optional_module
from pagefault.cluster.worlds.gymnasium import PLAYER, GymnasiumEnvironment, gymnasium_world
from pagefault.cluster.worlds.pettingzoo import pettingzoo_world
from pagefault.cluster.worlds.playing import NoProgress, Playing
from pagefault.cluster.worlds.table import Table
from pagefault.cluster.worlds.textworld import textworld_world

QUESTS = 64
CHESS_GAMES, CHESS_GAMES_QUICK = 100, 3
EPISODES, EPISODES_QUICK = 20, 2
CART_POLES = 16
CART_POLE = "CartPole-v1"
ROUNDS, ROUNDS_QUICK = 15, 7
STEPS_A_ROUND = 1000
TEMPLATE: dict[str, Any] = {
    "functions": ("send_message",),
    "context_tokens": 3072,
    "reply_tokens": 256,
    "policy": "lru",
    "write_back": "archive",
}


def games(options: Options) -> dict[str, tuple[Playing, str]]:
    """What is played, and by which mind.  The functions have different names, since one fleet has all of them."""

    def playing(name: str, recipe: Recipe, worlds: int, episodes: int = 1) -> Playing:
        settings = PlaySettings(worlds, episodes, options.seed, batch=32, function=f"act_{name}")
        return Playing(recipe, settings)

    quests = textworld_world(rooms=4, objects=5, quest_length=5, walkthrough=True)
    chess_games = CHESS_GAMES_QUICK if options.quick else CHESS_GAMES
    episodes = EPISODES_QUICK if options.quick else EPISODES
    return {
        "textworld": (playing("quest", quests, QUESTS), "walkthrough"),
        "gymnasium": (playing("pole", gymnasium_world(CART_POLE), CART_POLES, episodes), "chooser"),
        "pettingzoo": (playing("chess", pettingzoo_world("classic/chess-v6"), chess_games), "chooser"),
    }


async def play(options: Options) -> dict[str, Report]:
    """Play everything, one kind after the other, on one cluster."""
    chosen = games(options)
    functions = [each for playing, _ in chosen.values() for each in playing.functions]
    found: dict[str, Report] = {}
    async with Cluster(functions=functions, embedder="hash", cpus=2) as fleet:
        for name, (playing, mind) in chosen.items():
            model = f"scripted:pagefault.cluster.worlds.players:{mind}"
            refs = await fleet.spawn_many(playing.agents({**TEMPLATE, "model": model}))
            sys.stderr.write(f"{name}: {len(refs)} agents\n")
            found[name] = await playing.run(fleet, refs, NoProgress())
    return found


def overhead_us(rounds: int, seed: int) -> float:
    """Microseconds that the adapter adds to a step of a CartPole, the median over rounds of both loops in turn."""
    gymnasium = optional_module("gymnasium", "pagefault[worlds]")
    bare = gymnasium.make(CART_POLE)
    table = Table("overhead", GymnasiumEnvironment(CART_POLE), seed)
    labels = ("push left", "push right")
    differences = []
    for number in range(rounds):
        bare.reset(seed=seed + number)
        began = time.perf_counter()
        for step in range(STEPS_A_ROUND):
            _, _, terminated, truncated, _ = bare.step(step % 2)
            if terminated or truncated:
                bare.reset()
        bare_s = time.perf_counter() - began
        table.begin()
        began = time.perf_counter()
        for step in range(STEPS_A_ROUND):
            table.act(PLAYER, f"{number}-{step}", {"action": labels[step % 2]})
            if table.look().is_over:
                table.begin()
        differences.append(time.perf_counter() - began - bare_s)
        if not table.look().is_over:
            table.abandon("the round is over")
    bare.close()
    table.close()
    return statistics.median(differences) / STEPS_A_ROUND * 1e6


def figures(found: Mapping[str, Report], overhead: float) -> dict[str, Any]:
    """The results, by their agreed keys."""
    quests, chess, poles = (found[name].results for name in ("textworld", "pettingzoo", "gymnasium"))
    won = quests["endings"].get(f"{PLAYER}: won", 0)
    return {
        "textworld": {"games": quests["episodes"], "won": won, "steps_per_s": quests["world_steps_per_s"]},
        "pettingzoo": {"games": chess["episodes"], "finished": chess["finished"], "illegal": chess["illegal"]},
        "gymnasium": {"episodes": poles["episodes"], "steps_per_s": poles["world_steps_per_s"]},
        "overhead_us_per_step": round(overhead, 1),
    }


def rows_of(results: Mapping[str, Any], found: Mapping[str, Report], *, quick: bool) -> list[tuple[str, str, str]]:
    """The same for people."""
    quests, chess, poles = (found[name].results for name in ("textworld", "pettingzoo", "gymnasium"))
    fewer = f" (quick: {CHESS_GAMES_QUICK} of the {CHESS_GAMES} of a full run)" if quick else ""
    made = "with the time in which they are generated"
    return [
        ("TextWorld quests", f"{results['textworld']['won']} of {quests['episodes']}", "won, all played at once"),
        ("  steps a second", f"{quests['world_steps_per_s']:,.0f}", f"{quests['world_steps']:,} in all, {made}"),
        ("chess games", f"{chess['finished']} of {chess['episodes']}", f"played to their own end{fewer}"),
        ("  illegal moves", str(chess["illegal"]), f"of {chess['world_steps']:,}"),
        ("  moves a second", f"{chess['world_steps_per_s']:,.0f}", "the rules of chess included"),
        ("Gymnasium episodes", str(poles["episodes"]), f"of {CART_POLE}, {poles['world_steps']:,} steps"),
        ("  steps a second", f"{poles['world_steps_per_s']:,.0f}", "by agents, each step journalled"),
        ("adapter's overhead", f"{results['overhead_us_per_step']:.0f} µs", "a step, against the bare environment"),
    ]


def main() -> None:
    """Measure and print the table; ends with status 1 if a quest was lost, a game did not end or a move was illegal."""
    options = read_options("worlds", "Worlds that agents play in, on a Ray cluster.")
    overhead = overhead_us(ROUNDS_QUICK if options.quick else ROUNDS, options.seed)
    found = asyncio.run(play(options))
    results = figures(found, overhead)
    rows = rows_of(results, found, quick=options.quick)
    report("worlds", options, results, rows, ("gymnasium", "pettingzoo", "textworld", "chess", "ray"))
    quests, chess = results["textworld"], results["pettingzoo"]
    if quests["won"] < quests["games"] or chess["finished"] < chess["games"] or chess["illegal"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
