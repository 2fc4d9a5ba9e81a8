"""Agents that play: environments of one kind, each with its players, driven to the end of their episodes.

The driver of an environment tells whoever is to act what it sees, with an interrupt; the agent acts by its function;
when all have, the environment steps, and so on.  A player that ends its chain without having acted is reminded, and
the episode is given up if that does not help.  In *lock-step* the environment waits for all who are to act.
*Free-running* it waits ``tick_s`` at most, and then steps with what a player does that does nothing.

All ids follow from names and numbers, so a run that was killed goes on when it is begun again on the same folder:
agents take up their lives where their journals end, environments theirs where their ledger ends, and what either is
told twice it knows already.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pagefault.cluster import _ray
from pagefault.cluster.worlds.actions import HERE, NAMESPACE, actor_name, ask_arena, make_action
from pagefault.cluster.worlds.arena import Arena, ArenaActor, ArenaPlan, Arenas, RemoteArenas, Seating
from pagefault.cluster.worlds.contract import Outcomes, Progress, Report, Row, RunningFleet, Totals, together
from pagefault.cluster.worlds.driving import Driver, PlaySettings
from pagefault.cluster.worlds.environment import Environment, Idles, Recipe
from pagefault.runtime.errors import ConfigError, UsageError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.virtual import VirtualClock

RESTARTS = 100
INSPECTED_AT_ONCE = 64


class NoProgress:
    """A :class:`~pagefault.cluster.worlds.contract.Progress` that shows nothing."""

    def begin(self, what: str, total: int) -> None: ...
    def advance(self, count: int = 1) -> None: ...


class Playing:
    """Environments of one recipe, and the agents that play in them.

    ``functions`` are to be given to the fleet (``Local(functions=playing.functions)``), and by their names to the
    agents, which :meth:`agents` does.  Where players have different action spaces each has a function of its own,
    called ``act_PLAYER``.  Raises what the recipe's maker raises, and
    :class:`~pagefault.runtime.errors.ConfigError`.
    """

    def __init__(self, recipe: Recipe, settings: PlaySettings | None = None) -> None:
        self.settings = settings = settings or PlaySettings()
        self.recipe = recipe
        self.name = recipe.title
        self._address = f"{recipe.title}-{os.urandom(6).hex()}"
        sample = recipe.make()
        try:
            self.players = tuple(sample.players)
            if settings.idle is not None or (settings.pace == "free" and not isinstance(sample, Idles)):
                self._check_idle(sample)
            self._functions = self._made(sample)
        finally:
            sample.close()
        self.worlds = tuple(f"{recipe.title}-{number}" for number in range(1, settings.worlds + 1))

    def _check_idle(self, sample: Environment) -> None:
        idle = self.settings.idle
        for player in self.players:
            names = {each.name for each in sample.spaces[player].parameters}
            if idle is None or set(idle) != names:
                allowed = f"the arguments of an action that does nothing: {', '.join(sorted(names))}"
                raise ConfigError("play.idle", idle, allowed)

    def _made(self, sample: Environment) -> dict[str, Callable[..., Any]]:
        """A function for each player; one for all where their spaces are alike."""
        name = self.settings.function
        what = f"Act in {self.recipe.title}, when you are shown what you may act on."
        spaces = [sample.spaces[player] for player in self.players]
        shown = [tuple((each.name, each.description) for each in space.parameters) for space in spaces]
        if len(set(shown)) == 1:
            return dict.fromkeys(self.players, make_action(name, what, spaces[0], self._address))
        pairs = zip(self.players, spaces, strict=True)
        return {player: make_action(f"{name}_{player}", what, space, self._address) for player, space in pairs}

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """What the fleet has to be given."""
        return list(dict.fromkeys(self._functions.values()))

    def agents(self, template: Mapping[str, Any]) -> list[Agent]:
        """An agent for every place: those of the first environment first, in the order of its players."""
        fields = {key: value for key, value in template.items() if key != "name"}
        granted = tuple(fields.pop("functions", ("memgpt",)))
        alone = len(self.players) == 1
        return [
            Agent(
                name=world if alone else f"{world}-{player}",
                functions=(*granted, self._functions[player].__name__),
                **fields,
            )
            for world in self.worlds
            for player in self.players
        ]

    async def run(self, fleet: RunningFleet, refs: Sequence[AgentRef], progress: Progress) -> Report:
        """Play all episodes of all environments, and tell what came of them.

        ``refs`` are the agents in the order of :meth:`agents`, which may be others than those.  Raises
        :class:`~pagefault.runtime.errors.UsageError` when there are too few or too many.
        """
        places = len(self.worlds) * len(self.players)
        if len(refs) != places:
            raise UsageError(f"refs: found {len(refs)} agents, allowed: {places}, one for each player of each world")
        seats = self._seats(refs)
        loop = asyncio.get_running_loop()
        began = loop.time()
        progress.begin(f"playing {self.name}", self.settings.worlds * self.settings.episodes)
        outcomes = Outcomes()
        async with AsyncExitStack() as stack:
            arenas = await self._open(fleet, seats, stack)
            before = await arenas.tallies()
            drivers = [
                Driver(fleet, arenas, self.settings, outcomes, seat=seat, functions=self._functions) for seat in seats
            ]
            await together(driver.drive(progress) for driver in drivers)
            tallies = await arenas.tallies()
        seconds = loop.time() - began
        totals = Totals()
        for start in range(0, len(refs), INSPECTED_AT_ONCE):
            for inspection in await together(ref.inspect() for ref in refs[start : start + INSPECTED_AT_ONCE]):
                totals.add(inspection)
        steps = sum(each["steps"] for each in tallies) - sum(each["steps"] for each in before)
        return self._report(tallies, outcomes, totals, steps, seconds)

    def _seats(self, refs: Sequence[AgentRef]) -> list[Seating]:
        agents = iter(refs)
        return [
            Seating(world, self.settings.seed, {player: str(next(agents).id) for player in self.players})
            for world in self.worlds
        ]

    # --- where the environments are

    async def _open(self, fleet: RunningFleet, seats: Sequence[Seating], stack: AsyncExitStack) -> Arenas:
        folder: Path = fleet.folder / "worlds"
        if isinstance(fleet, Local):
            threads = not isinstance(fleet.host.clock, VirtualClock)
            arena = Arena(self._plan(seats, folder, 0, in_threads=threads))
            stack.callback(arena.close)
            HERE[self._address] = arena
            stack.callback(HERE.pop, self._address)
            return arena
        size = self.settings.batch
        batches = [seats[start : start + size] for start in range(0, len(seats), size)]
        names = [actor_name(self._address, number) for number in range(len(batches))]
        places = {
            agent: name
            for name, batch in zip(names, batches, strict=True)
            for seat in batch
            for agent in seat.agents.values()
        }
        for number, (name, batch) in enumerate(zip(names, batches, strict=True)):
            plan = self._plan(batch, folder, number, places=places if number == 0 else {})
            handle = _ray.start_actor(
                ArenaActor, plan, name=name, namespace=NAMESPACE, node=_ray.this_node(), restarts=RESTARTS
            )
            stack.callback(_ray.end_actor, handle)
            stack.push_async_callback(ask_arena, name, "stop")
            await _ray.call_constructed(handle, "ready")
        return RemoteArenas({seat.world: name for name, batch in zip(names, batches, strict=True) for seat in batch})

    def _plan(
        self,
        seats: Sequence[Seating],
        folder: Path,
        number: int,
        *,
        in_threads: bool = True,
        places: Mapping[str, str] | None = None,
    ) -> ArenaPlan:
        ledger = folder / f"{self.name.replace('/', '-')}-{number}.sqlite"
        return ArenaPlan(
            self.recipe,
            tuple(seats),
            str(ledger),
            self.settings.durability,
            in_threads,
            self.settings.idle,
            places or {},
        )

    # --- what came of it

    def _report(
        self, tallies: Sequence[Mapping[str, Any]], outcomes: Outcomes, totals: Totals, steps: int, seconds: float
    ) -> Report:
        finished = sum(each["finished"] for each in tallies)
        episodes = sum(each["episodes"] for each in tallies)
        illegal = sum(each["illegal"] for each in tallies)
        endings: Counter[str] = Counter()
        for each in tallies:
            endings.update(each["endings"])
        rewards = {
            player: round(sum(each["rewards"][player] for each in tallies) / max(1, episodes), 4)
            for player in self.players
        }
        memory = totals.results(seconds)
        results = {
            "worlds": len(tallies),
            "episodes": episodes,
            "finished": finished,
            "illegal": illegal,
            "world_steps": steps,
            "world_steps_per_s": round(steps / seconds, 1),
            "rewards": rewards,
            "endings": dict(sorted(endings.items())),
            **memory,
            "failed_chains": outcomes.failed,
        }
        rows = [
            Row("episodes", f"{episodes:,}", f"in {len(tallies):,} worlds; {finished:,} came to their own end"),
            Row("steps of the worlds", f"{steps:,}", f"{steps / seconds:,.0f} a second"),
            Row("illegal actions", f"{illegal:,}", "refused, and told so; none reached a world"),
            *(Row(f"  {how}", f"{count:,}", "") for how, count in sorted(endings.items())),
            *(Row(f"reward of {player}", f"{reward:+g}", "a mean episode") for player, reward in rewards.items()),
            Row("failed chains", f"{outcomes.failed:,}", f"of {outcomes.chains:,}"),
            *totals.rows(seconds),
        ]
        return Report(self.name, results, rows, outcomes.problem(totals))
