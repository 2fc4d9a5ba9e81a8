"""``pagefault lab worlds``: policies by worlds by models, each combination lived by agents and not only replayed.

A cell is a run of a world on a fleet of its own (:class:`~pagefault.runtime.host.local.Local`), as a Ray task.  Its
figures are one line of ``worlds.jsonl``, so a sweep that was broken off goes on with the cells that are missing; with
``--keep`` its journals stay, and `pagefault lab record` makes traces of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import tomllib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.table import Table

from pagefault.cluster import _ray
from pagefault.cluster.console.check import check_agent
from pagefault.cluster.console.lab import lab
from pagefault.cluster.console.plan import Plan, make_world, read_plan
from pagefault.cluster.console.reach import find_modules_beside
from pagefault.cluster.console.show import WIDTH_MIN, RunProgress, say
from pagefault.cluster.plain_text import one_line
from pagefault.cluster.worlds.contract import World
from pagefault.cluster.worlds.playing import NoProgress
from pagefault.policies.registry import make_policy
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent, config_error
from pagefault.runtime.host.fleet import checked_tiers
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.budget.settings import budget_plan

FILE_NAME = "worlds.jsonl"
SHOWN = ("recall_accuracy", "accuracy", "evidence_recall", "page_faults", "tokens_paged_in", "steps", "seconds")
"""Figures of the table, of those that a world has."""


class WorldEntry(BaseModel):
    """``[[world]]``: a run's file, and the data that it needs."""

    model_config = ConfigDict(extra="forbid")

    file: str
    name: str = ""
    data: str | None = None


class WorldGrid(BaseModel):
    """The whole file.  What is left out is as the run's file says."""

    model_config = ConfigDict(extra="forbid")

    world: Annotated[list[WorldEntry], Field(min_length=1)]
    policies: list[str] = Field(default_factory=list)
    models: list[str] = Field(default_factory=list)
    context_tokens: list[int] = Field(default_factory=list)
    seeds: list[int] = Field(default_factory=list)


class WorldCell(BaseModel):
    """One run: the world's plan with the agents' template in it, and the values that make this cell."""

    model_config = ConfigDict(extra="forbid")

    world: str
    plan: Plan
    base: str
    data: str | None
    values: dict[str, str | int]
    folder: str | None = None

    @property
    def key(self) -> str:
        """What tells it from all other cells, whatever it is called and wherever it is kept."""
        known = self.model_dump_json(exclude={"folder"})
        return hashlib.blake2b(known.encode(), digest_size=12).hexdigest()


def read_world_grid(path: Path) -> WorldGrid:
    """Read and check a file.  Raises :class:`~pagefault.runtime.errors.ConfigError`."""
    try:
        grid = WorldGrid.model_validate(tomllib.loads(path.read_bytes().decode("utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("GRID", str(path), f"a TOML file that can be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("GRID", str(path), f"valid TOML: {error}") from None
    except ValidationError as error:
        raise config_error(error, path.name, WorldGrid) from None
    for policy in grid.policies:
        make_policy(policy)
    return grid


def world_cells(grid: WorldGrid, base: Path, keep_in: Path | None) -> Iterator[WorldCell]:
    """Every combination, worlds first.  ``keep_in``: the folder in which their fleets stay, each in one of its own."""
    for entry in grid.world:
        file = base / entry.file
        plan = read_plan(file)
        axes: list[Sequence[str | int | None]] = [grid.policies, grid.models, grid.context_tokens, grid.seeds]
        for policy, model, tokens, seed in product(*(axis or [None] for axis in axes)):
            given = {"policy": policy, "model": model, "context_tokens": tokens}
            agent = {**plan.agent, **{name: value for name, value in given.items() if value is not None}}
            Agent(**{"name": "agent", **agent})
            changed = plan.model_copy(update={"agent": agent, "seed": plan.seed if seed is None else seed})
            values = {name: agent[name] for name in given if name in agent} | {"seed": changed.seed}
            data = None if entry.data is None else str((base / entry.data).absolute())
            name = entry.name or file.stem
            cell = WorldCell(world=name, plan=changed, base=str(file.parent.absolute()), data=data, values=values)
            if keep_in is not None:
                cell.folder = str((keep_in / f"{name}-{cell.key[:8]}").absolute())
            yield cell


def live_cell(text: str) -> str:
    """Live one cell (as JSON) to its end; its row, as JSON."""
    cell = WorldCell.model_validate_json(text)
    find_modules_beside(Path(), Path(cell.base))
    with ExitStack() as stack:
        folder = cell.folder or stack.enter_context(TemporaryDirectory(prefix="pagefault-cell-"))
        results, failed = asyncio.run(_live(cell, Path(folder)))
    return json.dumps({"key": cell.key, "world": cell.world, **cell.values, **results, "failed": failed})


async def _live(cell: WorldCell, folder: Path) -> tuple[dict[str, Any], str]:
    world = _world(cell)
    table, budget = cell.plan.fleet, budget_plan(cell.plan.endpoint, cell.plan.budget)
    async with Local(
        folder,
        functions=getattr(world, "functions", ()),
        durability="async",
        embedder=table.embedder,
        tiers=checked_tiers(cell.plan.tier),
        endpoints=budget.endpoints,
        budget=budget.settings,
        frames=table.frames,
    ) as fleet:
        refs = await fleet.spawn_many(world.agents(cell.plan.agent))
        report = await world.run(fleet, refs, NoProgress())
    return dict(report.results), report.failed


def _world(cell: WorldCell) -> World:
    return make_world(cell.plan, Path(cell.base), None if cell.data is None else Path(cell.data))


async def _check(cells: Sequence[WorldCell]) -> None:
    """Raise for what cannot be lived, of every kind of agent that there will be, before anything is."""
    seen = set()
    for cell in cells:
        kind = json.dumps([cell.base, cell.plan.world, cell.plan.agent], sort_keys=True)
        if kind not in seen:
            seen.add(kind)
            find_modules_beside(Path(), Path(cell.base))
            world = _world(cell)
            budget = budget_plan(cell.plan.endpoint, cell.plan.budget)
            await check_agent(world.agents(cell.plan.agent)[0], budget, getattr(world, "functions", ()))


@lab.command()
def worlds(
    grid: Annotated[Path, typer.Argument(help="A TOML file: [[world]], policies, models, context_tokens, seeds.")],
    out: Annotated[Path, typer.Option(help="The folder of the results; a sweep goes on from what is there.")],
    keep: Annotated[bool, typer.Option("--keep", help="Keep the fleets, for `pagefault lab record`.")] = False,
    local: Annotated[bool, typer.Option("--local", help="One process, without Ray.")] = False,
    address: Annotated[str | None, typer.Option(help="A Ray cluster that runs already.")] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Processors of a Ray of its own.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The rows as JSON on standard output.")] = False,
) -> None:
    """Let every combination of policies, models, budgets and seeds live in every world."""
    wanted = list(world_cells(read_world_grid(grid), grid.parent, out / "fleets" if keep else None))
    file = out / FILE_NAME
    done = _read_rows(file)
    missing = [cell for cell in wanted if cell.key not in done]
    console = Console(stderr=True)
    if len(missing) < len(wanted):
        say(console, f"{len(wanted) - len(missing):,} of {len(wanted):,} cells are done already")
    asyncio.run(_check(missing))
    out.mkdir(parents=True, exist_ok=True)
    with RunProgress(console) as progress:
        progress.begin("living", len(missing))
        asyncio.run(_sweep(missing, file, done, progress, local=local, address=address, cpus=cpus))
    rows = [done[cell.key] for cell in wanted]
    if as_json:
        sys.stdout.write(json.dumps({"cells": len(rows), "results": str(file), "rows": rows}) + "\n")
    else:
        _show(rows)
    if any(row["failed"] for row in rows):
        raise typer.Exit(1)


async def _sweep(
    missing: Sequence[WorldCell],
    file: Path,
    done: dict[str, dict[str, Any]],
    progress: RunProgress,
    *,
    local: bool,
    address: str | None,
    cpus: int | None,
) -> None:
    async with aclosing(_rows(missing, local=local, address=address, cpus=cpus)) as finished:
        async for text in finished:
            with file.open("a", encoding="utf-8") as lines:
                lines.write(text + "\n")
            row = json.loads(text)
            done[row["key"]] = row
            progress.advance()


async def _rows(
    missing: Sequence[WorldCell], *, local: bool, address: str | None, cpus: int | None
) -> AsyncGenerator[str, None]:
    payloads = [cell.model_dump_json() for cell in missing]
    if local:
        for payload in payloads:
            yield await asyncio.to_thread(live_cell, payload)  # it has an event loop of its own
        return
    if not payloads:
        return
    session = _ray.Session(address, cpus=cpus)
    try:
        async with aclosing(_ray.each_in_task(live_cell, payloads, at_once=_ray.cpu_count())) as results:
            async for _, text in results:
                yield text
    finally:
        session.close()


def _read_rows(file: Path) -> dict[str, dict[str, Any]]:
    """Rows by key.  A last line that was cut short is a cell that is missing, and is taken out."""
    found: dict[str, dict[str, Any]] = {}
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            found[row["key"]] = row
        except (ValueError, LookupError, TypeError):
            if number < len(lines):
                allowed = "a row that `pagefault lab worlds` wrote"
                raise ConfigError(f"{file}, line {number}", line[:60], allowed) from None
            file.write_text("".join(lines[:-1]), encoding="utf-8")
    return found


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    given = [name for name in ("policy", "model", "context_tokens", "seed") if len({row.get(name) for row in rows}) > 1]
    shown = [name for name in SHOWN if any(name in row for row in rows)]
    table = Table("world", *given, *shown, title="worlds", title_justify="left")
    for row in rows:
        cells = [row["world"], *(row.get(name, "") for name in (*given, *shown))]
        table.add_row(*(f"{cell:,.4g}" if isinstance(cell, float) else one_line(str(cell)) for cell in cells))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDTH_MIN, console.width))
    console.print(table, markup=False)
