"""Where the agents of a fleet are, and how to have them elsewhere: what a driver can ask of the scheduler."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from pagefault.cluster.moves import GRACE_S
from pagefault.cluster.wire import unpack
from pagefault.runtime.host.telemetry.meters import Sample
from pagefault.runtime.values import AgentId

IDLE_POLL_S = 0.02
IDLE_LOOKS = 2
"""A message may be between two hosts while each of them looks idle, so all must be idle twice in a row."""
PREFIX_CHARS_MIN = 4
"""So many characters of a node's id stand for it, if they are those of one node only."""


class Placing(ABC):
    """Hosts and nodes of a fleet.  All methods raise :class:`~pagefault.runtime.errors.Overloaded` when the
    scheduler cannot be asked."""

    @abstractmethod
    async def _ask_scheduler(self, method: str, *arguments: object) -> Any:
        """Call a method of the scheduler, also of one that has just died and comes back."""

    async def idle(self) -> None:
        """Return when no agent has anything under way."""
        looks = 0
        while looks < IDLE_LOOKS:
            looks = looks + 1 if await self._ask_scheduler("is_idle") else 0
            await asyncio.sleep(IDLE_POLL_S)

    async def budget_statistics(self) -> dict[str, dict[str, float]]:
        """What all hosts have sent and spent.  See :meth:`~pagefault.runtime.host.local.Local.budget_statistics`."""
        found: dict[str, dict[str, float]] = await self._ask_scheduler("budget_statistics")
        return found

    async def metrics(self) -> list[Sample]:
        """What the fleet has counted and measured by host; see :meth:`~pagefault.runtime.host.local.Local.metrics`.

        A host or store that does not answer within seconds is left out.
        """
        samples: list[Sample] = unpack(await self._ask_scheduler("metrics"))
        return samples

    async def hosts(self) -> dict[str, list[str]]:
        """Every host with the agents placed there."""
        hosts: dict[str, list[str]] = await self._ask_scheduler("hosts")
        return hosts

    async def nodes(self) -> list[dict[str, Any]]:
        """The machines of the cluster: ``id``, ``address``, ``labels``, ``hosts`` (their names), ``agents`` (how
        many are placed there) and ``drained``."""
        nodes: list[dict[str, Any]] = await self._ask_scheduler("nodes")
        return nodes

    async def move(self, agents: Iterable[AgentId | str], to: str = "", *, grace_s: float = GRACE_S) -> int:
        """Move agents to a host or node, or (``to`` empty) each to another host than its own; how many have moved.

        An agent leaves between two steps; one that is busy for longer than ``grace_s`` seconds is saved as it is,
        and its calls under way are made again.  ``to`` is a host's name, or a node's id, its beginning, or its
        address.  Raises :class:`~pagefault.runtime.errors.UsageError` for a place that is not there.
        """
        target = await self._place(to) if to else ""
        moved: int = await self._ask_scheduler("move", [str(agent) for agent in agents], target, grace_s)
        return moved

    async def drain(self, place: str, *, grace_s: float = GRACE_S) -> dict[str, int]:
        """Empty a host, or all hosts of a node, and end them; no agent goes there any more.  See :meth:`move`.

        Returns how many ``agents`` have left and how many ``hosts`` have ended.
        """
        drained: dict[str, int] = await self._ask_scheduler("drain", await self._place(place), grace_s)
        return drained

    async def hibernate(self, agent: AgentId | str) -> bool:
        """Have an agent at rest leave its frame; see :meth:`pagefault.runtime.host.local.Local.hibernate`."""
        sleeps: bool = await self._ask_scheduler("hibernate", str(agent))
        return sleeps

    async def _place(self, name: str) -> str:
        """What the scheduler calls a place; a name that it may not know stays what it is."""
        nodes = await self.nodes()
        alike = [
            str(node["id"])
            for node in nodes
            if name == node["address"] or (len(name) >= PREFIX_CHARS_MIN and node["id"].startswith(name))
        ]
        return alike[0] if len(alike) == 1 else name
