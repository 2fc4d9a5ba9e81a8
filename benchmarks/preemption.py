"""How long an operator waits: on agents that are idle, and on agents that are flooded with background work.

A flooded agent has a model call in flight (200 ms) and hundreds of background interrupts queued.  An operator's
interrupt preempts between two steps, so it waits for the call in flight at most; the chain that was put aside
must go on with its results afterwards.  Agents live in a host of their own process, on Ray; the driver asks.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from benchmarks._report import Options, read_options, report
from pagefault.cluster.api import Cluster
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.host.records import Step
from pagefault.runtime.models.scripted import Reply, call, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

QUEUED = 10_000
AGENTS = 50
LATENCY_MS = 200
SETTLE_S = 60.0
ANSWER = "operator here"


def worker(request: ModelRequest) -> Reply:
    """Background work takes two steps: write something down, then tell what became of it."""
    view = View(request)
    if view.result is not None:
        return say(f"done: {view.result.text}")
    text = view.incoming.text if view.incoming is not None else ""
    if text.startswith("work"):
        return call("archival_memory_insert", True, content=text)
    return say(ANSWER)


def interrupt(name: str, priority: Priority, text: str) -> Interrupt:
    """A message of that priority."""
    return Interrupt(InterruptId(name), InterruptKind.MESSAGE, priority, "bench", text)


async def ask_all(
    agents: Sequence[AgentRef], fleet: Cluster, chance: random.Random, count: int, tag: str
) -> list[float]:
    """Operators ask agents picked at random, ten at a time; milliseconds each waited."""
    waited: list[float] = []
    gate = asyncio.Semaphore(10)

    async def one(number: int) -> None:
        async with gate:
            agent = chance.choice(agents)
            began = time.perf_counter()
            answer = await fleet.answer(agent.id, interrupt(f"{tag}-{number}", Priority.OPERATOR, "hello"))
            waited.append(1000 * (time.perf_counter() - began))
            assert ANSWER in answer.text, answer

    await asyncio.gather(*(one(number) for number in range(count)))
    return waited


class Watch:
    """Which chains were put aside, which went on, and how each ended."""

    def __init__(self) -> None:
        self.put_aside: dict[str, Counter[str]] = {}
        self.outcomes: dict[str, str] = {}
        self._ended = asyncio.Event()

    async def follow(self, steps: AsyncIterator[Step]) -> None:
        """Take down what happens, until cancelled."""
        async for step in steps:
            if step.kind in ("chain_preempted", "chain_resumed"):
                self.put_aside.setdefault(step.cause, Counter())[step.kind] += 1
            elif step.kind == "ended":
                self.outcomes[step.cause] = step.text
                self._ended.set()

    async def settled(self) -> None:
        """Return when every chain that was put aside has ended."""
        while not self.put_aside.keys() <= self.outcomes.keys():
            self._ended.clear()
            await self._ended.wait()

    @property
    def resumed(self) -> int:
        """Chains that went on and ended as they should."""
        rows = self.put_aside.items()
        return sum(counts["chain_resumed"] > 0 and self.outcomes.get(cause) == "yielded" for cause, counts in rows)


async def measure(options: Options) -> dict[str, Any]:
    """Idle first, then flooded, on the same agents."""
    chance = random.Random(options.seed)
    asks = 150 if options.quick else 600
    made = [
        Agent(
            f"agent-{number}",
            model="scripted:benchmarks.preemption:worker",
            model_options={"latency_ms": LATENCY_MS},
            functions=("send_message", "archival_memory_insert"),
            mailbox_max=QUEUED,
        )
        for number in range(AGENTS)
    ]
    watch = Watch()
    async with Cluster(hosts=1, embedder="hash", placement="packed") as fleet:
        agents = await fleet.spawn_many(made)
        await asyncio.gather(*(fleet.answer(ref.id, interrupt(f"w-{ref.id}", Priority.USER, "hi")) for ref in agents))
        idle = await ask_all(agents, fleet, chance, asks, "idle")
        watching = asyncio.create_task(watch.follow(fleet.stream()))
        work = [
            fleet.send(agents[number % AGENTS].id, interrupt(f"b-{number}", Priority.BACKGROUND, f"work {number}"))
            for number in range(QUEUED)
        ]
        await asyncio.gather(*work)
        flooded = await ask_all(agents, fleet, chance, asks, "flooded")
        with suppress(TimeoutError):
            await asyncio.wait_for(watch.settled(), SETTLE_S)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return {
        "operator_ms_p50_idle": round(statistics.median(idle), 1),
        "operator_ms_p99_idle": round(statistics.quantiles(idle, n=100)[98], 1),
        "operator_ms_p50_flooded": round(statistics.median(flooded), 1),
        "operator_ms_p99_flooded": round(statistics.quantiles(flooded, n=100)[98], 1),
        "resumed_ok": watch.resumed,
        "chains": len(watch.put_aside),
        "queued": QUEUED,
        "agents": AGENTS,
    }


def main() -> None:
    """Measure both and print the table."""
    options = read_options("preemption", "How long an operator waits on idle and on flooded agents.")
    results = asyncio.run(measure(options))
    bound = 2 * results["operator_ms_p99_idle"] + 50
    rows = [
        ("operator p99, idle", f"{results['operator_ms_p99_idle']:,.0f} ms", f"a model call takes {LATENCY_MS} ms"),
        ("operator p99, flooded", f"{results['operator_ms_p99_flooded']:,.0f} ms", f"aim: at most {bound:,.0f}"),
        (
            "operator p50",
            f"{results['operator_ms_p50_idle']:,.0f} and {results['operator_ms_p50_flooded']:,.0f} ms",
            "",
        ),
        ("queued", f"{QUEUED:,}", f"background interrupts, over {AGENTS} agents"),
        ("put aside", f"{results['chains']:,}", "chains that an operator preempted"),
        ("resumed", f"{results['resumed_ok']:,}", "of them went on and ended with their results"),
    ]
    report("preemption", options, results, rows, ("ray",))


if __name__ == "__main__":
    main()
