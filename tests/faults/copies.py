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
from pagefault.runtime.models.scripted import Reply
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority
from tests.cluster.minds import echo
from tests.faults.nodes import Machine, scheduler, until

GATE = "PAGEFAULT_TEST_GATE"
"""The folder over which driver and model speak: nodes and hosts have it from the driver's environment."""
SLOW = AgentId("slow")


async def patient(request: ModelRequest) -> Reply:
    """A mind that keeps the first copy that asks it waiting until the driver opens the gate; others it answers at once.

    So the first copy commits after the second has, however long a machine takes to see that a node is gone.
    """
    gate = Path(os.environ[GATE])
    try:
        (gate / "asked").touch(exist_ok=False)
    except FileExistsError:
        return echo(request)
    await until_there_is(gate / "open")
    return echo(request)


async def until_there_is(file: Path) -> bool:
    async def is_there() -> bool:
        return await asyncio.to_thread(file.exists)

    return await until(is_there, 120)


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


async def copies(machine: Machine, folder: Path, ray_folder: Path, gate: Path) -> dict[str, Any]:
    report: dict[str, Any] = {}
    async with Cluster(folder, embedder="hash", address=machine.ray.address) as fleet:
        nodes = {row["labels"].get("zone", ""): row["id"] for row in await scheduler(fleet, "nodes")}
        await fleet.spawn(Agent("slow", model="scripted:tests.faults.copies:patient"))
        await scheduler(fleet, "wish", ["slow"], Wish(node=nodes["a"]).encode())
        await send(fleet, "first")
        report["old_had_begun"] = await until_there_is(gate / "asked")
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
            await fleet.idle()  # the new copy has said both its words
            new = await fleet.host_pid("slow")
            report["two_processes"] = new != old
            report["old_is_alive"] = psutil.pid_exists(old)
            (gate / "open").touch()

            async def was_refused() -> bool:
                return words_of_logs(ray_folder, "activation_lost") > 0

            report["old_was_refused"] = await until(was_refused, 60)
        finally:
            os.kill(raylet, signal.SIGCONT)
        report["text"] = [page.text for page in (await fleet.inspect("slow")).pages if page.author == "bench"]
        events = [decode_event(SLOW, data) for _, data in await fleet._parts.remote.records(SLOW)]
        report["arrived"] = [event.interrupt.text for event in events if isinstance(event, InterruptArrived)]
        replies = [event.reply for event in events if isinstance(event, ModelReplied)]
        report["replies"] = len(replies)
        report["words"] = [json.loads(call.arguments)["message"] for reply in replies for call in reply.calls]
        report["epochs"] = [event.epoch for event in events if isinstance(event, Recovered)]
    return report


async def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="pf-copies-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        gate = folder / "gate"
        gate.mkdir()
        os.environ[GATE] = str(gate)
        machine = Machine(str(folder / "ray"))
        try:
            machine.add("a")
            machine.add("b")
            return await copies(machine, folder / "fleet", folder / "ray", gate)
        finally:
            machine.end()


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    sys.stdout.write(json.dumps(asyncio.run(main())) + "\n")
