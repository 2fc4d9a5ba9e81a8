"""The scheduler as a Ray actor: asked only on a miss, never on the data path."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.host_actor import HostActor
from pagefault.cluster.scheduler.directory import Directory
from pagefault.cluster.settings import Code, FleetSettings
from pagefault.runtime.values import AgentId

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
        self._started: set[str] = set()
        self._is_stopping = False

    async def wish(self, agents: list[str], placement: str, resources: dict[str, float]) -> None:
        """Remember placements before the agents are first spoken to."""
        for agent in agents:
            self._directory.wish(AgentId(agent), placement)
        self._resources = resources

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
            resources=resources,
            max_concurrency=10_000,
        )

    async def lost(self, host: str) -> None:
        """A router could not reach a host: place its agents anew when they are next asked for."""
        handle = self._handles.pop(host, None)
        agents = self._directory.lose(host)
        if handle is None:
            return  # somebody else has said so before
        _ray.end_actor(handle)  # if it only seemed dead, epochs fence it until this takes effect
        if self._is_stopping:
            return
        self._spawn(self._wake(sorted(agents)))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await_start(self, name: str) -> None:
        with contextlib.suppress(*_ray.ActorLost):  # whoever wants this host will find that out and say so
            await _ray.call(self._handles[name], "ready")
            self._started.add(name)

    async def _wake(self, agents: list[AgentId]) -> None:
        """What a lost host's agents had accepted is taken up elsewhere, without waiting for a visitor."""
        groups: dict[str, list[AgentId]] = defaultdict(list)
        for agent in agents:
            groups[self._locate(agent)].append(agent)
        calls = [_ray.call(self._handles[name], "wake", group) for name, group in groups.items()]
        for result in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(result, BaseException):
                log.warning("not_woken", problem=str(result))

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
