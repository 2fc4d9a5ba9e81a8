"""Where agents go: what they may wish for, and which host and node that gives.

Pure.  A *node* is a machine of the cluster with room for so many packed hosts; nothing here starts one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pagefault.cluster.wire import pack, unpack
from pagefault.runtime.errors import ConfigError, StoreCorrupt
from pagefault.runtime.values import AgentId

PLACEMENTS = ("packed", "dedicated", "auto")
STRATEGIES = ("spread", "pack")
WISH_VERSION = 1
NODE_LABEL = "ray.io/node-id"
"""The label that Ray gives each node."""
HOST_FULL = 10_000
"""``pack`` turns to the next host at so many agents, where frames say nothing else."""


def check_placement(placement: str) -> str:
    """The placement in force.  ``auto`` packs: one Ray actor an agent costs a process each."""
    if placement not in PLACEMENTS:
        raise ConfigError("placement", placement, ", ".join(PLACEMENTS))
    return "packed" if placement == "auto" else placement


def check_strategy(strategy: str) -> str:
    """``spread``: evenly over all hosts; ``pack``: one host after the other, one node after the other."""
    if strategy not in STRATEGIES:
        raise ConfigError("strategy", strategy, ", ".join(STRATEGIES))
    return strategy


@dataclass(frozen=True, slots=True)
class Wish:
    """How an agent wants to live.

    ``placement`` is ``packed``, ``dedicated`` or ``auto``; ``resources`` (Ray's, by name) are for dedicated
    agents only, who have a process of their own to charge them to.  ``labels`` are those that its node must
    have (for dedicated agents also with the operators of Ray's label selectors: ``!value``, ``in(a,b)``),
    ``node`` is the id of the only node that will do, ``near`` an agent whose host, or at least node, it wants to share.

    Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """

    placement: str = "packed"
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    node: str = ""
    near: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "placement", check_placement(self.placement))
        amounts: Mapping[str, object] = self.resources  # what people write is not what the types say
        for name, amount in amounts.items():
            if type(amount) not in {int, float} or not math.isfinite(self.resources[name]) or self.resources[name] < 0:
                raise ConfigError(f"resources.{name}", amount, "a finite number, 0 or more")
        if self.resources and not self.is_dedicated:
            raise ConfigError("resources", dict(self.resources), 'nothing, or placement="dedicated"')
        labels: Mapping[str, object] = self.labels
        for name, value in labels.items():
            if not isinstance(value, str) or not value:
                raise ConfigError(f"labels.{name}", value, "a text of 1 character or more")
        if self.node and self.near:
            raise ConfigError("near", self.near, "nothing, when a node is asked for")

    @property
    def is_dedicated(self) -> bool:
        return self.placement == "dedicated"

    @property
    def is_plain(self) -> bool:
        """Whether it is what everybody gets, so that nobody needs to remember it."""
        return self == PLAIN

    def encode(self) -> bytes:
        """As the journal keeps it."""
        return pack(
            {
                "version": WISH_VERSION,
                "placement": self.placement,
                "resources": {name: float(amount) for name, amount in self.resources.items()},
                "labels": dict(self.labels),
                "node": self.node,
                "near": self.near,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Wish:
        """Raises :class:`~pagefault.runtime.errors.StoreCorrupt` for what is no wish of a version known here."""
        fields = unpack(data)
        if not isinstance(fields, dict) or fields.pop("version", None) != WISH_VERSION:
            raise StoreCorrupt(f"a placement is kept as {str(fields)[:80]!r}, not as version {WISH_VERSION}")
        try:
            return cls(**fields)
        except (TypeError, AttributeError, ConfigError) as error:
            raise StoreCorrupt(f"a placement does not read back: {error}") from error


PLAIN = Wish()


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster that is there; ``hosts_max`` is how many packed hosts it may have."""

    id: str
    hosts_max: int
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


@dataclass(slots=True)
class HostEntry:
    """One host: ``dedicated`` to an agent, or packed; ``agents`` live in it.  ``node`` is empty until it is known."""

    name: str
    dedicated: AgentId | None = None
    agents: set[AgentId] = field(default_factory=set)
    node: str = ""
    is_draining: bool = False


def hosts_max(cpus: float, hosts: int) -> int:
    """Packed hosts of a node: as many as wished for, or (``hosts`` = 0) one a processor less one for the stores.

    A node without processors is one that is not to be worked on.
    """
    if cpus <= 0:
        return 0
    return hosts or max(1, int(cpus) - 1)


def fits(node: Node, wish: Wish) -> bool:
    """Whether a packed agent with this wish may live on the node."""
    if wish.node and wish.node != node.id:
        return False
    return all(node.labels.get(name) == value for name, value in wish.labels.items())


@dataclass(frozen=True, slots=True)
class Choice:
    """A host that is there, or (``host`` is ``None``) a new one on ``node``."""

    host: HostEntry | None
    node: str = ""


def choose_packed(
    strategy: str, nodes: Sequence[Node], hosts: Iterable[HostEntry], full: int = HOST_FULL, *, leaving: str = ""
) -> Choice | None:
    """The host of a packed agent, given the nodes that will do and all packed hosts that take agents; one that
    is ``leaving`` a host goes to another.

    ``None``: there is nowhere to go.  ``spread`` starts hosts until every node has its own, and then fills
    the emptiest; ``pack`` starts one only when those before it are ``full``.
    """
    by_node: dict[str, list[HostEntry]] = {node.id: [] for node in nodes}
    for host in hosts:
        if host.node in by_node:
            by_node[host.node].append(host)
    if strategy == "pack":
        for node in nodes:
            for host in by_node[node.id]:
                if len(host.agents) < full and host.name != leaving:
                    return Choice(host)
            if len(by_node[node.id]) < node.hosts_max:
                return Choice(None, node.id)
    else:
        room = [node for node in nodes if len(by_node[node.id]) < node.hosts_max]
        if room:
            return Choice(None, min(room, key=lambda node: len(by_node[node.id])).id)
    there = [host for group in by_node.values() for host in group if host.name != leaving]
    if not there:
        return None
    return Choice(min(there, key=lambda host: len(host.agents)))


@dataclass(frozen=True, slots=True)
class Shift:
    """Move ``count`` agents, the coldest, from one host to another."""

    source: str
    target: str
    count: int


def rebalance(hosts: Sequence[HostEntry], step: int, slack: float = 0.1) -> Shift | None:
    """The next small step towards hosts with equally many agents, or ``None`` when they are near enough.

    The fullest gives to the emptiest, at most ``step`` at once, and no more than makes both equal; nothing is
    done while all are within ``slack`` of the mean (or 4 agents of it, since each move costs a little).
    """
    if len(hosts) < 2:
        return None
    fullest = max(hosts, key=lambda host: len(host.agents))
    emptiest = min(hosts, key=lambda host: len(host.agents))
    mean = sum(len(host.agents) for host in hosts) / len(hosts)
    excess, lack = len(fullest.agents) - mean, mean - len(emptiest.agents)
    if max(excess, lack) <= max(4.0, slack * mean):
        return None
    count = min(step, max(1, round(min(max(excess, 1), max(lack, 1)))))
    return Shift(fullest.name, emptiest.name, count)
