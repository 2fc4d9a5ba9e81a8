"""``pagefault send``, ``drain`` and ``stop``: what can be done to a fleet from outside."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from pagefault.cluster.api import Cluster
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
    does_run,
    find_modules_beside,
    must_run,
)
from pagefault.cluster.console.show import say
from pagefault.cluster.moves import GRACE_S
from pagefault.cluster.whereabouts import forget_whereabouts
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.store.open import EDGE, SQLITE
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, Priority

PriorityName = Literal["kill", "operator", "user", "reply", "agent", "world", "timer", "background"]
WAIT_S = 600.0


def send(
    agent: Annotated[str, typer.Argument(help="The agent's name.")],
    text: Annotated[str, typer.Argument(help="What to tell it.")],
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    priority: Annotated[PriorityName, typer.Option(help="How urgent it is.")] = "user",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for what the agent says, and print it.")] = False,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Send a message to an agent of a fleet.

    If the fleet does not run, its folder is opened, the message handled to the end, and everything saved.
    """
    interrupt = Interrupt(
        id=InterruptId(f"console-{os.urandom(8).hex()}"),
        kind=InterruptKind.MESSAGE,
        priority=Priority[priority.upper()],
        sender="user",
        text=text,
        created_ms=SystemClock().now_ms(),
    )
    which = Which(folder, name, address, embedder, journal, archive)
    runs, answer = asyncio.run(_send(which, agent, interrupt, wait))
    if as_json:
        result = {"agent": agent, "interrupt": interrupt.id, "runs": runs, "answer": answer}
        sys.stdout.write(json.dumps(result) + "\n")
    elif answer is not None:
        for line in answer.split("\n"):
            say(Console(), line or "(no words)")
    else:
        say(Console(stderr=True), f"accepted: {agent} has it")


async def _send(which: Which, agent: str, interrupt: Interrupt, wait: bool) -> tuple[bool, str | None]:
    """Whether the fleet runs, and what was said, if that was waited for."""
    fleet, place = which.running()
    if fleet is not None and await does_run(fleet):
        try:
            if wait:
                return True, await fleet.ask(agent, interrupt, WAIT_S)
            await fleet.send(agent, interrupt)
            return True, None
        finally:
            await fleet.leave()
    find_modules_beside(Path())
    async with which.open(place) as local:
        answer = await local.ask(agent, interrupt, WAIT_S)
        await local.idle()
    return False, answer if wait else None


def drain(
    place: Annotated[str, typer.Argument(help="A host's name; or a node's id, how it begins, or its address.")],
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    grace_s: Annotated[float, typer.Option(min=0, help="How long a busy agent may take to come to rest.")] = GRACE_S,
    as_json: JsonOption = False,
) -> None:
    """Move all agents off a host or node, so that it can be taken away."""
    fleet = must_run(folder, name, address)

    async def ask() -> dict[str, int]:
        async with fleet:
            return await fleet.drain(place, grace_s=grace_s)

    found = asyncio.run(ask())
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        say(Console(stderr=True), f"drained: {found['agents']:,} agents left, {found['hosts']:,} hosts ended")


def stop(
    folder: FolderOption = None, name: NameOption = None, address: AddressOption = None, as_json: JsonOption = False
) -> None:
    """End a fleet that runs, for everybody: every agent is saved first."""
    ended = asyncio.run(_stop(must_run(folder, name, address)))
    if folder is not None:
        forget_whereabouts(folder, ended)
    if as_json:
        sys.stdout.write(json.dumps({"stopped": ended}) + "\n")
    else:
        say(Console(stderr=True), f"stopped: every agent of {ended} is saved")


async def _stop(fleet: Cluster) -> str:
    async with fleet:
        name = fleet.name
        await fleet.stop()
        return name
