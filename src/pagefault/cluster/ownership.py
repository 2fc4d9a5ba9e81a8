"""Names of fleets, and how long one lives: as long as the driver that began it, unless it is kept.

All actors of a fleet are detached, so that the death of one does not take others with it; a fleet that is not
kept therefore looks after its owner itself.  It does not ask Ray to end it with its driver, because then nobody
would save what is resident.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.settings import NAMESPACE_PREFIX, SCHEDULER_NAME, FleetSettings
from pagefault.cluster.whereabouts import forget_whereabouts
from pagefault.runtime.errors import ConfigError

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
OWNER_LOOK_S = 2.0

log = structlog.get_logger(__name__)


def fleet_name(name: str | None) -> str:
    """The name to use: checked, or one that nobody else has.  Raises :class:`ConfigError`."""
    if name is None:
        return os.urandom(6).hex()
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError("name", name, "1 to 64 letters, digits, '-', '_' or '.', the first a letter or digit")
    return name


def namespace_of(name: str) -> str:
    """Ray's namespace of a fleet's actors."""
    return NAMESPACE_PREFIX + name


def running_fleets() -> list[str]:
    """The names of all fleets in the Ray cluster of this process."""
    return sorted(
        namespace.removeprefix(NAMESPACE_PREFIX)
        for name, namespace in _ray.named_actors()
        if name == SCHEDULER_NAME and namespace.startswith(NAMESPACE_PREFIX)
    )


async def end_with_owner(settings: FleetSettings, stop: Callable[[], Awaitable[None]]) -> None:
    """Wait until the driver that owns the fleet is gone; then save everything and end the fleet's actors, the
    scheduler, which runs this, last.  ``stop`` stops the hosts.  Returns at once for a fleet that is kept."""
    if not settings.owner:
        return
    while not await asyncio.to_thread(_ray.job_is_over, settings.owner):  # noqa: ASYNC110 - Ray tells nobody of it
        await asyncio.sleep(OWNER_LOOK_S)
    log.warning("owner_gone", problem="the driver that began this fleet is gone; its agents are saved and it ends")
    await stop()
    await stop_stores(settings)
    forget_whereabouts(settings.path, settings.name)  # if that is a disk of this node; it is recognised if not
    scheduler = _ray.find_actor(SCHEDULER_NAME, settings.namespace)
    if scheduler is not None:
        _ray.end_actor(scheduler)


async def stop_stores(settings: FleetSettings) -> None:
    """Close the stores and end their actors; one that is gone already does not keep the others."""
    for shard in range(settings.shards):
        store = _ray.find_actor(settings.store_name(shard), settings.namespace)
        if store is None:
            continue
        try:
            await _ray.call(store, "stop")
        except _ray.ActorLost:
            log.warning("actor_gone", problem="a store died before it was stopped; what it had is durable")
        _ray.end_actor(store)
