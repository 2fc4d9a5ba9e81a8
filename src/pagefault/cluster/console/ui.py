"""``pagefault ui``: a page in the browser that shows a fleet, its agents, and what they remember."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pagefault.cluster.console.reach import (
    DEFAULT_EMBEDDER,
    AddressOption,
    ArchiveOption,
    EmbedderOption,
    FolderOption,
    JournalOption,
    JsonOption,
    NameOption,
    Which,
    find_modules_beside,
)
from pagefault.cluster.console.show import say
from pagefault.policies.lab.extras import MissingExtra
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.store.open import EDGE, SQLITE, shard_count

PACKAGES = ("starlette", "uvicorn")
"""What the extra ``ui`` brings."""
PORT = 8741


def ui(
    place: Annotated[Path | None, typer.Argument(help="The same as --folder.", metavar="[FOLDER]")] = None,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the page is; 0 takes any.")] = PORT,
    host: Annotated[str, typer.Option(help="An address of this machine; beyond it a token is needed.")] = "127.0.0.1",
    allow_control: Annotated[
        bool, typer.Option("--allow-control", help="Agents can be written to, cancelled and put to sleep.")
    ] = False,
    token: Annotated[str, typer.Option(help="A token of your own.", envvar="PAGEFAULT_UI_TOKEN")] = "",
    allow_name: Annotated[
        list[str] | None, typer.Option(help="A name by which this machine may be asked for the page.")
    ] = None,
    lab: Annotated[Path | None, typer.Option(help="A folder with results and reports of the lab.")] = None,
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks at the fleet.")] = 1.0,
    demo: Annotated[bool, typer.Option("--demo", help="Show a small village that lives here.")] = False,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Show a fleet in the browser: who does what, what each remembers and why, step by step.

    A fleet that runs is shown as it lives, one that does not from its stores. The page only shows, unless
    --allow-control says otherwise.
    """
    if place is not None and folder is not None:
        raise ConfigError("--folder", str(folder), f"one folder: {place} was given, too")
    chosen = place or folder
    if demo and (chosen is not None or name is not None or address is not None):
        raise ConfigError("--demo", True, "no fleet beside it: the village is made for it")
    serving, fleets = _web("serving"), _web("fleets")
    found_at = serving.Address(host, port, token, tuple(allow_name or ()), allow_control)
    find_modules_beside(Path())

    def tell(url: str) -> None:
        if as_json:
            sys.stdout.write(json.dumps({"url": url}) + "\n")
            sys.stdout.flush()
        else:
            say(Console(), url)
            say(Console(stderr=True), "this is the page; Ctrl-C ends it")

    async def show(shown: Any) -> None:
        server = serving.PageServer(shown, found_at, lab=lab, interval_s=every)
        tell(server.url)
        await server.run_here()

    async def live() -> None:
        async with _web("demo").living_village() as village:
            await show(fleets.OwnFleet(village, "a village, alive"))

    if demo:
        asyncio.run(live())
        return
    which = Which(chosen, name, address, embedder, journal, archive)
    _check_there_is_one(which)
    asyncio.run(show(fleets.FoundFleet(which)))


def _check_there_is_one(which: Which) -> None:
    """Raises :class:`~pagefault.runtime.errors.ConfigError` if there is nothing to show."""
    fleet, folder = which.running()
    if fleet is None and not shard_count(folder, which.journal):
        allowed = "the folder of a fleet that runs, or has run; or --demo, which shows a village that lives"
        raise ConfigError("--folder", str(folder), allowed)


def _web(module: str) -> Any:
    """A module of the page's server.  Raises :class:`~pagefault.policies.lab.extras.MissingExtra`."""
    try:
        return import_module(f"pagefault.cluster.console.web.{module}")
    except ModuleNotFoundError as problem:
        if problem.name not in PACKAGES:
            raise
        text = f"the page needs {problem.name}, which is not installed: pip install 'pagefault[ui]'"
        raise MissingExtra(text, name=problem.name) from problem
