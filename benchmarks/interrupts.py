"""Acknowledged interrupts between processes, beside one Ray actor call each.

Ours: a driver sends interrupts of 300 bytes to agents in hosts of other processes; each is acknowledged when its
acceptance is in the journal (``sync``: it survives a power cut).  Routers send them in batches, journals commit in
groups.  The agents hold background work back (a mask), so that what is measured is the way to the
mailbox and not what a mind makes of it.

Ray's: the same bodies to an actor that stores nothing, a call each; all at once (what ``ratio`` is taken with),
and, for information, one after the other.

AutoGen core's: the same bodies through its runtime, in one process, nothing stored; ``null`` without the environment
of its own that it needs (``.venv-autogen``, which ``make bench`` makes, or the interpreter that
``PAGEFAULT_AUTOGEN_PYTHON`` names): its package and Ray's pin different majors of protobuf.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import ray

from benchmarks._report import Options, read_options, report
from pagefault.cluster.api import Cluster
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, Priority

AGENTS = 100
BODY = "x" * 300
IN_FLIGHT = 4_000
"""Interrupts that wait for their acknowledgement at once."""


class Sink:
    """An actor that takes a message and does nothing with it."""

    async def take(self, body: bytes) -> bool:
        """Acknowledge."""
        return bool(body)


async def ours(fleet: Cluster, agents: list[AgentRef], count: int, first: int) -> tuple[float, list[float]]:
    """Acknowledged a second, and how many milliseconds each took."""
    messages = [
        Interrupt(InterruptId(f"i{first + place}"), InterruptKind.MESSAGE, Priority.BACKGROUND, "bench", BODY)
        for place in range(count)
    ]
    gate = asyncio.Semaphore(IN_FLIGHT)
    taken: list[float] = []

    async def one(place: int) -> None:
        async with gate:
            began = time.perf_counter()
            await fleet.send(agents[place % AGENTS].id, messages[place])
            taken.append(1000 * (time.perf_counter() - began))

    began = time.perf_counter()
    await asyncio.gather(*(one(place) for place in range(count)))
    return count / (time.perf_counter() - began), taken


async def together(sink: Any, count: int) -> float:
    """Ray calls a second, all handed over at once."""
    body = BODY.encode()
    began = time.perf_counter()
    await asyncio.gather(*(sink.take.remote(body) for _ in range(count)))
    return count / (time.perf_counter() - began)


async def one_by_one(sink: Any, count: int) -> float:
    """Ray calls a second, each after the last has returned."""
    body = BODY.encode()
    began = time.perf_counter()
    for _ in range(count):
        await sink.take.remote(body)
    return count / (time.perf_counter() - began)


def autogen_python() -> Path | None:
    """The interpreter of an environment that has AutoGen core, if there is one."""
    named = os.environ.get("PAGEFAULT_AUTOGEN_PYTHON")
    python = Path(named) if named else Path(__file__).parents[1] / ".venv-autogen" / "bin" / "python"
    return python if python.exists() else None


def autogen(rounds: int, count: int) -> float | None:
    """AutoGen core's messages a second, from a process of its own; ``None`` without its environment."""
    python = autogen_python()
    if python is None:
        return None
    script = Path(__file__).with_name("autogen_side.py")
    command = [str(python), str(script), "--rounds", str(rounds), "--count", str(count)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return float(json.loads(ended.stdout)["per_s"])


async def measure(options: Options) -> dict[str, Any]:
    """Both sides in turns, on one Ray."""
    rounds, count = (3, 5_000) if options.quick else (8, 20_000)
    acked: list[float] = []
    calls: list[float] = []
    single: list[float] = []
    latency: list[float] = []
    async with Cluster(hosts=1, embedder="hash") as fleet:
        made = [Agent(f"agent-{number}", mailbox_max=rounds * count) for number in range(AGENTS)]
        agents = await fleet.spawn_many(made)
        hold = (Priority.BACKGROUND,)
        for ref in agents:
            name = InterruptId(f"mask-{ref.id}")
            await ref.send(Interrupt(name, InterruptKind.MASK, Priority.OPERATOR, "bench", mask=hold))
        sink: Any = ray.remote(Sink).options(num_cpus=0, max_concurrency=1000).remote()
        await sink.take.remote(b"warm")
        for place in range(rounds):
            rate, taken = await ours(fleet, agents, count, place * count)
            acked.append(rate)
            latency += taken
            calls.append(await together(sink, count // 4))
            single.append(await one_by_one(sink, count // 20))
        theirs = await asyncio.to_thread(autogen, rounds, count // 2)
    rate, call = statistics.median(acked), statistics.median(calls)
    cuts = statistics.quantiles(latency, n=100)
    return {
        "acked_per_s": round(rate, 1),
        "ray_call_per_s": round(call, 1),
        "ray_call_one_by_one_per_s": round(statistics.median(single), 1),
        "autogen_per_s": theirs,
        "ratio": round(rate / call, 2),
        "ratio_one_by_one": round(rate / statistics.median(single), 2),
        "latency_ms_p50": round(cuts[49], 1),
        "latency_ms_p99": round(cuts[98], 1),
    }


def main() -> None:
    """Measure both sides in turns and print the table."""
    options = read_options("interrupts", "Acknowledged interrupts a second, beside one Ray call each.")
    results = asyncio.run(measure(options))
    rows = [
        ("acknowledged", f"{results['acked_per_s']:,.0f} /s", "interrupts, each in the journal (sync)"),
        ("Ray calls", f"{results['ray_call_per_s']:,.0f} /s", "all at once, nothing stored"),
        ("Ray calls, one by one", f"{results['ray_call_one_by_one_per_s']:,.0f} /s", ""),
        (
            "AutoGen core",
            "not installed" if results["autogen_per_s"] is None else f"{results['autogen_per_s']:,.0f} /s",
            "messages in one process, nothing stored",
        ),
        ("ratio", f"{results['ratio']:.1f}", "to Ray calls all at once (aim: 7)"),
        ("ratio, one by one", f"{results['ratio_one_by_one']:.1f}", ""),
        (
            "latency p50, p99",
            f"{results['latency_ms_p50']:,.0f} and {results['latency_ms_p99']:,.0f} ms",
            f"with {IN_FLIGHT:,} in flight",
        ),
    ]
    report("interrupts", options, results, rows, ("ray",))


if __name__ == "__main__":
    main()
