"""Many agents on one machine: all registered, some resident at a time, every one answering.

A fleet of each size of the curve is made anew: its agents are registered, then all are spoken to, many at once.
Who is not resident is activated, takes its step (journal ``sync``, archive), answers, and is hibernated when
its frame is wanted.  Then a share of them is spoken to a second time and must remember, coming back from the
journal.  If the cost of an agent grew with their number, the curve would show it: seconds an agent, and memory
beyond the frames.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._fleet import interrupt, resident
from benchmarks._report import Options, read_number, read_options, report
from benchmarks._texts import message
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.memory import resident_bytes
from pagefault.runtime.models.scripted import Reply, mind, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import AgentId, ModelRequest

FULL_AGENTS = 100_000
QUICK_AGENTS = 5_000
FRAMES_SHARE = 10
"""One frame for so many agents."""
AT_ONCE = 256
"""Agents that are spoken to at the same time."""
SECOND_SHARE = 10
"""One agent in so many is spoken to a second time."""


@mind("benchmark-citizen")
def citizen(request: ModelRequest) -> Reply:
    """Says how many messages it has heard, which it can only know if it remembers."""
    heard = sum(" user] " in part.text for part in request.messages if part.role == "user")
    incoming = View(request).incoming
    return say(f"{heard}: {incoming.text if incoming is not None else ''}")


async def ask_all(fleet: Local, agents: Sequence[AgentId], chance: random.Random, heard: int) -> int:
    """Speak to agents, many at once; returns how many answered as they should."""
    waiting = iter(agents)
    answered = 0

    async def visitor() -> None:
        nonlocal answered
        for agent in waiting:
            text = message(chance)
            answer = await fleet.answer(agent, interrupt(text))
            assert answer.text == f"{heard}: {text}", answer
            answered += 1

    await asyncio.gather(*(visitor() for _ in range(AT_ONCE)))
    return answered


async def live(agents: int, seed: int) -> dict[str, Any]:
    """One fleet of so many agents."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="pagefault-swarm-") as folder:
        began = time.perf_counter()
        async with Local(Path(folder), frames=agents // FRAMES_SHARE) as fleet:
            refs = await fleet.spawn_many(resident(number, "scripted:benchmark-citizen") for number in range(agents))
            names = [ref.id for ref in refs]
            registered = len(await fleet.agents())
            made = time.perf_counter()
            chance.shuffle(names)
            answered = await ask_all(fleet, names, chance, heard=1)
            again = await ask_all(fleet, names[: agents // SECOND_SHARE], chance, heard=2)
            ended = time.perf_counter()
            residency = fleet.host.residency
            return {
                "registered": registered,
                "resident_max": residency.resident_max,
                "answered": answered,
                "steps": answered + again,
                "hibernations": residency.hibernations,
                "steps_per_s": round((answered + again) / (ended - made), 1),
                "register_us": round((made - began) / agents * 1e6, 1),
                "ms_per_agent": round((ended - made) / agents * 1e3, 3),
                "rss_gib": round(resident_bytes() / 2**30, 3),
                "seconds": round(ended - began, 1),
            }


def sizes(agents: int) -> list[int]:
    """The sizes of the curve: a hundredth, a tenth and the whole, none so small that it says nothing."""
    return sorted({max(500, agents // 100), max(500, agents // 10), agents})


def measure(options: Options, agents: int) -> dict[str, Any]:
    """Every size once; the largest is the result."""
    curve = [asyncio.run(live(size, options.seed)) for size in sizes(agents)]
    return {**curve[-1], "curve": curve}


def main() -> None:
    """Measure the curve and print the table."""
    agents = read_number("--agents", 1000)
    options = read_options("swarm", "Many agents on one machine, every one answering; --agents N for another number.")
    results = measure(options, agents or (QUICK_AGENTS if options.quick else FULL_AGENTS))
    rows = [
        ("registered", f"{results['registered']:,}", f"{results['register_us']:.0f} µs each"),
        ("resident", f"{results['resident_max']:,}", "at most, at a time"),
        (
            "answered",
            f"{results['answered']:,}",
            f"{results['steps']:,} steps; {results['hibernations']:,} hibernations",
        ),
        ("steps a second", f"{results['steps_per_s']:,}", "by the clock, waking and sleeping included"),
        ("memory", f"{results['rss_gib']:.2f} GiB", "resident set of the process, stores included"),
    ]
    rows += [
        (f"{each['registered']:,} agents", f"{each['ms_per_agent']:.2f} ms", f"an agent; {each['rss_gib']:.2f} GiB")
        for each in results["curve"]
    ]
    report("swarm", options, results, rows, ("qdrant-edge-py",))


if __name__ == "__main__":
    main()
