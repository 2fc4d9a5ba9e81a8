"""One environment and those who play in it: whose turn it is, what was done, how far it has come.

All of it follows from the seed and the rows of a ledger.  A table that is built up again goes through the same rows by
the same methods, and finds out if a moment is another than it was.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pagefault.cluster.worlds.environment import Environment, Idles, IllegalAction, Moment, Saves
from pagefault.cluster.worlds.ledger import Row, Save
from pagefault.runtime.errors import ReplayDivergence, UsageError

SAVED_STEPS = 256
"""An environment that can save itself does so this often."""
ABANDONED = "abandoned"
"""How an ending begins that was not the environment's own."""


def episode_seed(seed: int, world: str, episode: int) -> int:
    """A seed for one episode, below 2^31, that depends on all of these."""
    return zlib.crc32(f"{seed}/{world}/{episode}".encode()) >> 1


@dataclass(slots=True)
class Tally:
    """What came of a table so far."""

    episodes: int = 0
    finished: int = 0
    steps: int = 0
    illegal: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    """By ``player: how``."""
    rewards: dict[str, float] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {
            "episodes": self.episodes,
            "finished": self.finished,
            "steps": self.steps,
            "illegal": self.illegal,
            "endings": dict(self.endings),
            "rewards": self.rewards,
        }


@dataclass(frozen=True, slots=True)
class Look:
    """A table at one moment, as its driver sees it.  ``acted`` are those of ``to_act`` who have, already."""

    world: str
    episode: int
    number: int
    sights: Mapping[str, str]
    acted: tuple[str, ...]
    rewards: Mapping[str, float]
    totals: Mapping[str, float]
    ended: Mapping[str, str]
    parting: str

    @property
    def is_over(self) -> bool:
        return not self.sights

    def has_left(self, earlier: Look) -> bool:
        """Whether the environment has stepped on since."""
        return (self.episode, self.number) != (earlier.episode, earlier.number)

    def plain(self) -> list[Any]:
        """For the wire; :meth:`from_plain` reads it."""
        numbers = [self.world, self.episode, self.number, dict(self.sights), list(self.acted)]
        return [*numbers, dict(self.rewards), dict(self.totals), dict(self.ended), self.parting]

    @classmethod
    def from_plain(cls, data: list[Any]) -> Look:
        world, episode, number, sights, acted, rewards, totals, ended, parting = data
        return cls(world, episode, number, sights, tuple(acted), rewards, totals, ended, parting)


class Table:
    """An environment called ``world``.  Its methods return the row to be kept, besides what they are for.

    ``idle`` is what a player does that does nothing, where the environment does not say so itself.
    """

    def __init__(self, world: str, environment: Environment, seed: int, idle: Mapping[str, Any] | None = None) -> None:
        self.world = world
        self.tally = Tally(rewards=dict.fromkeys(environment.players, 0.0))
        self._environment = environment
        self._seed = seed
        self._idle = idle
        self._moment = Moment({})
        self._number = 0
        self._totals: dict[str, float] = {}
        self._pending: dict[str, Mapping[str, Any]] = {}
        self._answers: dict[str, tuple[str, str]] = {}
        self._out: list[str] = []  # for whom this episode has ended

    def look(self) -> Look:
        """Where it is now."""
        moment = self._moment
        return Look(
            self.world,
            self.tally.episodes,
            self._number,
            {player: sight.text for player, sight in moment.to_act.items()},
            tuple(self._pending),
            moment.rewards,
            dict(self._totals),
            moment.ended,
            moment.parting,
        )

    def begin(self) -> Row:
        """Begin the next episode.  Raises :class:`~pagefault.runtime.errors.UsageError` while one goes on."""
        if self._moment.to_act:
            raise UsageError(f"{self.world}: an episode goes on; the next begins when it is over")
        self.tally.episodes += 1
        self._number = 0
        self._totals = dict.fromkeys(self._environment.players, 0.0)
        self._pending.clear()
        self._out.clear()
        self._enter(self._environment.reset(episode_seed(self._seed, self.world, self.tally.episodes)))
        return self._row("begin")

    def act(self, player: str, call_id: str, arguments: Mapping[str, Any]) -> tuple[str, Row | None]:
        """Take a player's action; when all have acted, the environment steps.  ``(what the player is told, row)``.

        A call that was answered is answered again.  Raises
        :class:`~pagefault.cluster.worlds.environment.IllegalAction`; then nothing was done.
        """
        answered = self._answers.get(player)
        if answered is not None and answered[0] == call_id:
            return answered[1], None
        if player not in self._moment.to_act:
            is_over = "This has ended." if not self._moment.to_act else "It is not your turn."
            raise IllegalAction(f"{is_over} Wait until you are shown what you may act on.")
        if player in self._pending:
            raise IllegalAction("You have acted already. Wait until you are shown what came of it.")
        self._environment.check(player, arguments)
        self._pending[player] = dict(arguments)
        text = "Taken."
        if len(self._pending) == len(self._moment.to_act):
            self._step()
            text = self._told(player)
        self._answers[player] = (call_id, text)
        return text, self._row("act", player, call_id, json.dumps(dict(arguments), ensure_ascii=False))

    def refused(self, player: str) -> Row:
        """Count an action that was not legal."""
        self.tally.illegal += 1
        return Row(self.world, "illegal", player)

    def tick(self, number: int) -> Row | None:
        """Step without those who have not acted, if the environment is still at step ``number``."""
        if number != self._number or not self._moment.to_act:
            return None
        idle = {player: self._idly(player) for player in self._moment.to_act if player not in self._pending}
        return self._tick(idle)

    def _tick(self, idle: Mapping[str, Mapping[str, Any]]) -> Row:
        self._pending.update(idle)
        self._step()
        return self._row("tick", text=json.dumps(idle, ensure_ascii=False))

    def _idly(self, player: str) -> Mapping[str, Any]:
        """What a player does now that does nothing: what was said, or the first that is legal if that is not."""
        if isinstance(self._environment, Idles):
            return self._environment.idle(player)
        assert self._idle is not None, f"{self.world} cannot go on without its players"
        try:
            self._environment.check(player, self._idle)
        except IllegalAction:
            legal = self._moment.to_act[player].legal
            if not legal:
                raise
            (parameter, *_) = self._environment.spaces[player].parameters
            is_number = isinstance(self._idle.get(parameter.name), int)
            return {parameter.name: int(legal[0]) if is_number else legal[0]}
        return self._idle

    def abandon(self, why: str) -> Row:
        """End the episode where it is, for everybody who is still in it."""
        still_in = [player for player in self._environment.players if player not in self._out]
        self._pending.clear()
        self._enter(Moment({}, {}, dict.fromkeys(still_in, f"{ABANDONED}: {why}"), self._moment.parting))
        return self._row("abandon", text=why)

    def save(self) -> Save | None:
        """The environment's own save, when one is due and it can."""
        if self._number == 0 or self._number % SAVED_STEPS or self._pending or not self._moment.to_act:
            return None
        if not isinstance(self._environment, Saves):
            return None
        state = {
            "tally": self.tally.plain(),
            "number": self._number,
            "totals": self._totals,
            "answers": self._answers,
            "out": self._out,
        }
        return Save(self.world, json.dumps(state), self._environment.save())

    def restore(self, save: Save | None, rows: Iterable[Row]) -> None:
        """Become what a ledger says.

        Raises :class:`~pagefault.runtime.errors.ReplayDivergence` where the environment does something else than it
        did, which one that is a function of its seed and actions cannot.
        """
        if save is not None:
            self._load(save)
        for place, row in enumerate(rows, 1):
            done = self._again(row)
            if done is None or done.digest != row.digest:
                raise ReplayDivergence(
                    f"{self.world}: episode {self.tally.episodes}, step {self._number} (row {place}, {row.kind}): "
                    "the environment did something else than it did before; it must follow from its seed and actions"
                )

    def close(self) -> None:
        self._environment.close()

    # --- inside

    def _again(self, row: Row) -> Row | None:
        if row.kind == "begin":
            return self.begin()
        if row.kind == "act":
            return self.act(row.player, row.call_id, json.loads(row.text))[1]
        if row.kind == "tick":
            return self._tick(json.loads(row.text))
        return self.refused(row.player) if row.kind == "illegal" else self.abandon(row.text)

    def _load(self, save: Save) -> None:
        state = json.loads(save.state)
        tally = state["tally"]
        self.tally = Tally(**{**tally, "endings": Counter(tally["endings"])})
        self._number, self._totals = state["number"], state["totals"]
        self._out = state["out"]
        self._answers = {player: (call_id, text) for player, (call_id, text) in state["answers"].items()}
        assert isinstance(self._environment, Saves), f"{self.world} was saved by an environment that can"
        self._moment = self._environment.load(save.data)

    def _step(self) -> None:
        actions, self._pending = self._pending, {}
        self._number += 1
        self.tally.steps += 1
        self._enter(self._environment.step(actions))

    def _enter(self, moment: Moment) -> None:
        for player, reward in moment.rewards.items():
            if player in self._totals:
                self._totals[player] += reward
                self.tally.rewards[player] += reward
        for player, how in moment.ended.items():
            self.tally.endings[f"{player}: {how}"] += 1
            self._out.append(player)
        self._moment = moment
        if not moment.to_act and not any(how.startswith(ABANDONED) for how in moment.ended.values()):
            self.tally.finished += 1

    def _told(self, player: str) -> str:
        moment = self._moment
        reward = moment.rewards.get(player)
        text = "Done." if not reward else f"Done. Reward {reward:+g}."
        return f"{text} It is over for you: {moment.ended[player]}." if player in moment.ended else text

    def _row(self, kind: str, player: str = "", call_id: str = "", text: str = "") -> Row:
        return Row(self.world, kind, player, call_id, text, _digest(self.look()))


def _digest(look: Look) -> int:
    """A check of all that is seen at a moment."""
    return zlib.crc32(json.dumps(look.plain(), sort_keys=True).encode())
