"""What it costs that nothing acknowledged is lost: the three durabilities side by side.

``sync`` survives a power cut, ``async`` every process (a power cut may take the last 100 ms), ``exit`` is written
when the fleet stops.  Each round opens a fleet of each kind in turn, so that the machine's moods meet all alike.

Interrupts: how many are acknowledged a second, for agents that hold them back.  Steps: how many model calls of no
latency agents take a second, each with its records, its pages and its answer.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._report import Options, read_options, report
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, mind, say
from pagefault.runtime.store.sqlite_file import DURABILITY
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

AGENTS = 64
BODY = "x" * 300
IN_FLIGHT = 512


@mind("benchmark-durable")
def answer(_: ModelRequest) -> Reply:
    """Answers at once."""
    return say("noted")


def interrupt(key: str, priority: Priority, text: str = BODY, mask: tuple[Priority, ...] = ()) -> Interrupt:
    """A message, or a mask where one is given."""
    kind = InterruptKind.MASK if mask else InterruptKind.MESSAGE
    return Interrupt(InterruptId(key), kind, priority, "bench", text, mask=mask)


async def many(fleet: Local, agents: list[AgentId], messages: list[Interrupt], *, to_end: bool) -> float:
    """Messages a second, until they are acknowledged or (``to_end``) their chains have ended."""
    waiting = iter(enumerate(messages))

    async def sender() -> None:
        for place, message in waiting:
            agent = agents[place % len(agents)]
            if to_end:
                ended = await fleet.answer(agent, message)
                assert ended.text == "noted", ended
            else:
                await fleet.send(agent, message)

    began = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))
    return len(messages) / (time.perf_counter() - began)


async def measure_one(folder: Path, durability: str, interrupts: int, steps: int) -> tuple[float, float]:
    """Interrupts and steps a second of one fleet."""
    async with Local(folder, durability=durability, embedder="hash") as fleet:
        made = [
            Agent(f"agent-{number}", model="scripted:benchmark-durable", functions=("send_message",), mailbox_max=10**6)
            for number in range(2 * AGENTS)
        ]
        names = [ref.id for ref in await fleet.spawn_many(made)]
        listeners, speakers = names[:AGENTS], names[AGENTS:]
        for name in listeners:
            await fleet.send(name, interrupt(f"mask-{name}", Priority.OPERATOR, "", (Priority.BACKGROUND,)))
        await many(fleet, speakers, [interrupt(f"warm-{n}", Priority.USER) for n in range(AGENTS)], to_end=True)
        held = [interrupt(f"i-{number}", Priority.BACKGROUND) for number in range(interrupts)]
        acked_per_s = await many(fleet, listeners, held, to_end=False)
        asked = [interrupt(f"s-{number}", Priority.USER, "What now?") for number in range(steps)]
        return acked_per_s, await many(fleet, speakers, asked, to_end=True)


def measure(options: Options) -> dict[str, Any]:
    """Medians over rounds, and each as a share of what ``exit`` reaches."""
    rounds, interrupts, steps = (3, 4_000, 1_500) if options.quick else (7, 20_000, 6_000)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in DURABILITY}
    for _ in range(rounds):
        for name, measured in found.items():
            with tempfile.TemporaryDirectory(prefix="pagefault-durability-") as folder:
                measured.append(asyncio.run(measure_one(Path(folder), name, interrupts, steps)))
    medians = {name: [statistics.median(column) for column in zip(*each, strict=True)] for name, each in found.items()}
    free_interrupts, free_steps = medians["exit"]
    return {
        name: {
            "interrupts_per_s": round(acked, 1),
            "steps_per_s": round(stepped, 1),
            "interrupts_share": round(acked / free_interrupts, 3),
            "steps_share": round(stepped / free_steps, 3),
        }
        for name, (acked, stepped) in medians.items()
    }


LOSES = {
    "sync": "loses nothing that was acknowledged",
    "async": "a power cut may take the last 100 ms",
    "exit": "loses what was done since it was opened",
}


def main() -> None:
    """Measure all and print the table."""
    options = read_options("durability_cost", "Throughput of the three durabilities side by side.")
    results = measure(options)
    rows = []
    for name in ("exit", "async", "sync"):
        each = results[name]
        interrupts = f"{each['interrupts_per_s']:,.0f} interrupts/s, {each['steps_per_s']:,.0f} steps/s"
        shares = f"{each['interrupts_share']:.0%} and {each['steps_share']:.0%} of exit"
        rows.append((name, interrupts, f"{shares}; {LOSES[name]}"))
    report("durability_cost", options, results, rows, ("qdrant-edge-py",))


if __name__ == "__main__":
    main()
