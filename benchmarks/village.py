"""A town of thousands over a week: how fast it is lived, how well it remembers, and what not waiting is worth.

The town is lived twice from one seed, in virtual time, and must come to the same hash of all that was heard, met,
planned and answered.  Then a smaller one whose minds take their time to think (log-normal, half of all replies within
1.5 s, as model servers do) is lived in lock-step and out of order: the ratio of the town's own hours is the speedup.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks._report import Options, read_options, report
from pagefault.cluster.console.show import RunProgress
from pagefault.cluster.worlds.town import Town, TownSettings
from pagefault.cluster.worlds.town_mind import townsman
from pagefault.runtime.host.collector import tune_collector
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.models.scripted import Reply, mind
from pagefault.runtime.values import ModelRequest

THINKING_S_MEDIAN = 1.5
THINKING_SIGMA = 0.6
TEMPLATE: dict[str, Any] = {
    "functions": ("send_message", "archival_memory_insert", "archival_memory_search", "conversation_search"),
    "context_tokens": 2048,
    "reply_tokens": 256,
    "policy": "lru",
    "write_back": "archive",
    "search_results": 5,
}
FRAMES = 1_000
"""Agents in memory at one time; the others sleep."""


@mind("benchmark-thinker")
async def thinker(request: ModelRequest) -> Reply:
    """The same mind, which takes its time; how long follows from what it thinks about."""
    about = f"{request.agent}/{request.messages[-1].text}/{len(request.messages)}"
    chance = random.Random(zlib.crc32(about.encode()))
    await asyncio.sleep(THINKING_S_MEDIAN * chance.lognormvariate(0, THINKING_SIGMA))
    return townsman(request)


def live(settings: TownSettings, model: str) -> tuple[dict[str, Any], float]:
    """Live a town in virtual time; returns its results, and the seconds that it really took."""
    clock = VirtualClock(settings.seed)

    async def lived(folder: str) -> dict[str, Any]:
        town = Town(settings)
        async with Local(Path(folder), clock=clock, durability="async", frames=FRAMES) as fleet:
            refs = await fleet.spawn_many(town.agents({**TEMPLATE, "model": model}))
            with RunProgress(Console(stderr=True)) as progress:
                return dict((await town.run(fleet, refs, progress)).results)

    with tempfile.TemporaryDirectory(prefix="pagefault-village-") as folder:
        began = time.perf_counter()
        return clock.run(lived(folder)), time.perf_counter() - began


def measure(seed: int, agents: int, thinkers: int, days: int) -> dict[str, Any]:
    """The town twice, and the smaller one in both paces."""
    mind_name = "scripted:pagefault.cluster.worlds.town_mind:townsman"
    first, first_s = live(TownSettings(agents=agents, days=days, seed=seed), mind_name)
    second, _ = live(TownSettings(agents=agents, days=days, seed=seed), mind_name)
    paces = {
        pace: live(
            TownSettings(agents=thinkers, days=days, seed=seed, pace=pace, at_once=thinkers),
            "scripted:benchmark-thinker",
        )[0]
        for pace in ("lockstep", "causal")
    }
    return {
        "agents": agents,
        "days": days,
        "steps": first["steps"],
        "steps_per_s": round(first["steps"] / first_s, 1),
        "recall_accuracy": first["recall_accuracy"],
        "staleness": first["staleness"],
        "contradiction": first["contradiction"],
        "spread": first["spread"],
        "friends_right": first["friends_right"],
        "plans_right": first["plans_right"],
        "faults_per_step": first["faults_per_step"],
        "world_hash": first["world_hash"],
        "is_same_twice": first["world_hash"] == second["world_hash"],
        "is_same_in_both_paces": paces["lockstep"]["world_hash"] == paces["causal"]["world_hash"],
        "lockstep_agents": thinkers,
        "lockstep_hours": round(paces["lockstep"]["lived_s"] / 3600, 3),
        "causal_hours": round(paces["causal"]["lived_s"] / 3600, 3),
        "lockstep_speedup": round(paces["lockstep"]["lived_s"] / paces["causal"]["lived_s"], 2),
        "overflows": first["overflows"],
        "failed_chains": first["failed_chains"],
    }


def run(options: Options) -> dict[str, Any]:
    """The size that the options ask for."""
    if options.quick:
        return measure(options.seed, agents=150, thinkers=75, days=7)
    return measure(options.seed, agents=5_000, thinkers=500, days=7)


def main() -> None:
    """Measure and print the table; ends with status 1 if two lives of one seed were not the same."""
    options = read_options("village", "A simulated week of a town of agents, scored exactly.")
    tune_collector()
    found = run(options)
    spread = found["spread"]
    rows = [
        ("people", f"{found['agents']:,}", f"{found['days']} days, {found['steps']:,} steps"),
        ("steps a second", f"{found['steps_per_s']:,}", "of real time, in one process"),
        ("recalled right", f"{found['recall_accuracy']:.1%}", f"stale {found['staleness']:.1%}"),
        ("contradictions", f"{found['contradiction']:.1%}", "the same question in other words"),
        ("spread", f"{spread['heard']:,} of {spread['ideal']:,}", "of the news that would spread if nobody forgot"),
        ("faults a step", f"{found['faults_per_step']}", "pages that were needed and not in the context"),
        (
            "speedup over lock-step",
            f"{found['lockstep_speedup']}",
            f"{found['lockstep_agents']:,} who take time to think",
        ),
        ("same seed, same world", str(found["is_same_twice"]), found["world_hash"][:16]),
        ("same in both paces", str(found["is_same_in_both_paces"]), ""),
    ]
    report("village", options, found, rows, ("qdrant-edge-py", "wordllama"))
    if not found["is_same_twice"] or not found["is_same_in_both_paces"] or found["failed_chains"] or found["overflows"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
