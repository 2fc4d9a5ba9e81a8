"""Which fleet a command means: one that runs, by folder, name or address; or one that only is on disk."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pagefault.cluster.whereabouts import find_whereabouts
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.local import Local
from pagefault.runtime.store.open import EDGE, SQLITE, shard_count

if TYPE_CHECKING:
    from pagefault.cluster.api import Cluster

T = TypeVar("T")
FLEETS = "pagefault.cluster.api"
"""Loaded where a fleet runs: it brings Ray, which takes half a second to load."""
DEFAULT_FOLDER = Path("pagefault-data")

FolderOption = Annotated[
    Path | None, typer.Option(help=f"The fleet's folder ({DEFAULT_FOLDER} where nothing else is said).")
]
NameOption = Annotated[str | None, typer.Option(help="The name of a fleet that runs.")]
AddressOption = Annotated[str | None, typer.Option(help="IP:PORT of its Ray cluster; auto lets Ray find it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Results as JSON on standard output.")]
# Of a fleet that does not run only its folder is there, and that does not say these.
EmbedderOption = Annotated[str, typer.Option(help="What a fleet that does not run was made with.")]
JournalOption = Annotated[
    str,
    typer.Option(help="Of a fleet that does not run: sqlite, or postgresql://...", envvar="PAGEFAULT_JOURNAL"),
]
ArchiveOption = Annotated[
    str,
    typer.Option(
        help="Of a fleet that does not run: edge, or http://... of a Qdrant server.", envvar="PAGEFAULT_ARCHIVE"
    ),
]
DEFAULT_EMBEDDER = "wordllama"


@dataclass(frozen=True, slots=True)
class Which:
    """The fleet that is meant: one that runs, by folder, name or address, or the stores of one that does not."""

    folder: Path | None
    name: str | None
    address: str | None
    embedder: str = DEFAULT_EMBEDDER
    journal: str = SQLITE
    archive: str = EDGE

    def running(self) -> tuple[Cluster | None, Path]:
        """As :func:`running_fleet`."""
        return running_fleet(self.folder, self.name, self.address)

    def open(self, folder: Path, *, watch: bool = True, make: bool = False) -> Local:
        """Its stores, for this process alone; not yet entered.  With ``make`` they need not be there yet.

        Raises :class:`~pagefault.runtime.errors.ConfigError` unless they are there, with one shard.
        """
        shards = shard_count(folder, self.journal)
        if shards != 1 and not (make and shards == 0):
            allowed = f"the folder of a fleet that runs, or of one with one shard (this one has {shards})"
            raise ConfigError("--folder", str(folder), allowed)
        return Local(folder, embedder=self.embedder, watch=watch, journal=self.journal, archive=self.archive)


def find_modules_beside(*folders: Path) -> None:
    """Functions and minds named as ``module:name`` are looked for here last: a console script does not."""
    for folder in folders:
        path = str(folder.resolve())
        if path not in sys.path:
            sys.path.append(path)


def running_fleet(folder: Path | None, name: str | None, address: str | None) -> tuple[Cluster | None, Path]:
    """The fleet that is meant, not yet joined; ``None`` if it does not run as far as can be seen, with its folder.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for a folder beside a name or an address.
    """
    if name is not None or address is not None:
        if folder is not None:
            raise ConfigError("--folder", str(folder), "a folder, or --name and --address, not both")
        return _attach(name, address=address), Path()
    place = folder if folder is not None else DEFAULT_FOLDER
    return (_attach(folder=place) if find_whereabouts(place) is not None else None), place


def _attach(name: str | None = None, **where: Any) -> Cluster:
    fleet: Cluster = import_module(FLEETS).Cluster.attach(name, **where)
    return fleet


async def does_run(fleet: Cluster) -> bool:
    """Join a fleet; ``False`` for one of a folder that only was said to run.  Whoever gets ``True`` has to leave it."""
    try:
        await fleet.__aenter__()
    except ConfigError as error:
        if error.field != "folder":
            raise
        return False
    return True


def must_run(folder: Path | None, name: str | None, address: str | None) -> Cluster:
    """Like :func:`running_fleet`, for what can only be done with a fleet that runs."""
    fleet, place = running_fleet(folder, name, address)
    if fleet is None:
        raise ConfigError("--folder", str(place), "the folder of a fleet that runs on this machine, or --name")
    return fleet


async def with_fleet(which: Which, ask: Callable[[Cluster | Local], Awaitable[T]]) -> T:
    """What ``ask`` finds in the fleet that is meant: one that runs, or stores that are opened for it."""
    fleet, place = which.running()
    find_modules_beside(Path())
    if fleet is not None and await does_run(fleet):
        try:
            return await ask(fleet)
        finally:
            await fleet.leave()
    async with which.open(place, watch=False) as local:
        return await ask(local)
