"""The hosts of a fleet as its scheduler has them: started, found again, looked after, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.host_actor import HostActor
from pagefault.cluster.scheduler.directory import NAME, Directory
from pagefault.cluster.scheduler.placement import PLAIN, HostEntry, Node, hosts_max
from pagefault.cluster.settings import Code, FleetSettings
from pagefault.cluster.wire import unpack
from pagefault.runtime.errors import Overloaded
from pagefault.runtime.values import AgentId

PING_S = 3.0
PINGS = 4
PING_PAUSE_S = 0.4
"""A host that answers none of these is gone; one that only seemed so answers one."""
FIND_S = 15.0
"""Time for a host that ran before the scheduler did to say whom it holds."""
READY_S = 60.0
STOP_S = 60.0
"""Time for a host to save its agents at the end."""

log = structlog.get_logger(__name__)


class HostPool:
    """Handles of hosts, by name.  ``spawn`` runs a task that nobody waits for."""

    def __init__(
        self,
        settings: FleetSettings,
        code: Code,
        directory: Directory,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._settings = settings
        self._code = code
        self._directory = directory
        self._spawn = spawn
        self._handles: dict[str, _ray.Handle] = {}
        self._ready: dict[str, asyncio.Event] = {}
        self._begun_s: dict[str, float] = {}
        self._verdicts: dict[str, asyncio.Task[bool]] = {}

    def handle(self, name: str) -> _ray.Handle | None:
        """The host's actor, started or not."""
        return self._handles.get(name)

    @property
    def started(self) -> list[str]:
        """Hosts that take interrupts."""
        return [name for name, event in self._ready.items() if event.is_set()]

    @property
    def starting(self) -> list[str]:
        """Hosts that were begun a while ago at most, and may be there any moment."""
        since_s = asyncio.get_running_loop().time() - READY_S
        return [name for name, event in self._ready.items() if not event.is_set() and self._begun_s[name] > since_s]

    def see_nodes(self) -> list[str]:
        """Look which nodes there are; returns the hosts of those that have left."""
        nodes = [
            Node(node.id, hosts_max(node.cpus, self._settings.packed_hosts), node.labels, node.address)
            for node in _ray.nodes()
        ]
        return self._directory.see_nodes(nodes)

    def start(self, entry: HostEntry) -> None:
        """Begin to start a host; on failure nobody may be sent there."""
        wish = self._directory.wishes.get(entry.dedicated, PLAIN) if entry.dedicated is not None else PLAIN
        resources = dict(wish.resources or self._settings.resources) if entry.dedicated is not None else {}
        try:
            handle = _ray.start_actor(
                HostActor,
                entry.name,
                self._settings,
                self._code,
                entry.dedicated or "",
                name=entry.name,
                namespace=self._settings.namespace,
                detached=True,
                node=entry.node,
                labels=self._directory.selector(entry),
                resources=resources,
                max_concurrency=10_000,
            )
        except BaseException:  # whatever it was: nobody may be sent to a host that is not there
            self._directory.lose(entry.name)
            raise
        self._take(entry.name, handle)

    def _take(self, name: str, handle: _ray.Handle) -> None:
        self._handles[name] = handle
        self._ready[name] = asyncio.Event()
        self._begun_s[name] = asyncio.get_running_loop().time()
        self._spawn(self._await_start(name, handle))

    async def _await_start(self, name: str, handle: _ray.Handle) -> None:
        while True:
            try:
                node = await _ray.call(handle, "ready")
                break
            except _ray.ActorDied as error:  # whoever wants this host will find that out and say so
                log.warning("host_not_started", host=name, problem=type(error).__name__)
                return
            except _ray.ActorLost:  # the question was lost, or the answer: the host may be there all the same
                await asyncio.sleep(PING_PAUSE_S)
            if self._handles.get(name) is not handle:
                return
        entry = self._directory.hosts.get(name)
        if entry is not None and name in self._ready:
            entry.node = node
            self._ready[name].set()

    async def ready(self, name: str) -> _ray.Handle:
        """The host's actor when it takes interrupts.  Raises ``Overloaded`` when that takes too long."""
        event, handle = self._ready.get(name), self._handles.get(name)
        if event is None or handle is None:
            raise Overloaded(f"{name} is gone")
        try:
            async with asyncio.timeout(READY_S):
                await event.wait()
        except TimeoutError:
            raise Overloaded(f"{name} did not start within {READY_S:.0f} s") from None
        return handle

    async def find(self) -> None:
        """Hosts of this fleet that run already say whom they hold; those that do not answer are ended, and
        epochs keep them from having any effect until then."""
        namespace = self._settings.namespace
        names = [name for name, where in _ray.named_actors() if where == namespace and name.startswith(NAME)]
        found = await asyncio.gather(*(self._ask_found(name) for name in names))
        for name, handle, answer in found:
            if handle is None:
                continue
            if answer is None:
                _ray.end_actor(handle)
                continue
            node, dedicated, agents = answer
            self._directory.found(name, node, AgentId(dedicated) if dedicated else None, map(AgentId, agents))
            self._take(name, handle)
        if names:
            log.info("hosts_found", hosts=len(self._handles), agents=len(self._directory.places))

    async def _ask_found(self, name: str) -> tuple[str, _ray.Handle | None, Any]:
        handle = _ray.find_actor(name, self._settings.namespace)
        if handle is None:
            return name, None, None
        try:
            async with asyncio.timeout(FIND_S):
                return name, handle, unpack(await _ray.call(handle, "held"))
        except (TimeoutError, *_ray.ActorLost) as error:
            log.warning("host_not_found", host=name, problem=type(error).__name__)
            return name, handle, None

    # --- hosts that are gone

    async def is_gone(self, name: str) -> bool:
        """Whether a host is dead, or cannot be reached though one tries again: asked by whoever had no answer."""
        verdict = self._verdicts.get(name)
        if verdict is None:
            verdict = self._verdicts[name] = asyncio.get_running_loop().create_task(self._judge(name))
            verdict.add_done_callback(lambda _: self._verdicts.pop(name, None))
        return await asyncio.shield(verdict)

    async def _judge(self, name: str) -> bool:
        handle = self._handles.get(name)
        if handle is None:
            return True
        for attempt in range(PINGS):
            try:
                async with asyncio.timeout(PING_S):
                    await _ray.call(handle, "pid")
            except _ray.ActorDied:
                return True
            except TimeoutError:
                if name not in self.started:
                    return False  # it waits for its resources
            except _ray.ActorLost:
                pass
            else:
                return False
            await asyncio.sleep(PING_PAUSE_S * (attempt + 1))
        return True

    def end(self, name: str) -> None:
        """This host is not one of the fleet's any more; if it only seemed dead, epochs fence it until this takes
        effect."""
        self._ready.pop(name, None)
        self._begun_s.pop(name, None)
        handle = self._handles.pop(name, None)
        if handle is not None:
            _ray.end_actor(handle)

    async def stop(self, name: str) -> None:
        """Let a host save its agents, and end it.  What never started holds nothing."""
        handle = self._handles.get(name)
        try:
            if handle is not None and name in self.started:
                async with asyncio.timeout(STOP_S):
                    await _ray.call(handle, "stop")
        except (TimeoutError, *_ray.ActorLost) as error:
            log.warning("host_not_stopped", host=name, problem=type(error).__name__)
        finally:
            self.end(name)

    async def stop_all(self) -> None:
        """Stop every host; what went wrong with one is raised when all have ended."""
        results = await asyncio.gather(*(self.stop(name) for name in list(self._handles)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
