"""Cluster: a fleet on Ray.  The same methods as :class:`pagefault.runtime.host.local.Local`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.remote_stores import RemoteStores
from pagefault.cluster.router import LOST, ClusterRouter
from pagefault.cluster.scheduler.directory import check_placement
from pagefault.cluster.scheduler_actor import SchedulerActor
from pagefault.cluster.settings import SCHEDULER_NAME, Code, FleetSettings
from pagefault.cluster.store_actor import StoreActor
from pagefault.cluster.streams import read_agent, read_all
from pagefault.cluster.wire import pack, unpack
from pagefault.policies.tiers import Tier
from pagefault.runtime.errors import ConfigError, InternalError, Overloaded, StaleEpoch, StoreUnavailable, UsageError
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import (
    ASK_TIMEOUT_S,
    AgentRef,
    as_interrupt,
    check_receipt,
    checked_tiers,
    handled_before,
    register_all,
    text_of,
)
from pagefault.runtime.host.records import Answer, Inspection, Receipt, Step
from pagefault.runtime.host.residency import FrameSettings
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.models.budget.gate import local_gate
from pagefault.runtime.models.budget.processor import MakeProcessor, budgeted
from pagefault.runtime.models.budget.settings import BudgetSettings, Endpoint, budget_plan
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.scripted import mind
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.values import AgentId, Interrupt, InterruptId

IDLE_POLL_S = 0.02
START_TIMEOUT_S = 120.0
LOST_RETRIES = 5
IDLE_LOOKS = 2
"""A message may be between two hosts while each of them looks idle, so all must be idle twice in a row."""

log = structlog.get_logger(__name__)


class Cluster:
    """Agents on Ray: hosts, store actors and a scheduler, on this machine or many.

    Use it as an asynchronous context manager.  ``address=None`` begins a Ray of its own on this machine;
    an address (``auto``, ``ray://…``) joins one that runs.  ``folder`` (on the stores' node) keeps journal
    and archive as for :class:`~pagefault.runtime.host.local.Local`; without one the fleet is forgotten at the
    end.  ``placement``: ``packed`` (many agents a Ray actor), ``dedicated`` (one each: a process of its own,
    with ``resources``) or ``auto`` (packed).  ``hosts`` is the number of packed hosts (default: processors
    less one).  ``endpoints`` and ``budget``, as for :class:`~pagefault.runtime.host.local.Local`, hold for all
    hosts together.  ``functions`` and ``minds`` are the program's own; ``module:name`` references need none.
    ``frames``, ``frames_bytes``, ``frames_policy``, ``idle_s`` and ``memory_bytes`` bound what is resident in each
    host: see :class:`~pagefault.runtime.host.residency.FrameSettings`.

    Raises (on entering) :class:`~pagefault.runtime.errors.ConfigError` and
    :class:`~pagefault.runtime.errors.StoreUnavailable`; then nothing is left running.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        address: str | None = None,
        placement: str = "auto",
        hosts: int | None = None,
        shards: int = 1,
        resources: Mapping[str, float] | None = None,
        functions: Iterable[Callable[..., Any]] = (),
        minds: Mapping[str, Callable[..., Any]] | None = None,
        durability: str = "sync",
        embedder: str = "wordllama",
        tiers: Iterable[Tier | Mapping[str, Any]] = (),
        frames: int | None = None,
        frames_bytes: int | None = None,
        frames_policy: str = "lru",
        idle_s: float | None = None,
        memory_bytes: int | None = None,
        endpoints: Iterable[Endpoint | Mapping[str, Any]] = (),
        budget: BudgetSettings | Mapping[str, Any] | None = None,
        cpus: int | None = None,
    ) -> None:
        if shards < 1:
            raise ConfigError("shards", shards, "1 or more")
        if hosts is not None and hosts < 1:
            raise ConfigError("hosts", hosts, "1 or more")
        self._placement = check_placement(placement)
        self._temporary = folder is None
        self._folder = Path(folder).absolute() if folder is not None else None
        self._address = address
        self._hosts = hosts
        self._shards = shards
        self._resources = dict(resources or {})
        self._code = Code(tuple(functions), dict(minds or {}))
        self._durability = durability
        self._embedder = embedder
        self._tiers = checked_tiers(tiers)
        self._budget = budget_plan(endpoints, budget)
        self._frames = FrameSettings(frames, frames_bytes, frames_policy, idle_s=idle_s, memory_bytes=memory_bytes)
        self._cpus = cpus
        self._clock = SystemClock()
        self._numbers = itertools.count(1)
        self._token = os.urandom(6).hex()
        self._session: _ray.Session | None = None
        self._running: _Running | None = None

    async def __aenter__(self) -> Self:
        if self._running is not None:
            raise UsageError("this Cluster is open already")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pagefault-"))
        try:
            # Not in a thread: Ray binds its signal handling and its connection to the one that begins it.
            self._session = _ray.Session(self._address, cpus=self._cpus)
            self._running = await self._start()
        except BaseException:  # whatever it was, also a cancellation: nothing may be left running
            await self.stop()
            raise
        return self

    async def _start(self) -> _Running:
        namespace = f"pagefault-{self._token}"
        hosts = self._hosts if self._hosts is not None else max(1, _ray.cpu_count() - 1)
        settings = FleetSettings(
            namespace,
            str(self._folder),
            self._shards,
            hosts,
            self._durability,
            self._embedder,
            self._tiers,
            frames=self._frames,
            budget=self._budget,
        )
        registry = Registry()
        for function in self._code.functions:
            registry.add(function)
        for name, function in self._code.minds.items():
            mind(name)(function)
        maker: MakeProcessor = make_processor
        if self._budget:  # only to try definitions out: no call is made from here
            maker = budgeted(self._budget, local_gate(self._budget), make_processor)
        workshop = Workshop(registry, BpeTokenCounter(), maker)
        actors: list[_ray.Handle] = []
        try:
            for shard in range(self._shards):
                name = settings.store_name(shard)
                actors.append(
                    _ray.start_actor(
                        StoreActor, settings, shard, name=name, namespace=namespace, max_concurrency=10_000
                    )
                )
            scheduler = _ray.start_actor(SchedulerActor, settings, self._code, name=SCHEDULER_NAME, namespace=namespace)
            stores, actors = actors, [scheduler, *actors]
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    for store in stores:
                        await _ray.call_constructed(store, "ready")
                    await _ray.call_constructed(scheduler, "watch")
            except TimeoutError:
                raise StoreUnavailable(f"the store actors did not start within {START_TIMEOUT_S:.0f} s") from None
        except BaseException:  # as in __aenter__
            for actor in actors:
                _ray.end_actor(actor)
            raise
        router = ClusterRouter(settings, self._clock)
        return _Running(workshop, RemoteStores(settings), router, scheduler, stores)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Save every agent, close the stores, leave Ray.  Safe to call twice."""
        running, self._running = self._running, None
        session, self._session = self._session, None
        try:
            if running is not None:
                await running.stop()
        finally:
            if session is not None:
                session.close()
            if self._temporary and self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    @property
    def folder(self) -> Path:
        if self._folder is None:
            raise UsageError("Cluster is not open: use `async with Cluster(...) as fleet:`")
        return self._folder

    @property
    def _parts(self) -> _Running:
        if self._running is None:
            raise UsageError("Cluster is not open: use `async with Cluster(...) as fleet:`")
        return self._running

    # --- agents

    async def spawn(self, agent: Agent, placement: str | None = None) -> AgentRef:
        """Make an agent, or take up the one of that name.  See :meth:`Local.spawn`; ``placement`` overrides
        the fleet's for this agent."""
        return (await self.spawn_many([agent], placement))[0]

    async def spawn_many(self, agents: Iterable[Agent], placement: str | None = None) -> list[AgentRef]:
        """Make many agents; none takes a frame or a process before it is spoken to."""
        parts = self._parts
        wish = self._placement if placement is None else check_placement(placement)
        refs = await register_all(self, agents, parts.workshop.try_out, parts.remote.register)
        if wish == "dedicated":
            await _ray.call(parts.scheduler, "wish", [ref.id for ref in refs], wish, self._resources)
        return refs

    def agent(self, name: str) -> AgentRef:
        """A reference to an agent that is there already."""
        return AgentRef(self, AgentId(name))

    async def agents(self, prefix: str = "") -> list[AgentId]:
        """The names of all agents of this fleet, in order."""
        return await self._parts.remote.agents(prefix)

    async def hosts(self) -> dict[str, list[str]]:
        """Every host with the agents placed there."""
        hosts: dict[str, list[str]] = await _ray.call(self._parts.scheduler, "hosts")
        return hosts

    async def host_pid(self, agent: AgentId | str) -> int:
        """The process that the agent lives in: for tools, and for tests that kill it."""
        return int(await _ray.call(await self._parts.router.handle_of(AgentId(agent)), "pid"))

    # --- interrupts

    def _interrupt(self, message: str | Interrupt) -> Interrupt:
        return as_interrupt(message, f"user-{self._token}-{next(self._numbers)}", self._clock.now_ms())

    async def send(self, agent: AgentId | str, message: str | Interrupt) -> InterruptId:
        """Send a user's message, or any interrupt; returns when its acceptance is durable.  See :meth:`Local.send`."""
        interrupt = self._interrupt(message)
        check_receipt(agent, await self._parts.router.deliver(AgentId(agent), interrupt))
        return interrupt.id

    async def ask(self, agent: AgentId | str, message: str | Interrupt, timeout_s: float = ASK_TIMEOUT_S) -> str:
        """Send and wait for what the agent says.  See :meth:`Local.ask`."""
        return text_of(agent, await self.answer(agent, message, timeout_s))

    async def answer(self, agent: AgentId | str, message: str | Interrupt, timeout_s: float = ASK_TIMEOUT_S) -> Answer:
        """Like :meth:`ask`, with how the chain ended; a failed chain does not raise."""
        router, interrupt, name = self._parts.router, self._interrupt(message), AgentId(agent)
        async with asyncio.timeout(timeout_s):  # here too: a host that cannot start would never answer
            for _ in range(LOST_RETRIES):
                host = await router.locate(name)
                try:
                    data = await _ray.call(await router.started(host), "ask", name, pack(interrupt), timeout_s)
                except LOST:
                    await router.lost(host)
                    continue
                except StaleEpoch:  # another host has the agent; the same interrupt is known there
                    router.forget(name)
                    continue
                result = unpack(data)
                if isinstance(result, Receipt):
                    check_receipt(agent, result)
                    result = handled_before(result)
                if not isinstance(result, Answer):
                    raise InternalError(f"{host} answered a question with {type(result).__name__}")
                return result
        raise Overloaded(f"{agent}: its host was lost {LOST_RETRIES} times in a row")

    async def stream(self, agent: AgentId | str | None = None) -> AsyncIterator[Step]:
        """Steps as they happen, of one agent or of all.  See :meth:`Local.stream`."""
        router = self._parts.router
        if agent is None:
            steps = read_all(router, self.hosts, lambda: self._running is not None)
        else:
            steps = read_agent(router, AgentId(agent), lambda: self._running is not None)
        async with contextlib.aclosing(steps):
            async for step in steps:
                yield step

    async def inspect(self, agent: AgentId | str) -> Inspection:
        """The agent's context, page by page.  See :meth:`Local.inspect`."""
        router, name = self._parts.router, AgentId(agent)
        for _ in range(LOST_RETRIES):
            host = await router.locate(name)
            try:
                inspection = unpack(await _ray.call(await router.started(host), "inspect", name))
            except LOST:
                await router.lost(host)
            else:
                break
        else:
            raise Overloaded(f"{agent}: its host was lost {LOST_RETRIES} times in a row")
        if not isinstance(inspection, Inspection):
            raise InternalError(f"a host answered an inspection with {type(inspection).__name__}")
        return inspection

    async def tier_statistics(self) -> dict[str, dict[str, int]]:
        """What the tiers of all hosts did, added up.  See :meth:`Local.tier_statistics`."""
        router = self._parts.router
        names = list(await self.hosts())
        found = await asyncio.gather(*(_ray.call(router.actor(name), "tier_statistics") for name in names))
        totals: dict[str, dict[str, int]] = {}
        for statistics in found:
            for tier, counts in statistics.items():
                row = totals.setdefault(tier, {})
                for name, count in counts.items():
                    row[name] = row.get(name, 0) + count
        return totals

    async def budget_statistics(self) -> dict[str, dict[str, float]]:
        """What all hosts have sent and spent.  See :meth:`Local.budget_statistics`."""
        if not self._budget:
            return {}
        found: dict[str, dict[str, float]] = await _ray.call(self._parts.scheduler, "budget_statistics")
        return found

    async def idle(self) -> None:
        """Return when no agent has anything under way."""
        router = self._parts.router
        looks = 0
        while looks < IDLE_LOOKS:
            names = list(await self.hosts())
            idle = await asyncio.gather(*(_ray.call(router.actor(name), "is_idle") for name in names))
            looks = looks + 1 if all(idle) else 0
            await asyncio.sleep(IDLE_POLL_S)


@dataclass(frozen=True, slots=True)
class _Running:
    """The parts of a fleet that is running."""

    workshop: Workshop
    remote: RemoteStores
    router: ClusterRouter
    scheduler: _ray.Handle
    stores: list[_ray.Handle]

    async def stop(self) -> None:
        """Hosts first, so that they can save; then the scheduler and the stores."""
        await self.router.close()
        try:
            for actor in (self.scheduler, *self.stores):
                try:
                    await _ray.call(actor, "stop")
                except _ray.ActorLost:  # the others are stopped all the same
                    log.warning("actor_gone", problem="an actor died before it was stopped; what it had is durable")
        finally:
            for handle in (self.scheduler, *self.stores):
                _ray.end_actor(handle)
