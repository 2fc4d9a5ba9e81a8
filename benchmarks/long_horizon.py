"""A very long life: does a step cost more, memory grow, or the past fade?

One agent takes 100,000 steps (``--quick``: 10,000) with a context of 4,096 tokens that is flushed over and over.  At
the very beginning it files facts; all the rest is talk about other things.  Measured are the processor time of a step
among the first and the last thousand, what resident memory grows by a step (from a tenth of the way on, when caches are
full), what journal and archive take on disk at half and at the end, and whether the old facts are still found by the
agent's own search, through the mind that has to answer from what it finds.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._report import Options, read_options, report
from benchmarks._texts import message
from pagefault.runtime.host.collector import tune_collector
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.memory import resident_bytes
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

FULL_STEPS = 100_000
QUICK_STEPS = 10_000
WINDOW = 1_000
AT_ONCE = 20
FACTS = 40
AGENT = AgentId("elder")
PLACES = "pier mill bakery chapel quarry orchard forge ferry".split()
THINGS = "lantern ladder kettle barrel".split()
AIM = 1.2


@mind("benchmark-elder")
def elder(request: ModelRequest) -> Reply:
    """Files what it is told to remember, looks up what it is asked, and lets all else pass."""
    view = View(request)
    if view.result is not None:
        hits = view.hits().lines
        return say(hits[0].text if hits else "I do not know")
    text = view.incoming.text if view.incoming is not None else ""
    if text.startswith("Remember: "):
        return call("archival_memory_insert", content=text.removeprefix("Remember: "))
    if text.startswith("Where"):
        return call("archival_memory_search", True, query=text)
    return nothing()


def fact(number: int) -> tuple[str, str, str]:
    """What is said, what is asked about it, and the word that answers."""
    place, thing = PLACES[number % len(PLACES)], THINGS[number // len(PLACES) % len(THINGS)]
    shelf = f"shelf-{100 + number}"
    return (
        f"The {place}'s spare {thing} number {number} is kept on {shelf}.",
        f"Where is the {place}'s spare {thing} number {number} kept?",
        shelf,
    )


def interrupt(key: str, text: str) -> Interrupt:
    """A user's message."""
    return Interrupt(InterruptId(key), InterruptKind.MESSAGE, Priority.USER, "user", text)


async def tell(fleet: Local, keys: list[str], texts: list[str]) -> float:
    """Processor microseconds a message."""
    began = time.process_time()
    for first in range(0, len(keys), AT_ONCE):
        batch = zip(keys[first : first + AT_ONCE], texts[first : first + AT_ONCE], strict=True)
        await asyncio.gather(*(fleet.answer(AGENT, interrupt(key, text)) for key, text in batch))
    return (time.process_time() - began) / len(keys) * 1e6


def anonymous_bytes() -> int:
    """Memory that is no file's: the engine maps its files, whose pages count as resident and can be dropped."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def disk_bytes(folder: Path) -> int:
    """What the fleet's files take."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


async def live(folder: Path, steps: int, seed: int) -> dict[str, Any]:
    """The whole life, and the questions at its end."""
    chance = random.Random(seed)
    template: dict[str, Any] = {
        "model": "scripted:benchmark-elder",
        "functions": ("send_message", "archival_memory_insert", "archival_memory_search"),
        "context_tokens": 4096,
        "policy": "lru",
    }
    async with Local(folder, embedder="hash", durability="async") as fleet:
        await fleet.spawn(Agent(AGENT, **template))
        await tell(fleet, [f"f{n}" for n in range(FACTS)], [f"Remember: {fact(n)[0]}" for n in range(FACTS)])
        tune_collector()
        costs: list[float] = []
        sizes: list[tuple[int, int, int, int, int]] = []
        for first in range(0, steps, WINDOW):
            keys = [f"m{number}" for number in range(first, first + WINDOW)]
            costs.append(await tell(fleet, keys, [message(chance) for _ in keys]))
            await fleet.host.committer.settled()
            gc.collect()
            blocks = sys.getallocatedblocks()
            sizes.append((first + WINDOW, resident_bytes(), disk_bytes(folder), anonymous_bytes(), blocks))
        found = 0
        for number in range(FACTS):
            _, question, answer = fact(number)
            found += answer in await fleet.ask(AGENT, interrupt(f"q{number}", question))
        taken = (await fleet.inspect(AGENT)).statistics["steps"]
    early, late = sizes[len(sizes) // 10], sizes[-1]
    half = sizes[len(sizes) // 2 - 1]
    return {
        "steps": taken,
        "step_us_first_1k": round(costs[0], 1),
        "step_us_last_1k": round(costs[-1], 1),
        "ratio": round(costs[-1] / costs[0], 3),
        "rss_growth_bytes_per_step": round((late[1] - early[1]) / (late[0] - early[0]), 1),
        "anonymous_growth_bytes_per_step": round((late[3] - early[3]) / (late[0] - early[0]), 1),
        "python_blocks_growth_per_step": round((late[4] - early[4]) / (late[0] - early[0]), 3),
        "recall_old": round(found / FACTS, 3),
        "rss_mib": round(late[1] / 2**20, 1),
        "disk_mib_half": round(half[2] / 2**20, 1),
        "disk_mib": round(late[2] / 2**20, 1),
    }


def measure(options: Options) -> dict[str, Any]:
    """One life."""
    with tempfile.TemporaryDirectory(prefix="pagefault-horizon-") as folder:
        return asyncio.run(live(Path(folder), QUICK_STEPS if options.quick else FULL_STEPS, options.seed))


def main() -> None:
    """Measure and print the table."""
    options = read_options("long_horizon", "One agent of 100,000 steps: what a step costs, first and last.")
    results = measure(options)
    rows = [
        ("steps", f"{results['steps']:,}", "of one agent"),
        ("first thousand", f"{results['step_us_first_1k']:,.0f} µs", "processor time a step, stores included"),
        ("last thousand", f"{results['step_us_last_1k']:,.0f} µs", f"{results['ratio']} of the first (aim: {AIM})"),
        (
            "memory",
            f"{results['rss_growth_bytes_per_step']} bytes",
            f"more a step; {results['rss_mib']} MiB at the end",
        ),
        ("without files", f"{results['anonymous_growth_bytes_per_step']} bytes", "more a step, but for files mapped"),
        (
            "in Python",
            f"{results['python_blocks_growth_per_step']} objects",
            "more a step; the rest is the engine's index",
        ),
        ("disk", f"{results['disk_mib']} MiB", f"journal and archive; {results['disk_mib_half']} at half"),
        ("old facts", f"{results['recall_old']:.0%}", "from the first steps, found at the end"),
    ]
    report("long_horizon", options, results, rows, ("qdrant-edge-py",))


if __name__ == "__main__":
    main()
