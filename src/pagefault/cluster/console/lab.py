"""``pagefault lab``: the policies there are, traces of past runs, replays, sweeps, reports."""

from __future__ import annotations

import asyncio
import json
import sys
import tomllib
import zlib
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pagefault.cluster import _ray
from pagefault.cluster.console.show import WIDTH_MIN, RunProgress, say
from pagefault.policies.lab.files import read_trace, write_trace
from pagefault.policies.lab.grid import OPTIMUM, Cell, cells, read_grid
from pagefault.policies.lab.measures import Measures, measure
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.report import read_results, write_report
from pagefault.policies.lab.sweep import Row, SweepFolder, run_cell, run_cell_json
from pagefault.policies.lab.tiers import replay_tiers
from pagefault.policies.lab.trace import Budget, Source, Trace
from pagefault.policies.registry import (
    consolidation_names,
    fetch_names,
    make_consolidation,
    make_fetch,
    make_policy,
    make_scorer,
    make_write_back,
    policy_names,
    scorer_names,
    write_back_names,
)
from pagefault.policies.tiers import tier_chain
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.recording import recorded_agents, recordings
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.tokens import BpeTokenCounter

lab = typer.Typer(no_args_is_help=True, help="Replay page-reference traces through policies, and compare them.")
AsJson = Annotated[bool, typer.Option("--json", help="As JSON on standard output.")]


@lab.command()
def policies(as_json: AsJson = False) -> None:
    """List the policies that agents and the lab can name, what each is, and what it needs or looks at."""
    rows: list[dict[str, Any]] = [
        {"kind": kind, "name": name, "capabilities": sorted(policy.capabilities), "rule": _first_line(policy)}
        for kind, names, make in _KINDS
        for name in names()
        for policy in [make(name)]
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table("kind", "name", "rule", "needs or looks at")
    for row in rows:
        table.add_row(row["kind"], row["name"], row["rule"], ", ".join(row["capabilities"]))
    _print(table)


_KINDS: tuple[tuple[str, Callable[[], tuple[str, ...]], Callable[[str], Any]], ...] = (
    ("eviction", policy_names, make_policy),
    ("write-back", write_back_names, make_write_back),
    ("fetch", fetch_names, make_fetch),
    ("scorer", scorer_names, make_scorer),
    ("consolidation", consolidation_names, make_consolidation),
)


def _first_line(policy: object) -> str:
    module = sys.modules[type(policy).__module__]
    text = module.__doc__ or type(policy).__doc__ or ""
    return text.strip().partition("\n")[0]


@lab.command("record")
def record_command(
    folder: Annotated[Path, typer.Argument(help="The folder of a fleet that has stopped (--folder of a run).")],
    out: Annotated[Path, typer.Option(help="Where the traces go, one an agent, and recorded.json beside them.")],
    agents: Annotated[str, typer.Option(help="Only agents whose names begin so.")] = "",
    parquet: Annotated[bool, typer.Option("--parquet", help="Parquet instead of lines of JSON.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make traces of a run's journals: what each agent's policy was told, was asked, and evicted."""
    workshop = Workshop(Registry(), BpeTokenCounter(), make_processor)
    total = len(recorded_agents(folder, agents))
    out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    rows: list[dict[str, Any]] = []
    with RunProgress(console) as progress:
        progress.begin("recording", total)
        for recording in recordings(folder, workshop, agents):
            file = out / f"{_file_name(recording.agent)}.{'parquet' if parquet else 'jsonl.gz'}"
            write_trace(recording.trace, file)
            budget = recording.budget
            rows.append(
                {
                    "agent": recording.agent,
                    "file": file.name,
                    "policy": recording.policy,
                    "capacity_tokens": budget.capacity_tokens,
                    "high_tokens": budget.high_tokens,
                    "low_tokens": budget.low_tokens,
                    "keep_last_pages": budget.keep_last_pages,
                    "pages": len(recording.trace.pages),
                    "references": recording.trace.references,
                    "evictions": len(recording.evictions),
                }
            )
            progress.advance()
    (out / "recorded.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
    elif rows:
        _print(_table_of(rows))
    else:
        say(console, f"no agent of {folder} has a name that begins with {agents!r}")


def _file_name(agent: str) -> str:
    """A name that every file system takes, and that no two agents share."""
    plain = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in agent)
    return plain if plain == agent and not agent.startswith(".") else f"{plain}-{zlib.crc32(agent.encode()):08x}"


@lab.command("replay")
def replay_command(
    trace: Annotated[Path, typer.Argument(help="A trace: .jsonl, .jsonl.gz or .parquet.")],
    policy: Annotated[str, typer.Option(help="The eviction policy.")] = "lru",
    budget: Annotated[
        float | None, typer.Option(help="Up to 1 a share of all tokens, above it tokens; 0.1 if nothing is known.")
    ] = None,
    write_back: Annotated[str, typer.Option(help="What evicted pages leave; none leaves nothing.")] = "none",
    fetch: Annotated[str, typer.Option(help="What comes in with a page; none is demand.")] = "none",
    option: Annotated[list[str] | None, typer.Option(help="A parameter of the policy, as name=value.")] = None,
    tiers: Annotated[Path | None, typer.Option(help="A TOML file with [[tier]] tables.")] = None,
    as_json: AsJson = False,
) -> None:
    """Play one trace through one policy.  A recorded trace has the budget of its run, unless another is given."""
    played = _read(trace)
    given = make_policy(policy, **_options(option or []))
    room = _room(played, trace, budget)
    ran = replay(
        played,
        given,
        room,
        write_back=None if write_back == "none" else make_write_back(write_back),
        fetch=None if fetch == "none" else make_fetch(fetch),
    )
    result = {"trace": played.name, "policy": policy, "capacity_tokens": room.capacity_tokens, **measure(ran).to_row()}
    below = replay_tiers(ran, _read_tiers(tiers)).to_rows() if tiers is not None else []
    if as_json:
        sys.stdout.write(json.dumps({**result, "tiers": below}) + "\n")
        return
    table = Table("measure", "value", title=f"{policy} on {played.name}", title_justify="left")
    for name, value in result.items():
        table.add_row(name, f"{value:,.4f}" if isinstance(value, float) else str(value))
    _print(table)
    if below:
        _print(_table_of(below))


def _room(played: Trace, file: Path, budget: float | None) -> Budget:
    if budget is None:
        recorded = file.parent / "recorded.json"
        if played.source is Source.RECORDED and recorded.exists():
            for row in json.loads(recorded.read_text(encoding="utf-8")):
                if row["file"] == file.name:
                    names = ("capacity_tokens", "high_tokens", "low_tokens", "keep_last_pages")
                    return Budget(*(int(row[name]) for name in names))
        budget = 0.1
    if budget <= 0:
        raise ConfigError("--budget", budget, "above 0: up to 1 a share of all tokens, above it tokens")
    return Budget.share(played, budget) if budget <= 1 else Budget(int(budget))


def _read(path: Path) -> Trace:
    try:
        return read_trace(path)
    except FileNotFoundError:
        raise ConfigError("TRACE", str(path), "a file that exists") from None


def _read_tiers(path: Path) -> Any:
    from_file = _toml(path)
    return tier_chain(from_file.get("tier", []))


def _options(given: Iterable[str]) -> dict[str, str | float | int | bool]:
    """``k=3`` is a number, ``variant=paper`` a text, ``size_aware=true`` a flag."""
    found: dict[str, str | float | int | bool] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise ConfigError("--option", text, "name=value")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        found[name] = parsed if isinstance(parsed, str | float | int) else value
    return found


# --- sweeps ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """Where a sweep runs."""

    local: bool
    address: str | None
    cpus: int | None


@lab.command()
def sweep(
    grid: Annotated[Path, typer.Argument(help="A TOML file: policies, budgets, traces.")],
    out: Annotated[Path, typer.Option(help="The folder of the results; a sweep goes on from what is there.")],
    local: Annotated[bool, typer.Option("--local", help="One process, without Ray.")] = False,
    address: Annotated[str | None, typer.Option(help="A Ray cluster that runs already.")] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Processors of a Ray of its own.")] = None,
    as_json: AsJson = False,
) -> None:
    """Play every combination of policies, write-backs, budgets, traces and seeds, spread over Ray."""
    wanted = list(cells(read_grid(grid), grid.parent))
    folder = SweepFolder(out)
    missing = folder.missing(wanted)
    console = Console(stderr=True)
    if len(missing) < len(wanted):
        say(console, f"{len(wanted) - len(missing):,} of {len(wanted):,} cells are done already")
    with RunProgress(console) as progress:
        progress.begin("replaying", len(missing))
        asyncio.run(_sweep(folder, missing, SweepOptions(local, address, cpus), progress.advance))
    rows = folder.results(wanted)
    file = folder.write_results(wanted)
    if as_json:
        sys.stdout.write(json.dumps({"cells": len(wanted), "rows": len(rows), "results": str(file)}) + "\n")
        return
    _print(leaderboard_table(rows))
    say(console, f"{len(rows):,} rows in {file}; `pagefault lab report {out}` draws them")


async def _sweep(
    folder: SweepFolder, missing: Sequence[Cell], options: SweepOptions, advance: Callable[[], None]
) -> None:
    async with aclosing(_rows(missing, options)) as finished:
        async for cell, rows in finished:
            folder.finish(cell, rows)
            advance()


async def _rows(missing: Sequence[Cell], options: SweepOptions) -> AsyncGenerator[tuple[Cell, list[Row]], None]:
    if options.local:
        for cell in missing:
            yield cell, run_cell(cell)
        return
    if not missing:
        return
    session = _ray.Session(options.address, cpus=options.cpus)
    try:
        payloads = [cell.to_json() for cell in missing]
        results = _ray.each_in_task(run_cell_json, payloads, at_once=2 * _ray.cpu_count())
        async with aclosing(results):
            async for place, text in results:
                yield missing[place], json.loads(text)
    finally:
        session.close()


@lab.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished sweep.")],
    as_json: AsJson = False,
) -> None:
    """Draw a sweep: one HTML file with leaderboards, curves and who was resident when; PNGs beside it."""
    rows = read_results(folder)
    file = write_report(folder, rows, SweepFolder(folder).cells())
    if as_json:
        sys.stdout.write(json.dumps({"report": str(file), "figures": str(folder / "figures")}) + "\n")
    else:
        sys.stdout.write(f"{file}\n")


def leaderboard_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Policies by family and budget, the best first; the optimum is always there."""
    table = Table("family", "budget", "policy", "write-back", "object hit", "token hit", "cost a call")
    for (family, budget, policy, write_back), results in _pooled(rows):
        cost = f"{results.cost_per_call:,.0f}" if results.calls else ""
        table.add_row(
            family,
            f"{budget:g}",
            policy,
            write_back,
            f"{results.object_hit_ratio:.4f}",
            f"{results.token_hit_ratio:.4f}",
            cost,
        )
    return table


def _pooled(rows: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[str, float, str, str], Measures]]:
    names = ("references", "hits", "reference_tokens", "hit_tokens", "calls", "cost")
    sums: dict[tuple[str, float, str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["family"], row["budget"], row["policy"], row["write_back"])
        total = sums.setdefault(key, dict.fromkeys(names, 0))
        for name in names:
            total[name] += row[name] or 0
    found = [(key, Measures(**total)) for key, total in sums.items()]
    return sorted(found, key=lambda each: (*each[0][:2], each[0][2] != OPTIMUM, -each[1].object_hit_ratio))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("FILE", str(path), f"a readable file: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("FILE", str(path), f"valid TOML: {error}") from None


def _table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values()))
    return table


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDTH_MIN, console.width))
    console.print(table)
