"""``pagefault top``: the fleet at a glance, live; the screens are in :mod:`pagefault.cluster.console.tui`."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.reach import (
    DEFAULT_EMBEDDER,
    AddressOption,
    ArchiveOption,
    EmbedderOption,
    FolderOption,
    JournalOption,
    NameOption,
    Which,
    with_fleet,
)
from pagefault.policies.lab.extras import MissingExtra
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.local import Local
from pagefault.runtime.store.open import EDGE, SQLITE

EXTRA = "tui"
EVERY_S = 2.0
SCREENS = "pagefault.cluster.console.tui.app"


def top(
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    every: Annotated[float, typer.Option(min=0.1, help="Look again every so many seconds.")] = EVERY_S,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
) -> None:
    """Watch a fleet: who does what, how full contexts are, what waits; open an agent, pause it, talk to it.

    A pause holds new work only: a chain that runs goes on to its end, unless it is cancelled.

    A fleet that does not run is shown from its stores, which nobody else can use meanwhile.
    """
    screens = load_screens()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("top", "no terminal", "a terminal; elsewhere use `pagefault ps`")
    which = Which(folder, name, address, embedder, journal, archive)

    async def watch(fleet: Cluster | Local) -> None:
        title = f"fleet {fleet.name}" if isinstance(fleet, Cluster) else f"{fleet.folder}, which does not run"
        await screens.Top(fleet, title, every).run_async()

    asyncio.run(with_fleet(which, watch))


def load_screens() -> Any:
    """The module that has the application.  Raises :class:`~pagefault.policies.lab.extras.MissingExtra`."""
    try:
        import_module("textual")
    except ImportError as problem:
        message = f"pagefault top needs textual, which is not installed: pip install 'pagefault[{EXTRA}]'"
        raise MissingExtra(message, name="textual") from problem
    return import_module(SCREENS)
