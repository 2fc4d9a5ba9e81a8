"""``pagefault inspect``, on a fleet that runs and on one that does not."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from pagefault.cluster.api import Cluster
from pagefault.cluster.console.tui.agent_screen import AgentScreen
from pagefault.cluster.console.tui.app import Top
from pagefault.runtime.host.local import Local
from tests.cluster.console.conftest import Living, Pagefault
from tests.cluster.console.lived import TOLD, live

ALONE = ("--folder", "kept", "--embedder", "hash")
STEPS = TOLD + 7


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fleet that does not run any more."""
    folder = tmp_path_factory.mktemp("lived") / "kept"

    async def make() -> None:
        async with Local(folder, embedder="hash") as fleet:
            await live(fleet)

    asyncio.run(make())
    return folder


@pytest.fixture
def kept(lived: Path, tmp_path: Path) -> Path:
    """A copy of it, where the command is run."""
    return Path(shutil.copytree(lived, tmp_path / "kept"))


def check_harmless(text: str) -> None:
    assert all(sign.isprintable() or sign == "\n" for sign in text), "a terminal would obey something"


def test_a_dead_agent_is_shown(pagefault: Pagefault, kept: Path) -> None:
    shown = pagefault("inspect", "ada", *ALONE)
    assert shown.code == 0
    check_harmless(shown.out)
    assert f"ada  idle, step {STEPS}" in shown.out
    assert "from its journal" in shown.out
    assert "paged in" in shown.out
    assert "least recently used first" in shown.out
    assert "he likes trains." in shown.out
    assert "gnp.exe <scr" in shown.out, "a terminal has nothing against it"
    assert "FFFF" in shown.out, "without colours the map has letters"


def test_as_it_was_for_programs(pagefault: Pagefault, kept: Path) -> None:
    found = json.loads(pagefault("inspect", "ada", "--at", "3", *ALONE, "--json").out)
    assert (found["agent"], found["step"], found["map"]["step"], found["source"]) == ("ada", 3, 3, "journal")
    assert sum(region["tokens"] for region in found["map"]["regions"]) == found["map"]["budget_tokens"]
    asked = ("--timeline", "--messages", "--story", "--diff", "30", "--page", "p1", "--limit", "5")
    found = json.loads(pagefault("inspect", "ada", *asked, *ALONE, "--json").out)
    assert "map" not in found
    assert [row["step"] for row in found["steps"]] == list(range(STEPS - 4, STEPS + 1))
    assert found["milestones"][-1]["step"] == STEPS
    assert found["difference"]["before"] == 30
    assert (found["page"]["id"], found["page"]["pinned"]) == ("p1", True)
    assert found["messages"][0]["role"] == "system"
    assert found["were_sent"] is False
    assert "ModelReplied" in found["story"][-1]


def test_its_past_is_drawn(pagefault: Pagefault, kept: Path) -> None:
    asked = ("--timeline", "--messages", "--story", "--diff", "30", "--page", "p2")
    shown = pagefault("inspect", "ada", *asked, "--at", str(STEPS), *ALONE)
    check_harmless(shown.out)
    for words in (
        "not in the context",
        "step 30 → step",
        "+he likes trains.",
        "core_memory_append()",
        f"what the model was sent ({len(asyncio.run(_sent(kept)))} messages)",
        "the last transitions",
    ):
        assert words in shown.out


async def _sent(folder: Path) -> list[object]:
    async with Local(folder, embedder="hash", watch=False) as fleet:
        return list((await fleet.replay("ada", step=STEPS)).messages)


def test_it_can_be_kept_as_a_page_or_a_picture(pagefault: Pagefault, kept: Path, tmp_path: Path) -> None:
    for name in ("ada.html", "ada.svg"):
        assert pagefault("inspect", "ada", *ALONE, "--save", name).code == 0
        page = (tmp_path / name).read_text()
        assert "<script" not in page
        assert "&lt;scr" in page
        assert "src=" not in page
        assert "url(http" not in page
        assert "@font-face" not in page


def test_what_cannot_be_is_said(pagefault: Pagefault, kept: Path) -> None:
    assert "no agent has the id 'bob'" in pagefault("inspect", "bob", *ALONE).error
    assert f"step: found 99, allowed: 0 to {STEPS}" in pagefault("inspect", "ada", "--at", "99", *ALONE).error
    assert "page: found 'p99'" in pagefault("inspect", "ada", "--page", "p99", *ALONE).error
    assert "not together with --json" in pagefault("inspect", "ada", "--save", "a.svg", "--json", *ALONE).error
    assert "--save: found 'ada.pdf', allowed: a name that ends in .html or .svg" in (
        pagefault("inspect", "ada", "--save", "ada.pdf", *ALONE).error
    )


def test_an_agent_of_a_fleet_that_runs(pagefault: Pagefault, living: Living) -> None:
    where = ("--folder", str(living.folder))
    found = json.loads(pagefault("inspect", "ada", *where, "--json").out)
    assert (found["source"], found["map"]["pages"][0]["text"]) == ("awake", "hello")
    then = json.loads(pagefault("inspect", "ada", "--at", "1", "--messages", *where, "--json").out)
    assert (then["source"], then["were_sent"]) == ("journal", True)
    sleeper = json.loads(pagefault("inspect", "asleep-1", *where, "--json").out)
    assert (sleeper["source"], sleeper["step"]) == ("journal", 0)


def test_a_fleet_that_runs_is_watched(living: Living) -> None:
    async def watch() -> tuple[list[str], str]:
        fleet = Cluster.attach(folder=living.folder)
        async with fleet:
            app = Top(fleet, "fleet", 3600.0)
            async with app.run_test(size=(140, 30)) as pilot:
                await pilot.pause()
                await app.workers.wait_for_complete()
                await pilot.press("enter")
                await pilot.pause()
                await app.workers.wait_for_complete()
                screen = app.screen
                assert isinstance(screen, AgentScreen)
                assert screen.seen is not None
                return [row.agent for row in app.fleet_screen.agents.rows], screen.seen.source

    names, source = asyncio.run(watch())
    assert names[0] == "ada"
    assert len(names) >= 7
    assert source == "awake"
