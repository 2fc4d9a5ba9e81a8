"""``pagefault config``: what the settings are, where each was said, and whether a file is right."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pagefault.cluster.console.configuration import (
    FILE_NAME,
    OUTSIDE,
    SETTINGS,
    Configuration,
    Setting,
    read_configuration,
    read_file,
)
from pagefault.cluster.console.plan import read_plan
from pagefault.cluster.console.reach import JsonOption
from pagefault.cluster.console.show import say
from pagefault.cluster.console.tools import make_tools
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.mcp import read_servers
from pagefault.runtime.models.budget.settings import budget_plan

config = typer.Typer(no_args_is_help=True, help="Settings: what they are, and where each was said.")
_WORDS = {"str": "text", "int": "whole number", "float": "number", "Path": "path", "tuple": "list of texts"}


@config.command()
def show(context: typer.Context, as_json: JsonOption = False) -> None:
    """Say every setting, where it was said, and which variables of others are set. Secrets are not shown."""
    found = context.obj if isinstance(context.obj, Configuration) else read_configuration()
    rows = [
        {
            "key": each.setting.key,
            "value": each.setting.for_people(each.value),
            "source": each.source,
            "where": each.where,
            "environment": each.setting.environment,
        }
        for each in found.values.values()
    ]
    outside = {name: bool(os.environ.get(name)) for name in OUTSIDE}
    if as_json:
        file = None if found.file is None else str(found.file)
        shown = {"file": file, "settings": rows, "outside": outside, "unknown": dict(found.unknown)}
        sys.stdout.write(json.dumps(shown) + "\n")
        return
    table = Table(box=None)
    for title in ("setting", "value", "said by"):
        table.add_column(title, overflow="fold")
    for row in rows:
        value = row["value"]
        shown_value = "" if value is None or value == () else str(value)
        table.add_row(str(row["key"]), Text(shown_value), Text(str(row["where"]) or "default"))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    names = [name for name, is_set in outside.items() if is_set]
    say(console, f"also set: {', '.join(names)}" if names else "of the variables of others none is set")
    for name, advice in found.unknown.items():
        say(console, f"{name} means nothing: {advice}")


@config.command()
def check(
    file: Annotated[Path, typer.Argument(help=f"A settings' file such as {FILE_NAME}, or the file of a run.")],
    as_json: JsonOption = False,
) -> None:
    """Check a file without running anything; the exit code is 2 when something in it cannot be."""
    if _is_run(file):
        plan = read_plan(file)
        budget_plan(plan.endpoint, plan.budget)
        read_servers(plan.mcp)
        make_tools(plan.tools, file.parent)
        kind, count = "run", len(plan.model_fields_set)
        text = f"{file}: a run of {plan.world}, right"
    else:
        kind, count = "settings", len(read_file(file))
        text = f"{file}: {count} settings, all right"
    if as_json:
        sys.stdout.write(json.dumps({"file": str(file), "kind": kind, "keys": count}) + "\n")
    else:
        say(Console(), text)


def _is_run(file: Path) -> bool:
    try:
        return "world" in tomllib.loads(file.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError("FILE", str(file), "a file that is there") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False  # which read_file says better


@config.command()
def table() -> None:
    """Print the list of settings as Markdown, as docs/configuration.md has it."""
    sys.stdout.write(markdown())


def markdown() -> str:
    """The list of settings, and that of variables which belong to others, as two Markdown tables."""
    lines = ["| setting | type | default | variable | meaning | for |", "|---|---|---|---|---|---|"]
    for each in SETTINGS:
        default = "" if each.default in (None, "", ()) else f"`{each.default}`"
        cells = (f"`{each.key}`", _kind(each.kind), default, f"`{each.environment}`", each.help, _where(each))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| variable | what it says |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in OUTSIDE.items()]
    return "\n".join(lines) + "\n"


def _kind(kind: Any) -> str:
    if get_args(kind) and not isinstance(get_args(kind)[0], type):
        return ", ".join(f"`{each}`" for each in get_args(kind))
    base = get_args(kind)[0] if hasattr(kind, "__metadata__") else get_origin(kind) or kind
    return _WORDS[base.__name__]


def _where(setting: Setting) -> str:
    if setting.only:
        return _listed(setting.only)
    option = f"`--{setting.option.replace('_', '-')}`"
    but = f", but {_listed(setting.but)}" if setting.but else ""
    return f"every command with {option}{but}" + ("; `run`" if setting.in_runs else "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
