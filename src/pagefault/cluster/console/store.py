"""``pagefault store``: check, rebuild, export, import and migrate what a fleet keeps, while it does not run."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pagefault.cluster.console.reach import DEFAULT_FOLDER, EmbedderOption, JsonOption, find_modules_beside
from pagefault.cluster.console.show import say
from pagefault.cluster.settings import Code
from pagefault.cluster.sharding import shard_of
from pagefault.cluster.workshops import open_workshop
from pagefault.runtime.errors import ConfigError, PagefaultError, StoreUnavailable, UnknownName
from pagefault.runtime.functions.mcp.pool import McpServers, read_accepted
from pagefault.runtime.host.records import decode_definition
from pagefault.runtime.host.upkeep.remembered import digests, remembered, write_missing
from pagefault.runtime.host.upkeep.transfer import export_agents, import_agents, migrate_agents
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.store.archive import PointArchive
from pagefault.runtime.store.embed import make_embedder
from pagefault.runtime.store.open import EDGE, SQLITE, check_drivers, open_archive, open_journal
from pagefault.runtime.store.points import PRIVATE_SPACES
from pagefault.runtime.store.protocols import PortableJournal, StoredPage
from pagefault.runtime.store.swap import beside, finish_swap, swap_in
from pagefault.runtime.values import AgentId, PageId

store = typer.Typer(no_args_is_help=True, help="Look after what a fleet keeps, while it does not run.")
FolderOption = Annotated[Path, typer.Option(help="The fleet's folder.")]
JournalOption = Annotated[
    str, typer.Option(help="sqlite, or postgresql://... (also in PAGEFAULT_JOURNAL).", envvar="PAGEFAULT_JOURNAL")
]
ArchiveOption = Annotated[str, typer.Option(help="edge, or http://... of a Qdrant server.")]
ShardsOption = Annotated[int | None, typer.Option(min=1, help="How many; what the folder has by default.")]
PrefixOption = Annotated[str, typer.Option(help="Only agents whose names begin so.")]


def _accepted(folder: Path) -> str:
    """The tools of MCP servers that the folder's agents may have."""
    return McpServers(accepted=read_accepted(folder)).encode()


class _Opened:
    """The journals of all shards of a fleet, held open so that nobody else runs it."""

    def __init__(self, folder: Path, journal: str, shards: int | None, stack: ExitStack, *, make: bool = False) -> None:
        check_drivers(journal, EDGE)
        self.folder = folder
        there = len(list(folder.glob("shards/*/journal.sqlite"))) if journal == SQLITE else 0
        count = shards or there or (1 if make or journal != SQLITE else 0)
        if there and count != there:
            raise ConfigError("--shards", shards, f"{there}, as the folder has")
        if not count or (journal == SQLITE and not there and not make):
            raise StoreUnavailable(f"{folder}: holds no journal: it is not the folder of a fleet")
        self.journals: list[PortableJournal] = []
        for shard in range(count):
            if journal == SQLITE:
                self.place(shard).mkdir(parents=True, exist_ok=True)
            opened = open_journal(self.place(shard) / "journal.sqlite", shard, "sync", journal)
            stack.callback(opened.close)
            self.journals.append(opened)

    def place(self, shard: int) -> Path:
        return self.folder / "shards" / f"{shard:02d}"

    def of(self, agent: AgentId) -> PortableJournal:
        """The journal that keeps an agent: for ever the same."""
        return self.journals[shard_of(agent, len(self.journals))]

    def count(self) -> int:
        return sum(journal.count() for journal in self.journals)


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("agents"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(what, total=total)
        yield progress


def _step(progress: Progress) -> None:
    progress.advance(progress.task_ids[0])


def _say(found: dict[str, object], as_json: bool, text: str) -> None:
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        say(Console(), text)


@store.command()
def check(
    folder: FolderOption = DEFAULT_FOLDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    shards: ShardsOption = None,
    embedder: EmbedderOption = "wordllama",
    as_json: JsonOption = False,
) -> None:
    """Check every record, live every agent again, and compare the archive with what comes of it.

    The exit code is 1 when anything is wrong.
    """
    find_modules_beside(Path())
    check_drivers(journal, archive)
    workshop = open_workshop(Code(), make_processor, _accepted(folder))
    problems: list[dict[str, str]] = []
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        opened = _Opened(folder, journal, shards, stack)
        progress = stack.enter_context(_bar("checking", opened.count()))
        expected: dict[tuple[str, AgentId, PageId], bytes] = {}
        everywhere: set[tuple[str, AgentId, PageId]] = set()
        unknown: set[AgentId] = set()
        for agent in (agent for each in opened.journals for agent in each.agents()):
            try:
                opened.of(agent).life(agent)
                pages = remembered(workshop, opened.of, agent)
                expected.update(digests(pages.values()))
                everywhere.update(digests(_shared(pages).values()))
            except UnknownName:
                raise  # a function that this process does not have: nothing is wrong with the agent
            except PagefaultError as error:
                unknown.add(agent)
                problems.append({"agent": agent, "kind": type(error).__name__, "problem": str(error)})
            counts["agents"] += 1
            _step(progress)
        found: dict[tuple[str, AgentId, PageId], bytes] = {}
        missing: set[tuple[str, AgentId, PageId]] = set()
        for each_archive in _archives(opened, archive, embedder):
            here = digests(each_archive.pages())
            each_archive.close()
            found.update(here)
            missing |= everywhere - here.keys()
    counts["pages"] = len(found)
    judged = {
        "missing": missing | (expected.keys() - found.keys()),
        "foreign": found.keys() - expected.keys(),
        "stale": {key for key in expected.keys() & found.keys() if expected[key] != found[key]},
    }
    for kind, keys in judged.items():
        for agent, number in sorted(Counter(key[1] for key in keys if key[1] not in unknown).items()):
            counts[kind] += number
            problems.append({"agent": agent, "kind": kind, "problem": f"{number} pages of the archive are {kind}"})
    facts = {name: counts[name] for name in ("agents", "pages", *judged)}
    lines = [f"{each['agent']}: {each['kind']}: {each['problem']}" for each in problems]
    if any(counts[kind] for kind in judged):
        lines.append("pagefault store rebuild writes the archive anew")
    summary = f"{counts['agents']:,} agents and {counts['pages']:,} pages; {len(problems):,} problems"
    _say({**facts, "problems": problems}, as_json, "\n".join([*lines, summary]))
    if problems:
        raise typer.Exit(1)


def _shared(pages: Mapping[PageId, StoredPage]) -> dict[PageId, StoredPage]:
    """Those in shared spaces, which every embedded archive has."""
    return {page_id: stored for page_id, stored in pages.items() if stored.page.space not in PRIVATE_SPACES}


def _sharing(journals: Iterable[PortableJournal]) -> Iterator[AgentId]:
    """The agents that may write to a shared space."""
    for each in journals:
        for agent in each.agents():
            if decode_definition(agent, each.life(agent).definition).spaces:
                yield agent


def _archives(opened: _Opened, archive: str, embedder: str) -> Iterator[PointArchive]:
    made = make_embedder(embedder)
    if archive != EDGE:
        yield open_archive(Path(), made, archive)
        return
    for shard in range(len(opened.journals)):
        place = opened.place(shard) / "archive"
        finish_swap(place)
        if place.exists():
            yield open_archive(place, made, archive)


@store.command()
def rebuild(
    folder: FolderOption = DEFAULT_FOLDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    shards: ShardsOption = None,
    embedder: EmbedderOption = "wordllama",
    as_json: JsonOption = False,
) -> None:
    """Write the archive anew from the journals; broken off, it goes on where it was.

    An embedded one is made beside the old one and takes its place when it is whole.
    """
    find_modules_beside(Path())
    check_drivers(journal, archive)
    workshop, made = open_workshop(Code(), make_processor, _accepted(folder)), make_embedder(embedder)
    agents = written = 0
    with ExitStack() as stack:
        opened = _Opened(folder, journal, shards, stack)
        progress = stack.enter_context(_bar("rebuilding", opened.count()))
        for shard, each in enumerate(opened.journals):
            place = opened.place(shard) / "archive"
            making = beside(place)
            if archive == EDGE:
                making.parent.mkdir(parents=True, exist_ok=True)
            pages = open_archive(making, made, archive)
            try:
                for agent in each.agents():
                    written += write_missing(pages, remembered(workshop, opened.of, agent))
                    agents += 1
                    _step(progress)
                if archive == EDGE:
                    for agent in _sharing(other for other in opened.journals if other is not each):
                        write_missing(pages, _shared(remembered(workshop, opened.of, agent)))
                pages.flush()
                pages.optimize()
            finally:
                pages.close()
            if archive == EDGE:
                swap_in(place)
                making.with_name(making.name + ".lock").unlink(missing_ok=True)
    _say({"agents": agents, "pages": written}, as_json, f"{written:,} pages of {agents:,} agents were written")


@store.command("export")
def export_(
    file: Annotated[Path, typer.Argument(help="A file that is not there yet, such as fleet.pagefault.gz.")],
    prefix: PrefixOption = "",
    folder: FolderOption = DEFAULT_FOLDER,
    journal: JournalOption = SQLITE,
    shards: ShardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write agents into a file: definitions, records, snapshots, topics, letters."""
    with ExitStack() as stack:
        opened = _Opened(folder, journal, shards, stack)
        progress = stack.enter_context(_bar("exporting", None))
        count = export_agents(opened.journals, file, prefix, lambda _: _step(progress))
    _say({"agents": count, "file": str(file)}, as_json, f"{count:,} agents are in {file}")


@store.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `pagefault store export` wrote.")],
    folder: FolderOption = DEFAULT_FOLDER,
    journal: JournalOption = SQLITE,
    shards: ShardsOption = None,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Pass over agents that are there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put the agents of a file into a fleet, each whole or not at all.  Then rebuild the archive."""
    with ExitStack() as stack:
        opened = _Opened(folder, journal, shards, stack, make=True)
        progress = stack.enter_context(_bar("importing", None))
        made, skipped = import_agents(file, opened.of, lambda _: _step(progress), skip_existing=skip_existing)
    text = f"{made:,} agents imported, {skipped:,} were there; pagefault store rebuild gives them their pages"
    _say({"imported": made, "skipped": skipped}, as_json, text)


@store.command()
def migrate(
    to_folder: Annotated[Path, typer.Option(help="The folder of the fleet to be.")],
    to_journal: Annotated[str, typer.Option(help="sqlite, or postgresql://...")] = SQLITE,
    to_shards: Annotated[int, typer.Option(min=1, help="Its number of shards.")] = 1,
    folder: FolderOption = DEFAULT_FOLDER,
    journal: JournalOption = SQLITE,
    shards: ShardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a fleet's journals to another driver, folder or number of shards; broken off, it goes on where it was.

    All is read back and compared at the end.  The archive is then written with `pagefault store rebuild`.
    """
    with ExitStack() as stack:
        source = _Opened(folder, journal, shards, stack)
        target = _Opened(to_folder, to_journal, to_shards, stack, make=True)
        progress = stack.enter_context(_bar("migrating", 2 * source.count()))
        copied, there = migrate_agents(source.journals, target.of, lambda _: _step(progress))
    text = f"{copied:,} agents copied, {there:,} were there, all compared; now: pagefault store rebuild"
    _say({"copied": copied, "there": there}, as_json, text)
