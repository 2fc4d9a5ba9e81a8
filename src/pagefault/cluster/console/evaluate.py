"""``pagefault eval``: the MemGPT paper's tasks, by any model."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pagefault.cluster.console.check import chosen_model
from pagefault.cluster.console.plan import FleetTable
from pagefault.cluster.console.reach import JsonOption, find_modules_beside
from pagefault.cluster.console.run import Options, run_world
from pagefault.cluster.console.show import say, show_report
from pagefault.cluster.worlds.contract import Report
from pagefault.cluster.worlds.nested_kv import NestedKv, load_tasks, made_up

evaluate = typer.Typer(no_args_is_help=True, help="Put the tasks of the MemGPT paper to a model and its memory.")

PAIRS = 140
FUNCTIONS = ("send_message", "archival_memory_insert", "archival_memory_search")
FOLLOWER = "scripted:pagefault.cluster.worlds.nested_kv_mind:follower"
SYSTEM = (
    "Whatever key-value pairs you are shown, store each with archival_memory_insert, word for word. When you are asked "
    "for a value, search archival memory for the key. If the value that you find is a key itself, search for that one, "
    "until a search shows a value that is no key: send that value, and nothing else, with send_message."
)


@evaluate.callback()
def tasks() -> None:
    """So that there are sub-commands, though there is one so far."""


@evaluate.command("nested-kv")
def nested_kv(
    data: Annotated[
        Path | None, typer.Option(help="The folder of the released files; tasks of the same shape without it.")
    ] = None,
    records: Annotated[int, typer.Option(min=1, help="How many records of 140 pairs.")] = 1,
    orderings: Annotated[int, typer.Option(min=1, help="How many chains of each length, 0 to 5 hops.")] = 5,
    model: Annotated[str | None, typer.Option(help="A model at --base-url; a scripted mind without either.")] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")] = None,
    context_tokens: Annotated[int, typer.Option(help="The budget of prompt and reply.")] = 8192,
    policy: Annotated[str, typer.Option(help="The eviction policy.")] = "lru",
    embedder: Annotated[str, typer.Option(help="What searches by meaning; see `pagefault run`.")] = "wordllama",
    seed: Annotated[int, typer.Option(help="Of tasks that are made up.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Chains of look-ups through archival memory: how many are followed to their end, by hops."""
    find_modules_beside(Path())
    chosen = made_up(records, PAIRS, orderings, seed) if data is None else load_tasks(data, records, orderings)
    console = Console(stderr=True)

    async def live() -> Report:
        template: dict[str, Any] = {
            "system": SYSTEM,
            "functions": FUNCTIONS,
            "context_tokens": context_tokens,
            "reply_tokens": max(1, min(1024, context_tokens // 8)),
            "policy": policy,
            "model": FOLLOWER,
        }
        if model is not None or base_url is not None:
            template |= await chosen_model(template, model, base_url)
        fleet = FleetTable(kind="local", embedder=embedder)
        return await run_world(NestedKv(chosen), template, Options(fleet, console))

    report = asyncio.run(live())
    show_report(report, as_json)
    if report.failed:
        say(console, f"error: {report.failed}")
        raise typer.Exit(1)
