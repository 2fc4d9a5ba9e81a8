"""Runs a world on a fleet, and stops cleanly whatever happens."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.plan import FleetTable
from pagefault.cluster.console.show import RunProgress
from pagefault.cluster.worlds.contract import Report, World
from pagefault.runtime.host.local import Local


@dataclass(frozen=True, slots=True)
class Options:
    """Where to run, and where to say how it goes."""

    fleet: FleetTable
    console: Console


def open_fleet(table: FleetTable) -> AbstractAsyncContextManager[Local | Cluster]:
    """The fleet that a file asks for, not yet begun."""
    if table.kind == "local":
        return Local(table.folder, durability=table.durability, embedder=table.embedder)
    return Cluster(
        table.folder,
        placement=table.placement,
        hosts=table.hosts,
        shards=table.shards,
        durability=table.durability,
        embedder=table.embedder,
    )


async def run_world(world: World, template: Mapping[str, Any], options: Options) -> Report:
    """Begin a fleet, spawn the world's agents, let it run, stop the fleet.

    Ctrl-C stops the run, saves every agent, and says how to go on; then ``KeyboardInterrupt`` is raised.
    """
    agents = world.agents(template)
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    interrupted = False

    def stop() -> None:
        nonlocal interrupted
        interrupted = True
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        async with open_fleet(options.fleet) as fleet:
            loop.add_signal_handler(signal.SIGINT, stop)  # Ray puts its own in place when it begins
            with RunProgress(options.console) as progress:
                refs = await fleet.spawn_many(agents)
                return await world.run(fleet, refs, progress)
    except asyncio.CancelledError:
        if not interrupted:
            raise
        _say_how_to_resume(options)
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _say_how_to_resume(options: Options) -> None:
    if options.fleet.folder is None:
        text = "stopped; nothing was kept. Give --folder DIR to keep agents, and to go on from there."
    else:
        text = (
            f"stopped; every agent is saved in {options.fleet.folder}. Run the same command again to go on from there."
        )
    options.console.print(text, highlight=False)
