"""A run as a TOML file describes it, checked field by field before anything is made."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from pagefault.cluster.console.plays import (
    GymnasiumTable,
    PettingZooTable,
    PlayTable,
    Table,
    TextWorldTable,
    make_play,
)
from pagefault.cluster.console.tools import ToolsTable
from pagefault.cluster.worlds.contract import World
from pagefault.cluster.worlds.dialogues import Dialogues, load_dialogues
from pagefault.cluster.worlds.environment import Recipe
from pagefault.cluster.worlds.town import Town, TownSettings
from pagefault.cluster.worlds.village import Village
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import config_error
from pagefault.runtime.host.telemetry.tracing.settings import Traces
from pagefault.runtime.store.open import EDGE, SQLITE


class FleetTable(Table):
    """``[fleet]``: where the agents run.  ``local`` needs no Ray, and knows nothing of ``name``, ``address``,
    ``keep``, ``runtime_env``, and of logs but those of its own process: see :class:`~pagefault.cluster.api.Cluster`."""

    kind: Literal["cluster", "local"] = "cluster"
    name: str | None = None
    address: str | None = None
    keep: bool = False
    runtime_env: dict[str, Any] = Field(default_factory=dict)
    placement: Literal["auto", "packed", "dedicated"] = "auto"
    hosts: Annotated[int | None, Field(ge=1)] = None
    shards: Annotated[int, Field(ge=1, le=1024)] = 1
    folder: str | None = None
    durability: Literal["sync", "async", "exit"] = "sync"
    embedder: str = "wordllama"
    journal: str = SQLITE
    archive: str = EDGE
    frames: Annotated[int | None, Field(ge=1)] = None
    frames_policy: str = "lru"
    idle_s: Annotated[float | None, Field(gt=0)] = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    traces: Traces | None = None


class VillageTable(Table):
    """``[village]``: see :class:`~pagefault.cluster.worlds.village.Village`."""

    days: Annotated[int, Field(ge=1)] = 6
    facts_each: Annotated[int, Field(ge=1)] = 3
    questions_each: Annotated[int, Field(ge=1)] = 2


class TownTable(Table):
    """``[town]``: see :class:`~pagefault.cluster.worlds.town.TownSettings`."""

    days: Annotated[int, Field(ge=1)] = 7
    season_days: Annotated[int, Field(ge=1)] = 7
    facts_each: Annotated[int, Field(ge=1)] = 1
    questions_each: Annotated[int, Field(ge=1)] = 2
    pace: Literal["causal", "lockstep"] = "causal"
    at_once: Annotated[int, Field(ge=1)] = 64


class DialoguesTable(Table):
    """``[dialogues]``: ``data`` is the file, usually given as ``--data``."""

    data: str | None = None
    questions_max: Annotated[int | None, Field(ge=1)] = None


class Plan(Table):
    """The whole file."""

    world: Literal["village", "town", "dialogues", "gymnasium", "pettingzoo", "textworld"]
    agents: Annotated[int | None, Field(ge=1)] = None
    seed: int = 1
    agent: dict[str, Any] = Field(default_factory=dict)
    tier: list[dict[str, Any]] = Field(default_factory=list)
    endpoint: list[dict[str, Any]] = Field(default_factory=list)
    budget: dict[str, Any] = Field(default_factory=dict)
    mcp: list[dict[str, Any]] = Field(default_factory=list)
    tools: ToolsTable = ToolsTable()
    fleet: FleetTable = FleetTable()
    village: VillageTable = VillageTable()
    town: TownTable = TownTable()
    dialogues: DialoguesTable = DialoguesTable()
    play: PlayTable = PlayTable()
    gymnasium: GymnasiumTable = GymnasiumTable()
    pettingzoo: PettingZooTable = PettingZooTable()
    textworld: TextWorldTable = TextWorldTable()


def read_plan(path: Path) -> Plan:
    """Read and check a file.  Raises :class:`~pagefault.runtime.errors.ConfigError`."""
    try:
        text = path.read_bytes().decode("utf-8")
        return Plan.model_validate(tomllib.loads(text))
    except FileNotFoundError:
        raise ConfigError("FILE", str(path), "a file that exists, such as examples/village.toml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("FILE", str(path), f"a readable text file: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("FILE", str(path), f"valid TOML: {error}") from None
    except ValidationError as error:
        raise config_error(error, path.name, Plan) from None


def make_world(plan: Plan, base: Path, data: Path | None) -> World:
    """The world of a plan.  ``base`` is what relative paths in the file refer to."""
    if plan.world == "town":
        return Town(TownSettings(agents=plan.agents or 200, seed=plan.seed, **plan.town.model_dump()))
    if plan.world == "village":
        table = plan.village
        return Village(plan.agents or 200, table.days, table.facts_each, table.questions_each, plan.seed)
    if plan.world in ("gymnasium", "pettingzoo", "textworld"):
        return make_play(_recipe(plan, base), plan.play, plan.agents, plan.seed)
    path = data
    if path is None and plan.dialogues.data is not None:
        path = base / plan.dialogues.data
    if path is None:
        raise ConfigError("--data", "nothing", "the path of a file of conversations in LoCoMo's format")
    return Dialogues(load_dialogues(path), plan.agents, plan.dialogues.questions_max)


def _recipe(plan: Plan, base: Path) -> Recipe:
    if plan.world == "gymnasium":
        return plan.gymnasium.recipe()
    return plan.pettingzoo.recipe() if plan.world == "pettingzoo" else plan.textworld.recipe(base)
