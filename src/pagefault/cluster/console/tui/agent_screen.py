"""One agent: its window, and under it pages, steps, messages, what changed, its story; at any step of its life."""

from __future__ import annotations

from typing import ClassVar

from rich.console import Group
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static, TabbedContent, TabPane

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.draw.colours import LOOKS
from pagefault.cluster.console.draw.memory import fixed_parts, going, heading, legend, page_detail, window, words
from pagefault.cluster.console.draw.past import changes, did, level, messages, story
from pagefault.cluster.console.draw.words import age, moment, plain, share
from pagefault.cluster.console.tui.acting import FAILURES, ActingScreen
from pagefault.cluster.console.tui.dialogs import Line, Reading
from pagefault.cluster.console.tui.listing import Column, Listing
from pagefault.cluster.console.views.look import AWAKE, Seen, compare, look
from pagefault.cluster.console.views.memory_map import PageView
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.timeline import StepRow

STEPS_SHOWN = 200
PAGES = (
    Column("page", 8),
    Column("kind", 12),
    Column("by", 14),
    Column("tokens", 7, right=True),
    Column("share", 6, right=True),
    Column("age", 8, right=True),
    Column("words of", 8),
    Column("goes", 12, right=True),
    Column("why it is here"),
    Column("text"),
)
STEPS = (
    Column("step", 8, right=True),
    Column("time, UTC", 19),
    Column("tokens", 8, right=True),
    Column("", 12),
    Column("faults", 6, right=True),
    Column("evicted", 7, right=True),
    Column("in", 4, right=True),
    Column("out", 4, right=True),
    Column("served"),
    Column("did"),
)


class AgentScreen(ActingScreen):
    """``step`` is which moment is shown; ``None`` is now, which is looked at again as long as the agent is awake."""

    DEFAULT_CSS = """
    AgentScreen #head { height: auto; padding: 0 1; }
    AgentScreen TabbedContent { height: 1fr; }
    AgentScreen TabPane { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Step back"),
        Binding("right", "step(1)", "Step on"),
        Binding("left_square_bracket", "step(-50)", "50 back", show=False),
        Binding("right_square_bracket", "step(50)", "50 on", show=False),
        Binding("g", "go_to", "Go to step"),
        Binding("n", "now", "Now"),
        *(
            Binding(str(number), f"pane('{name}')", name.capitalize(), show=False)
            for number, name in enumerate(("pages", "parts", "steps", "messages", "changes", "story"), 1)
        ),
        Binding("escape,q", "app.pop_screen", "Back"),
    ]

    def __init__(self, fleet: Cluster | Local, agent: str, every_s: float) -> None:
        super().__init__(fleet)
        self._agent = agent
        self._every_s = every_s
        self.step: int | None = None
        self.seen: Seen | None = None
        self._limit = 1
        self.pages = Listing[PageView](PAGES, _page_cells, lambda page: page.id, id="page-list")
        self.steps = Listing[StepRow](STEPS, self._step_cells, lambda row: str(row.step), id="step-list")

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        with TabbedContent(initial="pages", id="panes"):
            with TabPane("1 Pages", id="pages"):
                yield self.pages
            with TabPane("2 Parts", id="parts"), VerticalScroll():
                yield Static(id="parts-text")
            with TabPane("3 Steps", id="steps"):
                yield self.steps
            with TabPane("4 Messages", id="messages"), VerticalScroll():
                yield Static(id="messages-text")
            with TabPane("5 Changes", id="changes"), VerticalScroll():
                yield Static(id="changes-text")
            with TabPane("6 Story", id="story"), VerticalScroll():
                yield Static(id="story-text")
        yield Footer()

    async def on_mount(self) -> None:
        self.set_interval(self._every_s, self._tick)
        await self.look_again()
        self.pages.focus()

    def on_resize(self) -> None:
        self._draw_head()

    def subject(self) -> str:
        return self._agent

    # --- looking

    def _tick(self) -> None:
        if self.is_current and self.step is None and self.seen is not None and self.seen.source == AWAKE:
            self._look()

    def _look(self) -> None:
        self.run_worker(self.look_again(), group="look", exclusive=True)

    async def look_again(self) -> None:
        try:
            self.seen = await look(self.fleet, self._agent, self.step)
            self._limit = self.seen.map.prompt_limit
            self._draw_head()
            self.pages.show(self.seen.map.pages)
            await self._draw_pane()
        except FAILURES as error:
            self.complain(error)

    def _draw_head(self) -> None:
        if self.seen is None:
            return
        shown = self.seen.map
        source = "now, as its host has it" if self.seen.source == AWAKE else "from its journal"
        width = max(1, self.size.width - 2)
        drawn = Group(heading(shown, source), window(shown, width), legend(shown))
        self.query_one("#head", Static).update(drawn)

    async def _draw_pane(self) -> None:
        """What the open tab shows; the others are drawn when they are opened."""
        seen, pane = self.seen, self.query_one("#panes", TabbedContent).active
        if seen is None or pane == "pages":
            return
        if pane == "steps":
            first, last = max(1, seen.step - STEPS_SHOWN + 1), max(1, seen.step)
            end = last if self.step is not None else None
            rows = [row async for row in self.fleet.timeline(self._agent, first, end)]
            self.steps.show(rows, at=str(seen.step))
            return
        text = self.query_one(f"#{pane}-text", Static)
        if pane == "parts":
            text.update(fixed_parts(seen.map))
        elif pane == "messages":
            text.update(messages(seen.messages, were_sent=seen.were_sent))
        elif pane == "changes":
            text.update(changes(await compare(self.fleet, self._agent, max(0, seen.step - 1), self.step)))
        else:
            text.update(story(seen.story))

    def _step_cells(self, row: StepRow) -> list[Text]:
        counts = (row.faults, row.evictions, len(row.pages_in), len(row.pages_out))
        return [
            Text(f"{row.step:,}" if row.is_taken else "since"),
            Text(moment(row.at_ms)),
            Text(f"{row.tokens:,}"),
            Text(level(row.tokens, self._limit), "cyan"),
            *(Text(f"{count:,}" if count else "") for count in counts),
            plain(f"{row.kind} from {row.sender}: {row.said}" if row.kind else ""),
            plain(did(row)),
        ]

    # --- keys

    def action_step(self, by: int) -> None:
        """Another moment of its life; on past the last one is now."""
        if self.seen is None:
            return
        if self.step is None:
            if by < 0:
                self._to(max(0, self.seen.step + by))
            return
        self._to(max(0, self.step + by))

    def _to(self, step: int | None) -> None:
        self.step = step
        self.run_worker(self._moved(), group="look", exclusive=True)

    async def _moved(self) -> None:
        """Go there; what is past the end of its life is now."""
        if self.step is not None:
            try:
                row = next((row for row in await self.fleet.survey(self._agent) if row.agent == self._agent), None)
            except FAILURES as error:
                self.complain(error)
                return
            if row is not None and row.steps is not None and self.step > row.steps:
                self.step = None
        await self.look_again()

    def action_now(self) -> None:
        self._to(None)

    async def action_go_to(self) -> None:
        def go(answer: str | None) -> None:
            if answer is None:
                return
            if answer.strip().isdecimal():
                self._to(int(answer))
            else:
                self.notify(f"step: found {answer!r}, allowed: a number", severity="error", markup=False)

        await self.app.push_screen(Line("Step:"), go)

    def action_pane(self, name: str) -> None:
        self.query_one("#panes", TabbedContent).active = name

    def on_tabbed_content_tab_activated(self) -> None:
        pane = self.query_one("#panes", TabbedContent).active
        if pane in {"pages", "steps"}:
            (self.pages if pane == "pages" else self.steps).focus()
        self._look()

    async def on_listing_chosen(self, event: Listing.Chosen) -> None:
        """A page is read; a step is gone to."""
        if event.listing is self.steps:
            self._to(int(event.key))
            return
        page = None if self.seen is None else self.seen.map.page(event.key)
        if page is not None:
            await self.app.push_screen(Reading(page_detail(page)))


def _page_cells(page: PageView) -> list[Text]:
    return [
        plain(page.id, LOOKS[page.region].shades[0]),
        Text(page.kind if page.fidelity == "full" else page.fidelity),
        plain(page.author),
        Text(f"{page.tokens:,}"),
        Text(share(page.share)),
        Text(age(page.age_ms)),
        Text(page.trust),
        going(page),
        plain(page.why),
        plain(words(page), "dim"),
    ]
