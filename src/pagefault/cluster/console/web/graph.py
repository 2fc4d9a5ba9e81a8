"""Who wrote to whom: read from the newest records of the agents that did most, bounded whatever the fleet's size."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pagefault.cluster.api import Cluster
from pagefault.runtime.errors import PagefaultError
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import AgentRow
from pagefault.runtime.values import AgentId, Interrupt, InterruptKind

AGENTS_MAX = 150
INTERRUPTS_MAX = 100
"""The newest that each of them accepted; older ones are not looked for."""
EDGES_MAX = 600
"""Of edges between agents, and of the others, each."""
BUDGET_S = 2.0
"""When so much time has gone into reading, what was found by then is shown."""
MESSAGE, CALL, REPLY = "message", "call", "reply"


@dataclass(frozen=True, slots=True)
class Edge:
    """``count`` interrupts of one ``kind`` (message, call, reply) that ``sender`` sent and ``to`` accepted; the newest
    was made at ``at_ms``.  ``between_agents``: the sender is no user, world or timer."""

    sender: str
    to: AgentId
    kind: str
    count: int
    at_ms: int
    between_agents: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """The edges with the highest counts; ``looked_into`` of ``agents`` were read, and ``left_out`` edges were too
    many."""

    edges: tuple[Edge, ...]
    looked_into: int
    agents: int
    left_out: int


async def read_graph(fleet: Cluster | Local, rows: Sequence[AgentRow]) -> Graph:
    """The graph of the busiest agents, by steps taken; what cannot be read is left out."""
    chosen = sorted(rows, key=lambda row: (-(row.steps or 0), row.agent))[:AGENTS_MAX]
    began_s = time.monotonic()
    counts: Counter[tuple[str, AgentId, str]] = Counter()
    newest: dict[tuple[str, AgentId, str], int] = {}
    agents: set[str] = {row.agent for row in rows}
    looked_into = 0
    for row in chosen:
        if time.monotonic() - began_s > BUDGET_S:
            break
        try:
            arrived = await fleet.arrivals(row.agent, INTERRUPTS_MAX)
        except PagefaultError:  # one that was just made, or is damaged: the others can be shown
            continue
        looked_into += 1
        for interrupt in arrived:
            key = (interrupt.sender, row.agent, _kind(interrupt))
            counts[key] += 1
            newest[key] = max(newest.get(key, 0), interrupt.created_ms)
        await asyncio.sleep(0)  # the page goes on meanwhile
    edges = [Edge(*key, count, newest[key], key[0] in agents) for key, count in counts.items()]
    edges.sort(key=lambda edge: (-edge.count, edge.sender, edge.to, edge.kind))
    shown = [edge for edge in edges if edge.between_agents][:EDGES_MAX]
    shown += [edge for edge in edges if not edge.between_agents][:EDGES_MAX]
    return Graph(tuple(shown), looked_into, len(rows), len(edges) - len(shown))


def _kind(interrupt: Interrupt) -> str:
    if interrupt.kind is InterruptKind.REPLY:
        return REPLY
    return CALL if interrupt.kind is InterruptKind.CALL or interrupt.wants_reply else MESSAGE
