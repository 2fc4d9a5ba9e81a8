"""The scheduler as a Ray actor: asked only on a miss, never on the data path.

When its process dies Ray starts it again, and it finds everything out anew: the hosts of the fleet are named actors
and say whom they hold, the journals have the wishes and who must be awake.  Until then whoever asks waits.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Coroutine
from typing import Any

import structlog

from pagefault.cluster import _ray
from pagefault.cluster._ray_metrics import keep_flushing
from pagefault.cluster.host_pool import HostPool
from pagefault.cluster.logs import configure_actor_logging
from pagefault.cluster.moves import GRACE_S, Moves
from pagefault.cluster.ownership import end_with_owner
from pagefault.cluster.remote_stores import RemoteStores
from pagefault.cluster.scheduler.budget import BudgetLedger
from pagefault.cluster.scheduler.directory import Directory
from pagefault.cluster.scheduler.placement import HOST_FULL, HostEntry, Wish
from pagefault.cluster.settings import Code, FleetSettings, short_node
from pagefault.cluster.telemetry import fleet_samples, hosts_samples
from pagefault.cluster.wire import pack, unpack
from pagefault.cluster.workshops import trying_workshop
from pagefault.runtime.errors import InternalError, StoreCorrupt, StoreError, StoreUnavailable
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.records import decode_definition
from pagefault.runtime.host.telemetry.meters import Sample
from pagefault.runtime.host.waking import HORIZON_MS
from pagefault.runtime.models.budget.gate import monotonic_ms
from pagefault.runtime.store.protocols import WORK
from pagefault.runtime.values import AgentId

LOOK_MS = 2_000
"""Between two looks at nodes and hosts."""
STEP_MS = 100
"""The same while agents are on the move."""
DUE_MS = 30_000
"""Between two looks into the journals for those who must be awake."""
RETRY_MS = 200

log = structlog.get_logger(__name__)


class SchedulerActor:
    """Keeps the directory, starts hosts, and moves agents between them."""

    def __init__(self, settings: FleetSettings, code: Code) -> None:
        whose = {"fleet": settings.name, "role": "scheduler", "node": short_node(_ray.this_node())}
        configure_actor_logging(settings.log_level, settings.log_format, whose)
        self._settings = settings
        self._code = code
        self._directory = Directory(settings.strategy, settings.frames.frames or HOST_FULL)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._ledger = BudgetLedger(settings.budget, os.urandom(4).hex())
        self._stores = RemoteStores(settings)
        self._clock = SystemClock()
        self._pool = HostPool(settings, code, self._directory, self._spawn)
        self._moves = Moves(self._directory, self._pool, self.lost, self._expect)
        self._expecting: Counter[str] = Counter()
        self._taking_over = 0
        self._opened = asyncio.Event()
        self._failure: Exception | None = None
        self._spawn(self._open())
        # Not among the tasks, which stopping cancels.
        self._following = asyncio.get_running_loop().create_task(end_with_owner(settings, self.stop))

    async def _open(self) -> None:
        """Find out what there is, and look after it from then on."""
        try:
            self._pool.see_nodes()
            self._directory.drained.update(_ray.remembered(self._settings.namespace))
            await self._pool.find()
            for agent, data in await self._wishes():
                try:
                    self._directory.wish(agent, Wish.decode(data))
                except StoreCorrupt as error:  # it lives wherever there is room
                    log.error("wish_damaged", agent=agent, problem=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it was, whoever asks must hear of it and not wait for ever
            log.error("scheduler_not_opened", problem=f"{type(error).__name__}: {error}")
            self._failure = error
            return
        finally:
            self._opened.set()
        log.info("scheduler_began", nodes=len(self._directory.nodes), hosts=len(self._directory.hosts))
        self._spawn(self._look())
        self._spawn(self._look_for_due())
        if self._settings.metrics:
            self._spawn(keep_flushing(self._samples, fleet=self._settings.name))

    async def _wishes(self) -> list[tuple[AgentId, bytes]]:
        while True:
            try:
                return await self._stores.placements()
            except StoreUnavailable:  # the stores start at the same time, or come back too
                await self._clock.sleep_until(self._clock.now_ms() + RETRY_MS)
            except StoreCorrupt as error:
                log.error("wishes_damaged", problem=str(error))
                return []

    async def _ready(self) -> None:
        """Return when the scheduler knows what there is."""
        await self._opened.wait()
        if self._failure is not None:
            raise InternalError(f"the scheduler could not find out what there is: {self._failure}")

    async def watch(self) -> None:
        """Return when the scheduler knows what there is: it looks after that by itself."""
        await self._ready()

    # --- what drivers and hosts ask

    async def wish(self, agents: list[str], wished: bytes) -> None:
        """Remember, for good, how agents want to live, before they are first spoken to: an encoded :class:`Wish`.

        Raises ``StoreUnavailable`` and ``UnknownAgent``.  An agent that has a place already keeps it until it moves.
        """
        await self._ready()
        wish = Wish.decode(wished)
        data = None if wish.is_plain else wished
        await self._stores.set_placements([(AgentId(agent), data) for agent in agents])
        for agent in agents:
            self._directory.wish(AgentId(agent), wish)

    @_ray.control
    async def pid(self) -> int:
        """This process: for tests that kill it."""
        return os.getpid()

    @_ray.control
    async def describe(self) -> FleetSettings:
        """What a driver must know that joins the fleet."""
        return self._settings

    @_ray.control
    async def try_out(self, definitions: list[tuple[str, bytes]]) -> None:
        """Make each definition and throw it away, where the fleet's code is; raises what is wrong with one."""
        workshop = trying_workshop(self._code, self._settings.budget, self._settings.mcp)
        try:
            for agent, data in definitions:
                workshop.try_out(decode_definition(AgentId(agent), data))
        finally:
            await workshop.close()

    async def lease(self, data: bytes) -> bytes:
        """A host's exchange with the ledger of the model budget; see :mod:`.scheduler.budget`."""
        return pack(self._ledger.exchange(monotonic_ms(), unpack(data)))

    async def budget_statistics(self) -> dict[str, dict[str, float]]:
        """What the fleet has sent to endpoints, and spent; empty without a budget."""
        return self._ledger.statistics(monotonic_ms()) if self._settings.budget else {}

    async def metrics(self) -> bytes:
        """What the whole fleet has counted and measured, and how it is now; nothing where metrics are off."""
        await self._ready()
        if not self._settings.metrics:
            return pack([])
        handles = {name: handle for name in self._pool.started if (handle := self._pool.handle(name)) is not None}
        hosts, others = await asyncio.gather(hosts_samples(handles), self._samples())
        return pack(hosts + others)

    async def _samples(self) -> list[Sample]:
        return await fleet_samples(self._settings, await self.budget_statistics())

    async def locate(self, agents: list[str]) -> list[str]:
        """The hosts of agents, in the order asked for; empty for one whose wish no node fits.

        Those that are not there yet are begun and not waited for (whoever wants a host waits for that one):
        a host that the cluster has no room for must not keep the others from being found.
        """
        await self._ready()
        if self._is_stopping:
            raise StoreUnavailable("this fleet is stopping")
        return [self._locate(AgentId(agent)) for agent in agents]

    def _locate(self, agent: AgentId) -> str:
        entry, fresh = self._directory.place(agent)
        if entry is None:
            return ""
        if fresh:
            self._pool.start(entry)
        return entry.name

    async def hosts(self) -> dict[str, list[str]]:
        """All hosts with the agents placed there."""
        await self._ready()
        return {name: sorted(entry.agents) for name, entry in self._directory.hosts.items()}

    async def nodes(self) -> list[dict[str, Any]]:
        """The nodes of the cluster: ``id``, ``address``, ``labels``, ``hosts`` (names), ``agents`` (how many are
        placed there), ``drained``."""
        await self._ready()
        rows: list[dict[str, Any]] = []
        for node in self._directory.nodes.values():
            hosts: list[HostEntry] = [host for host in self._directory.hosts.values() if host.node == node.id]
            rows.append(
                {
                    "id": node.id,
                    "address": node.address,
                    "labels": dict(node.labels),
                    "hosts": [host.name for host in hosts],
                    "agents": sum(len(host.agents) for host in hosts),
                    "drained": node.id in self._directory.drained,
                }
            )
        return rows

    async def is_idle(self) -> bool:
        """Whether no host has anything under way.

        Work that waits for a host which starts is under way, but not for ever: the host may never have room.
        """
        await self._ready()
        started = self._pool.started
        coming = {*started, *self._pool.starting}
        if self._moves.under_way or self._taking_over or any(self._expecting[name] for name in coming):
            return False
        handles = [handle for name in started if (handle := self._pool.handle(name)) is not None]
        found = await asyncio.gather(*(_ray.call(handle, "is_idle") for handle in handles), return_exceptions=True)
        return all(result is True for result in found)

    async def move(self, agents: list[str], to: str = "", grace_s: float = GRACE_S) -> int:
        """See :meth:`pagefault.cluster.moves.Moves.move`."""
        await self._ready()
        return await self._moves.move([AgentId(agent) for agent in agents], to, grace_s)

    async def drain(self, name: str, grace_s: float = GRACE_S) -> dict[str, int]:
        """See :meth:`pagefault.cluster.moves.Moves.drain`."""
        await self._ready()
        if name in self._directory.nodes:  # a scheduler that comes back must not put hosts there again
            _ray.remember(self._settings.namespace, name)
        return await self._moves.drain(name, grace_s)

    async def hibernate(self, agent: str) -> bool:
        """See :meth:`pagefault.runtime.host.local.Local.hibernate`; an agent that has no host sleeps already."""
        await self._ready()
        name = next((host.name for host in self._directory.hosts.values() if agent in host.agents), "")
        handle = self._pool.handle(name) if name in self._pool.started else None
        return True if handle is None else bool(await _ray.call(handle, "hibernate", agent))

    # --- hosts that die

    async def lost(self, host: str) -> bool:
        """Somebody could not reach a host.  If it is gone, its agents are placed anew, those with work at once,
        and the answer is ``True``."""
        await self._ready()
        if host not in self._directory.hosts:
            return True  # somebody else has said so before
        if not await self._pool.is_gone(host):
            return False
        self._replace(host)
        return True

    def _replace(self, host: str) -> None:
        if host not in self._directory.hosts:
            return
        log.warning("host_gone", host=host)
        agents = self._directory.lose(host)
        self._pool.end(host)
        if not self._is_stopping:
            self._spawn(self._take_over(agents))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("scheduler_task_failed", problem=f"{type(error).__name__}: {error}")

    # --- looking after the fleet

    async def _look(self) -> None:
        """Nodes that join or leave, hosts that die though nobody speaks to them, hosts that became uneven."""
        while True:
            more = False
            try:
                for name in await asyncio.to_thread(self._pool.see_nodes):
                    self._replace(name)
                await asyncio.gather(*(self._check(name) for name in self._pool.started))
                more = await self._moves.rebalance()
            except Exception as error:  # noqa: BLE001 - whatever Ray could not do now, the next look may go well
                log.error("look_failed", problem=f"{type(error).__name__}: {error}")
            await self._clock.sleep_until(self._clock.now_ms() + (STEP_MS if more else LOOK_MS))

    async def _check(self, name: str) -> None:
        handle = self._pool.handle(name)
        if handle is None:
            return
        try:
            await _ray.call(handle, "pid")
        except _ray.ActorLost:
            await self.lost(name)

    async def _look_for_due(self) -> None:
        """What was accepted goes on though its host is gone, and timers ring wherever their agents sleep.

        Each look is at everything: a host that was told before may not have heard it.
        """
        while True:
            due = await self._due(self._clock.now_ms() + HORIZON_MS, WORK)
            if due is not None:
                await self._expect(due)
            await self._clock.sleep_until(self._clock.now_ms() + (DUE_MS if due is not None else LOOK_MS))

    async def _due(self, until_ms: int, from_ms: int) -> list[tuple[AgentId, int]] | None:
        try:
            return await self._stores.due(until_ms, from_ms)
        except StoreError as error:
            log.warning("journal_not_asked", problem=str(error))
            return None

    async def _expect(self, due: list[tuple[AgentId, int]]) -> None:
        """Tell each host who of its agents must be awake, and when; who has no place gets one.  Nobody waits for
        a host that cannot start."""
        groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for agent, wake_ms in due:
            try:
                name = self._locate(agent)
            except Exception as error:  # noqa: BLE001 - a host that Ray cannot start now must not keep the others asleep
                log.error("no_place", agent=agent, problem=f"{type(error).__name__}: {error}")
                continue
            if name:
                groups[name].append((agent, wake_ms))
        for name, group in groups.items():
            self._expecting[name] += 1
            self._spawn(self._expect_at(name, group))

    async def _expect_at(self, name: str, group: list[tuple[str, int]]) -> None:
        handle = self._pool.handle(name)
        try:
            if handle is not None:  # or else it was lost a moment ago, and is being taken over
                await _ray.call(handle, "take", [agent for agent, _ in group], group)
        except _ray.ActorLost:
            await self.lost(name)
        finally:
            self._expecting[name] -= 1

    async def _take_over(self, agents: set[AgentId]) -> None:
        """What a lost host's agents had accepted is taken up elsewhere, without waiting for a visitor."""
        self._taking_over += 1
        try:
            while (due := await self._due(self._clock.now_ms() + HORIZON_MS, WORK)) is None:
                await self._clock.sleep_until(self._clock.now_ms() + LOOK_MS)
            await self._expect([(agent, wake_ms) for agent, wake_ms in due if agent in agents])
        finally:
            self._taking_over -= 1

    async def stop(self) -> None:
        """Let every host save its agents."""
        self._is_stopping = True
        for task in list(self._tasks):
            task.cancel()
        await self._pool.stop_all()
        _ray.forget_remembered(self._settings.namespace)  # a fleet that begins anew under this name may go anywhere
