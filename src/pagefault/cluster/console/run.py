"""Runs a world on a fleet, and stops cleanly whatever happens."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.check import check_agent
from pagefault.cluster.console.ends import Stopped
from pagefault.cluster.console.plan import FleetTable
from pagefault.cluster.console.show import RunProgress, say
from pagefault.cluster.worlds.contract import Report, World, functions_of, with_tiers
from pagefault.policies.tiers import Tier
from pagefault.runtime.functions.mcp import McpServers, Server
from pagefault.runtime.host.collector import tune_collector
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.budget.settings import Plan

NO_BUDGET = Plan()
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Options:
    """Where to run, and where to say how it goes."""

    fleet: FleetTable
    console: Console
    tiers: tuple[Tier, ...] = ()
    budget: Plan = NO_BUDGET
    mcp: Mapping[str, Server] = field(default_factory=dict)
    functions: tuple[Callable[..., Any], ...] = ()
    """Those that agents may be given besides the world's."""
    began: Callable[[], None] = lambda: None
    """Called when the fleet is there and nothing has been made in it yet."""
    again: str = ""
    """How to go on after a stop; ``pagefault resume`` where nothing else is said."""


def open_fleet(
    table: FleetTable,
    tiers: tuple[Tier, ...] = (),
    budget: Plan = NO_BUDGET,
    functions: Sequence[Callable[..., Any]] = (),
    mcp: Mapping[str, Server] | None = None,
) -> AbstractAsyncContextManager[Local | Cluster]:
    """The fleet that a file asks for, not yet begun."""
    if table.kind == "local":
        return Local(
            table.folder,
            functions=functions,
            durability=table.durability,
            embedder=table.embedder,
            journal=table.journal,
            archive=table.archive,
            tiers=tiers,
            endpoints=budget.endpoints,
            budget=budget.settings,
            frames=table.frames,
            frames_policy=table.frames_policy,
            idle_s=table.idle_s,
            traces=table.traces,
            mcp=mcp or {},
        )
    return Cluster(
        table.folder,
        name=table.name,
        address=table.address,
        keep=table.keep,
        runtime_env=table.runtime_env,
        placement=table.placement,
        hosts=table.hosts,
        shards=table.shards,
        functions=functions,
        durability=table.durability,
        embedder=table.embedder,
        journal=table.journal,
        archive=table.archive,
        tiers=tiers,
        endpoints=budget.endpoints,
        budget=budget.settings,
        frames=table.frames,
        frames_policy=table.frames_policy,
        idle_s=table.idle_s,
        traces=table.traces,
        mcp=mcp or {},
        log_level=table.log_level,
        log_format=table.log_format,
    )


async def run_world(world: World, template: Mapping[str, Any], options: Options) -> Report:
    """Check the agents, begin a fleet, spawn them, let the world run, stop the fleet.

    Ctrl-C (and ``SIGTERM``) stops the run, saves every agent, and says how to go on; then :class:`Stopped` is
    raised.  Raises what :func:`~pagefault.cluster.console.check.check_agent` and the fleet raise.
    """
    tune_collector()
    stop = _Stop(options)
    stop.listen()
    try:
        agents = world.agents(template)
        # They are made alike; the fleet looks at every one before it makes any.
        functions = (*functions_of(world), *options.functions)
        await check_agent(agents[0], options.budget, functions, await _looked_at(options))
        async with open_fleet(options.fleet, options.tiers, options.budget, functions, options.mcp) as fleet:
            stop.listen()  # Ray puts handlers of its own in place when it begins
            options.began()
            with RunProgress(options.console) as progress:
                refs = await fleet.spawn_many(agents)
                stop.has_begun = True
                report = with_tiers(await world.run(fleet, refs, progress), await fleet.tier_statistics())
            if options.fleet.keep and isinstance(fleet, Cluster):
                say(
                    options.console, f"the fleet {fleet.name} runs on; `pagefault stop --folder {fleet.folder}` ends it"
                )
            return report
    except asyncio.CancelledError:
        if not stop.signal:
            raise
        stop.say_how_to_go_on()
        raise Stopped(stop.signal) from None
    finally:
        stop.end()


async def _looked_at(options: Options) -> McpServers:
    """What of MCP servers is accepted in the fleet's folder, or would be."""
    pool = McpServers(options.mcp)
    with tempfile.TemporaryDirectory(prefix="pagefault-") as nowhere:
        await pool.open(Path(options.fleet.folder or nowhere))
    return pool


class _Stop:
    """Turns a signal into the cancellation of the run; a second one does not wait for the saving."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self.signal = 0
        self.has_begun = False

    def listen(self) -> None:
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self._stop, number)

    def end(self) -> None:
        for number in SIGNALS:
            self._loop.remove_signal_handler(number)

    def _stop(self, number: int) -> None:
        if not self.signal:
            say(self._options.console, "stopping: agents are being saved; a second Ctrl-C does not wait for that")
        self.signal = number
        if self._task is not None:
            self._task.cancel()

    def say_how_to_go_on(self) -> None:
        folder = self._options.fleet.folder
        if folder is None:
            text = "stopped; nothing was kept. Give --folder DIR to keep agents, and to go on from there."
        elif not self.has_begun:
            text = "stopped before anything had begun."
        else:
            again = self._options.again or f"`pagefault resume {folder}`"
            text = f"stopped; every agent is saved in {folder}. {again} goes on from there."
        say(self._options.console, text)
