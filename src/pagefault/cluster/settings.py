"""What every actor of one fleet is told when it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pagefault.cluster.sharding import shard_of
from pagefault.policies.tiers import Tier
from pagefault.runtime.host.residency import FrameSettings
from pagefault.runtime.models.budget.settings import Plan
from pagefault.runtime.store.open import EDGE, SQLITE, check_drivers

SCHEDULER_NAME = "scheduler"
NAMESPACE_PREFIX = "pagefault-"


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """``namespace`` is Ray's, ``folder`` the data's on the stores' node; ``shards`` is fixed once data exists.

    ``owner`` is the job of the driver with which the fleet ends, empty for a fleet that is kept; ``placement``
    and ``resources`` are what agents get whose driver asks for nothing else.  ``packed_hosts`` are those of each node
    (0: one a processor less one), filled by ``strategy``: see :mod:`pagefault.cluster.scheduler.placement`.
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

    def __post_init__(self) -> None:
        check_drivers(self.journal, self.archive)

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


@dataclass(frozen=True, slots=True)
class Code:
    """The program's own functions and scripted minds.  Ray carries them to the hosts when those start, as
    it carries all code; data never travels that way."""

    functions: tuple[Callable[..., Any], ...] = ()
    minds: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
