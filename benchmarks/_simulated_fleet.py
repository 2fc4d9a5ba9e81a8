"""A simulated fleet: what one seed draws, the stores under it, whoever speaks to it, and the faults that strike it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import structlog

from benchmarks._simulated_faults import Faults, Shard, draw_plan
from benchmarks._simulated_ray import CALLER, SimulatedRay, replaced
from pagefault.cluster import _ray, host_actor, workshops
from pagefault.cluster.asking import inspect_agent
from pagefault.cluster.remote_stores import RemoteStores
from pagefault.cluster.router import ClusterRouter
from pagefault.cluster.scheduler_actor import SchedulerActor
from pagefault.cluster.settings import SCHEDULER_NAME, Code, FleetSettings
from pagefault.cluster.store_actor import StoreActor
from pagefault.cluster.wire import unpack
from pagefault.runtime.errors import PagefaultError
from pagefault.runtime.failpoints import FAILPOINTS, armed
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.records import encode_definition
from pagefault.runtime.host.residency import FrameSettings
from pagefault.runtime.host.thread_stores import ThreadStores
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.store import sqlite_file
from pagefault.runtime.store.archive import PointArchive
from pagefault.runtime.store.gateway import MemoryGateway
from pagefault.runtime.store.open import ShardStores
from pagefault.runtime.testing.simulation.disk import SimulatedDisk, SimulatedSyncer
from pagefault.runtime.testing.simulation.minds import (
    LONG_WORDS,
    WITNESS,
    WORDS,
    SimulatedModel,
    bell,
    tally,
)
from pagefault.runtime.testing.simulation.processes import Process, running_process, this_process
from pagefault.runtime.testing.simulation.story import Story
from pagefault.runtime.testing.simulation.witness import Witness
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, PageId, Priority

FUNCTIONS = ("send_message", "send_to_agent", "call_agent", "set_timer", "conversation_search", "bell", "tally")
RETRY_S = 0.4
FOLLOW_S = 1
"""The archive follows the journal: what was just committed may be on its way to it."""
QUIET_MAX_S = 300
"""So long after the last fault all must have come to its end, in virtual time."""
COUNTER = BpeTokenCounter()


class SimulatedStoreActor(StoreActor):
    """The production store actor over a simulated disk and archive; the witness sees what it answers."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        shard = fleet.shards[number]
        self._shard = shard
        self._witness = fleet.witness
        journal = shard.disk.open()
        if shard.was_open:
            mine = [agent for agent in fleet.witness.agents if fleet.settings.shard_of(agent) == number]
            fleet.witness.reopened(journal, mine, shard.lost_from_ms)
        shard.was_open, shard.lost_from_ms = True, None
        self._stores = ThreadStores(
            ShardStores(journal, cast("PointArchive", shard.archive), MemoryGateway(shard.archive)), threads=False
        )

    async def _durable(self, work: Awaitable[Any]) -> Any:
        try:
            result = await work
        except Exception:
            self._shard.disk.committed()  # or rolled back
            raise
        self._shard.disk.committed()
        return result

    async def register(self, data: bytes) -> int:
        count: int = await self._durable(super().register(data))
        for agent, definition in unpack(data):
            self._witness.registered(AgentId(agent), definition)
        return count

    async def activate(self, agent: str) -> bytes:
        owner = CALLER[this_process()]
        data: bytes = await self._durable(super().activate(agent))
        self._witness.activated(unpack(data), owner)
        return data

    async def append(self, data: bytes) -> list[list[str] | None]:
        owner = CALLER[this_process()]
        results: list[list[str] | None] = await self._durable(super().append(data))
        for item, result in zip(unpack(data), results, strict=True):
            if result is None:
                self._witness.appended(item, owner)
            else:
                self._witness.refused += 1
        return results


class Fleet:
    """One run.  ``violation`` is the first promise that broke, as ``promise: what``."""

    def __init__(self, seed: int, folder: Path, messages: int) -> None:
        self.plan = draw_plan(Random(f"{seed}/plan"), messages)
        self.clock = VirtualClock(seed)
        began_ms = self.clock.now_ms()
        self.story = Story(lambda: self.clock.now_ms() - began_ms)
        self.violation = ""
        self.over = asyncio.Event()
        self.ray = SimulatedRay(self.clock, Random(f"{seed}/network"), self.story)
        self._words = Random(f"{seed}/words")
        self._model_chance = Random(f"{seed}/model")
        self._seed = seed
        self.model_faults = self.plan.model
        plan = self.plan
        self.settings = FleetSettings(
            "simulated",
            str(folder),
            plan.shards,
            plan.packed_hosts,
            plan.durability,
            "simulated",
            frames=FrameSettings(plan.frames, idle_s=plan.idle_s),
        )
        self.shards = [
            Shard(SimulatedDisk(folder / str(number), plan.durability, Random(f"{seed}/disk"), self.clock.now_ms))
            for number in range(plan.shards)
        ]
        registry = Registry()
        for function in (bell, tally):
            registry.add(function)
        self.witness = Witness(
            Workshop(registry, COUNTER, make_processor),
            self.report,
            self._has_page,
            self.clock.now_ms,
            rewinds=plan.durability != "sync",
        )
        self.driver = Process("driver", self.clock, "node-0")
        self.names = [AgentId(f"agent-{number}") for number in range(plan.agents)]
        self.sending = 0
        self._numbers = iter(range(1, 1_000_000))
        self._orders: list[asyncio.Task[None]] = []
        self.faults = Faults(
            plan,
            seed,
            ray=self.ray,
            clock=self.clock,
            story=self.story,
            settings=self.settings,
            shards=self.shards,
            names=self.names,
            order=self._order,
        )

    def report(self, promise: str, what: str) -> None:
        """A promise is broken; the first is what counts."""
        if not self.violation:
            self.violation = f"{promise}: {what}"
            self.story.add(f"BROKEN {self.violation}")
            self.over.set()

    def _has_page(self, agent: AgentId, page_id: PageId) -> bool:
        return self.shards[self.settings.shard_of(agent)].archive.has("default", agent, page_id)

    # --- the run

    async def run(self) -> None:
        """Live through everything, or until a promise breaks."""
        work = self.driver.start(self._live())
        over = asyncio.ensure_future(self.over.wait())
        limit_s = QUIET_MAX_S + 5 * self.plan.span_s + 120
        done, _ = await asyncio.wait([work, over], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            self.report("liveness", f"not over after {limit_s:.0f} s")
        if work.done() and (error := work.exception()) is not None:
            self.report("crash", f"{type(error).__name__}: {error}")

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Everything that the production code takes from outside is this simulation's."""
        before = structlog.get_config()
        token = WITNESS.set(self.witness)
        try:
            with ExitStack() as stack:
                stack.enter_context(self.ray.installed(Random(f"{self._seed}/ids")))
                stack.enter_context(replaced(sqlite_file, "LogSyncer", SimulatedSyncer))
                stack.enter_context(replaced(workshops, "BpeTokenCounter", lambda: COUNTER))
                stack.enter_context(replaced(host_actor, "make_processor", self._model))
                for name in FAILPOINTS:
                    stack.enter_context(armed(name, partial(self.faults.reached, name)))
                structlog.configure(processors=[self._tell])
                yield
        finally:
            WITNESS.reset(token)
            structlog.configure(**before)
            for shard in self.shards:
                shard.disk.crash()

    def _model(self, _settings: object) -> SimulatedModel:
        return SimulatedModel(self._model_chance, self.model_faults)

    def _tell(self, _logger: object, _method: str, event: Any) -> Any:
        """Every log line is part of the story."""
        said = " ".join(f"{key}={value}" for key, value in event.items() if key != "event")
        process = running_process()
        self.story.add(f"{'' if process is None else process.name}: {event.get('event')} {said}")
        raise structlog.DropEvent

    async def _live(self) -> None:
        await self._open()
        outside = asyncio.get_running_loop().create_task(self.faults.strike())
        talks = asyncio.gather(*(self._talk(agent) for agent in self.names))
        await outside
        await asyncio.sleep(self.plan.span_s)
        await self._calm()
        del talks

    async def _open(self) -> None:
        for _ in range(self.plan.nodes):
            self.faults.add_node()
        settings = self.settings
        code = Code((bell, tally))
        _ray.start_actor(
            SchedulerActor, settings, code, name=SCHEDULER_NAME, namespace="simulated", restarts=-1, node="node-0"
        )
        for number in range(settings.shards):
            _ray.start_actor(
                SimulatedStoreActor,
                self,
                number,
                name=settings.store_name(number),
                namespace="simulated",
                restarts=-1,
                node="node-0",
            )
        self.router = ClusterRouter(settings, self.driver.clock)
        self.stores = RemoteStores(settings)
        plan = self.plan
        agents = [
            Agent(
                name,
                system="You do what you are told.",
                functions=FUNCTIONS,
                model="scripted:nothing",
                context_tokens=2048,
                reply_tokens=128,
                snapshot_steps=plan.snapshot_steps,
                mailbox_max=plan.mailbox_max,
            ).definition()
            for name in self.names
        ]
        await self.stores.register([(each.id, encode_definition(each)) for each in agents])
        network = self.ray.network
        network.lost, network.doubled, network.delay_ms_max = plan.lost, plan.doubled, plan.delay_ms_max

    # --- whoever speaks to it

    async def _talk(self, agent: AgentId) -> None:
        words = self._words
        plan = self.plan
        sends: list[asyncio.Task[None]] = []
        self.sending += 1  # between two messages, too: all is not quiet while somebody is still to speak
        for _ in range(plan.messages // plan.agents):
            await asyncio.sleep(words.random() * 2 * plan.span_s / (plan.messages // plan.agents))
            for _ in range(words.choice((1, 1, 1, 3))):
                interrupt = self._interrupt(agent)
                sends.append(self.driver.start(self._send(agent, interrupt)))
                if words.random() < 0.15:
                    sends.append(self.driver.start(self._send(agent, interrupt)))
        self.sending -= 1
        await asyncio.gather(*sends)

    def _interrupt(self, agent: AgentId) -> Interrupt:
        words = self._words
        number = next(self._numbers)
        whom = words.choice([each for each in self.names if each != agent])
        word = words.choice(WORDS)
        text = f"{word} {whom} {number}" + (" and so on" * LONG_WORDS if word == "long" else "")
        return Interrupt(
            InterruptId(f"m{number}"),
            InterruptKind.MESSAGE,
            words.choice((Priority.USER, Priority.USER, Priority.OPERATOR, Priority.WORLD)),
            "user",
            text,
            created_ms=self.clock.now_ms(),
        )

    async def _send(self, agent: AgentId, interrupt: Interrupt) -> None:
        tries = 0
        self.sending += 1
        while True:
            pause_s = RETRY_S
            try:
                receipt = await self.router.deliver(agent, interrupt)
            except PagefaultError as error:
                self.story.add(f"driver: {interrupt.id} to {agent} failed: {error}")
            else:
                if receipt.accepted:
                    break
                pause_s = max(receipt.retry_after_ms / 1000, 0.05)
            tries += 1
            await asyncio.sleep(pause_s)
        self.witness.acked(agent, interrupt.id)
        self.sending -= 1

    def _order(self, method: str, *arguments: object) -> None:
        async def order() -> None:
            with suppress(PagefaultError):  # what cannot be done now is said, and need not be done
                await self.router.ask_scheduler(method, *arguments)

        self._orders.append(self.driver.start(order()))

    # --- the end

    async def _calm(self) -> None:
        """No more faults: everything that was accepted comes to its end."""
        self.story.add("calm")
        self.faults.end()
        for _ in range(QUIET_MAX_S):
            await asyncio.sleep(1)
            if await self._is_quiet():
                break
        else:
            waiting = self.witness.unfinished()
            waiting += await self._restless()
            self.report("liveness", f"not quiet after {QUIET_MAX_S} s; {len(waiting)} wait: {', '.join(waiting[:3])}")
            return
        await asyncio.sleep(FOLLOW_S)
        await self.stores.flush()
        if asleep := self.witness.behind():  # what died on its way to the archive is written when its agent wakes
            for agent in asleep:
                await inspect_agent(self.router, agent)
            await asyncio.sleep(FOLLOW_S)
            await self.stores.flush()
        self.witness.close(await self._letters())

    async def _restless(self) -> list[str]:
        """Who is not at rest, in words."""
        found = self.witness.undelivered(await self._letters())
        found += [f"{agent} has a timer" for agent, life in self.witness.agents.items() if life.state.timers]
        for name in sorted(self.ray.actors):
            if not name.startswith("host-"):
                continue
            try:
                async with asyncio.timeout(5):
                    if not await self.ray.call(self.ray.actors[name], "is_idle"):
                        found.append(f"{name} is not idle")
            except TimeoutError:
                found.append(f"{name} does not answer")
        return found or ["the scheduler"]

    async def _is_quiet(self) -> bool:
        if self.sending or self.witness.unfinished() or any(life.state.timers for life in self.witness.agents.values()):
            return False
        try:
            if self.witness.undelivered(await self._letters()):
                return False
            return bool(await self.router.ask_scheduler("is_idle"))
        except PagefaultError:
            return False

    async def _letters(self) -> list[tuple[AgentId, InterruptId]]:
        return [(letter.to, letter.interrupt.id) for letter in await self.stores.letters(10_000)]
