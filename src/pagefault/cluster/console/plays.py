"""The tables of a file that say what is played: ``[gymnasium]``, ``[pettingzoo]``, ``[textworld]``; and ``[play]``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pagefault.cluster.worlds.driving import PlaySettings
from pagefault.cluster.worlds.environment import Recipe
from pagefault.cluster.worlds.gymnasium import gymnasium_world
from pagefault.cluster.worlds.pettingzoo import pettingzoo_world
from pagefault.cluster.worlds.playing import Playing
from pagefault.cluster.worlds.textworld import textworld_world
from pagefault.runtime.errors import ConfigError


class Table(BaseModel):
    """A table of a file: a key that is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class PlayTable(Table):
    """``[play]``: see :class:`~pagefault.cluster.worlds.driving.PlaySettings`."""

    worlds: Annotated[int, Field(ge=1)] = 1
    episodes: Annotated[int, Field(ge=1)] = 1
    steps_max: Annotated[int, Field(ge=1)] = 10_000
    batch: Annotated[int, Field(ge=1)] = 64
    pace: Literal["lockstep", "free"] = "lockstep"
    tick_s: Annotated[float | None, Field(gt=0)] = None
    idle: dict[str, Any] | None = None
    reminders: Annotated[int, Field(ge=0)] = 2
    durability: Literal["sync", "async", "exit"] = "sync"


class GymnasiumTable(Table):
    """``[gymnasium]``: see :func:`~pagefault.cluster.worlds.gymnasium.gymnasium_world`."""

    id: str = ""
    names: list[str] | None = None
    text: Literal["auto", "ansi", "none"] = "auto"
    options: dict[str, Any] = Field(default_factory=dict)

    def recipe(self) -> Recipe:
        return gymnasium_world(_needed(self.id, "gymnasium"), names=self.names, text=self.text, **self.options)


class PettingZooTable(Table):
    """``[pettingzoo]``: see :func:`~pagefault.cluster.worlds.pettingzoo.pettingzoo_world`."""

    id: str = ""
    api: Literal["aec", "parallel"] = "aec"
    names: list[str] | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    def recipe(self) -> Recipe:
        return pettingzoo_world(_needed(self.id, "pettingzoo"), api=self.api, names=self.names, **self.options)


class TextWorldTable(Table):
    """``[textworld]``: see :func:`~pagefault.cluster.worlds.textworld.textworld_world`."""

    rooms: Annotated[int, Field(ge=1)] = 4
    objects: Annotated[int, Field(ge=1)] = 6
    quest_length: Annotated[int, Field(ge=1)] = 4
    path: str = ""
    prose: bool = False
    walkthrough: bool = False
    only_admissible: bool = True
    steps_max: Annotated[int, Field(ge=1)] = 100

    def recipe(self, base: Path) -> Recipe:
        """``base`` is what a relative ``path`` refers to."""
        path = str(base / self.path) if self.path else ""
        return textworld_world(**{**self.model_dump(), "path": path})


def make_play(recipe: Recipe, table: PlayTable, agents: int | None, seed: int) -> Playing:
    """What a file says is played.  ``agents``, if it is said, decides how many worlds there are.

    Raises :class:`~pagefault.runtime.errors.ConfigError`, also when so many agents cannot be seated.
    """
    settings = PlaySettings(**table.model_dump(), seed=seed)
    playing = Playing(recipe, settings)
    players = len(playing.players)
    if agents is None or agents == settings.worlds * players:
        return playing
    if agents % players:
        raise ConfigError("agents", agents, f"a multiple of {players}: as many players has each world")
    return Playing(recipe, replace(settings, worlds=agents // players))


def _needed(env_id: str, table: str) -> str:
    if not env_id:
        raise ConfigError(f"{table}.id", "nothing", "the id of an environment")
    return env_id
