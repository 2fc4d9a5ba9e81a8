"""One model budget for a cluster, against a server with a hard limit of 600 requests a minute.

The server speaks real HTTP on this machine, and answers 429 to whatever is more than 600 in any 60 seconds
by its own clock.  The fleet is told the same limit and nothing else.  Its hosts are processes of their own on
Ray; each always has more background calls waiting than can be served, and users come at random all the
while, to agents of every host.

A fresh window lets a burst through, which would flatter the figures.  So ``utilisation`` counts only what came
after the first 5 seconds, over what the limit allows in that time.  ``--quick`` ends before a window is full:
there the server's window is filled beforehand, evenly, up to the burst that the fleet may begin with, as if it
had been running for a minute.  The limit is as near from the first second on as it ever comes.

The full run then does the same without a budget for a minute, to a server whose window is filled in the same
way: hosts find out by 429 and come back when they are told to, each call by itself.

A wait is the whole time from a message to the answer, less what the server takes for one.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks._report import Options, read_options, report
from pagefault.cluster.api import Cluster
from pagefault.runtime.host.config import Agent
from pagefault.runtime.models.budget.meter import BURST_SHARE
from pagefault.runtime.testing.fake_openai import Answer, Call, FakeOpenAI
from pagefault.runtime.testing.fake_openai_http import Exchange
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, Priority

PER_MINUTE = 600
HOSTS = 2
BACKGROUND_AGENTS = 60
USERS = 12
USERS_PER_S = 1.5
SERVER_MS = 100
SETTLING_S = 5.0
QUICK_S = 18.0
FULL_S = 240.0
WITHOUT_S = 60.0
MODEL = "openai:fake"


@dataclass(frozen=True, slots=True)
class Slow:
    """The answer of a model that takes its time."""

    async def perform(self, exchange: Exchange, usage: Mapping[str, int]) -> None:
        await asyncio.sleep(SERVER_MS / 1_000)
        said = Call("send_message", '{"message": "done", "request_heartbeat": false}')
        await Answer("", [said]).perform(exchange, usage)


@dataclass(slots=True)
class Load:
    """Messages to a fleet, and how long their answers took."""

    fleet: Cluster
    waits_ms: dict[Priority, list[float]] = field(default_factory=lambda: {Priority.USER: [], Priority.BACKGROUND: []})
    failed: int = 0
    sent: int = 0

    async def ask(self, agent: str, priority: Priority) -> None:
        """One message, and its answer."""
        self.sent += 1
        number = InterruptId(f"{agent}-{self.sent}")
        message = Interrupt(number, InterruptKind.MESSAGE, priority, "benchmark", "What is next?")
        begun_s = time.perf_counter()
        answer = await self.fleet.answer(agent, message)
        self.waits_ms[priority].append((time.perf_counter() - begun_s) * 1_000 - SERVER_MS)
        self.failed += answer.outcome != "yielded"

    async def background(self, agent: str) -> None:
        """An agent that always has something to do."""
        while True:
            await self.ask(agent, Priority.BACKGROUND)

    async def users(self, agents: list[str], chance: random.Random) -> None:
        """Users who come at random, as many as there are come each second on average."""
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(chance.expovariate(USERS_PER_S))
                group.create_task(self.ask(chance.choice(agents), Priority.USER))


async def measure(seed: int, seconds: float, *, is_budgeted: bool, is_filled: bool) -> dict[str, Any]:
    """Run the load, and count at the server."""
    with FakeOpenAI(respond=lambda _: Slow(), requests_per_window=PER_MINUTE) as server:
        endpoint = {"name": "limited", "models": ["fake"], "base_url": server.base_url}
        endpoints = [{**endpoint, "requests_per_minute": PER_MINUTE, "concurrency": 64}] if is_budgeted else []
        options = {"base_url": server.base_url}
        async with Cluster(hosts=HOSTS, embedder="hash", endpoints=endpoints) as fleet:
            background = [f"background-{number}" for number in range(BACKGROUND_AGENTS)]
            users = [f"user-{number}" for number in range(USERS)]
            await fleet.spawn_many([Agent(name, model=MODEL, model_options=options) for name in (*background, *users)])
            await asyncio.gather(*(fleet.inspect(name) for name in (*background, *users)))  # hosts are up, all are in
            if is_filled:
                server.fill_window(round(PER_MINUTE * (1 - BURST_SHARE)))
            load = Load(fleet)
            begun_s = time.monotonic()
            tasks = [asyncio.create_task(load.background(name)) for name in background]
            tasks.append(asyncio.create_task(load.users(users, random.Random(seed))))
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            ended_s = time.monotonic()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()
        arrivals = [(at_s, taken) for at_s, taken in server.arrivals if begun_s <= at_s <= ended_s]
    return _figures(arrivals, begun_s, ended_s, load)


def _figures(arrivals: list[tuple[float, bool]], begun_s: float, ended_s: float, load: Load) -> dict[str, Any]:
    counted = sum(1 for at_s, taken in arrivals if taken and at_s >= begun_s + SETTLING_S)
    allowed = PER_MINUTE / 60 * (ended_s - begun_s - SETTLING_S)
    users, background = load.waits_ms[Priority.USER], load.waits_ms[Priority.BACKGROUND]
    return {
        "sent": len(arrivals),
        "refused_429": sum(1 for _, taken in arrivals if not taken),
        "utilisation": counted / allowed,
        "user_wait_ms_p50": statistics.median(users),
        "user_wait_ms_p95": statistics.quantiles(users, n=20)[-1],
        "background_wait_ms_p50": statistics.median(background),
        "users_answered": len(users),
        "background_answered": len(background),
        "failed": load.failed,
        "hosts": HOSTS,
        "seconds": ended_s - begun_s,
    }


async def measure_all(options: Options) -> dict[str, Any]:
    """With the budget; in the full run also without."""
    if options.quick:
        return await measure(options.seed, QUICK_S, is_budgeted=True, is_filled=True)
    results = await measure(options.seed, FULL_S, is_budgeted=True, is_filled=False)
    return results | {"without": await measure(options.seed, WITHOUT_S, is_budgeted=False, is_filled=True)}


def main() -> None:
    """Measure, and print the table."""
    options = read_options("budget", "One model budget for two hosts and a server with a hard limit.")
    results = asyncio.run(measure_all(options))
    rows = [
        ("sent", f"{results['sent']:,}", f"requests that reached the server in {results['seconds']:.0f} s"),
        ("refused", f"{results['refused_429']:,}", "of them with 429 (aim: under 1 %)"),
        (
            "utilisation",
            f"{results['utilisation']:.3f}",
            f"of {PER_MINUTE} a minute, after {SETTLING_S:.0f} s (aim: 0.9)",
        ),
        ("user wait p50", f"{results['user_wait_ms_p50']:,.0f} ms", f"{USERS_PER_S} a second, at random"),
        ("user wait p95", f"{results['user_wait_ms_p95']:,.0f} ms", ""),
        ("background wait p50", f"{results['background_wait_ms_p50']:,.0f} ms", f"{BACKGROUND_AGENTS} agents, always"),
    ]
    if "without" in results:
        without = results["without"]
        rows += [
            ("without: refused", f"{without['refused_429']:,}", f"of {without['sent']:,} requests in a minute"),
            ("without: user wait p50", f"{without['user_wait_ms_p50']:,.0f} ms", "users and background alike"),
        ]
    report("budget", options, results, rows, ("ray", "openai"))


if __name__ == "__main__":
    main()
