"""``pagefault``: run worlds, chat with an agent, say the version."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from rich.console import Console

from pagefault.cluster.console.chat import chat_with
from pagefault.cluster.console.plan import Plan, check_agent, make_world, read_plan
from pagefault.cluster.console.run import Options, run_world
from pagefault.cluster.console.show import one_line, show_report
from pagefault.runtime.errors import InternalError, PagefaultError

INTERRUPTED = 130
FAILED = 1
USAGE = 2

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Virtual memory for fleets of LLM agents.",
)


def configure_logging(level: str) -> None:
    """Logs go to standard error, from ``level`` up."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _overrides(
    policy: str | None, context_tokens: int | None, model: str | None, base_url: str | None
) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if policy is not None:
        given["policy"] = policy
    if context_tokens is not None:
        given["context_tokens"] = context_tokens
        given["reply_tokens"] = max(1, min(1024, context_tokens // 8))
    if model is not None:
        given["model"] = model if ":" in model else f"openai:{model}"
    if base_url is not None:
        given["model_options"] = {"base_url": base_url}
        given.setdefault("model", "openai:default")
    return given


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A TOML file, such as examples/village.toml.")],
    agents: Annotated[int | None, typer.Option(min=1, help="How many agents.")] = None,
    placement: Annotated[str | None, typer.Option(help="packed, dedicated or auto.")] = None,
    policy: Annotated[str | None, typer.Option(help="The eviction policy, such as lru.")] = None,
    context_tokens: Annotated[int | None, typer.Option(help="The budget of prompt and reply.")] = None,
    model: Annotated[str | None, typer.Option(help="scripted:NAME, or the name of a model at --base-url.")] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")] = None,
    data: Annotated[Path | None, typer.Option(help="The data file of worlds that need one.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Keep journals and archive here, and go on from what is there.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="One process, without Ray.")] = False,
    seed: Annotated[int | None, typer.Option(help="The seed of worlds that have one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Results as one JSON object on standard output.")] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "error",
) -> None:
    """Run a world on a fleet of agents, and print what came of it."""
    configure_logging(log_level)
    plan = read_plan(file)
    changes: dict[str, Any] = {"agents": agents, "seed": seed}
    plan = plan.model_copy(update={key: value for key, value in changes.items() if value is not None})
    _change_fleet(plan, placement, folder, local)
    template = {**plan.agent, **_overrides(policy, context_tokens, model, base_url)}
    check_agent(template)
    world = make_world(plan, file.parent, data)
    report = asyncio.run(run_world(world, template, Options(plan.fleet, Console(stderr=True, quiet=as_json))))
    show_report(report, as_json)
    if report.failed:
        Console(stderr=True).print(f"error: {report.failed}", highlight=False)
        raise typer.Exit(FAILED)


def _change_fleet(plan: Plan, placement: str | None, folder: Path | None, local: bool) -> None:
    changes: dict[str, Any] = {}
    if placement is not None:
        changes["placement"] = placement
    if folder is not None:
        changes["folder"] = str(folder)
    if local:
        changes["kind"] = "local"
    plan.fleet = type(plan.fleet).model_validate({**plan.fleet.model_dump(), **changes})


@app.command()
def chat(
    model: Annotated[str, typer.Option(help="The name of a model at --base-url, or scripted:NAME.")] = "scripted:echo",
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")] = None,
    name: Annotated[str, typer.Option(help="The agent's name.")] = "companion",
    folder: Annotated[Path, typer.Option(help="Where its memory is kept.")] = Path("pagefault-data"),
    context_tokens: Annotated[int, typer.Option(help="The budget of prompt and reply.")] = 8192,
    policy: Annotated[str, typer.Option(help="The eviction policy.")] = "fifo",
    show_steps: Annotated[
        bool, typer.Option("--steps", help="Show calls, faults and evictions as they happen.")
    ] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "error",
) -> None:
    """Talk with one agent that remembers; its memory is in --folder, for the next time."""
    configure_logging(log_level)
    template = {"name": name, **_overrides(policy, context_tokens, model, base_url)}
    asyncio.run(chat_with(template, folder, Console(), show_steps))


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False) -> None:
    """Say the versions that matter when something is reported."""
    names = ("pagefault", "ray", "openai", "qdrant-edge-py", "pydantic", "msgpack", "structlog")
    versions = {"python": platform.python_version(), **{name: installed_version(name) for name in names}}
    if as_json:
        sys.stdout.write(json.dumps(versions) + "\n")
    else:
        for name, number in versions.items():
            sys.stdout.write(f"{name} {number}\n")


def main() -> None:
    """The console script: every error of ours is one line and a code other than 0."""
    console = Console(stderr=True)
    try:
        app()
    except KeyboardInterrupt:
        console.print("stopped.", highlight=False)
        sys.exit(INTERRUPTED)
    except InternalError as error:
        console.print(f"internal error, please report it with this story: {error}", highlight=False, markup=False)
        sys.exit(FAILED)
    except PagefaultError as error:
        console.print(f"error: {one_line(error)}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(USAGE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left; say nothing at exit
        sys.exit(FAILED)
