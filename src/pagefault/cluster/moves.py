"""Agents that move: asked for, because a node is drained, or in small steps so that hosts have equally many."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import structlog

from pagefault.cluster import _ray
from pagefault.cluster.host_pool import HostPool
from pagefault.cluster.scheduler.directory import Directory
from pagefault.cluster.scheduler.placement import PLAIN, HostEntry, fits
from pagefault.runtime.errors import Overloaded, UsageError
from pagefault.runtime.values import AgentId

BATCH = 256
"""Agents that leave one host together."""
AT_ONCE = 4
"""Batches under way in the whole fleet."""
REBALANCE_STEP = 64
GRACE_S = 30.0
"""Time for a busy agent to end what it has begun, before it is broken off."""
HAND_OVER_S = 60.0
"""Beyond its grace: a host that takes longer to let agents go is looked at."""

Wakes = Sequence[tuple[AgentId, int]]

log = structlog.get_logger(__name__)


class Moves:
    """Moves agents between hosts.  ``lost`` is told of a host that did not answer, ``expect`` of agents that must be
    awake and are in no host now."""

    def __init__(
        self,
        directory: Directory,
        pool: HostPool,
        lost: Callable[[str], Awaitable[object]],
        expect: Callable[[list[tuple[AgentId, int]]], Awaitable[object]],
    ) -> None:
        self._directory = directory
        self._pool = pool
        self._lost = lost
        self._expect = expect
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.under_way = 0
        self.moved = 0

    async def move(self, agents: Sequence[AgentId], to: str, grace_s: float) -> int:
        """Move agents to the host or node ``to``, or (if that is empty) each to another host than its own.

        Returns how many have moved; who was there already, or found no room, has not.  Raises ``UsageError``
        for a host or node that is not there, and ``Overloaded`` when the new host does not start.
        """
        target = self._directory.hosts.get(to)
        if to and target is None and to not in self._directory.nodes:
            raise UsageError(f"to: found {to!r}, allowed: {self._known()}, or '' for any other host")
        if target is not None and (target.dedicated is not None or target.is_draining):
            raise UsageError(f"to: found {to!r}, allowed: a host that is not dedicated and not being drained")
        groups: dict[tuple[str, str], list[AgentId]] = defaultdict(list)
        moved = 0
        for agent in dict.fromkeys(agents):
            chosen = target if target is not None else self._target(agent, to)
            own = self._directory.places.get(agent)
            if chosen is None or own == chosen.name:
                continue
            if own is None:
                self._directory.put(agent, chosen)
                moved += 1
            else:
                groups[own, chosen.name].append(agent)
        results = await asyncio.gather(
            *(self._move_all(source, chosen, group, grace_s) for (source, chosen), group in groups.items())
        )
        return moved + sum(results)

    def _known(self) -> str:
        hosts = [name for name, host in self._directory.hosts.items() if host.dedicated is None]
        return ", ".join([*hosts, *self._directory.nodes])

    def _target(self, agent: AgentId, node: str = "") -> HostEntry | None:
        """Where an agent goes that is to leave its host."""
        own = self._directory.places.get(agent)
        if node and own is not None and self._directory.hosts[own].node == node:
            return None
        entry, fresh = self._directory.target(agent, {node} if node else None)
        if entry is not None and fresh:
            self._pool.start(entry)
        return entry

    async def _move_all(self, source: str, target: str, agents: Sequence[AgentId], grace_s: float) -> int:
        batches = [agents[start : start + BATCH] for start in range(0, len(agents), BATCH)]
        return sum([await self._transfer(source, target, batch, grace_s) for batch in batches])

    async def _transfer(self, source: str, target: str, agents: Sequence[AgentId], grace_s: float) -> int:
        """Bring agents from one host to another (``target`` empty: to none for now); returns how many."""
        self.under_way += 1
        try:
            async with self._turns:
                if target:
                    await self._pool.ready(target)
                handle = self._pool.handle(source)
                if handle is None:
                    return 0
                async with asyncio.timeout(grace_s + HAND_OVER_S):
                    answer = await _ray.call(handle, "hand_over", list(agents), target, grace_s)
                wakes = [(AgentId(agent), int(wake_ms)) for agent, wake_ms in answer]
                return await self._settle(source, target, agents, wakes)
        except (TimeoutError, *_ray.ActorLost):
            await self._lost(source)
            return 0
        finally:
            self.under_way -= 1

    async def _settle(self, source: str, target: str, agents: Sequence[AgentId], wakes: Wakes) -> int:
        directory = self._directory
        entry = directory.hosts.get(target)
        going = [agent for agent in agents if directory.places.get(agent) == source]
        for agent in going:
            if entry is not None:
                directory.put(agent, entry)
            else:
                directory.unplace(agent)
        self.moved += len(going)
        handle = self._pool.handle(target)
        if entry is None or handle is None:
            await self._expect(list(wakes))
            return len(going)
        try:
            await _ray.call(handle, "take", [str(agent) for agent in going], list(wakes))
        except _ray.ActorLost:
            await self._lost(target)
        return len(going)

    # --- drain

    async def drain(self, name: str, grace_s: float) -> dict[str, int]:
        """Nothing new goes to a host, or to a node, any more; its agents are moved or saved, and it ends.

        Returns how many ``agents`` have left and how many ``hosts`` have ended.  Nothing waits for ever: a busy
        agent has ``grace_s``, a host a minute more.  Raises ``UsageError`` for a name that is neither.
        """
        if name not in self._directory.hosts and name not in self._directory.nodes:
            raise UsageError(f"drain: found {name!r}, allowed: {self._known()}, or a dedicated host")
        hosts = self._directory.drain(name)
        counts = await asyncio.gather(*(self._empty(host, grace_s) for host in hosts))
        log.info("drained", name=name, agents=sum(counts), hosts=len(hosts))
        return {"agents": sum(counts), "hosts": len(hosts)}

    async def _empty(self, host: HostEntry, grace_s: float) -> int:
        left = 0
        groups: dict[str, list[AgentId]] = defaultdict(list)
        if host.dedicated is None:
            for agent in sorted(host.agents):
                entry = self._target(agent)
                groups[entry.name if entry is not None else ""].append(agent)
        else:  # it gets a host of its own again when it is next spoken to, or has something to do
            groups[""] = sorted(host.agents)
        for target, agents in groups.items():
            try:
                left += await self._move_all(host.name, target, agents, grace_s)
            except Overloaded as error:  # the new host does not start: they are saved, and find another
                log.warning("saved_not_moved", agents=len(agents), problem=str(error))
                left += await self._move_all(host.name, "", agents, grace_s)
        await self._pool.stop(host.name)
        self._directory.lose(host.name)
        return left

    # --- small steps

    async def rebalance(self) -> bool:
        """One small step towards hosts with equally many agents; whether another may be needed.

        One batch at a time, the coldest first: those without a frame cost nothing to move, and whoever is
        busy stays where it is.
        """
        directory = self._directory
        for entry in directory.open_missing():
            self._pool.start(entry)
        shift = directory.shift(REBALANCE_STEP, self._pool.started)
        if shift is None or self.under_way:
            return bool(self.under_way)
        source, target = self._pool.handle(shift.source), directory.hosts[shift.target]
        node = directory.nodes.get(target.node)
        if source is None:
            return False
        try:
            coldest = await _ray.call(source, "coldest", shift.count)
        except _ray.ActorLost:
            await self._lost(shift.source)
            return True
        agents = [AgentId(agent) for agent in coldest]
        here = directory.hosts.get(shift.source)
        known = here.agents if here is not None else set[AgentId]()
        free = [
            agent
            for agent in agents
            if agent in known
            and not (wish := directory.wishes.get(agent, PLAIN)).near
            and (node is None or fits(node, wish))
        ]
        if not free:
            return False
        return await self._transfer(shift.source, shift.target, free, 1.0) > 0
