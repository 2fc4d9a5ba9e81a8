"""``pagefault doctor``: tries out what a fleet will need, and says what is wrong with it and what was seen."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pagefault.cluster.console.check import chosen_model
from pagefault.cluster.console.doctor_model import CONTEXT_TOKENS_MAX, Finding, ModelDoctor
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.kernel.settings import ModelSettings

Check = Callable[[], Awaitable[Sequence[Finding]]]
"""One group of probes, under a name: everything that the doctor looks at is a list of these."""
FAILED = 1
_STYLES = {"pass": "green", "fail": "red", "unknown": "yellow"}


def doctor(
    model: Annotated[str | None, typer.Option(help="A model of the server, or local.")] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")] = None,
    tries: Annotated[int, typer.Option(min=1, max=1000, help="Calls asked for, to count the malformed.")] = 10,
    context_max: Annotated[
        int, typer.Option(min=1024, help="No longer prompts than this are tried, in tokens.")
    ] = CONTEXT_TOKENS_MAX,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object on standard output.")] = False,
) -> None:
    """Try out a model: functions, streams, window, malformed calls; exit code 1 if something failed."""
    address = base_url if base_url is not None or model is not None else os.environ.get("OPENAI_BASE_URL")
    if model is None and address is None:
        raise ConfigError("--model", "nothing", "the name of a model, or --base-url with a server that has one")

    async def examine_model() -> Sequence[Finding]:
        chosen = await chosen_model({}, model, address)
        options = tuple((key, str(value)) for key, value in chosen.get("model_options", {}).items())
        settings = ModelSettings(chosen["model"], options)
        return await ModelDoctor(settings, tries=tries, context_tokens_max=context_max).examine()

    found = asyncio.run(_examine([("model", examine_model)]))
    if as_json:
        sys.stdout.write(json.dumps({name: [asdict(each) for each in findings] for name, findings in found}) + "\n")
    else:
        _print(found)
    if any(each.name in ESSENTIAL and each.status == "fail" for _, findings in found for each in findings):
        raise typer.Exit(FAILED)


ESSENTIAL = frozenset({"answers", "rung", "malformed_calls"})
"""Without these nothing works; the other findings say how."""


async def _examine(checks: Sequence[tuple[str, Check]]) -> list[tuple[str, Sequence[Finding]]]:
    return [(name, await check()) for name, check in checks]


def _print(found: Sequence[tuple[str, Sequence[Finding]]]) -> None:
    for name, findings in found:
        table = Table(title=name, title_justify="left", box=None)
        table.add_column("probe", no_wrap=True)
        table.add_column("", no_wrap=True)
        table.add_column("seen")
        for each in findings:  # as text, never as markup: a server's words may be anything
            table.add_row(each.name, Text(each.status, style=_STYLES[each.status]), Text(each.seen))
        Console().print(table)
