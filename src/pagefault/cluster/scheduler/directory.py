"""The directory: which host an agent lives in, and where a new one goes.

Pure: the scheduler's actor feeds it and starts the hosts that it asks for.  Its state can be rebuilt: an
agent that nobody knows is placed anew, and the journal's epochs keep a forgotten copy from doing harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.values import AgentId

PLACEMENTS = ("packed", "dedicated", "auto")


def check_placement(placement: str) -> str:
    """The placement in force.  ``auto`` packs: one Ray actor an agent costs a process each."""
    if placement not in PLACEMENTS:
        raise ConfigError("placement", placement, ", ".join(PLACEMENTS))
    return "packed" if placement == "auto" else placement


@dataclass(slots=True)
class HostEntry:
    """One host: ``dedicated`` to an agent, or packed; ``agents`` live in it."""

    name: str
    dedicated: AgentId | None = None
    agents: set[AgentId] = field(default_factory=set)


@dataclass(slots=True)
class Directory:
    """Places of agents.  ``frames_max`` bounds the agents of a packed host that are placed there."""

    packed_hosts: int
    hosts: dict[str, HostEntry] = field(default_factory=dict)
    places: dict[AgentId, str] = field(default_factory=dict)
    wishes: dict[AgentId, str] = field(default_factory=dict)
    made: int = 0

    def wish(self, agent: AgentId, placement: str) -> None:
        """Remember how an agent wants to be placed; packed is what nobody needs to remember."""
        if placement == "dedicated":
            self.wishes[agent] = placement
        else:
            self.wishes.pop(agent, None)

    def place(self, agent: AgentId) -> tuple[str, bool]:
        """The agent's host, and whether it must be started first."""
        name = self.places.get(agent)
        if name is not None:
            return name, False
        if self.wishes.get(agent) == "dedicated":
            entry = self._new_host(agent)
            fresh = True
        else:
            entry, fresh = self._packed_host()
        entry.agents.add(agent)
        self.places[agent] = entry.name
        return entry.name, fresh

    def _new_host(self, dedicated: AgentId | None) -> HostEntry:
        self.made += 1
        entry = HostEntry(f"host-{self.made}", dedicated)
        self.hosts[entry.name] = entry
        return entry

    def _packed_host(self) -> tuple[HostEntry, bool]:
        packed = [entry for entry in self.hosts.values() if entry.dedicated is None]
        if len(packed) < self.packed_hosts:
            return self._new_host(None), True
        return min(packed, key=lambda entry: len(entry.agents)), False

    def lose(self, host: str) -> set[AgentId]:
        """A host is gone: its agents have no place until somebody asks for them."""
        entry = self.hosts.pop(host, None)
        if entry is None:
            return set()
        for agent in entry.agents:
            self.places.pop(agent, None)
        return entry.agents

    def check(self) -> None:
        """Assert that places and hosts agree."""
        for agent, name in self.places.items():
            if agent not in self.hosts[name].agents:
                raise AssertionError(f"{agent} is placed on {name}, which does not know it")
        for entry in self.hosts.values():
            if entry.dedicated is not None and entry.agents - {entry.dedicated}:
                raise AssertionError(f"{entry.name} is dedicated to {entry.dedicated} and has others")
