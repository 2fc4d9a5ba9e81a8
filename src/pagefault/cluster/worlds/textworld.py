"""TextWorld quests: text adventures, generated or from a file (Côté et al. 2018, "TextWorld").

A quest is generated for each episode from its seed, or read from a file of TextWorld's (``.z8``, ``.ulx``, ``.json``).
Compiled games tell their story in their own prose.  Generated ones are not compiled unless ``prose`` is asked for
(which takes a second or more each): then what is around is told from the facts of the game.

TextWorld itself is free to use (MIT), but needs ``jericho``, which has the GPL as its licence: so it is not part of the
extra ``worlds``, and whoever wants it installs it.
"""

from __future__ import annotations

import functools
import re
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pagefault.cluster.worlds.environment import IllegalAction, Moment, Parameter, Recipe, Sight, optional_module
from pagefault.cluster.worlds.spaces import legal_text
from pagefault.runtime.errors import ConfigError

PLAYER = "player"
STEPS_MAX = 100
_BLANK_LINES = re.compile(r"\n\s*\n+")
_PROMPT = re.compile(r"\n>.*\Z", re.DOTALL)
_BANNER = re.compile(r"\A.*\$\$[ \t]*\n", re.DOTALL)


def textworld_world(
    *,
    rooms: int = 4,
    objects: int = 6,
    quest_length: int = 4,
    path: str = "",
    prose: bool = False,
    walkthrough: bool = False,
    only_admissible: bool = True,
    steps_max: int = STEPS_MAX,
) -> Recipe:
    """A recipe for quests: generated from their seeds, or the one in the file ``path``.

    ``walkthrough`` shows at each moment the next command of a solution.  ``only_admissible`` refuses commands that
    would do nothing; otherwise the game itself answers them.  An episode is truncated after ``steps_max`` commands.
    """
    given = {
        "rooms": rooms,
        "objects": objects,
        "quest_length": quest_length,
        "path": path,
        "prose": prose,
        "walkthrough": walkthrough,
        "only_admissible": only_admissible,
        "steps_max": steps_max,
    }
    return Recipe("quest", TextWorldEnvironment, given)


class _Commands:
    parameters = (Parameter("command", str, "what you do, such as 'go east' or 'open chest'"),)

    def decode(self, arguments: Mapping[str, Any]) -> Any:
        return " ".join(str(arguments["command"]).split())


class TextWorldEnvironment:
    """An :class:`~pagefault.cluster.worlds.environment.Environment` of one quest after the other.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for options that make no game, and
    :class:`~pagefault.runtime.errors.UsageError` where TextWorld is not installed.
    """

    players = (PLAYER,)

    def __init__(
        self,
        *,
        rooms: int,
        objects: int,
        quest_length: int,
        path: str,
        prose: bool,
        walkthrough: bool,
        only_admissible: bool,
        steps_max: int,
    ) -> None:
        self._library = optional_module("textworld", "textworld")
        sizes = {"rooms": rooms, "objects": objects, "quest_length": quest_length, "steps_max": steps_max}
        for name, value in sizes.items():
            if value < 1:
                raise ConfigError(f"textworld.{name}", value, "1 or more")
        if path and not Path(path).is_file():
            raise ConfigError("textworld.path", path, "a game's file")
        self._sizes = (rooms, objects, quest_length)
        self._path = path
        self._prose = prose
        self._walkthrough = walkthrough
        self._only_admissible = only_admissible
        self._steps_max = steps_max
        self._space = _Commands()
        self.spaces = {PLAYER: self._space}
        self._env: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._score = 0
        self._steps = 0
        self._legal: tuple[str, ...] = ()

    def reset(self, seed: int) -> Moment:
        self.close()
        wanted = self._library.EnvInfos(
            admissible_commands=True,
            policy_commands=self._walkthrough,
            objective=True,
            inventory=True,
            facts=True,
            won=True,
            lost=True,
            max_score=True,
        )
        self._score = self._steps = 0
        with warnings.catch_warnings():
            # Jericho, which knows only famous games by heart; TextWorld keeps score by itself.
            warnings.filterwarnings("ignore", ".*is not fully supported.*")
            if self._path:
                self._env = self._library.start(self._path, wanted)
            else:
                self._env = self._generated(seed, wanted)
            return self._moment(self._env.reset(), 0.0)

    def _generated(self, seed: int, wanted: Any) -> Any:
        options = self._library.GameOptions()
        options.seeds = seed
        options.kb = _knowledge()
        options.nb_rooms, options.nb_objects, options.quest_length = self._sizes
        self._folder = tempfile.TemporaryDirectory(prefix="pagefault-quest-")  # a compiled game is read again later
        options.path = path = str(Path(self._folder.name) / f"quest.{'z8' if self._prose else 'json'}")
        try:
            if self._prose:
                self._library.make(options)
            else:
                self._library.generator.make_game(options).save(path)
        except (ValueError, AssertionError, RuntimeError) as error:
            sizes = "{} rooms, {} objects, a quest of length {}".format(*self._sizes)
            raise ConfigError("textworld", sizes, f"sizes that make a game: {error}") from error
        return self._library.start(path, wanted)

    def step(self, actions: Mapping[str, Mapping[str, Any]]) -> Moment:
        command = self._space.decode(actions[PLAYER])
        state, score, done = self._env.step(command)
        self._steps += 1
        reward, self._score = float(score - self._score), int(score)
        if done or state.won or state.lost:
            how = "won" if state.won else "lost" if state.lost else "ended"
            return Moment({}, {PLAYER: reward}, {PLAYER: how}, self._text(state))
        if self._steps >= self._steps_max:
            return Moment({}, {PLAYER: reward}, {PLAYER: "truncated"}, self._text(state))
        return self._moment(state, reward)

    def check(self, player: str, arguments: Mapping[str, Any]) -> None:  # noqa: ARG002 - there is one player
        """Raises :class:`~pagefault.cluster.worlds.environment.IllegalAction`."""
        command = self._space.decode(arguments)
        if not command:
            raise IllegalAction("An empty command does nothing.")
        if self._only_admissible and command not in self._legal:
            raise IllegalAction(f"{command!r} cannot be done now. You may: {legal_text(self._legal)}.")

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _moment(self, state: Any, reward: float) -> Moment:
        self._legal = tuple(state.admissible_commands or ())
        text = f"{self._text(state)}\nYou may: {legal_text(self._legal)}."
        if self._walkthrough and state.policy_commands:
            text += f"\nThe walkthrough says: {state.policy_commands[0]}"
        rewards = {PLAYER: reward} if self._steps else {}
        return Moment({PLAYER: Sight(text, self._legal)}, rewards)

    def _text(self, state: Any) -> str:
        story = _story(str(state.feedback or ""))
        if self._path.endswith(".json") or not (self._path or self._prose):
            story = around([str(fact) for fact in state.facts or ()])
        head = f"Your quest: {_story(str(state.objective))}\n" if state.objective and not self._steps else ""
        return f"{head}{story}\nScore {self._score} of {state.max_score}."


@functools.cache
def _knowledge() -> Any:
    """What TextWorld's games are made of: read once, since it takes longer than making a game."""
    return optional_module("textworld.generator.data", "textworld").KnowledgeBase.load()


def _story(text: str) -> str:
    """A game's words without its banner, its prompt and its blank lines."""
    return _BLANK_LINES.sub("\n", _PROMPT.sub("", _BANNER.sub("", text))).strip()


_PLACE = re.compile(r"(\w+)\((.*)\)")
_KINDS = re.compile(r": [\w']+")


def around(facts: list[str]) -> str:
    """Where the player is, what is there, which ways lead on, what the player holds: from a game's facts.

    Facts look like ``at(P, kitchen: r)``, ``on(apple: f, table: s)``, ``east_of(hall: r, kitchen: r)``.
    """
    known = [
        (match[1], [_KINDS.sub("", each).strip() for each in match[2].split(",")])
        for match in map(_PLACE.fullmatch, facts)
        if match
    ]
    room = next((args[1] for name, args in known if name == "at" and args[0] == "P"), "")
    here = [args[0] for name, args in known if name == "at" and args[1:] == [room] and args[0] != "P"]
    held = [args[0] for name, args in known if name == "in" and args[1:] == ["I"]]
    lines = [f"You are in: {room}."]
    lines += [f"Here: {_with_state(thing, known)}." for thing in here]
    doors = {(args[0], args[2]): args[1] for name, args in known if name == "link"}
    for name, args in known:
        if name.endswith("_of") and args[1:] == [room]:
            door = doors.get((room, args[0]), "")
            through = f" through {_with_state(door, known)}" if door else ""
            lines.append(f"{name.removesuffix('_of').capitalize()}: {args[0]}{through}.")
    lines.append(f"You hold: {', '.join(held) or 'nothing'}.")
    return "\n".join(lines)


def _with_state(thing: str, known: list[tuple[str, list[str]]]) -> str:
    states = [name for name, args in known if args == [thing] and name in ("open", "closed", "locked")]
    inside = [args[0] for name, args in known if name in ("in", "on") and args[1:] == [thing]]
    if "closed" in states or "locked" in states:
        inside = []  # it cannot be seen
    text = f"{thing} ({', '.join(states)})" if states else thing
    return f"{text} with {', '.join(inside)}" if inside else text
