"""How long it takes to have any moment of a long life again.

One agent takes 10,000 steps (``--quick`` too: it is the length that matters), with a small context that is flushed over
and over.  Then moments of its past are rebuilt, each from the nearest snapshot that was kept and the records after it,
in a fresh process's state: nothing is cached between them.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._report import Options, read_options, report
from benchmarks._texts import message
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.history import open_history
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.thread_stores import ThreadStores
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

STEPS = 10_000
AT_ONCE = 50
AGENT = AgentId("elder")
AIM_MS = 1_000


async def live(folder: Path, steps: int, seed: int) -> None:
    """An agent that takes so many steps."""
    chance = random.Random(seed)
    template = {"model": "scripted:nothing", "functions": ("send_message",), "context_tokens": 4096, "policy": "lru"}
    async with Local(folder, embedder="hash", durability="async") as fleet:
        await fleet.spawn(Agent(AGENT, **template))
        for first in range(0, steps, AT_ONCE):
            keys = range(first, min(first + AT_ONCE, steps))
            await asyncio.gather(
                *(
                    fleet.answer(
                        AGENT,
                        Interrupt(
                            InterruptId(f"m{key}"), InterruptKind.MESSAGE, Priority.USER, "user", message(chance)
                        ),
                    )
                    for key in keys
                )
            )


async def look_back(folder: Path, steps: int, moments: int, seed: int) -> tuple[list[float], float, int]:
    """Milliseconds for each moment; seconds to live the whole life again, and how many snapshots were compared."""
    chance = random.Random(seed)
    workshop = Workshop(Registry(), BpeTokenCounter(), make_processor)
    stores = ThreadStores.open(folder, embedder="hash")
    taken_ms = []
    for step in (1, steps, *(chance.randint(1, steps) for _ in range(moments))):
        began = time.perf_counter()
        moment = await (await open_history(workshop, stores, AGENT)).at_step(step)
        taken_ms.append((time.perf_counter() - began) * 1e3)
        assert moment.steps == step
        assert moment.messages
    began = time.perf_counter()
    compared = await (await open_history(workshop, stores, AGENT)).verify()
    verified_s = time.perf_counter() - began
    await stores.close()
    return taken_ms, verified_s, compared


def measure(options: Options) -> dict[str, Any]:
    """Live, and look back."""
    with tempfile.TemporaryDirectory(prefix="pagefault-replay-") as folder:
        asyncio.run(live(Path(folder), STEPS, options.seed))
        taken_ms, verified_s, compared = asyncio.run(
            look_back(Path(folder), STEPS, 30 if options.quick else 200, options.seed)
        )
    return {
        "steps": STEPS,
        "moments": len(taken_ms),
        "replay_ms_p50": round(statistics.median(taken_ms), 1),
        "replay_ms_max": round(max(taken_ms), 1),
        "verify_s": round(verified_s, 2),
        "snapshots_compared": compared,
    }


def main() -> None:
    """Measure and print the table."""
    options = read_options("replay", "Any moment of an agent of 10,000 steps again.")
    results = measure(options)
    rows = [
        ("steps", f"{results['steps']:,}", "of one agent"),
        ("a moment again, p50", f"{results['replay_ms_p50']:,} ms", f"of {results['moments']} moments"),
        ("a moment again, at most", f"{results['replay_ms_max']:,} ms", f"aim: {AIM_MS:,} ms"),
        ("the whole life again", f"{results['verify_s']} s", f"{results['snapshots_compared']} snapshots compared"),
    ]
    report("replay", options, results, rows, ())


if __name__ == "__main__":
    main()
