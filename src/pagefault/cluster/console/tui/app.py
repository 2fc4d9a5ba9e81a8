"""The application: one fleet, its screens."""

from __future__ import annotations

from textual.app import App

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.tui.fleet_screen import FleetScreen
from pagefault.runtime.host.local import Local


class Top(App[None]):
    """Run it with ``run_async`` in the event loop of a fleet that is open; it leaves the fleet as it is."""

    TITLE = "pagefault top"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, fleet: Cluster | Local, name: str, every_s: float) -> None:
        super().__init__()
        self.fleet_screen = FleetScreen(fleet, name, every_s)

    async def on_mount(self) -> None:
        await self.push_screen(self.fleet_screen)
