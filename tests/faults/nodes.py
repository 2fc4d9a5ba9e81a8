"""A driver on several nodes of one machine, which loses some of them; prints what came of it as JSON.

Run by ``test_nodes.py`` in a process of its own: Ray has one connection a process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster as RayCluster

from pagefault.cluster.api import Cluster
from pagefault.cluster.scheduler.placement import Wish
from pagefault.runtime.errors import Overloaded, StoreUnavailable, UsageError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.records import decode_event
from pagefault.runtime.kernel.events import InterruptArrived
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

MEMORY = 80 * 2**20
HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1_000,  # ten seconds by default, which a node that stands still has three times
    "health_check_failure_threshold": 3,
}
AGENTS = 40
IN_FLIGHT = 400


class Machine:
    """Several nodes; the head has no processors, so only stores and scheduler may be there."""

    def __init__(self, folder: str) -> None:
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY, "temp_dir": folder}
        self.ray = RayCluster(initialize_head=True, head_node_args={**head, "_system_config": HEALTH})
        self.nodes: dict[str, Any] = {}

    def add(self, zone: str) -> str:
        node = self.ray.add_node(num_cpus=1, labels={"zone": zone}, object_store_memory=MEMORY)
        self.nodes[zone] = node
        return str(node.node_id)

    def remove(self, zone: str) -> None:
        self.ray.remove_node(self.nodes.pop(zone), allow_graceful=False)

    def end(self) -> None:
        ray.shutdown()
        self.ray.shutdown()  # type: ignore[no-untyped-call]  # Ray's own


async def send_all(
    fleet: Cluster, count: int, sender: str, events: dict[int, Callable[[], Awaitable[object]]]
) -> list[asyncio.Task[object]]:
    """Send ``count`` interrupts to agents in turns, as fast as they are acknowledged; run an event when so many are.

    What is refused for a while is sent again, and what comes after it for the same agent waits for it: so a sender
    that wants order gets it.
    """
    gate = asyncio.Semaphore(IN_FLIGHT)
    acknowledged = 0
    running: list[asyncio.Task[object]] = []

    async def one(number: int) -> None:
        nonlocal acknowledged
        agent = AgentId(f"agent-{number % AGENTS}")
        interrupt = Interrupt(
            InterruptId(f"{sender}-{number}"), InterruptKind.MESSAGE, Priority.USER, sender, f"{number}", created_ms=1
        )
        while True:
            try:
                await fleet.send(agent, interrupt)
                break
            except (Overloaded, StoreUnavailable):
                await asyncio.sleep(0.2)
        acknowledged += 1
        event = events.pop(acknowledged, None)
        if event is not None:
            running.append(asyncio.ensure_future(event()))
        gate.release()

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await gate.acquire()
            group.create_task(one(number))
    return running


async def verdict(fleet: Cluster, sent: dict[str, int]) -> dict[str, Any]:
    """Compare what agents have with what was sent to them."""
    lost = twice = disordered = 0
    for place in range(AGENTS):
        agent = AgentId(f"agent-{place}")
        expected = {sender: list(range(place, count, AGENTS)) for sender, count in sent.items()}
        arrived: dict[str, dict[int, None]] = defaultdict(dict)
        for _, data in await fleet._parts.remote.records(agent):
            event = decode_event(agent, data)
            if isinstance(event, InterruptArrived) and event.interrupt.sender in expected:
                arrived[event.interrupt.sender].setdefault(int(event.interrupt.text), None)
        for sender, numbers in expected.items():
            found = list(arrived[sender])
            lost += len(set(numbers) - set(found))
            disordered += found != sorted(found)
        chains = (await fleet.inspect(agent)).statistics["chains"]
        wanted = sum(map(len, expected.values()))
        twice += max(0, chains - wanted)
        lost += max(0, wanted - chains)
    return {"lost": lost, "twice": twice, "disordered": disordered}


async def scheduler(fleet: Cluster, method: str, *arguments: object) -> Any:
    return await fleet._parts.router.ask_scheduler(method, *arguments)


async def until(what: Callable[[], Awaitable[bool]], seconds: float = 40) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if await what():
            return True
        await asyncio.sleep(0.1)
    return False


async def now(change: Callable[[str], object], zone: str) -> None:
    """On this thread, as Ray wants it: the driver stands still for a moment."""
    change(zone)


async def kill_scheduler(fleet: Cluster) -> None:
    pid = await scheduler(fleet, "pid")
    os.kill(pid, signal.SIGKILL)


async def traffic(machine: Machine, folder: Path, count: int) -> dict[str, Any]:
    """During ``count`` interrupts a node is removed, one added, the scheduler killed, and agents move all the time."""
    machine.add("a")
    machine.add("b")
    report: dict[str, Any] = {}
    async with Cluster(folder, embedder="hash", address=machine.ray.address, shards=2) as fleet:
        await fleet.spawn_many(
            [Agent(f"agent-{place}", model="scripted:nothing", mailbox_max=100_000) for place in range(AGENTS)]
        )
        await send_all(fleet, AGENTS, "warm", {})
        over = asyncio.Event()

        async def wander() -> int:
            """Agents go to and fro between the hosts that are there."""
            moves = 0
            while not over.is_set():
                for host in [name for name, agents in (await fleet.hosts()).items() if agents]:
                    try:
                        some = [f"agent-{place}" for place in range(moves % 3, AGENTS, 7)]
                        moves += await scheduler(fleet, "move", some, host, 5.0)
                    except (UsageError, Overloaded):
                        continue  # that host is gone by now
                await asyncio.sleep(0.3)
            return moves

        wandering = asyncio.create_task(wander())
        began = time.monotonic()
        events: dict[int, Callable[[], Awaitable[object]]] = {
            count // 5: lambda: now(machine.remove, "a"),
            2 * count // 5: lambda: now(machine.add, "c"),
            3 * count // 5: lambda: kill_scheduler(fleet),
        }
        running = await send_all(fleet, count, "main", events)
        report["seconds"] = round(time.monotonic() - began, 1)
        over.set()
        report["moves"] = await wandering
        report["events"] = len(running)
        await asyncio.gather(*running)
        await fleet.idle()
        report |= await verdict(fleet, {"warm": AGENTS, "main": count})
        nodes = {node["labels"].get("zone", "head"): node for node in await scheduler(fleet, "nodes")}
        report["zones"] = sorted(nodes)

        async def shared() -> bool:
            rows = await scheduler(fleet, "nodes")
            return all(row["agents"] >= AGENTS // 4 for row in rows if "zone" in row["labels"])

        report["shared"] = await until(shared)
    return report


async def drained(machine: Machine, folder: Path) -> dict[str, Any]:
    """A node is drained while an agent there is busy; wishes hold, also after the scheduler has died."""
    report: dict[str, Any] = {}
    async with Cluster(folder, embedder="hash", address=machine.ray.address) as fleet:
        nodes = {row["labels"].get("zone", ""): row["id"] for row in await scheduler(fleet, "nodes")}
        zone, other = [name for name in nodes if name][:2]
        await fleet.spawn_many(
            [Agent(f"agent-{place}", model="scripted:tests.cluster.minds:echo") for place in range(20)]
        )
        alone = await fleet.spawn(Agent("alone", model="scripted:tests.cluster.minds:echo"))
        near = await fleet.spawn(Agent("near", model="scripted:tests.cluster.minds:echo"))
        busy = await fleet.spawn(
            Agent("busy", model="scripted:tests.cluster.minds:echo", model_options={"latency_ms": 4_000})
        )
        await scheduler(fleet, "wish", ["alone"], Wish("dedicated", labels={"zone": zone}).encode())
        await scheduler(fleet, "wish", ["near"], Wish(near="alone").encode())
        await scheduler(fleet, "wish", ["busy"], Wish(node=nodes[zone]).encode())
        await kill_scheduler(fleet)
        await alone.ask("hello")
        await asyncio.gather(*(fleet.ask(f"agent-{place}", "hello") for place in range(20)), near.ask("hello"))
        working = asyncio.create_task(busy.ask("hello"))
        await asyncio.sleep(1)
        rows = {row["id"]: row for row in await scheduler(fleet, "nodes")}
        hosts = await fleet.hosts()
        here = {agent for host in rows[nodes[zone]]["hosts"] for agent in hosts[host]}
        report["wishes"] = {"alone", "near", "busy"} <= here
        await scheduler(fleet, "wish", ["alone", "busy"], Wish().encode())
        began = time.monotonic()
        report["left"] = await scheduler(fleet, "drain", nodes[zone], 10.0)
        report["drain_seconds"] = round(time.monotonic() - began, 1)
        report["busy"] = await working
        rows = {row["id"]: row for row in await scheduler(fleet, "nodes")}
        report["empty"] = (rows[nodes[zone]]["hosts"], rows[nodes[zone]]["drained"]) == ([], True)
        answers = await asyncio.gather(*(fleet.ask(f"agent-{place}", "again") for place in range(20)))
        answers += [await alone.ask("again"), await near.ask("again")]
        report["answers"] = sorted(set(answers))
        await kill_scheduler(fleet)
        rows = {row["id"]: row for row in await scheduler(fleet, "nodes")}
        report["remembered"] = rows[nodes[zone]]["drained"]
        report["elsewhere"] = rows[nodes[zone]]["hosts"] == [] and rows[nodes[other]]["agents"] >= 20
    return report


async def main(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="pf-nodes-", ignore_cleanup_errors=True) as folder:
        machine = Machine(f"{folder}/ray")
        try:
            found = await traffic(machine, Path(folder) / "traffic", count)
            return {"traffic": found, "drained": await drained(machine, Path(folder) / "drained")}
        finally:
            machine.end()


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    sys.stdout.write(json.dumps(asyncio.run(main(int(sys.argv[1])))) + "\n")
