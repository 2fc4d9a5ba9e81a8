"""The scheduler as a Ray actor: asked only on a miss, never on the data path."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.host_actor import HostActor
from pagefault.cluster.ownership import end_with_owner
from pagefault.cluster.remote_stores import RemoteStores
from pagefault.cluster.scheduler.budget import BudgetLedger
from pagefault.cluster.scheduler.directory import Directory
from pagefault.cluster.settings import Code, FleetSettings
from pagefault.cluster.wire import pack, unpack
from pagefault.cluster.workshops import trying_workshop
from pagefault.runtime.errors import StoreError
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.records import decode_definition
from pagefault.runtime.host.waking import HORIZON_MS
from pagefault.runtime.models.budget.gate import monotonic_ms
from pagefault.runtime.store.protocols import WORK
from pagefault.runtime.values import AgentId

LOOK_MS = 5_000
"""Between two looks at hosts and stores."""

log = structlog.get_logger(__name__)


class SchedulerActor:
    """Keeps the directory and starts hosts."""

    def __init__(self, settings: FleetSettings, code: Code) -> None:
        self._settings = settings
        self._code = code
        self._directory = Directory(settings.packed_hosts)
        self._handles: dict[str, _ray.Handle] = {}
        self._resources: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._following: asyncio.Task[None] | None = None  # not among the tasks, which stopping cancels
        self._started: set[str] = set()
        self._is_stopping = False
        self._ledger = BudgetLedger(settings.budget, os.urandom(4).hex())
        self._stores = RemoteStores(settings)
        self._clock = SystemClock()

    async def wish(self, agents: list[str], placement: str, resources: dict[str, float]) -> None:
        """Remember placements before the agents are first spoken to."""
        for agent in agents:
            self._directory.wish(AgentId(agent), placement)
        self._resources = resources

    @_ray.control
    async def describe(self) -> FleetSettings:
        """What a driver must know that joins the fleet."""
        return self._settings

    @_ray.control
    async def try_out(self, definitions: list[tuple[str, bytes]]) -> None:
        """Make each definition and throw it away, where the fleet's code is; raises what is wrong with one."""
        workshop = trying_workshop(self._code, self._settings.budget)
        try:
            for agent, data in definitions:
                workshop.try_out(decode_definition(AgentId(agent), data))
        finally:
            await workshop.close()

    async def lease(self, data: bytes) -> bytes:
        """A host's exchange with the ledger of the model budget; see :mod:`.scheduler.budget`."""
        return pack(self._ledger.exchange(monotonic_ms(), unpack(data)))

    async def budget_statistics(self) -> dict[str, dict[str, float]]:
        """What the fleet has sent to endpoints, and spent."""
        return self._ledger.statistics(monotonic_ms())

    async def locate(self, agents: list[str]) -> list[str]:
        """The hosts of agents, in the order asked for.

        Those that are not there yet are begun and not waited for (whoever wants a host waits for that one):
        a host that the cluster has no room for must not keep the others from being found.
        """
        return [self._locate(AgentId(agent)) for agent in agents]

    def _locate(self, agent: AgentId) -> str:
        name, fresh = self._directory.place(agent)
        if fresh:
            dedicated = self._directory.hosts[name].dedicated is not None
            try:
                self._handles[name] = self._start(name, dedicated=dedicated)
                self._spawn(self._await_start(name))
            except BaseException:  # whatever it was: nobody may be sent to a host that is not there
                self._directory.lose(name)
                raise
        return name

    def _start(self, name: str, *, dedicated: bool) -> _ray.Handle:
        resources = self._resources if dedicated else {}
        return _ray.start_actor(
            HostActor,
            name,
            self._settings,
            self._code,
            name=name,
            namespace=self._settings.namespace,
            detached=True,
            resources=resources,
            max_concurrency=10_000,
        )

    async def lost(self, host: str) -> None:
        """A router could not reach a host: place its agents anew when they are next asked for."""
        handle = self._handles.pop(host, None)
        self._started.discard(host)
        agents = self._directory.lose(host)
        if handle is None:
            return  # somebody else has said so before
        _ray.end_actor(handle)  # if it only seemed dead, epochs fence it until this takes effect
        if self._is_stopping:
            return
        self._spawn(self._take_over(agents))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await_start(self, name: str) -> None:
        with contextlib.suppress(*_ray.ActorLost):  # whoever wants this host will find that out and say so
            await _ray.call(self._handles[name], "ready")
            self._started.add(name)

    # --- agents that nobody speaks to

    async def watch(self) -> None:
        """Begin to look after the fleet: what was accepted before it began goes on, timers ring wherever their
        agents sleep, and hosts that died are noticed though nobody speaks to them."""
        self._spawn(self._look())
        self._following = asyncio.get_running_loop().create_task(end_with_owner(self._settings, self.stop))

    async def _look(self) -> None:
        from_ms = WORK
        while True:
            until_ms = self._clock.now_ms() + HORIZON_MS
            due = await self._due(until_ms, from_ms)
            if due is not None:
                await self._expect(due)
                from_ms = until_ms + 1  # the hosts know of who works or sleeps until then
            await self._clock.sleep_until(self._clock.now_ms() + LOOK_MS)
            for name in list(self._started):
                await self._check(name)

    async def _due(self, until_ms: int, from_ms: int) -> list[tuple[AgentId, int]] | None:
        try:
            return await self._stores.due(until_ms, from_ms)
        except StoreError as error:
            log.warning("journal_not_asked", problem=str(error))
            return None

    async def _expect(self, due: list[tuple[AgentId, int]]) -> None:
        """Tell each host who of its agents must be awake, and when; who has no place gets one."""
        groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for agent, wake_ms in due:
            groups[self._locate(agent)].append((agent, wake_ms))
        for name, group in groups.items():
            handle = self._handles.get(name)
            if handle is None:
                continue  # lost a moment ago: it is being taken over
            try:
                await _ray.call(handle, "expect", group)
            except _ray.ActorLost:
                await self.lost(name)

    async def _check(self, name: str) -> None:
        handle = self._handles.get(name)
        if handle is None:
            return
        try:
            await _ray.call(handle, "pid")
        except _ray.ActorLost:
            await self.lost(name)

    async def _take_over(self, agents: set[AgentId]) -> None:
        """What a lost host's agents had accepted is taken up elsewhere, without waiting for a visitor."""
        while (due := await self._due(self._clock.now_ms() + HORIZON_MS, WORK)) is None:
            await self._clock.sleep_until(self._clock.now_ms() + LOOK_MS)
        await self._expect([(agent, wake_ms) for agent, wake_ms in due if agent in agents])

    async def hosts(self) -> dict[str, list[str]]:
        """All hosts with the agents placed there."""
        return {name: sorted(entry.agents) for name, entry in self._directory.hosts.items()}

    async def stop(self) -> None:
        """Let every host save its agents."""
        self._is_stopping = True
        for task in list(self._tasks):
            task.cancel()
        handles, self._handles = self._handles, {}
        results = await asyncio.gather(
            *(_ray.call(handle, "stop") for name, handle in handles.items() if name in self._started),
            return_exceptions=True,  # what never started (no room for it, say) holds nothing and would never answer
        )
        for handle in handles.values():
            _ray.end_actor(handle)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, _ray.ActorLost):
                raise result
