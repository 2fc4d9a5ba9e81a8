"""``pagefault memory``: where pages came from, and memories put back or cleaned after poisoning."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Annotated

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
from pagefault.cluster.console.show import say
from pagefault.cluster.plain_text import one_line
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.lineage import Derived, Origin
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.memories import review_request
from pagefault.runtime.kernel.pages import stamp
from pagefault.runtime.store.open import EDGE, SQLITE

SHOWN_CHARS = 100
WAIT_S = 3600.0
AgentArgument = Annotated[str, typer.Argument(help="The agent's name.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it; else it is only said what would be done.")]

memory = typer.Typer(
    help="Where memories came from; tidy them up, put them back, or take them out.", no_args_is_help=True
)


@memory.command()
def blame(
    agent: AgentArgument,
    page: Annotated[str | None, typer.Argument(help="A page's id, such as p17.")] = None,
    text: Annotated[str, typer.Option(help="All pages that contain this instead.")] = "",
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Show where a page came from: interrupt, step, source, author; and what was made from it."""
    which = Which(folder, name, address, embedder, journal, archive)
    if (page is None) == (not text):
        raise ConfigError("PAGE", page, "a page's id, or --text")
    ask = with_fleet(which, lambda fleet: fleet.blame(agent, page, text=text))
    found = asyncio.run(ask)
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in found]) + "\n")
        return
    console = Console()
    for each in found:
        _show_origin(console, each.origin)
        _show_derived(console, each.derived)
    if not found:
        say(console, "no page has that")


@memory.command()
def review(
    agent: AgentArgument,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Have an agent with a consolidation policy look over its archival memory now, and wait for that."""
    which = Which(folder, name, address, embedder, journal, archive)

    async def tidy(fleet: Cluster | Local) -> dict[str, int]:
        before = (await fleet.inspect(agent)).statistics
        await fleet.ask(agent, review_request(SystemClock().now_ms()), WAIT_S)
        after = (await fleet.inspect(agent)).statistics
        return {key: after[key] - before[key] for key in ("steps", "passages_merged")}

    done = asyncio.run(with_fleet(which, tidy))
    if as_json:
        sys.stdout.write(json.dumps({"agent": agent, **done}) + "\n")
    else:
        say(Console(), f"{agent}: {done['passages_merged']:,} passages merged, in {done['steps']:,} steps")


@memory.command()
def rollback(
    agent: AgentArgument,
    to: Annotated[int, typer.Option(min=0, help="As it was when it had taken so many steps.")],
    yes: YesOption = False,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Put an agent's memory back to how it was; that is an event of its journal like any other."""
    which = Which(folder, name, address, embedder, journal, archive)
    ask = with_fleet(which, lambda fleet: fleet.rollback(agent, to, dry_run=not yes))
    done = asyncio.run(ask)
    if as_json:
        sys.stdout.write(json.dumps(asdict(done)) + "\n")
        return
    console = Console()
    say(console, f"{agent}, back to step {to:,}: {done.removed:,} pages made since go")
    say(console, f"  {len(done.restored):,} pages come back, blocks that change: {', '.join(done.blocks) or 'none'}")
    _tell(console, yes)


@memory.command()
def remove(
    agent: Annotated[str | None, typer.Argument(help="The agent's name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All agents, and what came to them by each other.")] = False,
    source: Annotated[str, typer.Option(help="user, agent, world, model, function, system or import.")] = "",
    author: Annotated[str, typer.Option(help="Who wrote it: a sender, or a function's name.")] = "",
    interrupt: Annotated[str, typer.Option(help="The id of the interrupt that it came of.")] = "",
    derived: Annotated[bool, typer.Option(help="Also what was made from it.")] = True,
    yes: YesOption = False,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Take pages out of context, recall and archive, by where they came from, with what was made from them."""
    which = Which(folder, name, address, embedder, journal, archive)
    if every == (agent is not None):
        raise ConfigError("AGENT", agent, "the name of an agent, or --all")
    if not (source or author or interrupt):
        raise ConfigError("--source", "nothing", "--source, --author or --interrupt")
    found = asyncio.run(
        with_fleet(
            which,
            lambda fleet: fleet.remove(
                agent, source=source, author=author, interrupt=interrupt, derived=derived, dry_run=not yes
            ),
        )
    )
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in found]) + "\n")
        return
    console = Console()
    for each in found:
        for origin in each.pages:
            _show_origin(console, origin)
        _show_derived(console, each.derived)
    say(console, f"{sum(len(each.pages) for each in found):,} pages of {len(found):,} agents")
    _tell(console, yes)


def _show_origin(console: Console, origin: Origin) -> None:
    trust = ", untrusted" if origin.untrusted else ""
    say(console, f"{origin.agent} {origin.page}: {one_line(origin.text)[:SHOWN_CHARS]}")
    say(
        console,
        f"  {origin.kind} by {origin.author or 'nobody'} ({origin.source}{trust}), {stamp(origin.created_ms)} UTC",
    )
    say(
        console, f"  made in record {origin.record:,}, after {origin.step:,} steps; now: {origin.place}, {origin.space}"
    )
    said = one_line(origin.said)[:SHOWN_CHARS]
    say(
        console, f"  came of {origin.cause or 'no interrupt'}" + (f", {origin.sender}: {said}" if origin.sender else "")
    )


def _show_derived(console: Console, derived: Derived) -> None:
    parts: list[str] = list(derived.pages)
    parts += [f"block {label}" for label, _ in derived.blocks]
    parts += ["the summary"] if derived.summary else []
    parts += [f"message {key}" for key in derived.messages]
    say(console, f"  made from it: {', '.join(parts) or 'nothing'}")


def _tell(console: Console, yes: bool) -> None:
    say(console, "done; replay shows how it was before" if yes else "nothing was changed: --yes does it")
