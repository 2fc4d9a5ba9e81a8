"""Starting the actors of a fleet, finding those of one that runs, ending them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.ownership import namespace_of, running_fleets, stop_stores
from pagefault.cluster.remote_stores import RemoteStores
from pagefault.cluster.router import ClusterRouter
from pagefault.cluster.scheduler_actor import SchedulerActor
from pagefault.cluster.settings import SCHEDULER_NAME, Code, FleetSettings
from pagefault.cluster.store_actor import StoreActor
from pagefault.cluster.workshops import trying_workshop
from pagefault.runtime.errors import ConfigError, InternalError, Overloaded, StoreUnavailable
from pagefault.runtime.host.clock import Clock
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.records import encode_definition
from pagefault.runtime.host.workshop import Workshop

START_TIMEOUT_S = 120.0
RESTARTS = -1
"""A store that dies comes back where its disk is, a scheduler anywhere; whoever needs them waits."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of a fleet that runs, as a driver has them.

    ``workshop`` tries definitions out; ``None`` where the driver joined the fleet and may not have its code.
    """

    settings: FleetSettings
    workshop: Workshop | None
    remote: RemoteStores
    router: ClusterRouter
    scheduler: _ray.Handle

    async def leave(self) -> None:
        """The fleet runs on without this driver."""
        await self.router.close()
        if self.workshop is not None:
            await self.workshop.close()

    async def stop(self) -> None:
        """Hosts first, so that they can save; then the stores and the scheduler."""
        await self.leave()
        try:
            await self.router.ask_scheduler("stop")
        except Overloaded:  # the stores are stopped all the same
            log.warning("actor_gone", problem="the scheduler died before it was stopped; nothing of it is kept")
        finally:
            try:
                await stop_stores(self.settings)
            finally:
                _ray.end_actor(self.scheduler)


async def start_fleet(settings: FleetSettings, code: Code, clock: Clock, *, stores_node: str) -> Running:
    """Start stores and scheduler.  ``stores_node`` is the id of the node that has the folder.

    Raises :class:`~pagefault.runtime.errors.ConfigError` when a fleet of that name runs, and what stores raise
    that cannot be opened; then nothing is left running.
    """
    workshop = trying_workshop(code, settings.budget, settings.mcp)
    actors: list[_ray.Handle] = []
    try:
        # The scheduler first: whoever has its name has the fleet's.
        scheduler = _ray.start_actor(
            SchedulerActor,
            settings,
            code,
            name=SCHEDULER_NAME,
            namespace=settings.namespace,
            restarts=RESTARTS,
            max_concurrency=10_000,
            detached=True,
        )
        actors.append(scheduler)
        actors.extend(_start_store(settings, shard, stores_node) for shard in range(settings.shards))
        async with asyncio.timeout(START_TIMEOUT_S):
            for store in actors[1:]:
                await _ray.call_constructed(store, "ready")
            await _ray.call_constructed(scheduler, "watch")
    except _ray.NameTakenError:
        _end(actors)
        raise ConfigError("name", settings.name, "a name that no fleet here has: that one runs") from None
    except TimeoutError:
        _end(actors)
        raise StoreUnavailable(f"the store actors did not start within {START_TIMEOUT_S:.0f} s") from None
    except BaseException:  # whatever it was, also a cancellation: nothing may be left running
        _end(actors)
        raise
    return Running(settings, workshop, RemoteStores(settings), ClusterRouter(settings, clock), scheduler)


def _start_store(settings: FleetSettings, shard: int, node: str) -> _ray.Handle:
    return _ray.start_actor(
        StoreActor,
        settings,
        shard,
        name=settings.store_name(shard),
        namespace=settings.namespace,
        node=node,
        restarts=RESTARTS,
        max_concurrency=10_000,
        detached=True,
    )


def _end(actors: list[_ray.Handle]) -> None:
    for actor in actors:
        _ray.end_actor(actor)


async def find_fleet(name: str, clock: Clock) -> Running | None:
    """The parts of a fleet that runs in this process's Ray cluster; ``None`` if there is none of that name."""
    scheduler = _ray.find_actor(SCHEDULER_NAME, namespace_of(name))
    if scheduler is None:
        return None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            settings = await _ray.call(scheduler, "describe")
    except _ray.ActorLost:
        return None
    except TimeoutError:
        raise StoreUnavailable(f"the fleet {name} did not answer within {START_TIMEOUT_S:.0f} s") from None
    if not isinstance(settings, FleetSettings):
        raise InternalError(f"the scheduler of {name} described itself with {type(settings).__name__}")
    return Running(settings, None, RemoteStores(settings), ClusterRouter(settings, clock), scheduler)


async def join_fleet(name: str | None, clock: Clock) -> Running:
    """Like :func:`find_fleet`, for a fleet that must be there; without a name, the only one that is.

    Raises :class:`~pagefault.runtime.errors.ConfigError`, naming those that run.
    """
    names = running_fleets()
    if name is None and len(names) == 1:
        name = names[0]
    running = None if name is None else await find_fleet(name, clock)
    if running is None:
        shown = ", ".join(names) if names else "none runs"
        raise ConfigError("name", name, f"the name of a fleet that runs at {_ray.gcs_address()}: {shown}")
    return running


def different(agents: Iterable[Agent]) -> list[tuple[str, bytes]]:
    """Definitions that differ in more than their names, each with one of the names: what is to be tried out.

    A driver that joined has it done where the fleet's code is, which it may not have itself.
    """
    definitions = [agent.definition() for agent in agents]
    return [
        (str(name), data)
        for data, name in {encode_definition(definition): definition.id for definition in definitions}.items()
    ]


def tried_already(_definition: object) -> None:
    """What is called for each definition that the fleet has tried out itself."""
