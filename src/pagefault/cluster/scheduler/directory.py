"""The directory: which host an agent lives in, and where a new one goes.

Pure: the scheduler's actor feeds it and starts the hosts that it asks for.  Its state can be rebuilt: hosts
know whom they hold, the journal has the wishes, an agent that nobody knows is placed anew, and the journal's epochs
keep a forgotten copy from doing harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pagefault.cluster.scheduler.placement import (
    HOST_FULL,
    NODE_LABEL,
    PLAIN,
    HostEntry,
    Node,
    Shift,
    Wish,
    choose_packed,
    fits,
    rebalance,
)
from pagefault.runtime.values import AgentId

__all__ = ["HERE", "NAME", "Directory", "HostEntry"]

HERE = Node("", 1)
"""Stands for all nodes as long as none is known."""
NAME = "host-"
GAP = 1_000
"""Names of hosts that a lost directory may have given out after those that are found again."""


@dataclass(slots=True)
class Directory:
    """Places of agents, hosts with their nodes, and who wishes for what."""

    strategy: str = "spread"
    full: int = HOST_FULL
    nodes: dict[str, Node] = field(default_factory=dict)
    hosts: dict[str, HostEntry] = field(default_factory=dict)
    places: dict[AgentId, str] = field(default_factory=dict)
    wishes: dict[AgentId, Wish] = field(default_factory=dict)
    drained: set[str] = field(default_factory=set)  # nodes that get nothing new
    made: int = 0

    # --- what is known

    def see_nodes(self, nodes: Iterable[Node]) -> list[str]:
        """These nodes are there, and no others.  Returns the hosts of those that have left."""
        self.nodes = {node.id: node for node in nodes}
        self.drained &= self.nodes.keys()
        return [name for name, host in self.hosts.items() if host.node and host.node not in self.nodes]

    def found(self, name: str, node: str, dedicated: AgentId | None, agents: Iterable[AgentId]) -> None:
        """A host that runs, with whom it holds.  Who is in two hosts stays where it was found first."""
        entry = self.hosts[name] = HostEntry(name, dedicated, node=node)
        self._claim(entry, agents)
        number = name.removeprefix(NAME)
        if number.isdigit():
            self.made = max(self.made, int(number) + GAP)

    def _claim(self, entry: HostEntry, agents: Iterable[AgentId]) -> None:
        for agent in agents:
            if self.places.setdefault(agent, entry.name) == entry.name:
                entry.agents.add(agent)

    def wish(self, agent: AgentId, wish: Wish) -> None:
        """Remember how an agent wants to be placed; what everybody gets nobody needs to remember."""
        if wish.is_plain:
            self.wishes.pop(agent, None)
        else:
            self.wishes[agent] = wish

    # --- where agents go

    def place(self, agent: AgentId) -> tuple[HostEntry | None, bool]:
        """The agent's host, and whether it must be started first; ``None`` when no node fits its wish."""
        name = self.places.get(agent)
        if name is not None:
            return self.hosts[name], False
        return self._place(agent, {agent})

    def _place(self, agent: AgentId, asked: set[AgentId]) -> tuple[HostEntry | None, bool]:
        wish = self.wishes.get(agent, PLAIN)
        neighbour = self._neighbour(wish, asked)
        if wish.is_dedicated:
            node = wish.node or (neighbour.node if neighbour is not None else "")
            entry: HostEntry | None = self._new_host(agent, node)
            fresh = True
        elif neighbour is not None and self._takes(neighbour, wish):
            entry, fresh = neighbour, False
        else:
            entry, fresh = self._packed(wish, neighbour)
        if entry is not None:
            self.put(agent, entry)
        return entry, fresh

    def _neighbour(self, wish: Wish, asked: set[AgentId]) -> HostEntry | None:
        """The host of the agent that is to be near; one that has no place will get one of its own wish later."""
        near = AgentId(wish.near)
        if not near or near in asked:
            return None
        name = self.places.get(near)
        return self.hosts[name] if name is not None else None

    def _takes(self, host: HostEntry, wish: Wish) -> bool:
        if host.dedicated is not None or host.is_draining or host.node in self.drained:
            return False
        node = self.nodes.get(host.node, HERE)
        return fits(node, wish)

    def _packed(self, wish: Wish, neighbour: HostEntry | None = None) -> tuple[HostEntry | None, bool]:
        fitting = [node for node in self._workers() if fits(node, wish)]
        if neighbour is not None:
            fitting = [node for node in fitting if node.id == neighbour.node] or fitting
        choice = choose_packed(self.strategy, fitting, self._open_hosts(), self.full)
        if choice is None:
            return None, False
        if choice.host is not None:
            return choice.host, False
        return self._new_host(None, choice.node), True

    def _workers(self) -> list[Node]:
        """Nodes that take packed hosts: those without processors only if there are no others."""
        if not self.nodes:
            return [HERE]
        open_nodes = [node for node in self.nodes.values() if node.id not in self.drained]
        workers = [node for node in open_nodes if node.hosts_max > 0]
        return workers or [Node(node.id, 1, node.labels, node.address) for node in open_nodes]

    def _open_hosts(self) -> list[HostEntry]:
        return [host for host in self.hosts.values() if host.dedicated is None and not host.is_draining]

    def _new_host(self, dedicated: AgentId | None, node: str) -> HostEntry:
        self.made += 1
        entry = HostEntry(f"{NAME}{self.made}", dedicated, node=node)
        self.hosts[entry.name] = entry
        return entry

    def selector(self, entry: HostEntry) -> dict[str, str]:
        """The labels that the node of a host must have, as Ray's label selector wants them."""
        if entry.dedicated is None:
            return {}
        labels = dict(self.wishes.get(entry.dedicated, PLAIN).labels)
        if self.drained and not entry.node:
            labels.setdefault(NODE_LABEL, f"!in({','.join(sorted(self.drained))})")
        return labels

    def put(self, agent: AgentId, entry: HostEntry) -> None:
        """The agent lives there now."""
        before = self.places.get(agent)
        if before is not None:
            self.hosts[before].agents.discard(agent)
        entry.agents.add(agent)
        self.places[agent] = entry.name

    def unplace(self, agent: AgentId) -> None:
        """The agent is in no host now; it gets a place when somebody asks for it."""
        name = self.places.pop(agent, None)
        if name is not None:
            self.hosts[name].agents.discard(agent)

    def target(self, agent: AgentId, nodes: set[str] | None = None) -> tuple[HostEntry | None, bool]:
        """Another packed host for an agent that is to leave its own: on one of ``nodes``, or on any that takes
        it.  ``None`` when there is none."""
        wish = self.wishes.get(agent, PLAIN)
        own = self.places.get(agent, "")
        fitting = [node for node in self._workers() if fits(node, wish) and (nodes is None or node.id in nodes)]
        choice = choose_packed(self.strategy, fitting, self._open_hosts(), self.full, leaving=own)
        if choice is None:
            return None, False
        if choice.host is not None:
            return choice.host, False
        return self._new_host(None, choice.node), True

    # --- hosts and nodes that go, and those that come

    def hosts_of(self, name: str) -> list[HostEntry]:
        """The host of that name, or all hosts of the node of that id."""
        if name in self.hosts:
            return [self.hosts[name]]
        return [host for host in self.hosts.values() if host.node == name]

    def drain(self, name: str) -> list[HostEntry]:
        """Nothing new goes to a host, or to a node and its hosts, any more.  Returns the hosts."""
        hosts = self.hosts_of(name)
        for host in hosts:
            host.is_draining = True
        if name in self.nodes:
            self.drained.add(name)
        return hosts

    def lose(self, host: str) -> set[AgentId]:
        """A host is gone: its agents have no place until somebody asks for them."""
        entry = self.hosts.pop(host, None)
        if entry is None:
            return set()
        for agent in entry.agents:
            self.places.pop(agent, None)
        return entry.agents

    def open_missing(self) -> list[HostEntry]:
        """Hosts for nodes that have joined and have none, if there are agents to share.  ``pack`` waits until
        they are needed."""
        taken = self._open_hosts()
        agents = sum(len(host.agents) for host in taken)
        if self.strategy != "spread" or agents < 2 * len(taken) or not taken:
            return []
        counts: dict[str, int] = {}
        for host in taken:
            counts[host.node] = counts.get(host.node, 0) + 1
        return [
            self._new_host(None, node.id)
            for node in self._workers()
            if not counts.get(node.id) and node.id != HERE.id
            for _ in range(node.hosts_max)
        ]

    def shift(self, step: int, ready: Iterable[str]) -> Shift | None:
        """The next small step towards even hosts, among those that are ready."""
        if self.strategy != "spread":
            return None
        names = set(ready)
        return rebalance([host for host in self._open_hosts() if host.name in names], step)

    def check(self) -> None:
        """Assert that places and hosts agree."""
        for agent, name in self.places.items():
            if agent not in self.hosts[name].agents:
                raise AssertionError(f"{agent} is placed on {name}, which does not know it")
        for entry in self.hosts.values():
            if entry.dedicated is not None and entry.agents - {entry.dedicated}:
                raise AssertionError(f"{entry.name} is dedicated to {entry.dedicated} and has others")
            for agent in entry.agents:
                if self.places.get(agent) != entry.name:
                    raise AssertionError(f"{entry.name} has {agent}, which is placed on {self.places.get(agent)}")
