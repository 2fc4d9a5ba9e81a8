"""``pagefault doctor``: looks at the machine that a fleet is to run on, or tries out a model; says what is wrong with
it, what was seen, and what to do."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pagefault.cluster.console.check import chosen_model
from pagefault.cluster.console.doctor_model import CONTEXT_TOKENS_MAX, Finding, ModelDoctor
from pagefault.cluster.console.health import machine, nodes, program, ray, settings, stores
from pagefault.cluster.console.health.contract import Asked, Check, Verdict
from pagefault.cluster.console.reach import (
    DEFAULT_EMBEDDER,
    DEFAULT_FOLDER,
    AddressOption,
    ArchiveOption,
    EmbedderOption,
    FolderOption,
    JournalOption,
)
from pagefault.runtime.errors import PagefaultError
from pagefault.runtime.host.secrecy import redacted
from pagefault.runtime.kernel.settings import ModelSettings
from pagefault.runtime.store.open import EDGE, SQLITE

FAILED = 1
LIMIT_S = 4.5
"""What has not answered by then has failed: the whole look takes five seconds at most."""
CHECKS: Mapping[str, Check] = {
    "settings": settings.settings,
    "python": program.python,
    "packages": program.packages,
    "ray": ray.ray,
    "journal": stores.journal,
    "archive": stores.archive,
    "models": stores.model_server,
    "folder": machine.folder,
    "clock": stores.clock,
    "nodes": nodes.nodes,
    "limits": machine.limits,
    "logs": machine.logs,
}
"""Everything that is looked at, in the order in which it is shown."""
ESSENTIAL = frozenset({"answers", "rung", "malformed_calls"})
"""Without these no model is of use; the other findings say how it is."""
_STYLES = {
    "pass": "green",
    "ok": "green",
    "fail": "red",
    "failed": "red",
    "unknown": "yellow",
    "warning": "yellow",
    "skipped": "dim",
}


def doctor(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="Try out a model instead: of the server, or local.")] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")] = None,
    tries: Annotated[int, typer.Option(min=1, max=1000, help="Calls asked for, to count the malformed.")] = 10,
    context_max: Annotated[
        int, typer.Option(min=1024, help="No longer prompts than this are tried, in tokens.")
    ] = CONTEXT_TOKENS_MAX,
    folder: FolderOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    fix: Annotated[bool, typer.Option("--fix", help="Also do what can be done safely: modes of files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object on standard output.")] = False,
) -> None:
    """Look at this machine as a fleet will need it, in 5 s; with --model, try out a model. Exit code 1 if it fails."""
    if model is not None or _was_typed(context, "base_url"):
        _examine_model(model, base_url, tries, context_max, as_json)
        return
    server = base_url or os.environ.get("OPENAI_BASE_URL")
    asked = Asked(folder or DEFAULT_FOLDER, journal, archive, embedder, address, server, context.obj.file)
    found = examine(CHECKS, asked, LIMIT_S)
    if fix:
        found = repaired(found)
    if as_json:
        sys.stdout.write(json.dumps({name: [_plain(each) for each in found[name]] for name in found}) + "\n")
    else:
        _print_verdicts(found)
    if any(each.status == "failed" for verdicts in found.values() for each in verdicts):
        raise typer.Exit(FAILED)


def _was_typed(context: typer.Context, name: str) -> bool:
    """A server that only is configured is looked at, and not put through its paces."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def examine(checks: Mapping[str, Check], asked: Asked, limit_s: float) -> dict[str, Sequence[Verdict]]:
    """All checks at once, each in a thread that nobody waits for longer than ``limit_s``."""
    answers: queue.Queue[tuple[str, Sequence[Verdict]]] = queue.Queue()

    def look(name: str, check: Check) -> None:
        try:
            answers.put((name, check(asked)))
        except (PagefaultError, OSError) as error:
            answers.put((name, [Verdict(name, "failed", f"{error}", "as it says")]))
        except Exception as error:  # noqa: BLE001 - whatever one check meets, the others are still to be seen
            problem = f"{type(error).__name__}: {error}"
            answers.put((name, [Verdict(name, "failed", problem, "please report it: the check itself broke")]))

    for name, check in checks.items():
        threading.Thread(target=look, args=(name, check), name=f"doctor-{name}", daemon=True).start()
    deadline = time.monotonic() + limit_s
    found: dict[str, Sequence[Verdict]] = {}
    while len(found) < len(checks):
        try:
            name, verdicts = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[name] = verdicts
    late = f"no answer in {limit_s:g} s"
    return {name: found.get(name, [Verdict(name, "failed", late, "look at what it waits for")]) for name in checks}


def repaired(found: Mapping[str, Sequence[Verdict]]) -> dict[str, Sequence[Verdict]]:
    """Do what can be done, and say so."""
    return {name: [_repaired(each) for each in verdicts] for name, verdicts in found.items()}


def _repaired(verdict: Verdict) -> Verdict:
    if verdict.repair is None:
        return verdict
    try:
        verdict.repair()
    except OSError as error:
        return Verdict(verdict.name, verdict.status, verdict.seen, f"{verdict.advice} (it failed: {error.strerror})")
    return Verdict(verdict.name, "ok", f"{verdict.seen}; done: {verdict.advice}")


def _plain(verdict: Verdict) -> dict[str, str]:
    return {
        "name": verdict.name,
        "status": verdict.status,
        "seen": redacted(verdict.seen),
        "do": redacted(verdict.advice),
    }


def _print_verdicts(found: Mapping[str, Sequence[Verdict]]) -> None:
    table = Table(box=None)
    for title in ("part", "check", ""):
        table.add_column(title, no_wrap=True)
    table.add_column("seen", overflow="fold")
    for part, verdicts in found.items():
        for each in verdicts:  # as text, never as markup: what others say may be anything
            words = redacted(each.seen if each.status == "ok" or not each.advice else f"{each.seen} -> {each.advice}")
            table.add_row(Text(part), Text(each.name), Text(each.status, style=_STYLES[each.status]), Text(words))
    counts = [each.status for verdicts in found.values() for each in verdicts]
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print(f"{counts.count('failed')} failed, {counts.count('warning')} warnings, {counts.count('ok')} ok")


def _examine_model(model: str | None, address: str | None, tries: int, context_max: int, as_json: bool) -> None:
    async def examine_it() -> Sequence[Finding]:
        chosen = await chosen_model({}, model, address)
        options = tuple((key, str(value)) for key, value in chosen.get("model_options", {}).items())
        return await ModelDoctor(
            ModelSettings(chosen["model"], options), tries=tries, context_tokens_max=context_max
        ).examine()

    found = asyncio.run(examine_it())
    if as_json:
        sys.stdout.write(json.dumps({"model": [asdict(each) for each in found]}) + "\n")
    else:
        _print_findings(found)
    if any(each.name in ESSENTIAL and each.status == "fail" for each in found):
        raise typer.Exit(FAILED)


def _print_findings(found: Sequence[Finding]) -> None:
    table = Table(title="model", title_justify="left", box=None)
    table.add_column("probe", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("seen")
    for each in found:  # as text, never as markup: a server's words may be anything
        table.add_row(each.name, Text(each.status, style=_STYLES[each.status]), Text(each.seen))
    Console().print(table)
