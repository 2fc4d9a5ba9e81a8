"""Brings one environment through its episodes: shows, waits, steps, reminds, gives up, says how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pagefault.cluster.worlds.arena import Arenas, Seating
from pagefault.cluster.worlds.contract import Outcomes, Progress, RunningFleet, together
from pagefault.cluster.worlds.table import Look
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.clock import Clock, SystemClock
from pagefault.runtime.host.local import Local
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority

PACES = ("lockstep", "free")
REMINDER = "You have not acted yet, and it is still your turn: call {function}.\n"


@dataclass(frozen=True, slots=True)
class PlaySettings:
    """How it is played.

    ``worlds`` environments at a time, each for ``episodes`` episodes that end after ``steps_max`` steps at the latest;
    ``batch`` of them share an arena (on Ray: an actor).  ``pace`` and ``tick_s``: see
    :mod:`~pagefault.cluster.worlds.playing`.  ``idle``: the arguments of an action
    that does nothing, for environments that run freely; where it is not legal, the first is taken that is.
    ``reminders``: how often a player is reminded.  ``function`` is the name
    of the function to act with.  ``durability`` is that of the ledger.
    """

    worlds: int = 1
    episodes: int = 1
    seed: int = 1
    steps_max: int = 10_000
    batch: int = 64
    pace: str = "lockstep"
    tick_s: float | None = None
    idle: Mapping[str, Any] | None = None
    reminders: int = 2
    function: str = "act"
    durability: str = "sync"

    def __post_init__(self) -> None:
        """Raises :class:`~pagefault.runtime.errors.ConfigError` for the first field that is wrong."""
        least = {"worlds": 1, "episodes": 1, "steps_max": 1, "batch": 1, "reminders": 0}
        for name, allowed in least.items():
            if getattr(self, name) < allowed:
                raise ConfigError(f"play.{name}", getattr(self, name), f"{allowed} or more")
        if self.pace not in PACES:
            raise ConfigError("play.pace", self.pace, " or ".join(PACES))
        if (self.pace == "free") != (self.tick_s is not None and self.tick_s > 0):
            raise ConfigError("play.tick_s", self.tick_s, "a number of seconds above 0 when free-running, else nothing")


class Driver:
    """Brings one environment through its episodes."""

    def __init__(
        self,
        fleet: RunningFleet,
        arenas: Arenas,
        settings: PlaySettings,
        outcomes: Outcomes,
        *,
        seat: Seating,
        functions: Mapping[str, Callable[..., Any]],
    ) -> None:
        self._fleet = fleet
        self._arenas = arenas
        self._settings = settings
        self._outcomes = outcomes
        self._seat = seat
        self._functions = functions
        self._clock: Clock = fleet.host.clock if isinstance(fleet, Local) else SystemClock()

    async def drive(self, progress: Progress) -> None:
        """All episodes; one that is under way goes on."""
        look = await self._arenas.look(self._seat.world)
        progress.advance(max(0, look.episode - 1))
        while True:
            if look.episode:
                look = await self._episode(look)
                progress.advance()
            if look.episode >= self._settings.episodes:
                return
            look = await self._arenas.begin(self._seat.world)

    async def _episode(self, look: Look) -> Look:
        """From a moment to the end of its episode."""
        while True:
            await self._part(look)
            if look.is_over:
                return look
            if look.number >= self._settings.steps_max:
                look = await self._arenas.abandon(look.world, f"no end within {look.number} steps")
            elif self._settings.pace == "free":
                look = await self._free_step(look)
            else:
                waiting = [player for player in look.sights if player not in look.acted]
                found = await together(self._have_act(look, player) for player in waiting)
                look = max(found, key=lambda each: each.number)
                if any(each.is_over for each in found):
                    look = await self._arenas.look(look.world)

    async def _part(self, look: Look) -> None:
        """Tell those for whom it has ended how it did."""
        await together(
            self._tell(look, player, "end", _farewell(look, player, how)) for player, how in look.ended.items()
        )

    async def _have_act(self, look: Look, player: str) -> Look:
        """Show a player what it may act on, until it has acted; where the environment is then."""
        for attempt in range(self._settings.reminders + 1):
            text = _shown(look, player)
            if attempt:
                text = REMINDER.format(function=self._functions[player].__name__) + text
            await self._tell(look, player, f"turn-{attempt}" if attempt else "turn", text)
            now = await self._arenas.look(look.world)
            if now.has_left(look) or now.is_over or player in now.acted:
                return now
        return await self._arenas.abandon(look.world, f"{player} did not act")

    async def _free_step(self, look: Look) -> Look:
        """Show it to everybody, and go on after the tick whoever has acted by then."""
        tasks = [
            asyncio.ensure_future(self._tell(look, player, "turn", _shown(look, player))) for player in look.sights
        ]
        try:
            await asyncio.wait(tasks, timeout=self._settings.tick_s)
        finally:
            for task in tasks:
                task.cancel()  # nobody waits for the answer any more; the agent goes on
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        return await self._arenas.tick(look.world, look.number)

    async def _tell(self, look: Look, player: str, what: str, text: str) -> None:
        event = Interrupt(
            id=InterruptId(f"{look.world}/{look.episode}/{look.number}/{player}/{what}"),
            kind=InterruptKind.OBSERVATION,
            priority=Priority.WORLD,
            sender=look.world,
            text=text,
            created_ms=self._clock.now_ms(),
            session=f"episode {look.episode}",
            coalesce=f"{look.world}/{player}" if self._settings.pace == "free" else "",
            tags=(what.partition("-")[0],),
        )
        await self._outcomes.answer(self._fleet, AgentId(self._seat.agents[player]), event)


def _shown(look: Look, player: str) -> str:
    reward = look.rewards.get(player)
    head = f"Step {look.number + 1}."
    return f"{head} Reward {reward:+g}.\n{look.sights[player]}" if reward else f"{head}\n{look.sights[player]}"


def _farewell(look: Look, player: str, how: str) -> str:
    reward, total = look.rewards.get(player, 0.0), look.totals.get(player, 0.0)
    steps = "1 step" if look.number == 1 else f"{look.number} steps"
    text = f"It is over for you after {steps}: {how}. Reward {reward:+g}, in all {total:+g}."
    return f"{text}\n{look.parting}" if look.parting else text
