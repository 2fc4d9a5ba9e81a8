"""Questions of a driver to the hosts of agents; when a host is lost, the next one is asked."""

from __future__ import annotations

import asyncio

from pagefault.cluster import _ray
from pagefault.cluster.router import LOST, ClusterRouter
from pagefault.cluster.wire import pack, unpack
from pagefault.runtime.errors import InternalError, Overloaded
from pagefault.runtime.host.fleet import as_answer
from pagefault.runtime.host.records import AgentRow, Answer, Inspection, Receipt
from pagefault.runtime.values import AgentId, Interrupt

SURVEY_S = 10.0


async def ask_host(router: ClusterRouter, agent: AgentId, interrupt: Interrupt, timeout_s: float) -> Answer:
    """Deliver one interrupt and wait for its chain's end.  See :meth:`pagefault.cluster.api.Cluster.answer`."""
    async with asyncio.timeout(timeout_s):  # here too: a host that cannot start would never answer
        result = unpack(await router.at_host(agent, "ask", pack(interrupt), timeout_s))
    if not isinstance(result, Receipt | Answer):
        raise InternalError(f"the host of {agent} answered a question with {type(result).__name__}")
    return as_answer(agent, result)


async def inspect_agent(router: ClusterRouter, agent: AgentId) -> Inspection:
    """See :meth:`pagefault.cluster.api.Cluster.inspect`."""
    inspection = unpack(await router.at_host(agent, "inspect"))
    if not isinstance(inspection, Inspection):
        raise InternalError(f"a host answered an inspection with {type(inspection).__name__}")
    return inspection


async def survey_hosts(router: ClusterRouter, hosts: list[str], prefix: str) -> list[AgentRow]:
    """What all hosts say of the agents that have a frame there; a host that is lost says nothing."""

    async def survey(name: str) -> list[AgentRow]:
        try:
            async with asyncio.timeout(SURVEY_S):
                return list(unpack(await _ray.call(router.actor(name), "survey", prefix)))
        except (*LOST, Overloaded, TimeoutError):
            return []

    found = await asyncio.gather(*map(survey, hosts))
    return [row for rows in found for row in rows]


async def tier_totals(router: ClusterRouter, hosts: list[str]) -> dict[str, dict[str, int]]:
    """What the tiers of all hosts did, added up."""
    found = await asyncio.gather(*(_ray.call(router.actor(name), "tier_statistics") for name in hosts))
    totals: dict[str, dict[str, int]] = {}
    for statistics in found:
        for tier, counts in statistics.items():
            row = totals.setdefault(tier, {})
            for name, count in counts.items():
                row[name] = row.get(name, 0) + count
    return totals
