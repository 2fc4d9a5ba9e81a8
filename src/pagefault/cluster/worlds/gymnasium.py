"""Gymnasium environments: one player, who acts until the episode ends (gymnasium.farama.org, extra ``worlds``).

What the player sees is the observation in words, and the environment's own text picture where it has one
(``render_mode="ansi"``).  Which actions are legal is taken from ``info["action_mask"]``, from a part of the observation
of that name, or from a method ``action_masks``, whichever there is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pagefault.cluster.worlds.environment import IllegalAction, Moment, Recipe, Sight, optional_module
from pagefault.cluster.worlds.spaces import LABELS_MAX, SpaceActions, describe, legal_text
from pagefault.runtime.errors import ConfigError

PLAYER = "player"
MASK = "action_mask"
TERMINATED, TRUNCATED = "terminated", "truncated"
NAMES: Mapping[str, tuple[str, ...]] = {
    "Acrobot": ("push left", "do nothing", "push right"),
    "Blackjack": ("stick", "hit"),
    "CartPole": ("push left", "push right"),
    "CliffWalking": ("up", "right", "down", "left"),
    "FrozenLake": ("left", "down", "right", "up"),
    "LunarLander": ("do nothing", "fire left engine", "fire main engine", "fire right engine"),
    "MountainCar": ("push left", "do nothing", "push right"),
    "Taxi": ("down", "up", "right", "left", "pick up", "drop off"),
}
"""What the numbers of well-known environments mean, from their documentation."""
_COLOURED = re.compile(r"\x1b\[[0-9;]*m(.*?)\x1b\[0m")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def gymnasium_world(
    env_id: str,
    *,
    names: Sequence[str] | None = None,
    text: str = "auto",
    make: Callable[..., Any] | None = None,
    **options: Any,
) -> Recipe:
    """A recipe for ``gymnasium.make(env_id, **options)``, or for ``make(**options)``, of which ``env_id`` is the name.

    ``names`` are words for the actions of a Discrete space, in order; well-known environments have them already.
    ``text``: ``auto`` adds the environment's text picture if it has one, ``ansi`` insists on it, ``none`` leaves it.
    """
    if text not in ("auto", "ansi", "none"):
        raise ConfigError("text", text, "auto, ansi or none")
    given = {"env_id": env_id, "names": names, "text": text, "make": make, "options": options}
    return Recipe(env_id.rpartition("/")[2], GymnasiumEnvironment, given)


class GymnasiumEnvironment:
    """An :class:`~pagefault.cluster.worlds.environment.Environment` around one of Gymnasium's.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for an id that is not known, or a space without words.
    """

    players = (PLAYER,)

    def __init__(
        self,
        env_id: str,
        names: Sequence[str] | None = None,
        text: str = "auto",
        make: Callable[..., Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._env = _made(env_id, text, make, dict(options or {}))
        base = env_id.rpartition("/")[2].partition("-v")[0]
        if names is None and base in NAMES and getattr(self._env.action_space, "n", 0) == len(NAMES[base]):
            names = NAMES[base]
        self._space = SpaceActions(self._env.action_space, names)
        self.spaces = {PLAYER: self._space}
        self._draws = self._env.render_mode == "ansi"
        self._legal: tuple[str, ...] | None = None

    def reset(self, seed: int) -> Moment:
        observation, info = self._env.reset(seed=seed)
        self._env.action_space.seed(seed)
        return Moment({PLAYER: self._sight(observation, info)})

    def step(self, actions: Mapping[str, Mapping[str, Any]]) -> Moment:
        action = self._space.decode(actions[PLAYER])
        observation, reward, terminated, truncated, info = self._env.step(action)
        rewards = {PLAYER: float(reward)}
        if terminated or truncated:
            how = TERMINATED if terminated else TRUNCATED
            return Moment({}, rewards, {PLAYER: how}, self._text(observation))
        return Moment({PLAYER: self._sight(observation, info)}, rewards)

    def check(self, player: str, arguments: Mapping[str, Any]) -> None:  # noqa: ARG002 - there is one player
        """Raises :class:`~pagefault.cluster.worlds.environment.IllegalAction`."""
        check_legal(self._space, self._legal, arguments)

    def close(self) -> None:
        self._env.close()

    def _sight(self, observation: Any, info: Mapping[str, Any]) -> Sight:
        mask = self._mask(observation, info)
        self._legal = None if mask is None else self._space.legal(mask)
        return Sight(with_actions(self._text(observation), self._space, self._legal), self._legal)

    def _mask(self, observation: Any, info: Mapping[str, Any]) -> Any:
        if not self._space.is_discrete:
            return None
        if MASK in info:
            return info[MASK]
        if isinstance(observation, Mapping) and MASK in observation:
            return observation[MASK]
        method = getattr(self._env.unwrapped, "action_masks", None)
        return method() if callable(method) else None

    def _text(self, observation: Any) -> str:
        space = self._env.observation_space
        if isinstance(observation, Mapping) and MASK in observation:
            lines = (describe(space[key], observation[key]) for key in space.spaces if key != MASK)
            text = "\n".join(lines)
        else:
            text = describe(space, observation)
        return f"{text}\n{plain_picture(self._env.render())}" if self._draws else text


def _made(env_id: str, text: str, make: Callable[..., Any] | None, options: dict[str, Any]) -> Any:
    library = optional_module("gymnasium", "pagefault[worlds]")
    if make is not None:
        return make(**options)
    if text != "none" and "render_mode" not in options:
        try:
            modes = getattr(library.spec(env_id), "entry_point", None) and _render_modes(library, env_id)
        except library.error.Error as error:
            raise ConfigError("id", env_id, f"the id of a Gymnasium environment: {error}") from error
        if "ansi" in (modes or ()):
            options["render_mode"] = "ansi"
        elif text == "ansi":
            raise ConfigError("text", text, f"auto or none: {env_id} draws no text")
    try:
        return library.make(env_id, **options)
    except (library.error.Error, ImportError, TypeError) as error:
        raise ConfigError("id", env_id, f"a Gymnasium environment that can be made here: {error}") from error


def _render_modes(library: Any, env_id: str) -> Sequence[str]:
    entry = library.spec(env_id).entry_point
    try:
        cls = library.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    except ImportError:
        return ()  # making it says what is missing
    return tuple(getattr(cls, "metadata", {}).get("render_modes", ()))


def plain_picture(picture: object) -> str:
    """A text picture without terminal colours: what is coloured stands in brackets."""
    text = _COLOURED.sub(r"[\1]", str(picture))
    return _ESCAPE.sub("", text).strip("\n")


def check_legal(space: SpaceActions, legal: Sequence[str] | None, arguments: Mapping[str, Any]) -> None:
    """Raise :class:`~pagefault.cluster.worlds.environment.IllegalAction` for what is no action, or is masked."""
    action = space.decode(arguments) if legal is None or str(arguments.get("action")) not in legal else None
    if legal is not None and action is not None:
        raise IllegalAction(f"{space.label(int(action))!r} is not legal now. Legal are: {legal_text(legal)}.")


def with_actions(text: str, space: SpaceActions, legal: Sequence[str] | None) -> str:
    """What is seen, followed by what may be done."""
    if legal is not None:
        return f"{text}\nLegal actions: {legal_text(legal)}"
    return f"{text}\nActions: {space.wanted()}" if _is_short(space) else text


def _is_short(space: SpaceActions) -> bool:
    return len(space.wanted()) <= LABELS_MAX * 8
