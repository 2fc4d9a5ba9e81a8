"""Interrupts that are acknowledged while processes are killed, and whether each took effect once.

A fleet of two hosts and two shards on Ray is spoken to without pause; senders repeat what was not acknowledged, with
the same ids.  Meanwhile hosts, store actors and the scheduler are killed with SIGKILL, in a seeded order, and after
each kill it is measured how long it takes until agents that it concerned answer again.  Some interrupts are poison:
they make their agent call a function that kills its own process.

At the end every agent's journal is lived again and compared with what the senders were told (``_audit``).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import Progress

from benchmarks._audit import audit
from benchmarks._report import Options, read_options, report
from pagefault.cluster.api import Cluster
from pagefault.runtime.errors import AgentFailed, PagefaultError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

AGENTS = 100
SENDERS = 64
PROBES = 4
KINDS = ("HostActor", "HostActor", "StoreActor", "SchedulerActor")
"""What is killed, in equal shares: hosts twice as often as each of the others."""
RETRY_S = 0.05
RECOVERY_LIMIT_S = 180.0
AIM_S = 10.0
LINE_EVERY = 10


def message(key: str, priority: Priority = Priority.AGENT) -> Interrupt:
    """One of many; its id is all that differs."""
    return Interrupt(InterruptId(key), InterruptKind.MESSAGE, priority, "bench", f"This is message {key}.")


def victims() -> dict[str, list[int]]:
    """Processes of actors of the Ray that this process began, by kind."""
    found: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for process in psutil.Process().children(recursive=True):
        try:
            kind = process.cmdline()[0].removeprefix("ray::").partition(".")[0]
        except (psutil.NoSuchProcess, psutil.ZombieProcess, IndexError):
            continue  # it ended while it was looked at
        if kind in found:
            found[kind].append(process.pid)
    return found


class Storm:
    """One fleet under fire."""

    def __init__(self, fleet: Cluster, names: list[AgentId], seed: int, together: int) -> None:
        self.together = together
        self._fleet = fleet
        self._names = names
        self._chance = random.Random(seed)
        self._numbers = itertools.count(1)
        self.acked: dict[str, str] = {}
        self.kills: dict[str, int] = dict.fromkeys(sorted(set(KINDS)), 0)
        self.recoveries_s: list[tuple[str, float]] = []
        self.repeated = 0
        self.quarantined = 0

    async def send(self, key: str, agent: AgentId, priority: Priority = Priority.AGENT) -> None:
        """Send until it is acknowledged."""
        while True:
            try:
                await self._fleet.send(agent, message(key, priority))
            except AgentFailed:
                raise
            except PagefaultError:
                self.repeated += 1
                await asyncio.sleep(RETRY_S)
            else:
                self.acked[key] = agent
                return

    async def speak(self, target: int, is_over: asyncio.Event) -> None:
        """Senders at work until so many are acknowledged and the killing is over."""

        async def sender() -> None:
            while len(self.acked) < target or not is_over.is_set():
                number = next(self._numbers)
                await self.send(f"m{number}", self._names[number % len(self._names)])

        await asyncio.gather(*(sender() for _ in range(SENDERS)))

    async def kill(self, count: int, pause_s: float, is_over: asyncio.Event, progress: Progress) -> None:
        """Kill processes, ``together`` of them at a time, and watch how long it takes until they are missed no more."""
        task = progress.add_task("killing", total=count)
        while sum(self.kills.values()) < count:
            await asyncio.sleep(pause_s)
            found = victims()  # a look at all processes of the machine: not a part of anybody's recovery
            began, killed = time.perf_counter(), [self._kill_one(found) for _ in range(self.together)]
            kinds = [kind for kind in killed if kind]
            if kinds:
                await self._watch("+".join(sorted(set(kinds))), began)
            progress.advance(task, len(kinds))
            self._say(began, count)
        is_over.set()

    def _say(self, began: float, count: int) -> None:
        """A plain line where no bar is to be seen, so that a run of an hour does not look like one that hangs."""
        rounds = len(self.recoveries_s)
        if not sys.stderr.isatty() and rounds % LINE_EVERY == 0:
            took_s, killed = time.perf_counter() - began, sum(self.kills.values())
            line = f"{killed:,} of {count:,} killed, {len(self.acked):,} acknowledged, the last recovery {took_s:.1f} s"
            print(line, file=sys.stderr, flush=True)

    def _kill_one(self, found: dict[str, list[int]]) -> str:
        """Kill a process; its kind, or nothing if there is none of the kind that was drawn: it is coming back."""
        kind = self._chance.choice(KINDS)
        if not found[kind]:
            return ""
        chosen = self._chance.choice(found[kind])
        found[kind].remove(chosen)
        try:
            os.kill(chosen, signal.SIGKILL)
        except ProcessLookupError:  # a poison interrupt was quicker
            return ""
        self.kills[kind] += 1
        return kind

    async def _watch(self, kind: str, began: float) -> None:
        """Return when agents here and there, whoever they were with, have acknowledged again."""
        agents = self._chance.sample(self._names, PROBES)
        number = sum(self.kills.values())
        async with asyncio.timeout(RECOVERY_LIMIT_S):
            probes = (self.send(f"probe-{number}-{agent}", agent, Priority.USER) for agent in agents)
            await asyncio.gather(*probes)
        self.recoveries_s.append((kind, time.perf_counter() - began))


async def storm(
    folder: Path, seed: int, interrupts: int, kills: int, pause_s: float, *, poison: int, together: int
) -> tuple[Storm, float]:
    """Run one; returns it with how long it took to come to rest."""
    progress = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    async with Cluster(folder, hosts=2, shards=2, embedder="hash") as fleet:
        template = {"model": "scripted:nothing", "functions": ("send_message",), "context_tokens": 2048}
        names = [ref.id for ref in await fleet.spawn_many(Agent(f"agent-{n:03d}", **template) for n in range(AGENTS))]
        found = Storm(fleet, names, seed, together)
        await asyncio.gather(*(found.send(f"first-{name}", name) for name in names))
        deadly = {"model": "scripted:benchmarks._poison:suicidal", "functions": ("benchmarks._poison:die",)}
        refs = await fleet.spawn_many(Agent(f"poisoned-{n}", **deadly) for n in range(poison))
        await asyncio.gather(*(found.send(f"poison-{ref.id}", ref.id) for ref in refs))
        is_over = asyncio.Event()
        with progress:
            await asyncio.gather(found.speak(interrupts, is_over), found.kill(kills, pause_s, is_over, progress))
        began = time.perf_counter()
        while found.quarantined < poison and time.perf_counter() - began < RECOVERY_LIMIT_S:
            await asyncio.sleep(RETRY_S)
            letters = await fleet.dead_letters(AGENTS + poison)
            found.quarantined = sum(letter.why.startswith("quarantined") for letter in letters)
        await fleet.idle()
        return found, time.perf_counter() - began


def measure(
    seed: int, interrupts: int, kills: int, pause_s: float, *, poison: int = 5, together: int = 1
) -> dict[str, Any]:
    """A storm and its audit."""
    with tempfile.TemporaryDirectory(prefix="pagefault-faults-") as folder:
        began = time.perf_counter()
        found, settled_s = asyncio.run(
            storm(Path(folder), seed, interrupts, kills, pause_s, poison=poison, together=together)
        )
        seconds = time.perf_counter() - began
        checked = audit(Path(folder), found.acked)
    recoveries = sorted(took_s for _, took_s in found.recoveries_s)
    return {
        "interrupts_acked": len(found.acked),
        "lost": checked.lost,
        "duplicated": checked.duplicated,
        "kills": sum(found.kills.values()),
        "stale_commits": checked.stale_commits,
        "recovery_s_p50": round(statistics.median(recoveries), 2),
        "recovery_s_p99": round(recoveries[min(len(recoveries) - 1, int(0.99 * len(recoveries)))], 2),
        "recovery_s_p50_by_kind": {
            kind: round(statistics.median(took_s for name, took_s in found.recoveries_s if name == kind), 2)
            for kind in sorted({name for name, _ in found.recoveries_s})
        },
        "poison": poison,
        "quarantined": found.quarantined,
        "replay_divergences": checked.replay_divergences,
        "kills_by_kind": found.kills,
        "sent_again": found.repeated,
        "records": checked.records,
        "settled_s": round(settled_s, 2),
        "seconds": round(seconds, 1),
        "examples": checked.examples,
    }


def main() -> None:
    """Measure and print the table; ends with status 1 if a promise was broken."""
    options = read_options("faults", "Interrupts acknowledged while processes are killed, each taking effect once.")
    results = run(options)
    rows = [
        ("acknowledged", f"{results['interrupts_acked']:,}", f"interrupts; {results['sent_again']:,} sent again"),
        ("kills", f"{results['kills']:,}", ", ".join(f"{n} {kind}" for kind, n in results["kills_by_kind"].items())),
        ("lost", f"{results['lost']:,}", "acknowledged, and not handled (must be 0)"),
        ("duplicated", f"{results['duplicated']:,}", "handled twice, or two pages (must be 0)"),
        ("stale commits", f"{results['stale_commits']:,}", "records of an older activation (must be 0)"),
        (
            "divergences",
            f"{results['replay_divergences']:,}",
            "snapshot and tail against all records (must be 0)",
        ),
        ("quarantined", f"{results['quarantined']:,}", f"of {results['poison']:,} that kill their host (must be all)"),
        ("recovery p50, p99", f"{results['recovery_s_p50']} and {results['recovery_s_p99']} s", f"aim: {AIM_S:.0f} s"),
    ]
    report("faults", options, results, rows, ("ray", "qdrant-edge-py"))
    if results["lost"] or results["duplicated"] or results["stale_commits"] or results["replay_divergences"]:
        sys.exit(1)
    if results["quarantined"] != results["poison"]:
        sys.exit(1)


def run(options: Options) -> dict[str, Any]:
    """The size that the options ask for."""
    if options.quick:
        return measure(options.seed, interrupts=10_000, kills=20, pause_s=0.3, poison=0, together=4)
    return measure(options.seed, interrupts=1_000_000, kills=500, pause_s=1.0, together=4)


if __name__ == "__main__":
    main()
