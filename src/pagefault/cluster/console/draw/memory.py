"""The memory map drawn: the window as rows of cells, what the colours mean, and the pages in a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pagefault.cluster.console.draw.colours import GOES, LOOKS, PINNED, pressure
from pagefault.cluster.console.draw.words import age, lines, moment, plain, share
from pagefault.cluster.console.views.memory_map import MemoryMap, PageView

ROWS = 4
LEGEND_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Neighbouring tokens that look alike, up to token ``end``."""

    end: int
    colour: str
    letter: str


def heading(shown: MemoryMap, source: str) -> Text:
    """Who this is, when, and how full its context is."""
    used = share(shown.tokens / max(1, shown.prompt_limit))
    colour = pressure(shown.tokens, shown.warn_tokens, shown.high_tokens)
    text = Text()
    text.append_text(plain(shown.agent, "bold"))
    text.append(f"  {shown.phase}, step {shown.step:,}, record {shown.record:,}, epoch {shown.epoch}")
    text.append(f", {moment(shown.at_ms)} UTC ({source})\n", "dim")
    text.append(f"{shown.tokens:,} of {shown.prompt_limit:,} tokens ({used})", f"bold {colour}")
    text.append(f", {shown.free_tokens:,} free; warned at {shown.warn_tokens:,}, flushed at {shown.high_tokens:,}")
    text.append(f" down to {shown.low_tokens:,}\n")
    text.append_text(plain(f"{shown.policy} and {shown.write_back}; model {shown.model}"))
    text.append(f"; {shown.waiting:,} wait in the mailbox")
    if shown.suspended or shown.parked:
        text.append(f", {shown.suspended:,} chains put aside, {shown.parked:,} await others")
    if shown.problem:
        text.append_text(Text("\n").append_text(plain(shown.problem, "red")))
    return text


def window(shown: MemoryMap, width: int, *, coloured: bool = True, rows: int = ROWS) -> Text:
    """The whole window as ``rows`` lines of ``width`` cells, each an equal part of the budget, first token first.

    Without colours each cell has the letter of its region.
    """
    cells = max(1, width) * rows
    total = max(shown.budget_tokens, sum(region.tokens for region in shown.regions), 1)
    stretches = iter([*_stretches(shown), _Stretch(total, LOOKS["reply"].shades[0], LOOKS["reply"].letter)])
    current = next(stretches)
    text = Text(no_wrap=True)
    for cell in range(cells):
        middle = (2 * cell + 1) * total / (2 * cells)
        while current.end <= middle:
            current = next(stretches)
        sign = current.letter if not coloured or current.letter in {GOES, PINNED} else " "
        text.append(sign, f"#ffffff on {current.colour}" if coloured else "")
        if (cell + 1) % width == 0 and cell + 1 < cells:
            text.append("\n")
    return text


def _stretches(shown: MemoryMap) -> Iterator[_Stretch]:
    turns = 0
    pages = iter(shown.pages)
    for region in shown.regions:
        look = LOOKS[region.kind]
        end = region.start
        for page in (next(pages) for _ in region.pages):
            end += page.tokens
            turns += 1
            yield _Stretch(end, look.shades[turns % 2], _mark(page) or look.letter)
        if not region.pages:
            turns += 1
            yield _Stretch(region.start + region.tokens, look.shades[turns % 2], look.letter)


def _mark(page: PageView) -> str:
    if page.pinned:
        return PINNED
    return GOES if page.goes else ""


def legend(shown: MemoryMap, *, coloured: bool = True) -> Table:
    """What takes how much of the window."""
    table = Table.grid(padding=(0, 3, 0, 0))
    entries = []
    for kind, look in LOOKS.items():
        regions = [region for region in shown.regions if region.kind == kind and region.tokens]
        if not regions:
            continue
        tokens = sum(region.tokens for region in regions)
        count = sum(len(region.pages) for region in regions)
        counted = f", {count:,} pages" if count else ""
        counted = f", of {regions[0].pages_summed:,} pages" if kind == "summary" else counted
        text = Text().append("  " if coloured else look.letter, f"on {look.shades[0]}" if coloured else "")
        text.append(f" {look.title} ").append(f"{tokens:,}", "bold")
        text.append(f" ({share(tokens / max(1, shown.budget_tokens))}{counted})", "dim")
        entries.append(text)
    entries.append(Text(f"{GOES} goes when it is flushed   {PINNED} pinned", "dim"))
    for first in range(0, len(entries), LEGEND_COLUMNS):
        table.add_row(*entries[first : first + LEGEND_COLUMNS])
    return table


def fixed_parts(shown: MemoryMap) -> Table:
    """What is always there, and what it says."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("part", no_wrap=True)
    table.add_column("tokens", justify="right")
    table.add_column("share", justify="right")
    table.add_column("words of")
    table.add_column("text")
    for region in shown.regions:
        if region.kind in {"schemas", "system", "block", "summary"}:
            name = LOOKS[region.kind].title if region.kind != "block" else region.name
            cells = (f"{region.tokens:,}", share(region.share), region.trust)
            table.add_row(plain(name), *cells, plain(region.text))
    return table


def page_table(pages: Sequence[PageView], total: int, now: str = "pages, in the order in which they are sent") -> Table:
    """One page a row: what it is, what it costs, whose words, why it is there and when it goes."""
    hidden = total - len(pages)
    title = f"{now} ({len(pages):,} of {total:,})" if hidden else f"{now} ({total:,})"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for name, right in (
        ("page", False),
        ("kind", False),
        ("by", False),
        ("tokens", True),
        ("share", True),
        ("age", True),
        ("words of", False),
        ("goes, leaving", True),
    ):
        table.add_column(name, justify="right" if right else "left", no_wrap=True, max_width=18)
    table.add_column("why it is here", min_width=16)
    table.add_column("text", min_width=16)
    for page in pages:
        table.add_row(*_cells(page))
    return table


def _cells(page: PageView) -> Iterable[RenderableType]:
    look = LOOKS[page.region]
    kind = page.kind if page.fidelity == "full" else page.fidelity
    return (
        plain(page.id, look.shades[0]),
        kind,
        plain(page.author),
        f"{page.tokens:,}",
        share(page.share),
        age(page.age_ms),
        page.trust,
        going(page),
        plain(page.why),
        plain(words(page), "dim"),
    )


def words(page: PageView) -> str:
    """What a page says, or calls."""
    return " ".join([page.text, *page.calls]).lstrip()


def going(page: PageView) -> Text:
    """When a page leaves: its place among those that go, and what it leaves behind; or why it does not."""
    if page.rank:
        leaves = f" {page.leaves}" if page.leaves else ""
        return Text(f"{page.rank}.{leaves}", "red" if page.goes else "")
    return Text("pinned" if page.pinned else "left" if page.fidelity == "handle" else "stays", "dim")


def page_detail(page: PageView) -> Group:
    """All that is known of a page in the context, and its words."""
    table = Table.grid(padding=(0, 2, 0, 0))
    leaves = f", leaving {page.leaves}" if page.leaves else ""
    rows: list[tuple[str, str]] = [
        ("page", f"{page.id}, {page.kind}, {page.fidelity}, in the region {page.region}"),
        ("by", f"{page.author or 'nobody'} ({page.source}), words of {page.trust}"),
        ("session", page.session),
        ("made", f"{moment(page.created_ms)} UTC, {age(page.age_ms)} and {page.age_pages:,} pages ago"),
        ("came of", page.cause),
        ("cost", f"{page.tokens:,} tokens, {share(page.share)} of the window"),
        ("importance", "" if page.importance is None else f"{page.importance:.2f}"),
        ("quotes", ", ".join(page.refs)),
        ("archive", "has it" if page.stored else "does not have it"),
        ("why here", page.why),
        ("goes", f"as number {page.rank}{leaves}" if page.rank else ""),
    ]
    for name, words in rows:
        if words:
            table.add_row(Text(name, "dim"), plain(words))
    calls = [lines(f"→ {call}", "green") for call in page.calls]
    return Group(table, Text(), lines(page.text), *calls)


def whole(shown: MemoryMap, source: str, width: int, limit: int, *, coloured: bool = True) -> Group:
    """The inspector's first screen."""
    return Group(
        heading(shown, source),
        Text(),
        window(shown, width, coloured=coloured),
        Text(),
        legend(shown, coloured=coloured),
        Text(),
        fixed_parts(shown),
        Text(),
        page_table(shown.pages[-limit:], len(shown.pages)),
    )
