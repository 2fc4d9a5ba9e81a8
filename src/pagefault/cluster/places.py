"""Where agents are, as one process knows it: places cached, hosts found by name, the scheduler asked on a miss."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.settings import SCHEDULER_NAME, FleetSettings
from pagefault.runtime.errors import Overloaded, PagefaultError, StaleEpoch
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.moving import MovedError
from pagefault.runtime.values import AgentId

TRIES_MAX = 12
"""How often one interrupt is sent when its host is lost, or its agent elsewhere."""
REDIRECTS_TRUSTED = 2
"""After so many hosts that sent us on, the scheduler is asked."""
PAUSE_S = 0.02
PAUSE_MAX_S = 1.0
START_TIMEOUT_S = 120.0
SCHEDULER_WAIT_S = 60.0
"""A scheduler that died comes back by itself: so long whoever needs it tries again."""

log = structlog.get_logger(__name__)


class HostLostError(Exception):
    """The host went away before it answered."""


LOST = (HostLostError, *_ray.ActorLost)
"""A host is gone: report it with :meth:`ClusterRouter.lost`, and locate its agent again."""


class Places:
    """The places of agents, and the actors of their hosts."""

    def __init__(self, settings: FleetSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._places: dict[AgentId, str] = {}
        self._handles: dict[str, _ray.Handle] = {}
        self._started: set[str] = set()
        self._asking: dict[AgentId, asyncio.Future[str]] = {}
        self._ask_task: asyncio.Task[None] | None = None

    async def locate(self, agent: AgentId) -> str:
        """The name of the agent's host; the scheduler is asked in batches, for what is not cached.

        Raises ``Overloaded`` when no node fits what the agent wishes for, or the scheduler does not answer.
        """
        place = self._places.get(agent)
        if place is not None:
            return place
        future = self._asking.get(agent)
        if future is None:
            future = self._asking[agent] = asyncio.get_running_loop().create_future()
            if self._ask_task is None or self._ask_task.done():
                self._ask_task = asyncio.get_running_loop().create_task(self._ask_places())
        return await asyncio.shield(future)

    async def _ask_places(self) -> None:
        while self._asking:
            await asyncio.sleep(0)  # let others who ask in the same turn join
            asking, self._asking = self._asking, {}
            try:
                names = await self.ask_scheduler("locate", list(asking))
            except Exception as error:  # noqa: BLE001 - whoever asked must hear of it, or would wait for ever
                told = error if isinstance(error, PagefaultError) else Overloaded(f"the scheduler is gone: {error}")
                for future in asking.values():
                    fail_future(future, told)
                continue
            for (agent, future), name in zip(asking.items(), names, strict=True):
                if not name:
                    fail_future(future, Overloaded(f"{agent}: no node of the cluster fits what it wishes for", 5_000))
                    continue
                self._places[agent] = name
                if not future.done():
                    future.set_result(name)

    async def ask_scheduler(self, method: str, *arguments: object) -> Any:
        """Call the scheduler; while it comes back after its death, try again.

        Raises what the method raises, and ``Overloaded`` when there is no scheduler, or none for too long.
        """
        pause_s = PAUSE_S
        deadline_ms = self._clock.now_ms() + round(1000 * SCHEDULER_WAIT_S)
        while True:
            try:
                return await _ray.call(self.actor(SCHEDULER_NAME), method, *arguments)
            except _ray.ActorLost as error:
                self._handles.pop(SCHEDULER_NAME, None)
                if self._clock.now_ms() >= deadline_ms:
                    raise Overloaded(f"the scheduler is gone: {type(error).__name__}") from error
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

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

    async def at_host(self, agent: AgentId, method: str, *arguments: object) -> Any:
        """Call a method of the agent's host, the agent first; if that is lost, or the agent elsewhere, the next one.

        Raises what the method raises, and ``Overloaded`` when that goes on.
        """
        for tries in range(TRIES_MAX):
            host = await self.locate(agent)
            try:
                handle = await self.started(host)
                return await _ray.call(handle, method, agent, *arguments)
            except LOST:
                await self.lost(host)
            except MovedError as error:
                self.forget(agent)
                if tries < REDIRECTS_TRUSTED and error.to:
                    self._places[agent] = error.to
                elif await self.locate(agent) == host:  # what the scheduler says holds
                    await _ray.call(handle, "take", [agent], [])
            except StaleEpoch:
                self.forget(agent)
            await asyncio.sleep(min(PAUSE_MAX_S, PAUSE_S * 2**tries))
        raise Overloaded(f"{agent}: its host was lost {TRIES_MAX} times in a row")

    def forget(self, agent: AgentId) -> None:
        """Ask the scheduler for this agent's place the next time."""
        self._places.pop(agent, None)

    async def lost(self, host: str) -> None:
        """A host does not answer: ask the scheduler, which looks whether that is so.  If it is, its agents are
        placed anew; if not, it is spoken to again."""
        log.warning("host_lost", lost=host)  # ``host`` is whose line this is
        self._handles.pop(host, None)
        if await self.ask_scheduler("lost", host):
            self._started.discard(host)
            for agent in [agent for agent, name in self._places.items() if name == host]:
                del self._places[agent]

    def stop_asking(self) -> None:
        """Whoever waits for a place waits no more."""
        if self._ask_task is not None:
            self._ask_task.cancel()
        asking, self._asking = self._asking, {}
        for future in asking.values():
            future.cancel()


def fail_future(future: asyncio.Future[Any], error: Exception) -> None:
    """Whoever waits gets the error, if it still waits."""
    if not future.done():
        future.set_exception(error)
        future.exception()  # whoever asked may have left: that is no cause for a warning
