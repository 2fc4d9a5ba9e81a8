"""The router and the scheduler on a real Ray, where hosts are missing, stuck or lost; and one API for both fleets."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal

import pytest

from pagefault.cluster import _ray
from pagefault.cluster.api import Cluster
from pagefault.cluster.router import ClusterRouter
from pagefault.cluster.settings import FleetSettings
from pagefault.runtime.errors import AgentFailed, Overloaded, StoreUnavailable, UnknownAgent, UsageError
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import Fleet
from pagefault.runtime.host.local import Local
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

ECHO = "scripted:tests.cluster.minds:echo"
KILL = Interrupt(InterruptId("kill"), InterruptKind.KILL, Priority.KILL, "operator")


def test_local_and_cluster_have_the_same_methods() -> None:
    methods = [name for name, member in vars(Local).items() if inspect.isfunction(member) and not name.startswith("_")]
    assert {"spawn", "spawn_many", "send", "ask", "answer", "stream", "inspect", "stop", "agents"} <= set(methods)
    for name in [*methods, "__aenter__", "__aexit__"]:
        local, cluster = getattr(Local, name), getattr(Cluster, name)
        assert inspect.iscoroutinefunction(local) == inspect.iscoroutinefunction(cluster), name
        assert inspect.isasyncgenfunction(local) == inspect.isasyncgenfunction(cluster), name
        ours = inspect.signature(local)
        theirs = inspect.signature(cluster)
        shared = list(theirs.parameters.values())[: len(ours.parameters)]
        assert shared == list(ours.parameters.values()), name
        assert theirs.return_annotation == ours.return_annotation, name
        extra = list(theirs.parameters.values())[len(ours.parameters) :]
        assert all(parameter.default is not parameter.empty for parameter in extra), name
    for name, method in vars(Fleet).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            assert list(inspect.signature(method).parameters) == list(
                inspect.signature(getattr(Local, name)).parameters
            ), name


async def test_both_say_that_they_are_not_open() -> None:
    for fleet in (Local(), Cluster()):
        for work in (fleet.agents(), fleet.send("a", "b"), fleet.ask("a", "b"), fleet.inspect("a"), fleet.idle()):
            with pytest.raises(UsageError, match="not open"):
                await work


async def test_both_answer_alike_where_an_answer_cannot_be_had(ray_session: None) -> None:
    for fleet in (Local(embedder="hash"), Cluster(embedder="hash", hosts=1)):
        async with fleet:
            with pytest.raises(UnknownAgent):
                await fleet.ask("nobody", "hello")
            with pytest.raises(UnknownAgent):
                await fleet.inspect("nobody")
            with pytest.raises(UsageError, match="message"):
                await fleet.send("nobody", 5)  # type: ignore[arg-type]  # wrong on purpose
            ref = await fleet.spawn(Agent("ada", model=ECHO))
            assert await ref.ask("hello") == "heard hello"
            await ref.send(KILL)
            with pytest.raises(AgentFailed, match="killed") as caught:
                await ref.ask("hello?")
            assert caught.value.reason == "refused"


async def test_a_host_that_cannot_start_keeps_nobody_else_waiting(ray_session: None) -> None:
    async with Cluster(embedder="hash", hosts=1, resources={"unobtainium": 1}) as fleet:
        stuck = await fleet.spawn(Agent("stuck", model=ECHO), placement="dedicated")
        fine = await fleet.spawn(Agent("fine", model=ECHO))
        with pytest.raises(TimeoutError):
            await stuck.ask("hello", timeout_s=0.5)
        assert await fine.ask("hello", timeout_s=60) == "heard hello"


async def test_a_stream_of_all_agents_sees_hosts_that_start_later_and_ends_with_the_fleet(ray_session: None) -> None:
    fleet = Cluster(embedder="hash", hosts=1)
    async with fleet:
        seen: list[str] = []
        spoke = asyncio.Event()

        async def watch() -> None:
            async for step in fleet.stream():
                seen.append(step.kind)
                spoke.set()

        watching = asyncio.create_task(watch())
        ref = await fleet.spawn(Agent("ada", model=ECHO))
        async with asyncio.timeout(60):
            while not spoke.is_set():
                await ref.ask("hello")
    async with asyncio.timeout(20):
        await watching
    assert seen


@pytest.mark.soak
async def test_agents_of_a_lost_host_are_woken_and_a_fleet_stops_though_a_host_died(ray_session: None) -> None:
    async with Cluster(embedder="hash", hosts=1) as fleet:
        bob = Agent("bob", model="scripted:tests.cluster.minds:sleeper", functions=("all",))
        refs = await fleet.spawn_many([Agent("ada", model=ECHO), bob, Agent("carol", model=ECHO)])
        await asyncio.gather(*(ref.ask("one") for ref in refs))
        ada = refs[0]
        before = (await fleet.hosts()).keys()
        os.kill(await fleet.host_pid("ada"), signal.SIGKILL)
        assert await ada.ask("two") == "heard two"
        async with asyncio.timeout(20):
            while list((hosts := await fleet.hosts()).values()) != [["ada", "bob"]]:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.05)
        assert not before & hosts.keys(), (
            "bob was placed anew though nobody spoke to him: he has a timer; carol has none"
        )
        os.kill(await fleet.host_pid("ada"), signal.SIGKILL)


async def test_a_router_holds_no_more_for_others_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers: what was sent waits, what is too much is refused at once."""
    asked = asyncio.Event()

    async def silent(*_: object) -> object:
        asked.set()
        return await asyncio.get_running_loop().create_future()

    router = ClusterRouter(FleetSettings("nowhere", "", 1, 1, "sync", "hash"), SystemClock())
    monkeypatch.setattr(router, "actor", lambda _: None)
    monkeypatch.setattr(_ray, "call", silent)
    monkeypatch.setattr("pagefault.cluster.router.WAITING_MAX", 3)
    message = Interrupt(InterruptId("m"), InterruptKind.MESSAGE, Priority.USER, "user", "x")
    waiting = [asyncio.create_task(router.deliver(AgentId("ada"), message)) for _ in range(3)]
    await asked.wait()
    with pytest.raises(Overloaded, match="3 interrupts wait") as caught:
        await router.deliver(AgentId("bob"), message)
    assert caught.value.retry_after_ms > 0
    waiting[0].cancel()
    await asyncio.wait([waiting[0]])
    waiting.append(asyncio.create_task(router.deliver(AgentId("bob"), message)))
    await asyncio.sleep(0)
    assert not waiting[-1].done(), "who gave up left room"
    await router.close()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError | StoreUnavailable) for each in ended)


async def test_what_waits_for_a_place_is_told_when_there_is_no_scheduler(ray_session: None) -> None:
    router = ClusterRouter(FleetSettings("nowhere", "", 1, 1, "sync", "hash"), SystemClock())
    async with asyncio.timeout(20):
        with pytest.raises(Overloaded, match="scheduler"):
            await router.locate(AgentId("ada"))
    await router.close()


async def test_a_bug_of_the_scheduler_is_told_to_whoever_waits(
    ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> object:
        raise RuntimeError("on purpose")

    router = ClusterRouter(FleetSettings("nowhere", "", 1, 1, "sync", "hash"), SystemClock())
    monkeypatch.setattr(router, "actor", lambda _: None)
    monkeypatch.setattr(_ray, "call", broken)
    async with asyncio.timeout(20):
        with pytest.raises(Overloaded, match="on purpose"):
            await router.locate(AgentId("ada"))
    await router.close()
