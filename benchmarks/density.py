"""Memory of one agent among many in a host, beside one Ray actor an agent.

Ours: agents with a context of 8,000 tokens of text each, ready to step, in one process with its journal and
archive.  The contexts are filled first, by interrupts that are committed and archived like any others; then a
fresh process opens the folder, and what is measured is what the residents add to it, journal, archive and
allocator included: in a process that had filled them, they would live in what that left behind.  There every
agent takes a step, so that the memory is that of agents which have lived, and rests for some seconds.

Theirs: a Ray actor that keeps the same texts in a list, started and measured in the same run.  Memory is USS,
what would be free if the process ended: shared libraries are counted nowhere, in their favour.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks._fleet import fill, interrupt, resident, unique_bytes
from benchmarks._ray_actors import NaiveActors
from benchmarks._report import Options, read_options, report
from benchmarks._texts import message
from pagefault.runtime.host.local import Local
from pagefault.runtime.values import AgentId

AIM = 500


async def fill_all(folder: Path, agents: int, seed: int) -> float:
    """Make agents and fill their contexts; returns the median of their tokens."""
    chance = random.Random(seed)
    async with Local(folder, frames=64) as fleet:
        refs = await fleet.spawn_many(resident(number) for number in range(agents))
        return statistics.median([await fill(fleet, ref.id, chance) for ref in refs])


async def hold_all(folder: Path, seed: int) -> dict[str, float]:
    """Give every agent of a folder a frame, and see what they take."""
    chance = random.Random(seed)
    async with Local(folder) as fleet:
        first, *names = await fleet.agents()
        await step_all(fleet, [first], chance)
        before = unique_bytes()
        for name in names:
            await fleet.host.frame(name)
        await fleet.idle()
        rested = unique_bytes()
        await step_all(fleet, names, chance)
        busy = unique_bytes()
        while not all(frame.is_relaxed for frame in fleet.host.frames.values()):  # noqa: ASYNC110 - it is time that passes
            await asyncio.sleep(0.1)
        lived = unique_bytes()
        estimate = statistics.mean(frame.size_bytes for frame in fleet.host.frames.values())
    return {
        "bytes_per_agent": (lived - before) / len(names),
        "bytes_before_a_step": (rested - before) / len(names),
        "bytes_just_after_a_step": (busy - before) / len(names),
        "estimated_bytes": estimate,
    }


def hold_all_now(folder: Path, seed: int) -> dict[str, float]:
    """The same for a process of its own, in which nothing has been freed yet that could be used again."""
    return asyncio.run(hold_all(folder, seed))


async def step_all(fleet: Local, names: list[AgentId], chance: random.Random) -> None:
    """Every agent takes a step, some at a time."""
    for start in range(0, len(names), 50):
        some = names[start : start + 50]
        answers = await asyncio.gather(*(fleet.answer(name, interrupt(message(chance))) for name in some))
        assert {answer.outcome for answer in answers} == {"yielded"}, answers
    await fleet.idle()


def measure(options: Options) -> dict[str, Any]:
    """Both sides in one run."""
    with tempfile.TemporaryDirectory(prefix="pagefault-density-") as folder:
        place = Path(folder) / "fleet"
        tokens = asyncio.run(fill_all(place, 120 if options.quick else 1000, options.seed))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            ours = fresh.submit(hold_all_now, place, options.seed).result()
    with NaiveActors() as actors:
        actors.start(2 if options.quick else 8)
        actors.fill(random.Random(options.seed), int(tokens))
        naive = statistics.mean(unique_bytes(pid) for pid in actors.pids())
    return {
        "bytes_per_agent": round(ours["bytes_per_agent"]),
        "naive_actor_bytes": round(naive),
        "ratio": round(naive / ours["bytes_per_agent"], 1),
        "agents_per_gib": round(2**30 / ours["bytes_per_agent"]),
        "bytes_before_a_step": round(ours["bytes_before_a_step"]),
        "bytes_just_after_a_step": round(ours["bytes_just_after_a_step"]),
        "estimated_bytes": round(ours["estimated_bytes"]),
        "tokens_p50": round(tokens),
    }


def main() -> None:
    """Measure both sides and print the table."""
    options = read_options("density", "Memory of an agent with 8k tokens of context, beside one Ray actor an agent.")
    results = measure(options)
    rows = [
        (
            "an agent",
            f"{results['bytes_per_agent']:,} B",
            f"{results['tokens_p50']:,} tokens each, some seconds after a step",
        ),
        (
            "just after a step",
            f"{results['bytes_just_after_a_step']:,} B",
            "with the messages that the model was shown",
        ),
        ("back from the journal", f"{results['bytes_before_a_step']:,} B", "the same, before its first step"),
        ("estimated", f"{results['estimated_bytes']:,} B", "by the host, to keep to frames_bytes"),
        ("a Ray actor", f"{results['naive_actor_bytes']:,} B", "with the same tokens in a list"),
        ("ratio", f"{results['ratio']:,}", f"Ray actor over agent (aim: {AIM})"),
        ("density", f"{results['agents_per_gib']:,}", "agents a GiB"),
    ]
    report("density", options, results, rows, ("ray", "qdrant-edge-py"))


if __name__ == "__main__":
    main()
