"""The whole application by its keys, over a real fleet in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Input, Static, TabbedContent

from pagefault.cluster.console.tui.agent_screen import AgentScreen
from pagefault.cluster.console.tui.app import Top
from pagefault.cluster.console.tui.dialogs import Line, Reading, Sure
from pagefault.cluster.console.tui.fleet_screen import FleetScreen
from pagefault.runtime.host.local import Local
from tests.cluster.console.lived import TOLD, chronicle, live

EVERY_S = 3600.0
"""The screens look again when the tests say so."""
STEPS = TOLD + 7


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Local]:
    async with Local(tmp_path, embedder="hash") as opened:
        await live(opened)
        yield opened


async def settled(pilot: Pilot[None]) -> None:
    """All that keys have begun has ended."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


def text_of(pilot: Pilot[None], where: str) -> str:
    content = pilot.app.screen.query_one(where, Static).content
    return content.plain if isinstance(content, Text) else str(content)


def agent_screen(pilot: Pilot[None]) -> AgentScreen:
    screen = pilot.app.screen
    assert isinstance(screen, AgentScreen)
    return screen


def fleet_screen(pilot: Pilot[None]) -> FleetScreen:
    screen = pilot.app.screen
    assert isinstance(screen, FleetScreen)
    return screen


def lines(pilot: Pilot[None]) -> str:
    """What is on the terminal."""
    return "\n".join(
        "".join(segment.text for segment in strip) for strip in pilot.app.screen._compositor.render_strips()
    )


async def test_the_fleet_and_its_filters(fleet: Local) -> None:
    async with Top(fleet, "fleet \x1b[31mred", EVERY_S).run_test(size=(140, 30)) as pilot:
        await settled(pilot)
        shown = lines(pilot)
        assert "2 agents, 1 awake" in shown
        assert "\x1b" not in shown
        screen = fleet_screen(pilot)
        assert [row.agent for row in screen.agents.rows] == ["ada", "sleeper"]
        assert "local" in shown
        await press(pilot, "s", "s", "s", "s", "s", "s")
        assert "sorted by steps" in text_of(pilot, "#glance")
        await press(pilot, "slash", *"sleep")
        assert [row.agent for row in screen.agents.rows] == ["sleeper"]
        await press(pilot, "enter", "escape")
        assert len(screen.agents.rows) == 2
        await press(pilot, "h")
        assert [host.place for host in screen.hosts.rows] == ["local", "(asleep)"]
        await press(pilot, "enter")
        assert screen.query_one(Input).value == "host:local"
        assert [row.agent for row in screen.agents.rows] == ["ada"]


async def test_into_an_agent_its_steps_and_pages(fleet: Local) -> None:
    async with Top(fleet, "fleet", EVERY_S).run_test(size=(160, 50)) as pilot:
        await settled(pilot)
        await press(pilot, "enter")
        screen = agent_screen(pilot)
        assert screen.seen is not None
        assert (screen.seen.step, screen.seen.source, screen.step) == (STEPS, "awake", None)
        shown = lines(pilot)
        assert "paged in" in shown
        assert "pinned" in shown
        assert all(sign.isprintable() or sign == "\n" for sign in shown), "a terminal would obey something"
        await press(pilot, "end", "enter")
        assert isinstance(pilot.app.screen, Reading)
        assert "gnp.exe <script>" in lines(pilot)
        await press(pilot, "escape", "left", "left")
        assert (screen.step, screen.seen.step, screen.seen.source) == (STEPS - 2, STEPS - 2, "journal")
        await press(pilot, "3")
        assert pilot.app.screen.query_one(TabbedContent).active == "steps"
        assert screen.steps.current_key == str(STEPS - 2)
        await press(pilot, "up", "enter")
        assert agent_screen(pilot).step == STEPS - 3
        for pane, words in (("4", "what the model was sent"), ("5", "step 39 → step 40"), ("6", "ModelReplied")):
            await press(pilot, pane)
            assert words in lines(pilot)
        await press(pilot, "g", *"12", "enter")
        assert screen.seen is not None
        assert screen.seen.step == 12
        await press(pilot, "right_square_bracket")
        assert agent_screen(pilot).step is None, "past its last step is now"
        await press(pilot, "q")
        fleet_screen(pilot)


async def test_what_can_be_done_to_an_agent(fleet: Local) -> None:
    async with Top(fleet, "fleet", EVERY_S).run_test(size=(140, 30)) as pilot:
        await settled(pilot)
        await press(pilot, "p")
        screen = fleet_screen(pilot)
        assert "1 paused" in text_of(pilot, "#glance")
        assert "paused" in lines(pilot)
        await press(pilot, "m")
        assert isinstance(pilot.app.screen, Line)
        await press(pilot, *"Hey", "enter")
        await fleet.idle()
        await press(pilot, "ctrl+r")
        assert screen.agents.rows[0].waiting == 1
        await press(pilot, "r")
        await fleet.idle()
        await press(pilot, "ctrl+r")
        assert (screen.agents.rows[0].waiting, screen.agents.rows[0].steps) == (0, STEPS + 1)
        await press(pilot, "c")
        assert isinstance(pilot.app.screen, Sure)
        await press(pilot, "n", "c", "y")
        await press(pilot, "z")
        assert screen.agents.rows[0].phase == "asleep"
        assert (await fleet.inspect("ada")).pages[-1].text == "Hey"


async def test_errors_are_said_and_the_screen_stays(fleet: Local) -> None:
    async with Top(fleet, "fleet", EVERY_S).run_test(size=(140, 30), notifications=True) as pilot:
        await settled(pilot)
        await press(pilot, "enter", "g", *"999", "enter")
        assert agent_screen(pilot).step is None
        await press(pilot, "g", *"x", "enter")
        await press(pilot, "escape")
        await fleet.stop()
        await press(pilot, "ctrl+r")
        assert len(fleet_screen(pilot).agents.rows) == 2
        assert any("Local is not open" in note.message for note in pilot.app._notifications)


async def test_thousands_are_drawn_as_far_as_they_are_seen(tmp_path: Path) -> None:
    count = 3_000
    async with Local(tmp_path, embedder="hash", durability="exit") as fleet:
        await fleet.spawn_many(chronicle(f"agent-{number:05}") for number in range(count))
        async with Top(fleet, "fleet", EVERY_S).run_test(size=(120, 24)) as pilot:
            await settled(pilot)
            screen = fleet_screen(pilot)
            drawn: list[str] = []
            cells = screen.agents._cells

            def counted(row: object) -> object:
                drawn.append(str(row))
                return cells(row)  # type: ignore[arg-type]  # whatever it is given

            screen.agents._cells = counted  # type: ignore[assignment]  # the same with a counter
            await press(pilot, "ctrl+r")
            assert 0 < len(drawn) <= 3 * 24
            await press(pilot, "end")
            assert screen.agents.current_key == f"agent-{count - 1:05}"
            assert f"agent-{count - 1:05}" in lines(pilot)
            await press(pilot, "home", "pagedown", "pageup", "down")
            assert screen.agents.current_key == "agent-00001"
            await pilot.click("#agents", offset=(3, 5))
            assert screen.agents.current_key == "agent-00004"
