"""Moves, drains and the scheduler's own death, on a real Ray of one node."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from pagefault.cluster.api import Cluster
from pagefault.runtime.errors import UsageError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.values import AgentId

pytestmark = pytest.mark.usefixtures("ray_session")
ECHO = "scripted:tests.cluster.minds:echo"


async def place_of(fleet: Cluster, agent: str) -> str:
    return next(name for name, agents in (await fleet.hosts()).items() if agent in agents)


async def kill_scheduler(fleet: Cluster) -> None:
    os.kill(await fleet._parts.router.ask_scheduler("pid"), signal.SIGKILL)


async def test_the_scheduler_is_killed_during_traffic_and_finds_everything_again() -> None:
    async with Cluster(embedder="hash", hosts=2) as fleet:
        refs = await fleet.spawn_many([Agent(f"agent-{number}", model=ECHO) for number in range(20)])
        alone = await fleet.spawn(Agent("alone", model=ECHO), placement="dedicated")
        later = await fleet.spawn(Agent("later", model=ECHO), placement="dedicated")
        await asyncio.gather(*(ref.ask("hello") for ref in [*refs, alone]))
        before = await fleet.hosts()
        pids = {ref.id: await fleet.host_pid(ref.id) for ref in [*refs, alone]}

        async def visit(ref: AgentRef) -> None:
            for turn in range(15):
                assert await ref.ask(f"turn {turn}") == f"heard turn {turn}"

        visits = asyncio.gather(*(visit(ref) for ref in [*refs, alone]))
        await kill_scheduler(fleet)
        fresh = await fleet.spawn(Agent("fresh", model=ECHO))
        assert await fresh.ask("hello") == "heard hello"
        assert await later.ask("hello") == "heard hello"
        await visits
        after = await fleet.hosts()
        assert {agent: pid for agent, pid in pids.items() if await fleet.host_pid(agent) != pid} == {}
        for name, agents in before.items():
            assert set(agents) <= set(after[name]), "whoever was there is there still"
        assert ["later"] in after.values(), "a wish of before its death is remembered"
        assert (await refs[0].inspect()).statistics["chains"] == 16
        assert (await refs[0].inspect()).epoch == 1, "nobody was activated a second time"


@pytest.mark.soak
async def test_a_wish_outlives_the_fleet(tmp_path: Path) -> None:
    async with Cluster(tmp_path, embedder="hash", hosts=1) as fleet:
        await fleet.spawn(Agent("alone", model=ECHO), placement="dedicated")
        await fleet.spawn(Agent("packed", model=ECHO))
    async with Cluster(tmp_path, embedder="hash", hosts=1) as fleet:
        await asyncio.gather(fleet.ask("alone", "hello"), fleet.ask("packed", "hello"))
        assert sorted((await fleet.hosts()).values()) == [["alone"], ["packed"]]


@pytest.mark.soak
async def test_a_host_that_only_seemed_lost_is_not_replaced() -> None:
    async with Cluster(embedder="hash", hosts=1) as fleet:
        ada = await fleet.spawn(Agent("ada", model=ECHO))
        await ada.ask("hello")
        host, pid = await place_of(fleet, "ada"), await fleet.host_pid("ada")
        router = fleet._parts.router
        await asyncio.gather(*(router.lost(host) for _ in range(5)))
        assert await ada.ask("again") == "heard again"
        assert (await place_of(fleet, "ada"), await fleet.host_pid("ada")) == (host, pid)
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*(router.lost(host) for _ in range(5)))
        assert await ada.ask("still there?") == "heard still there?"
        assert await place_of(fleet, "ada") != host


@pytest.mark.soak
async def test_a_fleet_is_idle_though_a_host_can_never_start() -> None:
    async with Cluster(embedder="hash", hosts=1, resources={"unobtainium": 1}) as fleet:
        stuck = await fleet.spawn(Agent("stuck", model=ECHO), placement="dedicated")
        await (await fleet.spawn(Agent("fine", model=ECHO))).ask("hello")
        with pytest.raises(TimeoutError):
            await stuck.ask("hello", timeout_s=0.2)
        async with asyncio.timeout(20):
            await fleet.idle()


async def test_a_fleet_is_not_idle_while_work_of_a_dead_host_waits_for_another() -> None:
    async with Cluster(embedder="hash", hosts=1) as fleet:
        ada = await fleet.spawn(Agent("ada", model=ECHO, model_options={"latency_ms": 1_500}))
        await ada.send("hello")
        os.kill(await fleet.host_pid("ada"), signal.SIGKILL)
        async with asyncio.timeout(60):
            await fleet.idle()
        assert [row.steps for row in await fleet.survey()] == [1], "what was accepted is done"


@pytest.mark.soak
async def test_agents_move_while_they_are_spoken_to() -> None:
    async with Cluster(embedder="hash", hosts=2) as fleet:
        ada, bob = await fleet.spawn_many(
            [Agent("ada", model=ECHO, model_options={"latency_ms": 300}), Agent("bob", model=ECHO)]
        )
        await asyncio.gather(ada.ask("hello"), bob.ask("hello"))
        places = {name: await place_of(fleet, name) for name in ("ada", "bob")}
        assert places["ada"] != places["bob"]
        seen: list[str] = []

        async def watch() -> None:
            async for step in ada.stream(words=True):
                seen.extend([step.text] if step.kind == "message" else [])
                if step.text == "heard on the other side":
                    return

        watching = asyncio.create_task(watch())
        asked = asyncio.create_task(ada.ask("on the way"))
        await asyncio.sleep(0.1)
        assert await fleet.move(["ada"], places["bob"]) == 1
        assert await asked == "heard on the way"
        assert await place_of(fleet, "ada") == places["bob"]
        assert await fleet.move(["ada"], places["bob"]) == 0, "it is there already"
        async with asyncio.timeout(30):
            while not watching.done():
                assert await ada.ask("on the other side") == "heard on the other side"
        assert seen[-1] == "heard on the other side"
        assert await fleet.move(["ada"]) == 1, "to any other host"
        assert await place_of(fleet, "ada") == places["ada"]
        assert await ada.ask("home again") == "heard home again"
        with pytest.raises(UsageError, match="host-99"):
            await fleet.move(["ada"], "host-99")


@pytest.mark.soak  # tests/faults/test_nodes.py drains a node each time
async def test_a_host_is_drained_and_everybody_lives_elsewhere() -> None:
    async with Cluster(embedder="hash", hosts=2, idle_s=0.2) as fleet:
        refs = await fleet.spawn_many([Agent(f"agent-{number}", model=ECHO) for number in range(30)])
        alone = await fleet.spawn(Agent("alone", model=ECHO), placement="dedicated")
        await asyncio.gather(*(ref.ask("hello") for ref in [*refs, alone]))
        host, private = await place_of(fleet, "agent-0"), await place_of(fleet, "alone")
        there = (await fleet.hosts())[host]
        asking = asyncio.gather(*(ref.ask("meanwhile") for ref in refs))
        assert await fleet.drain(host) == {"agents": len(there), "hosts": 1}
        assert set(await asking) == {"heard meanwhile"}
        assert host not in await fleet.hosts()
        assert await fleet.drain(private) == {"agents": 1, "hosts": 1}
        answers = await asyncio.gather(*(ref.ask("again") for ref in [*refs, alone]))
        assert set(answers) == {"heard again"}
        hosts = await fleet.hosts()
        assert ["alone"] in hosts.values()
        assert sum(map(len, hosts.values())) == 31
        statistics = (await fleet.inspect(AgentId("agent-0"))).statistics
        assert statistics["chains"] == 3
        with pytest.raises(UsageError, match="nowhere"):
            await fleet.drain("nowhere")
