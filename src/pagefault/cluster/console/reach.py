"""Which fleet a command means: one that runs, by folder, name or address; or one that only is on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pagefault.cluster.api import Cluster
from pagefault.cluster.whereabouts import find_whereabouts
from pagefault.runtime.errors import ConfigError

DEFAULT_FOLDER = Path("pagefault-data")

FolderOption = Annotated[
    Path | None, typer.Option(help=f"The fleet's folder ({DEFAULT_FOLDER} where nothing else is said).")
]
NameOption = Annotated[str | None, typer.Option(help="The name of a fleet that runs.")]
AddressOption = Annotated[str | None, typer.Option(help="IP:PORT of its Ray cluster; auto lets Ray find it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Results as JSON on standard output.")]


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
        return Cluster.attach(name, address=address), Path()
    place = folder if folder is not None else DEFAULT_FOLDER
    return (Cluster.attach(folder=place) if find_whereabouts(place) is not None else None), place


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


def check_alone(folder: Path) -> None:
    """Raise :class:`~pagefault.runtime.errors.ConfigError` for a folder that one process cannot open as a fleet."""
    shards = len(list(folder.glob("shards/*/journal.sqlite")))
    if shards != 1:
        allowed = f"the folder of a fleet that runs, or of one with one shard (this one has {shards})"
        raise ConfigError("--folder", str(folder), allowed)
