"""What an environment is to Pagefault: the contract that the adapters fill in, and that a world of one's own may.

An environment has *players*.  It begins an episode from a seed, and says at every *moment* who is to act and what they
see.  Each of them acts by a function, whose parameters are those of the player's :class:`ActionSpace`; when all who are
to act have acted, the environment steps.  It must be deterministic: the same seed and actions always lead to the same
moments, for that is how one that died with its process is built up again.  It is called from one thread, never waits
for anybody, and knows nothing of agents.

What Pagefault makes of it (:mod:`~pagefault.cluster.worlds.playing`): a moment's sights become *observations*, which
are interrupts; actions become *functions* with a JSON schema; rewards and endings become events, told to whom they
concern.  An action that is not legal never gets as far as the environment; its player is told what would be.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from pagefault.runtime.errors import UsageError


class IllegalAction(Exception):
    """An action cannot be taken now; the text tells the player why, and what can be."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of an action: its name, its type as a hint that a schema can be made from, what it means."""

    name: str
    hint: Any
    description: str


class ActionSpace(Protocol):
    """What a player may do, whenever it is: the parameters of its function."""

    @property
    def parameters(self) -> tuple[Parameter, ...]: ...

    def decode(self, arguments: Mapping[str, Any]) -> Any:
        """The environment's own action, from arguments as a model wrote them.  Raises :class:`IllegalAction`."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a player who is to act is shown, and what it may do now (``None``: all that its space allows)."""

    text: str
    legal: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Between two steps: who is to act, what each was rewarded since it acted last, and for whom it has ended, how.

    An episode is over when nobody is to act.
    """

    to_act: Mapping[str, Sight]
    rewards: Mapping[str, float] = field(default_factory=dict)
    ended: Mapping[str, str] = field(default_factory=dict)
    parting: str = ""
    """What those see for whom it has ended."""


class Environment(Protocol):
    """One environment.  ``step`` is given what was ``check``-ed, of all who were to act."""

    @property
    def players(self) -> tuple[str, ...]: ...
    @property
    def spaces(self) -> Mapping[str, ActionSpace]: ...
    def reset(self, seed: int) -> Moment: ...
    def step(self, actions: Mapping[str, Mapping[str, Any]]) -> Moment: ...
    def check(self, player: str, arguments: Mapping[str, Any]) -> None:
        """Raises :class:`IllegalAction` for what the player may not do now."""

    def close(self) -> None: ...


@runtime_checkable
class Idles(Protocol):
    """An environment that need not wait for everybody: what a player does that has not acted in time."""

    def idle(self, player: str) -> Mapping[str, Any]: ...


@runtime_checkable
class Saves(Protocol):
    """An environment that can save itself: it is then built up from its last save, and not from its seed."""

    def save(self) -> bytes: ...
    def load(self, data: bytes) -> Moment: ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make an environment, wherever it is to run: ``maker(**options)``.  ``title`` names what it is."""

    title: str
    maker: Callable[..., Environment]
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Environment:
        """A new environment.  Raises what the maker raises for options that are wrong."""
        return self.maker(**self.options)

    def description(self) -> str:
        """What it makes, in a line that is the same in every process: two that differ make different environments."""
        options = json.dumps(dict(self.options), sort_keys=True, default=_named)
        return f"{self.title} {options}"


def _named(value: object) -> str:
    """Code, and whatever else has no JSON, by its name."""
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def optional_module(name: str, install: str) -> Any:
    """A module that only some environments need.

    Raises :class:`~pagefault.runtime.errors.UsageError` that says what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"{name} cannot be imported ({error}); install it: pip install {install}") from error
