"""From an interrupt to the first step of a hibernated agent, beside starting a Ray actor.

Ours: agents with a context of 8,000 tokens sleep in the journal; one after the other is spoken to.  Measured is
from handing the interrupt to the host until the model is called with the whole context: reading snapshot and tail,
rebuilding the agent, committing nothing less than usual.  The agents slept for real: a fresh opening of the folder,
and one frame, so that each leaves before the next comes.

Theirs: asking for a Ray actor until its first answer, with nothing to read back.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._fleet import fill, interrupt, resident
from benchmarks._ray_actors import NaiveActors
from benchmarks._report import Options, read_options, report
from benchmarks._texts import message
from pagefault.runtime.host.collector import tune_collector
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, mind, say
from pagefault.runtime.values import AgentId, ModelRequest

AIM = 200
STEPPED: list[float] = []


@mind("benchmark-stepper")
def step_now(_: ModelRequest) -> Reply:
    """Notes the moment at which it was asked."""
    STEPPED.append(time.perf_counter())
    return say("I am awake.")


async def measure_ours(folder: Path, agents: int, rounds: int, seed: int) -> dict[str, Any]:
    """Fill contexts, let all sleep, wake them one by one."""
    chance = random.Random(seed)
    async with Local(folder, frames=16) as fleet:
        refs = await fleet.spawn_many(resident(number, "scripted:benchmark-stepper") for number in range(agents))
        tokens = [await fill(fleet, ref.id, chance) for ref in refs]
    wakes: list[float] = []
    answers: list[float] = []
    async with Local(folder) as fleet:
        await wake(fleet, refs[0].id, chance)  # what a process does once is not an agent's waking
        tune_collector()  # as every process of ours does
        for _ in range(rounds):
            for ref in refs[1:]:
                woke, answered = await wake(fleet, ref.id, chance)
                wakes.append(woke)
                answers.append(answered)
    return {
        "wake_ms_p50": statistics.median(wakes),
        "wake_ms_p99": statistics.quantiles(wakes, n=100)[98],
        "answer_ms_p50": statistics.median(answers),
        "tokens_p50": statistics.median(tokens),
        "wakes": len(wakes),
    }


async def wake(fleet: Local, agent: AgentId, chance: random.Random) -> tuple[float, float]:
    """Milliseconds until the first step, and until the answer, of an agent that sleeps; then it sleeps again."""
    assert agent not in fleet.host.frames, "it was awake"
    said = interrupt(message(chance))
    STEPPED.clear()
    began = time.perf_counter()
    answer = await fleet.answer(agent, said)
    ended = time.perf_counter()
    assert answer.text == "I am awake.", answer
    await fleet.idle()
    await fleet.host.hibernate([agent])
    return (STEPPED[0] - began) * 1e3, (ended - began) * 1e3


def measure(options: Options) -> dict[str, Any]:
    """Both sides in one run."""
    agents, rounds, starts = (60, 3, 8) if options.quick else (200, 10, 30)
    with tempfile.TemporaryDirectory(prefix="pagefault-activation-") as folder:
        ours = asyncio.run(measure_ours(Path(folder), agents, rounds, options.seed))
    with NaiveActors() as actors:
        actors.start(1)  # the first brings up what all share
        theirs = statistics.median(actors.start(starts)) * 1e3
    return {
        "wake_ms_p50": round(ours["wake_ms_p50"], 2),
        "wake_ms_p99": round(ours["wake_ms_p99"], 2),
        "actor_start_ms_p50": round(theirs, 1),
        "ratio": round(theirs / ours["wake_ms_p50"], 1),
        "answer_ms_p50": round(ours["answer_ms_p50"], 2),
        "tokens_p50": int(ours["tokens_p50"]),
        "wakes": ours["wakes"],
    }


def main() -> None:
    """Measure both sides and print the table."""
    options = read_options("activation", "From an interrupt to a sleeper's first step, beside starting a Ray actor.")
    results = measure(options)
    rows = [
        ("wake p50", f"{results['wake_ms_p50']:.2f} ms", f"{results['tokens_p50']:,} tokens of context each"),
        ("wake p99", f"{results['wake_ms_p99']:.2f} ms", f"over {results['wakes']:,} wakes"),
        ("answer p50", f"{results['answer_ms_p50']:.2f} ms", "until it has spoken: its step is in the journal"),
        ("Ray actor p50", f"{results['actor_start_ms_p50']:.0f} ms", "until its first answer"),
        ("ratio", f"{results['ratio']:.0f}", f"Ray actor over waking (aim: {AIM})"),
    ]
    report("activation", options, results, rows, ("ray", "qdrant-edge-py"))


if __name__ == "__main__":
    main()
