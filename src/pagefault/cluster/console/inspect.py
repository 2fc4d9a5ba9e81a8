"""``pagefault inspect``: an agent's context, as it is or as it was at any step, and what led there."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group, RenderableType
from rich.text import Text

from pagefault.cluster.console.draw.memory import heading, page_detail, whole
from pagefault.cluster.console.draw.past import changes, life, messages, step_table, story
from pagefault.cluster.console.draw.words import lines, plain
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
from pagefault.cluster.console.show import WIDTH_MIN, say
from pagefault.cluster.console.views.difference import Difference
from pagefault.cluster.console.views.look import Seen, compare, look
from pagefault.cluster.console.views.memory_map import PageView
from pagefault.cluster.plain_text import one_line
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.lineage import Origin
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.timeline import Milestone, StepRow
from pagefault.runtime.kernel.pages import stamp
from pagefault.runtime.store.open import EDGE, SQLITE

if TYPE_CHECKING:
    from pagefault.cluster.api import Cluster

LIMIT = 40
KEPT_AS = (".html", ".svg")
_SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's picture without the fonts that it would have a browser fetch from elsewhere."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be shown of ``agent`` at step ``at`` (``None``: now)."""

    agent: str
    at: int | None = None
    diff: int | None = None
    timeline: bool = False
    messages: bool = False
    page: str = ""
    story: bool = False
    limit: int = LIMIT

    @property
    def is_plain(self) -> bool:
        """Whether nothing but the memory map is asked for."""
        return self.diff is None and not (self.timeline or self.messages or self.page or self.story)


@dataclass(slots=True)
class Found:
    """What there is to show."""

    seen: Seen
    steps: list[StepRow] = field(default_factory=list)
    milestones: list[Milestone] = field(default_factory=list)
    difference: Difference | None = None
    page: PageView | Origin | None = None


def inspect(
    agent: Annotated[str, typer.Argument(help="The agent's name.")],
    at: Annotated[int | None, typer.Option(min=0, help="When it had taken so many steps; now by default.")] = None,
    diff: Annotated[int | None, typer.Option(min=0, help="What is otherwise than at this step.")] = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Its last steps, and its life at a glance.")] = False,
    messages: Annotated[bool, typer.Option("--messages", help="The exact messages that the model was sent.")] = False,
    page: Annotated[str, typer.Option(help="All that is known of one page, such as p17.")] = "",
    story: Annotated[bool, typer.Option("--story", help="Its last transitions.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many pages, or steps, are shown at most: the last.")] = LIMIT,
    save: Annotated[Path | None, typer.Option(help="Write what is shown into this file: .html or .svg.")] = None,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Look into an agent's context: what is in it, what it costs, why it is there and what goes next.

    An agent that is awake is asked; one that sleeps, or whose fleet does not run, is rebuilt from its journal. Nobody
    is woken, or disturbed.
    """
    if save is not None and (as_json or save.suffix not in KEPT_AS):
        raise ConfigError("--save", str(save), f"a name that ends in {' or '.join(KEPT_AS)}, not together with --json")
    which = Which(folder, name, address, embedder, journal, archive)
    asked = Asked(agent, at, diff, timeline, messages, page, story, limit)
    found = asyncio.run(with_fleet(which, lambda fleet: find(fleet, asked)))
    if as_json:
        sys.stdout.write(json.dumps(as_object(found, asked)) + "\n")
    elif save is not None:
        keep(found, asked, save)
        say(Console(stderr=True), f"written: {save}")
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=max(WIDTH_MIN, console.width))
        console.print(drawn(found, asked, console.width, coloured=console.color_system is not None), highlight=False)


async def find(fleet: Cluster | Local, asked: Asked) -> Found:
    """Look.  Raises what :func:`~pagefault.cluster.console.views.look.look` raises, and
    :class:`~pagefault.runtime.errors.UsageError` for a page that the agent never had."""
    found = Found(await look(fleet, asked.agent, asked.at))
    if asked.timeline:
        last = found.seen.step if asked.at is not None else None
        first = max(1, found.seen.step - asked.limit + 1)
        if found.seen.step or last is None:
            found.steps = [row async for row in fleet.timeline(asked.agent, first, last)]
        found.milestones = await fleet.milestones(asked.agent)
    if asked.diff is not None:
        found.difference = await compare(fleet, asked.agent, asked.diff, asked.at)
    if asked.page:
        shown = found.seen.map.page(asked.page)
        found.page = shown or (await fleet.blame(asked.agent, asked.page))[0].origin
    return found


def as_object(found: Found, asked: Asked) -> dict[str, Any]:
    """For programs: who and when, and under the name of each thing that was asked for what was found."""
    seen = found.seen
    keys = ("agent", "step", "record", "at_ms", "source", "digest")
    shown: dict[str, Any] = {key: getattr(seen, key) for key in keys}
    if asked.is_plain:
        shown["map"] = asdict(seen.map)
    if asked.messages:
        shown |= {"were_sent": seen.were_sent, "messages": [asdict(message) for message in seen.messages]}
    if asked.timeline:
        shown["steps"] = [asdict(row) for row in found.steps]
        shown["milestones"] = [asdict(stone) for stone in found.milestones]
    if found.difference is not None:
        shown["difference"] = asdict(found.difference)
    if found.page is not None:
        shown["page"] = asdict(found.page)
    if asked.story:
        shown["story"] = seen.story.splitlines()
    return shown


def drawn(found: Found, asked: Asked, width: int, *, coloured: bool = True) -> Group:
    """For people."""
    seen = found.seen
    source = "as its host has it" if seen.source == "awake" else "from its journal"
    if asked.is_plain:
        return whole(seen.map, source, width, asked.limit, coloured=coloured)
    return Group(heading(seen.map, source), *_sections(found, asked))


def _sections(found: Found, asked: Asked) -> Iterator[RenderableType]:
    seen = found.seen
    if found.page is not None:
        yield Text()
        yield page_detail(found.page) if isinstance(found.page, PageView) else _gone(found.page)
    if found.difference is not None:
        yield Text()
        yield changes(found.difference)
    if asked.timeline:
        yield Text()
        yield life(found.milestones)
        yield Text()
        yield step_table(found.steps, seen.map.prompt_limit)
    if asked.messages:
        yield Text()
        yield messages(seen.messages, were_sent=seen.were_sent)
    if asked.story:
        yield Text()
        yield story(seen.story)


def _gone(origin: Origin) -> Group:
    """A page that is not in the context: where it came from, and where it is."""
    about = [
        f"page {origin.page}, {origin.kind} by {origin.author or 'nobody'} ({origin.source}), not in the context",
        f"made {stamp(origin.created_ms)} UTC in record {origin.record:,}, after {origin.step:,} steps",
        f"came of {origin.cause or 'no interrupt'}; now: {origin.place}, {origin.space}",
    ]
    return Group(*(plain(line) for line in about), Text(), lines(origin.text))


def keep(found: Found, asked: Asked, file: Path) -> None:
    """One file with all of it, that any browser shows: no script in it, and nothing fetched.  Raises ``OSError``."""
    nowhere = StringIO()
    console = Console(record=True, width=WIDTH_MIN, file=nowhere, force_terminal=True, color_system="truecolor")
    console.print(drawn(found, asked, console.width), highlight=False)
    title = one_line(f"pagefault inspect {asked.agent}")
    text = console.export_html() if file.suffix == ".html" else console.export_svg(title=title, code_format=_SVG)
    file.write_text(text, encoding="utf-8")
