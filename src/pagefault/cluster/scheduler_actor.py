"""The scheduler as a Ray actor: asked only on a miss, never on the data path."""

from __future__ import annotations

import asyncio

from pagefault.cluster import _ray
from pagefault.cluster.host_actor import HostActor
from pagefault.cluster.scheduler.directory import Directory
from pagefault.cluster.settings import Code, FleetSettings
from pagefault.runtime.values import AgentId


class SchedulerActor:
    """Keeps the directory and starts hosts."""

    def __init__(self, settings: FleetSettings, code: Code) -> None:
        self._settings = settings
        self._code = code
        self._directory = Directory(settings.packed_hosts)
        self._handles: dict[str, _ray.Handle] = {}
        self._resources: dict[str, float] = {}
        self._lock = asyncio.Lock()

    async def wish(self, agents: list[str], placement: str, resources: dict[str, float]) -> None:
        """Remember placements before the agents are first spoken to."""
        for agent in agents:
            self._directory.wish(AgentId(agent), placement)
        self._resources = resources

    async def locate(self, agents: list[str]) -> list[str]:
        """The hosts of agents, started if need be; in the order asked for."""
        async with self._lock:
            names = []
            started = []
            for agent in agents:
                name, fresh = self._directory.place(AgentId(agent))
                if fresh:
                    dedicated = self._directory.hosts[name].dedicated is not None
                    self._handles[name] = self._start(name, dedicated=dedicated)
                    started.append(name)
                names.append(name)
            await asyncio.gather(*(_ray.call(self._handles[name], "ready") for name in started))
            return names

    def _start(self, name: str, *, dedicated: bool) -> _ray.Handle:
        resources = self._resources if dedicated else {}
        return _ray.start_actor(
            HostActor,
            name,
            self._settings,
            self._code,
            name=name,
            namespace=self._settings.namespace,
            resources=resources,
            max_concurrency=10_000,
        )

    async def lost(self, host: str) -> None:
        """A router could not reach a host: place its agents anew when they are next asked for."""
        async with self._lock:
            handle = self._handles.pop(host, None)
            self._directory.lose(host)
            if handle is not None:
                _ray.end_actor(handle)  # if it only seemed dead, epochs fence it until this takes effect

    async def hosts(self) -> dict[str, list[str]]:
        """All hosts with the agents placed there."""
        return {name: sorted(entry.agents) for name, entry in self._directory.hosts.items()}

    async def stop(self) -> None:
        """Let every host save its agents."""
        handles, self._handles = self._handles, {}
        results = await asyncio.gather(
            *(_ray.call(handle, "stop") for handle in handles.values()), return_exceptions=True
        )
        for handle in handles.values():
            _ray.end_actor(handle)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, _ray.ActorLost):
                raise result
