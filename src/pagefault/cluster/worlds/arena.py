"""Many environments in one process: in this one, or as a Ray actor.

An arena takes actions from agents' calls, and lets whoever drives the environments look at them, begin their episodes
and end them.  Nobody waits in it but for the ledger: that an agent is to act is told by the driver, with an interrupt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pagefault.cluster import _ray
from pagefault.cluster.wire import pack, unpack
from pagefault.cluster.worlds.actions import ask_arena
from pagefault.cluster.worlds.environment import IllegalAction, Recipe
from pagefault.cluster.worlds.ledger import Ledger, Row
from pagefault.cluster.worlds.table import Look, Table
from pagefault.runtime.errors import UsageError


@dataclass(frozen=True, slots=True)
class Seating:
    """One environment: its name, the seed of all its episodes, and which agent has which player's place."""

    world: str
    seed: int
    agents: Mapping[str, str]
    """By player."""


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """What an arena is made from.  ``ledger`` is its file, empty for none; ``durability`` is that file's; ``idle`` is
    what players do that do nothing; ``places`` says at which address each agent plays, and is known to the first of
    several arenas."""

    recipe: Recipe
    seatings: Sequence[Seating]
    ledger: str = ""
    durability: str = "sync"
    in_threads: bool = True
    idle: Mapping[str, Any] | None = None
    places: Mapping[str, str] = field(default_factory=dict)


class Arenas(Protocol):
    """What the driver of environments asks of them, wherever they are."""

    async def look(self, world: str) -> Look: ...
    async def begin(self, world: str) -> Look: ...
    async def tick(self, world: str, number: int) -> Look: ...
    async def abandon(self, world: str, why: str) -> Look: ...
    async def tallies(self) -> list[dict[str, Any]]: ...


class Arena:
    """The environments of a plan, as their ledger says.

    Raises what the recipe's maker and :class:`~pagefault.cluster.worlds.ledger.Ledger` raise, and
    :class:`~pagefault.runtime.errors.ReplayDivergence`.
    """

    def __init__(self, plan: ArenaPlan) -> None:
        worlds = ", ".join(f"{each.world} from {each.seed}" for each in plan.seatings)
        about = f"{plan.recipe.description()}: {worlds}"
        path = Path(plan.ledger) if plan.ledger else None
        self._ledger = Ledger(path, about, durability=plan.durability, in_threads=plan.in_threads)
        self._tables: dict[str, Table] = {}
        self._places: dict[str, tuple[Table, str]] = {}
        try:
            for seating in plan.seatings:
                table = self._tables[seating.world] = Table(seating.world, plan.recipe.make(), seating.seed, plan.idle)
                table.restore(self._ledger.last_save(seating.world), self._ledger.rows(seating.world))
                self._places.update({agent: (table, player) for player, agent in seating.agents.items()})
        except BaseException:  # whatever it was: nothing stays open
            self.close()
            raise

    async def act(self, agent: str, call_id: str, arguments: Mapping[str, Any]) -> str:
        """Take an agent's action; returns, once it is kept for good, what the agent is told.

        Raises :class:`~pagefault.cluster.worlds.environment.IllegalAction`.
        """
        if agent not in self._places:
            raise IllegalAction("You have no place in this world.")
        table, player = self._places[agent]
        try:
            text, row = table.act(player, call_id, arguments)
        except IllegalAction:
            self._ledger.add(table.refused(player))
            raise
        if row is not None:
            self._keep(table, row)
        await self._ledger.commit()  # also for a call that is answered again: its row may still be on the way
        return text

    async def look(self, world: str) -> Look:
        """Where an environment is."""
        return self._table(world).look()

    async def begin(self, world: str) -> Look:
        """Begin an environment's next episode."""
        table = self._table(world)
        self._ledger.add(table.begin())
        await self._ledger.commit()
        return table.look()

    async def tick(self, world: str, number: int) -> Look:
        """Have an environment step without those who have not acted, unless it has stepped since ``number``."""
        table = self._table(world)
        row = table.tick(number)
        if row is not None:
            self._keep(table, row)
            await self._ledger.commit()
        return table.look()

    async def abandon(self, world: str, why: str) -> Look:
        """End an environment's episode; harmless when it is over."""
        table = self._table(world)
        if not table.look().is_over:
            self._ledger.add(table.abandon(why))
            await self._ledger.commit()
        return table.look()

    async def tallies(self) -> list[dict[str, Any]]:
        """What came of each environment so far, in the order of the plan."""
        return [table.tally.plain() for table in self._tables.values()]

    def close(self) -> None:
        """Close the environments and the ledger."""
        for table in self._tables.values():
            table.close()
        self._tables.clear()
        self._ledger.close()

    def _keep(self, table: Table, row: Row) -> None:
        self._ledger.add(row)
        save = table.save()
        if save is not None:
            self._ledger.add(save)

    def _table(self, world: str) -> Table:
        try:
            return self._tables[world]
        except KeyError:
            raise UsageError(f"world: found {world!r}, allowed: {', '.join(self._tables)}") from None


class ArenaActor:
    """An arena as a Ray actor; speaks bytes.  One that dies comes back, and goes on where its ledger ends."""

    def __init__(self, plan: ArenaPlan) -> None:
        self._plan = plan
        self._arena: Arena | None = None

    def _open(self) -> Arena:
        if self._arena is None:  # made on the actor's own loop, by its first call
            self._arena = Arena(self._plan)
        return self._arena

    async def ready(self) -> bool:
        """Return when the environments are there; what went wrong with making them is raised by this call."""
        self._open()
        return True

    async def place(self, agent: str) -> str:
        """The address of the arena in which an agent plays; empty for one that does not."""
        return self._plan.places.get(agent, "")

    async def act(self, data: bytes) -> bytes:
        """``[was legal, what the agent is told]``."""
        agent, call_id, arguments = unpack(data)
        try:
            return pack([True, await self._open().act(agent, call_id, arguments)])
        except IllegalAction as error:
            return pack([False, str(error)])

    async def look(self, world: str) -> bytes:
        return pack((await self._open().look(world)).plain())

    async def begin(self, world: str) -> bytes:
        return pack((await self._open().begin(world)).plain())

    async def tick(self, world: str, number: int) -> bytes:
        return pack((await self._open().tick(world, number)).plain())

    async def abandon(self, world: str, why: str) -> bytes:
        return pack((await self._open().abandon(world, why)).plain())

    async def tallies(self) -> bytes:
        return pack(await self._open().tallies())

    @_ray.control
    async def pid(self) -> int:
        """This process: for tools, and for tests that kill it."""
        return os.getpid()

    async def stop(self) -> None:
        """Close everything; the actor takes nothing any more."""
        self._open().close()


class RemoteArenas:
    """Arenas that run as Ray actors; ``addresses`` says in which of them each environment is."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses

    async def look(self, world: str) -> Look:
        return await self._ask(world, "look")

    async def begin(self, world: str) -> Look:
        return await self._ask(world, "begin")

    async def tick(self, world: str, number: int) -> Look:
        return await self._ask(world, "tick", number)

    async def abandon(self, world: str, why: str) -> Look:
        return await self._ask(world, "abandon", why)

    async def tallies(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for address in dict.fromkeys(self._addresses.values()):
            found += unpack(await ask_arena(address, "tallies"))
        return found

    async def _ask(self, world: str, method: str, *arguments: object) -> Look:
        return Look.from_plain(unpack(await ask_arena(self._addresses[world], method, world, *arguments)))
