"""``pagefault replay`` and ``fork``: the past of an agent, and lives that begin in it."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

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
    with_fleet,
)
from pagefault.cluster.console.show import RunProgress, say
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.history import Changes
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.pasts import Recollection
from pagefault.runtime.host.whole_run import EXAMPLES_MAX, RunReplay
from pagefault.runtime.store.open import EDGE, SQLITE


def replay(
    agent: Annotated[str | None, typer.Argument(help="The agent's name.")] = None,
    to: Annotated[int | None, typer.Option(min=0, help="When it had taken so many steps; now by default.")] = None,
    record: Annotated[int | None, typer.Option(min=0, help="After this record of its journal instead.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Live its whole past again, and compare with every snapshot kept.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--all", help="Verify every agent, and that what they sent each other arrived.")
    ] = False,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Show an agent as it was at any step, or live a whole run again: without a model, disturbing nobody."""
    if whole == (agent is not None):
        raise ConfigError("AGENT", agent, "the name of an agent, or --all")
    which = Which(folder, name, address, embedder, journal, archive)
    if agent is None:
        _replay_all(which, as_json)
        return
    if verify:
        compared = asyncio.run(with_fleet(which, lambda fleet: fleet.verify(agent)))
        if as_json:
            sys.stdout.write(json.dumps({"agent": agent, "compared": compared, "diverges": False}) + "\n")
        else:
            say(Console(), f"{agent}: its past is as it was lived; {compared:,} snapshots compared")
        return
    found = asyncio.run(with_fleet(which, lambda fleet: fleet.replay(agent, step=to, record=record)))
    if as_json:
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
    else:
        _show(found)


def fork(
    agent: Annotated[str, typer.Argument(help="The agent to begin from.")],
    new: Annotated[str, typer.Argument(help="The new agent's name.")],
    at: Annotated[int | None, typer.Option(min=0, help="When it had taken so many steps; now by default.")] = None,
    policy: Annotated[str | None, typer.Option(help="Another eviction policy.")] = None,
    persona: Annotated[str | None, typer.Option(help="Another persona.")] = None,
    model: Annotated[str | None, typer.Option(help="Another model.")] = None,
    context_tokens: Annotated[int | None, typer.Option(help="Another budget of prompt and reply.")] = None,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Make a new agent that begins as another one was at any step: what if it had another policy, persona, model?"""
    which = Which(folder, name, address, embedder, journal, archive)
    changes = Changes(policy=policy, persona=persona, model=model, context_tokens=context_tokens)
    made = asyncio.run(with_fleet(which, lambda fleet: fleet.fork(agent, new, at=at, changes=changes)))
    if as_json:
        sys.stdout.write(json.dumps({"agent": made, "from": agent, "at": at}) + "\n")
    else:
        say(Console(stderr=True), f"made: {made}, who begins as {agent} was")


def _replay_all(which: Which, as_json: bool) -> None:
    async def live(fleet: Cluster | Local) -> RunReplay:
        with RunProgress(Console(stderr=True)) as progress:
            progress.begin("living the run again", len(await fleet.agents()))
            return await fleet.replay_run(advance=progress.advance)

    found = asyncio.run(with_fleet(which, live))
    if as_json:
        sys.stdout.write(json.dumps({**asdict(found), "is_exact": found.is_exact}) + "\n")
    else:
        console = Console()
        say(console, f"{found.agents:,} agents, {found.events:,} events, {found.snapshots:,} snapshots compared")
        say(console, f"{found.messages:,} messages between agents, {len(found.undelivered):,} of them have not arrived")
        for to, key in found.undelivered[:EXAMPLES_MAX]:
            say(console, f"  not arrived: {key} to {to}")
        say(console, f"{len(found.diverged):,} agents diverge")
        for diverged, why in list(found.diverged.items())[:EXAMPLES_MAX]:
            say(console, f"  {diverged}: {why}")
    if not found.is_exact:
        raise typer.Exit(1)


def _show(found: Recollection) -> None:
    console, seen = Console(), found.inspection
    at = datetime.fromtimestamp(found.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    say(console, f"{found.agent} after step {found.step:,} (record {found.seq:,}), {at} UTC")
    share = seen.tokens / max(1, seen.prompt_limit)
    facts: dict[str, Any] = {
        "phase": seen.phase,
        "context": f"{seen.tokens:,} of {seen.prompt_limit:,} tokens ({share:.0%}), {len(seen.pages):,} pages",
        "digest": seen.digest,
    }
    for key, value in facts.items():
        say(console, f"  {key}: {value}")
    messages = found.messages or seen.messages
    say(console, "what the model was sent:" if found.messages else "what the model would be sent:")
    for message in messages:
        calls = "".join(f" {call.name}({call.arguments})" for call in message.calls)
        say(console, f"  {message.role}: {message.text}{calls}")
