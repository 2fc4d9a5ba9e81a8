"""``pagefault run``, ``resume`` and ``chat``: fleets that a command begins, and lives with."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError
from rich.console import Console

from pagefault.cluster.console.chat import chat_with
from pagefault.cluster.console.check import chosen_model
from pagefault.cluster.console.configuration import Configuration
from pagefault.cluster.console.ends import FAILED, INTERRUPTED
from pagefault.cluster.console.plan import FleetTable, Plan, make_world, read_plan
from pagefault.cluster.console.reach import find_modules_beside
from pagefault.cluster.console.resume import RunRecord, keep_run, read_run
from pagefault.cluster.console.run import Options, run_world
from pagefault.cluster.console.show import say, show_report
from pagefault.cluster.console.tools import make_tools
from pagefault.cluster.logs import LogFormat, configure_logging
from pagefault.cluster.worlds.contract import Report
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.mcp import read_servers
from pagefault.runtime.host.config import Agent, config_error
from pagefault.runtime.host.fleet import checked_tiers
from pagefault.runtime.models.budget.settings import budget_plan

REPLY_TOKENS_MAX = 1024

Placement = Literal["auto", "packed", "dedicated"]
LogLevel = Literal["debug", "info", "warning", "error"]


def _fleets_logs(level: str, form: str) -> dict[str, str | None]:
    """What is said of this process's logs and holds for those of the fleet's, too: they may say more, but not less."""
    return {"log_level": level if level == "debug" else None, "log_format": form if form != "auto" else None}


def _smaller_context(context_tokens: int | None) -> dict[str, Any]:
    if context_tokens is None:
        return {}
    return {"context_tokens": context_tokens, "reply_tokens": max(1, min(REPLY_TOKENS_MAX, context_tokens // 8))}


def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A TOML file, such as examples/village.toml.")],
    agents: Annotated[int | None, typer.Option(min=1, help="How many agents.")] = None,
    placement: Annotated[Placement | None, typer.Option(help="How agents are put into Ray actors.")] = None,
    policy: Annotated[str | None, typer.Option(help="The eviction policy, such as lru.")] = None,
    context_tokens: Annotated[int | None, typer.Option(help="The budget of prompt and reply.")] = None,
    model: Annotated[str | None, typer.Option(help="scripted:NAME, or the name of a model at --base-url.")] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")] = None,
    data: Annotated[Path | None, typer.Option(help="The data file of worlds that need one.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Keep journals and archive here, and go on from what is there.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the fleet is found by; a made-up name else.")] = None,
    address: Annotated[str | None, typer.Option(help="IP:PORT of a Ray cluster to run on; auto finds it.")] = None,
    local: Annotated[bool, typer.Option("--local", help="One process, without Ray.")] = False,
    seed: Annotated[int | None, typer.Option(help="The seed of worlds that have one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Results as one JSON object on standard output.")] = False,
    log_level: Annotated[LogLevel, typer.Option(help="What is logged to standard error, and worse.")] = "error",
    log_format: Annotated[LogFormat, typer.Option(help="How, also on hosts; auto is json off a terminal.")] = "auto",
) -> None:
    """Run a world on a fleet of agents, and print what came of it."""
    configure_logging(log_level, log_format)
    plan = read_plan(file)
    changes: dict[str, Any] = {"agents": agents, "seed": seed}
    plan = plan.model_copy(update={key: value for key, value in changes.items() if value is not None})
    given = {"placement": placement, "name": name, "address": address, **_fleets_logs(log_level, log_format)}
    _change_fleet(plan, context.obj, given, folder, local)
    Agent(**{"name": "agent", **plan.agent})  # the file alone must be right, whatever is changed on the command line
    template = {**plan.agent, **_smaller_context(context_tokens)}
    if policy is not None:
        template["policy"] = policy

    async def with_model() -> dict[str, Any]:
        return template | await chosen_model(template, model, base_url)

    where = None if data is None else str(data.absolute())
    record = RunRecord(plan=plan, base=str(file.parent.absolute()), data=where, template={})
    _live(record, with_model, as_json)


def resume(
    folder: Annotated[Path, typer.Argument(help="What `pagefault run` was given as --folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Results as one JSON object on standard output.")] = False,
    log_level: Annotated[LogLevel, typer.Option(help="What is logged to standard error, and worse.")] = "error",
    log_format: Annotated[LogFormat, typer.Option(help="How, also on hosts; auto is json off a terminal.")] = "auto",
) -> None:
    """Go on with a run that was stopped, or killed at any moment."""
    configure_logging(log_level, log_format)
    record = read_run(folder)
    changes = {key: value for key, value in _fleets_logs(log_level, log_format).items() if value is not None}
    changes["folder"] = str(folder)  # it may have been moved meanwhile
    record.plan.fleet = record.plan.fleet.model_copy(update=changes)

    async def as_before() -> dict[str, Any]:
        return record.template

    _live(record, as_before, as_json)


def _live(record: RunRecord, choose: Callable[[], Awaitable[dict[str, Any]]], as_json: bool) -> None:
    """Run a world to its end.  ``choose`` gives the template that its agents are made from."""
    plan, base = record.plan, Path(record.base)
    tiers = checked_tiers(plan.tier)
    budget, servers = budget_plan(plan.endpoint, plan.budget), read_servers(plan.mcp)
    functions = make_tools(plan.tools, base)
    find_modules_beside(Path(), base)
    world = make_world(plan, base, None if record.data is None else Path(record.data))
    console = Console(stderr=True)

    async def live() -> Report:
        template = await choose()

        def keep() -> None:
            if plan.fleet.folder is not None:
                keep_run(Path(plan.fleet.folder), record.model_copy(update={"template": template}))

        options = Options(plan.fleet, console, tiers, budget, servers, functions, keep)
        return await run_world(world, template, options)

    report = asyncio.run(live())
    show_report(report, as_json)
    if report.failed:
        say(console, f"error: {report.failed}")
        raise typer.Exit(FAILED)


def _change_fleet(
    plan: Plan, settings: Configuration, given: dict[str, str | None], folder: Path | None, local: bool
) -> None:
    """A run's ``[fleet]``: the settings' file, the run's own, the environment, the command line; the later wins."""
    said = {**settings.fleet("file"), **plan.fleet.model_dump(exclude_unset=True), **settings.fleet("environment")}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if folder is not None:
        changes["folder"] = str(folder)
    if local:
        changes["kind"] = "local"
    try:
        plan.fleet = FleetTable.model_validate({**said, **changes})
    except ValidationError as error:
        raise config_error(error, "fleet", FleetTable) from None


def chat(
    model: Annotated[
        str | None, typer.Option(help="A model of the server, local, or scripted:MODULE:FUNCTION.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")] = None,
    name: Annotated[str, typer.Option(help="The agent's name.")] = "companion",
    folder: Annotated[Path, typer.Option(help="Where its memory is kept.")] = Path("pagefault-data"),
    context_tokens: Annotated[int, typer.Option(help="The budget of prompt and reply.")] = 8192,
    policy: Annotated[str, typer.Option(help="The eviction policy.")] = "fifo",
    file: Annotated[Path | None, typer.Option(help="A run's file, for its [[endpoint]] and [budget].")] = None,
    show_steps: Annotated[
        bool, typer.Option("--steps", help="Show calls, faults and evictions as they happen.")
    ] = False,
    log_level: Annotated[LogLevel, typer.Option(help="What is logged to standard error, and worse.")] = "error",
    log_format: Annotated[LogFormat, typer.Option(help="How; auto is json off a terminal.")] = "auto",
) -> None:
    """Talk with one agent that remembers; its memory is in --folder, for the next time."""
    configure_logging(log_level, log_format)
    find_modules_beside(Path())
    plan = read_plan(file) if file is not None else Plan(world="village")
    budget = budget_plan(plan.endpoint, plan.budget)

    async def talk() -> bool:
        template = {"name": name, "policy": policy, **_smaller_context(context_tokens)}
        address = base_url if base_url is not None or model is not None else os.environ.get("OPENAI_BASE_URL")
        if model is None and address is None:
            raise ConfigError("--model", "nothing", "the name of a model, or --base-url with a server that has one")
        template |= await chosen_model(template, model, address)
        return await chat_with(template, folder, Console(), Console(stderr=True), show_steps, budget)

    try:
        went_well = asyncio.run(talk())
    except KeyboardInterrupt:
        say(Console(stderr=True), f"stopped; what was said is in {folder}" if folder.exists() else "stopped")
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # all is saved, and a thread may still wait for input, which cannot be broken off
    if not went_well:
        raise typer.Exit(FAILED)
