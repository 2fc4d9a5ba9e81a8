"""Small environments of the tests' own: a sum that players build up together, in turn or at once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pagefault.cluster.worlds.environment import IllegalAction, Moment, Parameter, Recipe, Sight
from pagefault.cluster.worlds.players import to_act_on
from pagefault.runtime.models.scripted import Reply, call, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest


class Silence:
    def begin(self, what: str, total: int) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass


class Numbers:
    parameters = (Parameter("number", int, "how much to add, from 1 to 3"),)

    def decode(self, arguments: Mapping[str, Any]) -> Any:
        return arguments["number"]


class Sum:
    """Whoever brings the sum to ``goal`` wins.  In turn, or (``at_once``) all add before anybody sees."""

    def __init__(
        self,
        players: int = 1,
        goal: int = 6,
        *,
        at_once: bool = False,
        kills_once: str = "",
        legal: tuple[str, ...] = (),
    ) -> None:
        self.players = tuple(f"p{number}" for number in range(players))
        self.spaces = dict.fromkeys(self.players, Numbers())
        self.sum = 0
        self.taken: list[int] = []
        self.is_closed = False
        self._goal = goal
        self._at_once = at_once
        self._kills_once = kills_once
        self._legal = legal
        self._turn = 0

    def reset(self, seed: int) -> Moment:
        self.sum, self._turn = seed % 3, 0
        return self._moment({})

    def check(self, player: str, arguments: Mapping[str, Any]) -> None:
        if not 1 <= arguments["number"] <= 3 or (self._legal and str(arguments["number"]) not in self._legal):
            raise IllegalAction(f"{arguments['number']} is not legal. Legal are: 1, 2, 3.")

    def step(self, actions: Mapping[str, Mapping[str, Any]]) -> Moment:
        if self._kills_once and self._turn == 2 and not Path(self._kills_once).exists():
            Path(self._kills_once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        for arguments in actions.values():
            self.sum += arguments["number"]
            self.taken.append(arguments["number"])
        self._turn += 1
        rewards = {player: float(arguments["number"]) for player, arguments in actions.items()}
        if self.sum >= self._goal:
            return Moment({}, rewards, dict.fromkeys(self.players, f"sum {self.sum}"), "The end.")
        return self._moment(rewards)

    def _moment(self, rewards: Mapping[str, float]) -> Moment:
        acting = self.players if self._at_once else (self.players[self._turn % len(self.players)],)
        return Moment({player: Sight(f"The sum is {self.sum}.", self._legal or None) for player in acting}, rewards)

    def close(self) -> None:
        self.is_closed = True


class PatientSum(Sum):
    def idle(self, player: str) -> Mapping[str, Any]:
        return {"number": 1}


class SavedSum(Sum):
    """Saves itself; what it was built up from shows in ``loaded``."""

    loaded = 0

    def save(self) -> bytes:
        return json.dumps([self.sum, self._turn]).encode()

    def load(self, data: bytes) -> Moment:
        self.sum, self._turn = json.loads(data)
        self.loaded += 1
        return self._moment({})


class WaywardSum(Sum):
    """Does not follow from its seed: what it shows depends on how often one was made."""

    made = 0

    def reset(self, seed: int) -> Moment:
        type(self).made += 1
        return super().reset(type(self).made)


def sum_recipe(**options: Any) -> Recipe:
    return Recipe("sum", Sum, options)


def adder(request: ModelRequest) -> Reply:
    """Adds 2."""
    return nothing() if to_act_on(View(request)) is None else call("act", number=2)


def corrected(request: ModelRequest) -> Reply:
    """Tries 7 at first, and then 1, as it is told."""
    view = View(request)
    if to_act_on(view) is None:
        return nothing()
    result = view.result
    return call("act", number=7 if result is None else 1)


def forgetful(request: ModelRequest) -> Reply:
    """Acts only when reminded."""
    shown = to_act_on(View(request))
    return nothing() if shown is None or not shown.text.startswith("You have not acted") else call("act", number=3)


def silent(_: ModelRequest) -> Reply:
    return nothing()


def eager(request: ModelRequest) -> Reply:
    """Acts once more than it may."""
    view = View(request)
    shown = view.incoming
    if shown is None or not shown.text.startswith("Step"):
        return nothing()
    if len(view.results) < 2:
        return call("act", True, number=1)
    return say(view.results[-1].text)
