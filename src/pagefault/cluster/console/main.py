"""``pagefault``: run worlds, chat with an agent, look into fleets, say the version."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError
from rich.console import Console

from pagefault.cluster.console.agent import agent
from pagefault.cluster.console.approvals import approvals
from pagefault.cluster.console.chat import chat_with
from pagefault.cluster.console.check import chosen_model
from pagefault.cluster.console.config import ConfiguredGroup, config, use_configuration
from pagefault.cluster.console.configuration import Configuration
from pagefault.cluster.console.doctor import doctor
from pagefault.cluster.console.evaluate import evaluate
from pagefault.cluster.console.ingest import ingest
from pagefault.cluster.console.inspect import inspect
from pagefault.cluster.console.lab import lab
from pagefault.cluster.console.lab_worlds import worlds
from pagefault.cluster.console.mail import dead, topics
from pagefault.cluster.console.mcp import mcp
from pagefault.cluster.console.memory import memory
from pagefault.cluster.console.metrics import metrics
from pagefault.cluster.console.past import fork, replay
from pagefault.cluster.console.plan import FleetTable, Plan, make_world, read_plan
from pagefault.cluster.console.ps import ps
from pagefault.cluster.console.reach import find_modules_beside
from pagefault.cluster.console.resume import RunRecord, keep_run, read_run
from pagefault.cluster.console.run import Options, Stopped, run_world
from pagefault.cluster.console.send import drain, send, stop
from pagefault.cluster.console.show import say, show_report
from pagefault.cluster.console.store import store
from pagefault.cluster.console.tools import make_tools
from pagefault.cluster.console.top import top
from pagefault.cluster.console.ui import ui
from pagefault.cluster.logs import LogFormat, configure_logging
from pagefault.cluster.worlds.contract import Report
from pagefault.policies.contract import PolicyError
from pagefault.policies.lab.extras import MissingExtra
from pagefault.runtime.errors import ConfigError, InternalError, PagefaultError, UsageError
from pagefault.runtime.functions.mcp import read_servers
from pagefault.runtime.host.config import Agent, config_error
from pagefault.runtime.host.fleet import checked_tiers
from pagefault.runtime.models.budget.settings import budget_plan

INTERRUPTED = 130
FAILED = 1
USAGE = 2
REPLY_TOKENS_MAX = 1024

Placement = Literal["auto", "packed", "dedicated"]
LogLevel = Literal["debug", "info", "warning", "error"]

app = typer.Typer(
    cls=ConfiguredGroup,
    callback=use_configuration,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Virtual memory for fleets of LLM agents.",
)


lab.command()(worlds)
app.add_typer(lab, name="lab")
app.add_typer(evaluate, name="eval")
app.command()(ps)
app.command()(metrics)
app.command()(doctor)
app.command()(ui)
app.command()(ingest)
app.command()(send)
app.command()(drain)
app.command()(stop)
app.command()(inspect)
app.command()(top)
app.command()(replay)
app.command()(fork)
app.command()(topics)
app.add_typer(config, name="config")
app.add_typer(dead, name="dead")
app.add_typer(store, name="store")
app.add_typer(approvals, name="approvals")
app.add_typer(memory, name="memory")
app.add_typer(mcp, name="mcp")
app.add_typer(agent, name="agent")


def _fleets_logs(level: str, form: str) -> dict[str, str | None]:
    """What is said of this process's logs and holds for those of the fleet's, too: they may say more, but not less."""
    return {"log_level": level if level == "debug" else None, "log_format": form if form != "auto" else None}


def _smaller_context(context_tokens: int | None) -> dict[str, Any]:
    if context_tokens is None:
        return {}
    return {"context_tokens": context_tokens, "reply_tokens": max(1, min(REPLY_TOKENS_MAX, context_tokens // 8))}


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False) -> None:
    """Say the versions that matter when something is reported."""
    names = ("pagefault", "ray", "openai", "qdrant-edge-py", "pydantic", "msgpack", "structlog")
    versions = {"python": platform.python_version(), **{name: _version_of(name) for name in names}}
    if as_json:
        sys.stdout.write(json.dumps(versions) + "\n")
    else:
        for name, number in versions.items():
            sys.stdout.write(f"{name} {number}\n")


def _version_of(name: str) -> str:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "not installed"


def main() -> None:
    """The console script: every error of ours is one line and a code other than 0."""
    console = Console(stderr=True)
    configure_logging("error")  # what a command says on standard output is its result alone
    try:
        # Not standalone: a wrong option is then an error like any other, and not a box of five lines.
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
    except (typer.Abort, KeyboardInterrupt):  # before anything was begun that would say more
        sys.exit(INTERRUPTED)
    except typer.TyperException as error:
        text = getattr(error, "format_message", error.__str__)()
        say(console, f"error: {text.replace('Value error, ', '')}")
        sys.exit(USAGE)
    except Stopped as stopped:
        sys.exit(128 + stopped.signal)
    except InternalError as error:
        say(console, f"internal error, please report it with this story: {error}", as_is=True)
        sys.exit(FAILED)
    except (UsageError, PolicyError) as error:
        say(console, f"error: {error}")
        sys.exit(USAGE)
    except MissingExtra as error:
        say(console, f"error: {error}")
        sys.exit(FAILED)
    except PagefaultError as error:
        say(console, f"error: {error}")
        sys.exit(FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left; say nothing at exit
        sys.exit(FAILED)
    except OSError as error:  # a temporary folder that cannot be made, a fleet that does not start in time
        say(console, f"error: {type(error).__name__}: {error}")
        sys.exit(FAILED)
