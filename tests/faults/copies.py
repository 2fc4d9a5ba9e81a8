"""A driver that has two copies of an agent run at one time; prints what came of it as JSON.

The raylet of a node is stopped (``SIGSTOP``): Ray takes the node for dead and the agent lives on elsewhere, while the
old process goes on with the model call that it had begun.  Run by ``test_copies.py`` in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from pagefault.cluster.api import Cluster
from pagefault.cluster.scheduler.placement import Wish
from pagefault.runtime.errors import Overloaded, StoreUnavailable
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.records import decode_event
from pagefault.runtime.kernel.events import InterruptArrived, ModelReplied, Recovered
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority
from tests.faults.nodes import Machine, scheduler, until

LATENCY_MS = 15_000
"""Of the model: so long that the node is taken for dead before it answers."""
SLOW = AgentId("slow")


def message(key: str) -> Interrupt:
    return Interrupt(InterruptId(key), InterruptKind.MESSAGE, Priority.USER, "bench", key, created_ms=1)


def words_of_logs(folder: Path, word: str) -> int:
    """In how many places Ray's logs have a word."""
    return sum(file.read_text(errors="replace").count(word) for file in folder.glob("session_2*/logs/worker-*"))


async def send(fleet: Cluster, key: str) -> None:
    while True:
        try:
            await fleet.send(SLOW, message(key))
        except (Overloaded, StoreUnavailable):
            await asyncio.sleep(0.2)
        else:
            return


async def copies(machine: Machine, folder: Path, ray_folder: Path) -> dict[str, Any]:
    machine.add("a")
    machine.add("b")
    report: dict[str, Any] = {}
    async with Cluster(folder, embedder="hash", address=machine.ray.address) as fleet:
        nodes = {row["labels"].get("zone", ""): row["id"] for row in await scheduler(fleet, "nodes")}
        slow = Agent("slow", model="scripted:tests.cluster.minds:echo", model_options={"latency_ms": LATENCY_MS})
        await fleet.spawn(slow)
        await scheduler(fleet, "wish", ["slow"], Wish(node=nodes["a"]).encode())
        await send(fleet, "first")
        old = await fleet.host_pid("slow")
        began = time.monotonic()
        raylet = machine.nodes["a"].all_processes["raylet"][0].process.pid
        os.kill(raylet, signal.SIGSTOP)
        try:
            await scheduler(fleet, "wish", ["slow"], Wish().encode())

            async def lives_elsewhere() -> bool:
                rows = {row["id"]: row for row in await scheduler(fleet, "nodes")}
                return nodes["a"] not in rows or not rows[nodes["a"]]["hosts"]

            report["noticed"] = await until(lives_elsewhere, 60)
            report["noticed_s"] = round(time.monotonic() - began, 1)
            await send(fleet, "second")
            report["old_is_alive"] = psutil.pid_exists(old)
            new = await fleet.host_pid("slow")
            report["two_processes"] = new != old

            async def was_refused() -> bool:
                return words_of_logs(ray_folder, "activation_lost") > 0

            report["old_was_refused"] = await until(was_refused, 60)
            report["words"] = await fleet.ask("slow", message("second"), 120)
            await fleet.idle()
        finally:
            os.kill(raylet, signal.SIGCONT)
        report["text"] = [page.text for page in (await fleet.inspect("slow")).pages if page.author == "bench"]
        events = [decode_event(SLOW, data) for _, data in await fleet._parts.remote.records(SLOW)]
        report["arrived"] = [event.interrupt.text for event in events if isinstance(event, InterruptArrived)]
        report["replies"] = sum(isinstance(event, ModelReplied) for event in events)
        report["epochs"] = [event.epoch for event in events if isinstance(event, Recovered)]
    return report


async def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="pf-copies-", ignore_cleanup_errors=True) as folder:
        ray_folder = Path(folder) / "ray"
        machine = Machine(str(ray_folder))
        try:
            return await copies(machine, Path(folder) / "fleet", ray_folder)
        finally:
            machine.end()


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    sys.stdout.write(json.dumps(asyncio.run(main())) + "\n")
