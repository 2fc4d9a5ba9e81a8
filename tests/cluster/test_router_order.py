"""Routers among hosts that lose agents, lose answers and die, in many interleavings: order holds, each arrives once."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict

import pytest
from ray.exceptions import ActorUnavailableError

from pagefault.cluster import _ray, places
from pagefault.cluster.batches import pack_answers, unpack_parcels
from pagefault.cluster.router import ClusterRouter
from pagefault.cluster.settings import SCHEDULER_NAME, FleetSettings
from pagefault.runtime.errors import Overloaded
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

AGENTS = [AgentId(f"agent-{number}") for number in range(3)]
PRIORITIES = (Priority.OPERATOR, Priority.USER, Priority.BACKGROUND)
EACH = 40


class World:
    """Three hosts and a scheduler that answer calls as Ray's actors would: late, or not at all."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.owner = {agent: self.random.randrange(3) for agent in AGENTS}
        self.stale = dict(self.owner)  # what the scheduler says lags behind
        self.arrived: dict[tuple[AgentId, Priority], list[int]] = defaultdict(list)
        self.known: set[InterruptId] = set()

    async def pause(self) -> None:
        for _ in range(self.random.randrange(6)):
            await asyncio.sleep(0)

    async def call(self, handle: object, method: str, *arguments: object) -> object:
        await self.pause()
        if handle == SCHEDULER_NAME:
            return await self.schedule(method, arguments)
        if method == "ready":
            return "node"
        assert method == "deliver"
        data = arguments[0]
        assert isinstance(data, bytes)
        return await self.deliver(int(str(handle)), data)

    async def schedule(self, method: str, arguments: tuple[object, ...]) -> object:
        if self.random.random() < 0.1:
            raise ActorUnavailableError("on purpose", None)
        if method == "lost":
            return self.random.random() < 0.5
        assert method == "locate"
        names = arguments[0]
        assert isinstance(names, list)
        found = [str(self.stale[AgentId(name)]) for name in names]
        self.stale = dict(self.owner)
        return found

    async def deliver(self, host: int, data: bytes) -> object:
        answers: list[Receipt | list[str]] = []
        items = unpack_parcels(data)
        dies_at = self.random.randrange(len(items)) if self.random.random() < 0.15 else -1
        if self.random.random() < 0.3:  # not within a batch: a host sees to all of one in the same turn
            self.owner[self.random.choice(AGENTS)] = self.random.randrange(3)
        for place, (agent, interrupt) in enumerate(items):
            if place == dies_at:
                raise ActorUnavailableError("on purpose", None)
            if self.owner[agent] != host:
                answers.append(["MovedError", str(self.owner[agent])])
                continue
            if interrupt.id not in self.known:
                self.known.add(interrupt.id)
                self.arrived[agent, interrupt.priority].append(int(interrupt.text))
            answers.append(Receipt(True))
        await self.pause()
        if self.random.random() < 0.05:
            raise ActorUnavailableError("the answer is lost", None)
        return pack_answers(answers), self.random.randrange(1, 30), 100_000


@pytest.mark.parametrize("seed", range(60))
async def test_order_holds_and_each_arrives_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(seed)
    monkeypatch.setattr(_ray, "call", world.call)
    monkeypatch.setattr(_ray, "find_actor", lambda name, _: name)
    monkeypatch.setattr(places, "PAUSE_S", 0.0)
    monkeypatch.setattr("pagefault.cluster.router.PAUSE_S", 0.0)
    monkeypatch.setattr("pagefault.cluster.router.TRIES_MAX", 1_000)
    router = ClusterRouter(FleetSettings("nowhere", "", 1, 1, "sync", "hash"), SystemClock())

    async def send(agent: AgentId, priority: Priority) -> list[Receipt]:
        """All at once, in order: what waits for what is the router's business."""
        waiting = []
        for number in range(EACH):
            key = InterruptId(f"{agent}-{priority}-{number}")
            interrupt = Interrupt(key, InterruptKind.MESSAGE, priority, "user", str(number), created_ms=1)
            waiting.append(asyncio.create_task(router.deliver(agent, interrupt)))
            if world.random.random() < 0.3:
                await world.pause()
        return await asyncio.gather(*waiting)

    async with asyncio.timeout(60):
        results = await asyncio.gather(*(send(agent, each) for agent in AGENTS for each in PRIORITIES))
    assert all(receipt.accepted for receipts in results for receipt in receipts)
    for agent in AGENTS:
        for priority in PRIORITIES:
            assert world.arrived[agent, priority] == list(range(EACH))
    await router.close()
    assert router.is_idle


async def test_an_agent_that_nobody_has_is_refused_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hosts that send each other's visitors back, and a scheduler that believes it."""

    async def call(handle: object, method: str, *arguments: object) -> object:
        if method == "locate":
            return ["host-1"]
        if method == "ready":
            return "node"
        insisting = arguments[2]
        assert isinstance(insisting, list)
        insisted.append(bool(insisting))
        other = "host-2" if handle == "host-1" else "host-1"
        return pack_answers([["MovedError", other]]), 10, 10_000

    insisted: list[bool] = []
    monkeypatch.setattr(_ray, "call", call)
    monkeypatch.setattr(_ray, "find_actor", lambda name, _: name)
    monkeypatch.setattr("pagefault.cluster.router.PAUSE_S", 0.0)
    router = ClusterRouter(FleetSettings("nowhere", "", 1, 1, "sync", "hash"), SystemClock())
    message = Interrupt(InterruptId("m"), InterruptKind.MESSAGE, Priority.USER, "user", "x", created_ms=1)
    async with asyncio.timeout(20):
        with pytest.raises(Overloaded, match="agent-0"):
            await router.deliver(AGENTS[0], message)
    assert insisted[:3] == [False, False, False]
    assert insisted[3], "the scheduler says that it lives there: the host is to take it"
    await router.close()
