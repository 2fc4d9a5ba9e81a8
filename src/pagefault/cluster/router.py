"""The data path between agents: batches by host, places cached, the scheduler asked only on a miss."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.settings import SCHEDULER_NAME, FleetSettings
from pagefault.cluster.wire import pack, unpack, unpack_error
from pagefault.runtime.errors import InternalError, Overloaded, PagefaultError, StaleEpoch
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.host import Host
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.host.routing import carry
from pagefault.runtime.values import AgentId, Interrupt

BATCH_MAX = 200
BATCHES_IN_FLIGHT = 2
LOST_RETRIES = 5
START_TIMEOUT_S = 120.0
PLACES_MAX = 1_000_000

log = structlog.get_logger(__name__)


class HostLostError(Exception):
    """The host went away before it answered."""


LOST = (HostLostError, *_ray.ActorLost)
"""A host is gone: report it with :meth:`ClusterRouter.lost`, and locate its agent again."""


@dataclass(slots=True)
class Parcel:
    """An interrupt on its way."""

    agent: AgentId
    interrupt: Interrupt
    receipt: asyncio.Future[Receipt]


@dataclass(slots=True)
class Outbox:
    """What waits to be sent to one host."""

    host: str
    waiting: list[Parcel] = field(default_factory=list)
    senders: int = 0


class ClusterRouter:
    """Delivers interrupts to agents wherever they are; used by hosts and by drivers.

    Sending again is harmless: agents remember the ids of what they have accepted.
    """

    def __init__(self, settings: FleetSettings, clock: Clock, host_name: str = "") -> None:
        self._settings = settings
        self._clock = clock
        self._own = host_name
        self.host: Host | None = None
        self._places: dict[AgentId, str] = {}
        self._handles: dict[str, _ray.Handle] = {}
        self._started: set[str] = set()
        self._outboxes: dict[str, Outbox] = {}
        self._asking: dict[AgentId, asyncio.Future[str]] = {}
        self._ask_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- places

    async def locate(self, agent: AgentId) -> str:
        """The name of the agent's host; the scheduler is asked in batches, for what is not cached."""
        place = self._places.get(agent)
        if place is not None:
            return place
        future = self._asking.get(agent)
        if future is None:
            future = self._asking[agent] = asyncio.get_running_loop().create_future()
            if self._ask_task is None or self._ask_task.done():
                self._ask_task = asyncio.get_running_loop().create_task(self._ask_scheduler())
        return await asyncio.shield(future)

    async def _ask_scheduler(self) -> None:
        while self._asking:
            await asyncio.sleep(0)  # let others who ask in the same turn join
            asking, self._asking = self._asking, {}
            try:
                names = await _ray.call(self.actor(SCHEDULER_NAME), "locate", list(asking))
            except Exception as error:  # noqa: BLE001 - whoever asked must hear of it, or would wait for ever
                self._handles.pop(SCHEDULER_NAME, None)
                for future in asking.values():
                    if not future.done():
                        future.set_exception(Overloaded(f"the scheduler cannot be reached: {error}"))
                continue
            if len(self._places) > PLACES_MAX:
                self._places.clear()
            for (agent, future), name in zip(asking.items(), names, strict=True):
                self._places[agent] = name
                if not future.done():
                    future.set_result(name)

    def actor(self, name: str) -> _ray.Handle:
        """A host or the scheduler by name.  Raises ``Overloaded`` if it is not running."""
        handle = self._handles.get(name)
        if handle is None:
            handle = _ray.find_actor(name, self._settings.namespace)
            if handle is None:
                raise Overloaded(f"{name} is not running")
            self._handles[name] = handle
        return handle

    async def handle_of(self, agent: AgentId) -> _ray.Handle:
        """The actor of the agent's host, when that has started."""
        return await self.started(await self.locate(agent))

    async def started(self, name: str) -> _ray.Handle:
        """A host's actor once it can take interrupts.

        Raises ``Overloaded`` when it did not start in time (the cluster may not have the resources that it
        asks for), and one of :data:`LOST`.
        """
        handle = self._handles.get(name) or _ray.find_actor(name, self._settings.namespace)
        if handle is None:
            raise HostLostError(name)
        self._handles[name] = handle
        if name not in self._started:
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    await _ray.call(handle, "ready")
            except TimeoutError:
                raise Overloaded(
                    f"{name} did not start within {START_TIMEOUT_S:.0f} s: are the resources it asks for there?"
                ) from None
            self._started.add(name)
        return handle

    def forget(self, agent: AgentId) -> None:
        """Ask the scheduler for this agent's place the next time."""
        self._places.pop(agent, None)

    async def lost(self, host: str) -> None:
        """A host does not answer: forget it, and let the scheduler place its agents anew."""
        log.warning("host_lost", host=host)
        self._handles.pop(host, None)
        self._started.discard(host)
        for agent in [agent for agent, name in self._places.items() if name == host]:
            del self._places[agent]
        await _ray.call(self.actor(SCHEDULER_NAME), "lost", host)

    # --- delivery

    async def deliver(self, agent: AgentId, interrupt: Interrupt) -> Receipt:
        """Hand over one interrupt; returns when it is accepted for good, or refused.

        Raises what :meth:`pagefault.runtime.host.host.Host.deliver` raises.
        """
        for _ in range(LOST_RETRIES):
            host = await self.locate(agent)
            if host == self._own and self.host is not None:
                return await self.host.deliver(agent, interrupt)
            parcel = Parcel(agent, interrupt, asyncio.get_running_loop().create_future())
            outbox = self._outboxes.setdefault(host, Outbox(host))
            outbox.waiting.append(parcel)
            if outbox.senders < BATCHES_IN_FLIGHT:
                outbox.senders += 1
                _ = self._spawn(self._send_batches(outbox))
            try:
                return await parcel.receipt
            except HostLostError:
                continue
            except StaleEpoch:  # that host has lost the agent to another one
                self.forget(agent)
                continue
        raise Overloaded(f"{agent}: its host was lost {LOST_RETRIES} times in a row")

    async def _send_batches(self, outbox: Outbox) -> None:
        try:
            await asyncio.sleep(0)  # gather what is sent in the same turn
            while outbox.waiting:
                batch = outbox.waiting[:BATCH_MAX]
                del outbox.waiting[:BATCH_MAX]
                await self._send_batch(outbox.host, batch)
        finally:
            outbox.senders -= 1

    async def _send_batch(self, host: str, batch: list[Parcel]) -> None:
        try:
            data = pack([[parcel.agent, parcel.interrupt] for parcel in batch])
            answers = unpack(await _ray.call(await self.started(host), "deliver", data))
        except LOST:
            await self._lost_quietly(host)
            for parcel in batch:
                _fail(parcel, HostLostError(host))
            return
        except Exception as error:  # noqa: BLE001 - whoever waits for these parcels must hear of it
            for parcel in batch:
                _fail(parcel, error)
            return
        for parcel, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Receipt):
                if not parcel.receipt.done():
                    parcel.receipt.set_result(answer)
            else:
                _fail(parcel, unpack_error(answer))

    async def _lost_quietly(self, host: str) -> None:
        try:
            await self.lost(host)
        except (PagefaultError, *_ray.ActorLost) as error:
            log.warning("scheduler_unreachable", problem=str(error))

    # --- from agent to agent

    def route(self, sender: AgentId, to: AgentId, interrupt: Interrupt) -> asyncio.Task[bool]:
        """See :class:`~pagefault.runtime.host.services.Router`."""
        if self.host is None:
            raise InternalError("only the routers of hosts carry what agents send")
        return self._spawn(carry(self.deliver, self.host.bury, self._clock, sender, to, interrupt))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def is_idle(self) -> bool:
        return not self._tasks

    async def close(self) -> None:
        """Stop sending; what was committed is routed again when its sender is next activated."""
        tasks = [*self._tasks, *([self._ask_task] if self._ask_task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        asking, self._asking = self._asking, {}
        waiting: list[asyncio.Future[Any]] = list(asking.values())
        waiting += [parcel.receipt for outbox in self._outboxes.values() for parcel in outbox.waiting]
        for future in waiting:
            future.cancel()


def _fail(parcel: Parcel, error: BaseException) -> None:
    if not parcel.receipt.done():
        parcel.receipt.set_exception(error if isinstance(error, Exception) else InternalError(str(error)))
