"""What every actor of one fleet is told when it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pagefault.cluster.logs import check_logs
from pagefault.cluster.sharding import shard_of
from pagefault.policies.tiers import Tier
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.residency import FrameSettings
from pagefault.runtime.host.telemetry.tracing.settings import Traces
from pagefault.runtime.models.budget.settings import Plan
from pagefault.runtime.store.open import EDGE, SQLITE, check_drivers

SCHEDULER_NAME = "scheduler"
NAMESPACE_PREFIX = "pagefault-"
NODE_CHARS = 8
IF_RUNNING = ("fail", "join")


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """``namespace`` is Ray's, ``folder`` the data's on the stores' node; ``shards`` is fixed once data exists.

    ``owner`` is the job of the driver with which the fleet ends, empty for a fleet that is kept; ``placement``
    and ``resources`` are what agents get whose driver asks for nothing else.  ``packed_hosts`` are those of each node
    (0: one a processor less one), filled by ``strategy``: see :mod:`pagefault.cluster.scheduler.placement`.
    ``log_level`` and ``log_format`` are those of the actors' logs: see :mod:`pagefault.cluster.logs`.
    """

    namespace: str
    folder: str
    shards: int
    packed_hosts: int
    durability: str
    embedder: str
    tiers: tuple[Tier, ...] = ()
    budget: Plan = field(default_factory=Plan)
    frames: FrameSettings = field(default_factory=FrameSettings)
    owner: str = ""
    placement: str = "packed"
    resources: Mapping[str, float] = field(default_factory=dict)
    strategy: str = "spread"
    journal: str = field(default=SQLITE, repr=False)  # it may have a password in it
    archive: str = EDGE
    mcp: str = field(default="", repr=False)  # servers, and what of them is accepted; it may have a token in it
    metrics: bool = True
    log_level: str = "info"
    log_format: str = "auto"
    traces: Traces | None = None

    def __post_init__(self) -> None:
        check_drivers(self.journal, self.archive)
        check_logs(self.log_level, self.log_format)

    @property
    def name(self) -> str:
        return self.namespace.removeprefix(NAMESPACE_PREFIX)

    def store_name(self, shard: int) -> str:
        return f"store-{shard:02d}"

    def shard_of(self, agent: str) -> int:
        """The shard that keeps an agent: for ever the same."""
        return shard_of(agent, self.shards)

    @property
    def path(self) -> Path:
        return Path(self.folder)


def check_beginning(shards: int | None, hosts: int | None, if_running: str) -> None:
    """What a driver asks for that begins a fleet.  Raises :class:`~pagefault.runtime.errors.ConfigError`."""
    for name, count in (("shards", shards), ("hosts", hosts)):
        if count is not None and count < 1:
            raise ConfigError(name, count, "1 or more")
    if if_running not in IF_RUNNING:
        raise ConfigError("if_running", if_running, " or ".join(map(repr, IF_RUNNING)))


def short_node(node: str) -> str:
    """So much of a node's id as tells it from the others of a cluster."""
    return node[:NODE_CHARS]


@dataclass(frozen=True, slots=True)
class Code:
    """The program's own functions and scripted minds.  Ray carries them to the hosts when those start, as
    it carries all code; data never travels that way."""

    functions: tuple[Callable[..., Any], ...] = ()
    minds: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
