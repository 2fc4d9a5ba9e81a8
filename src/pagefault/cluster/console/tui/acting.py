"""Screens from which something can be done to an agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from pagefault.cluster.api import Cluster
from pagefault.cluster.console import control
from pagefault.cluster.console.tui.dialogs import Line, Sure
from pagefault.cluster.plain_text import one_line
from pagefault.cluster.router import LOST
from pagefault.runtime.errors import PagefaultError
from pagefault.runtime.host.local import Local

FAILURES = (PagefaultError, TimeoutError, *LOST)
"""What a look at a fleet, or an order to it, may end with: the screen says so and stays."""
Act = Callable[[Cluster | Local, str], Awaitable[object]]


class ActingScreen(Screen[None]):
    """A screen on which an agent is meant: :meth:`subject` says which."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause"),
        Binding("r", "resume", "Resume"),
        Binding("m", "tell", "Message"),
        Binding("c", "cancel", "Cancel"),
        Binding("z", "hibernate", "Hibernate"),
    ]

    def __init__(self, fleet: Cluster | Local) -> None:
        super().__init__()
        self.fleet = fleet

    def subject(self) -> str:
        """The agent that is meant, empty for none."""
        return ""

    async def look_again(self) -> None:
        """Show what has become of it."""

    def complain(self, error: BaseException) -> None:
        """Say that something went wrong."""
        self.notify(one_line(str(error)) or type(error).__name__, severity="error", markup=False)

    def action_pause(self) -> None:
        self._act("paused: it begins nothing new, and ends what it does (c cancels that)", control.pause)

    def action_resume(self) -> None:
        self._act("goes on", control.resume)

    async def action_tell(self) -> None:
        agent = self.subject()

        def send(text: str | None) -> None:
            if text:
                self._act("has the message", partial(control.tell, text=text), agent)

        if agent:
            await self.app.push_screen(Line(f"Tell {one_line(agent)}:"), send)

    async def action_cancel(self) -> None:
        agent = self.subject()

        def end(is_sure: bool | None) -> None:
            if is_sure:
                self._act("was told to stop what it does", control.cancel, agent)

        if agent:
            await self.app.push_screen(Sure(f"Cancel what {one_line(agent)} does?"), end)

    def action_hibernate(self) -> None:
        async def hibernate(fleet: Cluster | Local, agent: str) -> str:
            return "sleeps" if await fleet.hibernate(agent) else "is busy, and stays awake"

        self._act("", hibernate)

    def _act(self, done: str, act: Act, agent: str = "") -> None:
        name = agent or self.subject()
        if name:
            self.run_worker(self._acted(name, done, act), group="act")

    async def _acted(self, agent: str, done: str, act: Act) -> None:
        try:
            result = await act(self.fleet, agent)
        except FAILURES as error:
            self.complain(error)
            return
        self.notify(f"{one_line(agent)} {done or result}", markup=False)
        await self.look_again()
