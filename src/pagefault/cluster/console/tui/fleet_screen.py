"""The fleet: counts of all, and a table of those agents that are looked for, or of hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, dropwhile
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import ContentSwitcher, Footer, Input, Static

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.draw.colours import COOL, FULL, WARM
from pagefault.cluster.console.draw.words import age, plain, share
from pagefault.cluster.console.tui.acting import FAILURES, ActingScreen
from pagefault.cluster.console.tui.agent_screen import AgentScreen
from pagefault.cluster.console.tui.listing import Column, Listing
from pagefault.cluster.console.views.fleet import SORTS, Glance, HostView, Pulse, chosen, hosts, ordered
from pagefault.runtime.host.clock import SystemClock
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import AgentRow

UNKNOWN = "\N{EN DASH}"
WARM_SHARE, FULL_SHARE = 0.7, 0.95
PHASES = {"thinking": "cyan", "acting": "green", "paging": "magenta", "awaiting_reply": "blue", "cancelling": "yellow"}
AGENTS = (
    Column("agent"),
    Column("phase", 15),
    Column("mailbox", 8, right=True),
    Column("oldest", 8, right=True),
    Column("context", 20, right=True),
    Column("steps", 9, right=True),
    Column("faults", 8, right=True),
    Column("where"),
)
HOSTS = (
    Column("host"),
    Column("agents", 9, right=True),
    Column("busy", 9, right=True),
    Column("mailboxes", 10, right=True),
    Column("context", 9, right=True),
)


class FleetScreen(ActingScreen):
    """All agents.  Looked at again every ``every_s`` seconds."""

    DEFAULT_CSS = """
    FleetScreen #glance { height: auto; padding: 0 1; }
    FleetScreen #tables { height: 1fr; }
    FleetScreen #filter { display: none; }
    FleetScreen #filter.shown { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter"),
        Binding("s", "sort", "Sort"),
        Binding("S", "turn", "Turn round", show=False),
        Binding("h", "hosts", "Hosts"),
        Binding("escape", "clear", "All", show=False),
        Binding("ctrl+r", "again", "Look again", show=False),
        Binding("q", "app.quit", "Quit"),
    ]

    def __init__(self, fleet: Cluster | Local, name: str, every_s: float) -> None:
        super().__init__(fleet)
        self._name_shown = name
        self._every_s = every_s
        self._pulse = Pulse()
        self._rows: Sequence[AgentRow] = ()
        self._glance: Glance | None = None
        self._budget: Mapping[str, Mapping[str, float]] = {}
        self._words = ""
        self._sort = "name"
        self._backwards = False
        self.agents = Listing[AgentRow](AGENTS, self._agent_cells, lambda row: row.agent, id="agents")
        self.hosts = Listing[HostView](HOSTS, _host_cells, lambda host: host.place, id="hosts")

    def compose(self) -> ComposeResult:
        yield Static(id="glance")
        yield Input(placeholder="part of a name, phase:thinking, host:NAME, is:waiting, is:held, is:awake", id="filter")
        with ContentSwitcher(initial="agents", id="tables"):
            yield self.agents
            yield self.hosts
        yield Footer()

    async def on_mount(self) -> None:
        self.agents.focus()
        self.set_interval(self._every_s, self.action_again)
        await self.look_again()

    def subject(self) -> str:
        return self.agents.current_key if self._table == "agents" else ""

    @property
    def _table(self) -> str:
        return self.query_one("#tables", ContentSwitcher).current or "agents"

    # --- looking

    def action_again(self) -> None:
        """Look again, unless the last look has not ended, or another screen is above this one."""
        if self.is_current:
            self.run_worker(self.look_again(), group="look", exclusive=True)

    async def look_again(self) -> None:
        try:
            self._rows = await self.fleet.survey()
            self._budget = await self.fleet.budget_statistics()
        except FAILURES as error:
            self.complain(error)
            return
        self._glance = self._pulse.take(self._rows, SystemClock().now_ms())
        self._fill()

    def _fill(self, at: str = "") -> None:
        found = ordered(chosen(self._rows, self._words), self._sort, backwards=self._backwards)
        self.agents.show(found, at=at)
        self.hosts.show(hosts(self._rows))
        self.query_one("#glance", Static).update(self._heading(len(found)))

    def _heading(self, found: int) -> Text:
        glance = self._glance
        text = Text().append_text(plain(self._name_shown, "bold"))
        if glance is None:
            return text
        phases = ", ".join(f"{count:,} {phase}" for phase, count in glance.phases.items())
        text.append(f"  {glance.agents:,} agents, {glance.awake:,} awake ({phases or 'none'})")
        if glance.held:
            text.append(f", {glance.held:,} paused", "yellow")
        text.append(f"\n{glance.waiting:,} interrupts wait; {glance.steps_per_s:,.1f} steps/s, ")
        text.append(f"{glance.faults_per_s:,.1f} page faults/s; sorted by {self._sort}")
        text.append(" turned round" if self._backwards else "")
        if self._words:
            text.append_text(plain(f"; {found:,} with {self._words}", "yellow"))
        for name, figures in self._budget.items():
            line = ", ".join(f"{figure} {amount:,.6g}" for figure, amount in figures.items())
            text.append("\n").append_text(plain(f"{name}: {line}", "dim"))
        return text

    def _agent_cells(self, row: AgentRow) -> list[Text]:
        now_ms = self._glance.at_ms if self._glance is not None else 0
        phase = Text(row.phase, PHASES.get(row.phase, ""))
        if row.held:
            phase.append(" paused", "yellow")
        return [
            plain(row.agent),
            phase,
            _count(row.waiting, "bold yellow" if row.waiting else ""),
            Text(UNKNOWN if row.oldest_ms is None else age(max(0, now_ms - row.oldest_ms))),
            _fullness(row),
            _count(row.steps),
            _count(row.faults),
            plain(row.place or UNKNOWN, "dim"),
        ]

    # --- keys

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.add_class("shown")
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._words = event.value
        self._fill()

    def on_input_submitted(self) -> None:
        self._leave_filter()

    def _leave_filter(self) -> None:
        self.query_one("#filter", Input).set_class(bool(self._words), "shown")
        self._show_table("agents")

    def action_clear(self) -> None:
        """No filter, no hosts."""
        self.query_one("#filter", Input).value = ""
        self._words = ""
        self._leave_filter()
        self._fill()

    def action_sort(self) -> None:
        """The next thing to sort by."""
        names = dropwhile(lambda name: name != self._sort, cycle(SORTS))
        next(names)
        self._sort, self._backwards = next(names), False
        self._fill()

    def action_turn(self) -> None:
        self._backwards = not self._backwards
        self._fill()

    def action_hosts(self) -> None:
        self._show_table("agents" if self._table == "hosts" else "hosts")

    def _show_table(self, name: str) -> None:
        self.query_one("#tables", ContentSwitcher).current = name
        (self.hosts if name == "hosts" else self.agents).focus()

    async def on_listing_chosen(self, event: Listing.Chosen) -> None:
        """An agent is opened; a host's agents are shown."""
        if event.listing is self.hosts:
            self.query_one("#filter", Input).value = f"host:{event.key}"
            self._leave_filter()
        else:
            await self.app.push_screen(AgentScreen(self.fleet, event.key, self._every_s))


def _host_cells(host: HostView) -> list[Text]:
    return [
        plain(host.place),
        _count(host.agents),
        _count(host.busy),
        _count(host.waiting, "bold yellow" if host.waiting else ""),
        Text(share(host.fullness), _heat(host.fullness)),
    ]


def _count(number: int | None, style: str = "") -> Text:
    return Text(UNKNOWN if number is None else f"{number:,}", style)


def _fullness(row: AgentRow) -> Text:
    if row.tokens is None or not row.prompt_limit:
        return Text(UNKNOWN)
    part = row.tokens / row.prompt_limit
    return Text(f"{row.tokens:,} ({share(part)})", _heat(part))


def _heat(part: float) -> str:
    return FULL if part >= FULL_SHARE else WARM if part >= WARM_SHARE else COOL
