"""``pagefault replay`` and ``fork``, on fleets that run and one that does not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from tests.cluster.console.conftest import Living, Pagefault

ECHO = "scripted:tests.cluster.minds:echo"
ALONE = ("--folder", "kept", "--embedder", "hash")


async def _make(folder: Path) -> None:
    async with Local(folder, embedder="hash") as fleet:
        ref = await fleet.spawn(Agent("ada", model=ECHO, persona="I repeat what I hear.", snapshot_steps=1))
        for text in ("one", "two \x1b[31mred", "three"):
            await ref.ask(text)


async def _look(folder: Path, agent: str) -> tuple[list[str], int]:
    async with Local(folder, embedder="hash") as fleet:
        seen = await fleet.inspect(agent)
        return [page.text for page in seen.pages if page.author == "user"], seen.statistics["steps"]


def test_any_step_is_shown_again(pagefault: Pagefault, tmp_path: Path) -> None:
    asyncio.run(_make(tmp_path / "kept"))
    shown = pagefault("replay", "ada", "--to", "2", *ALONE)
    assert shown.code == 0
    assert "ada after step 2" in shown.out
    assert "two \N{REPLACEMENT CHARACTER}[31mred" in shown.out
    assert "three" not in shown.out
    found = json.loads(pagefault("replay", "ada", "--to", "2", *ALONE, "--json").out)
    assert (found["step"], found["inspection"]["statistics"]["steps"]) == (2, 2)
    assert found["messages"][-1]["text"].endswith("two \x1b[31mred")
    now = json.loads(pagefault("replay", "ada", *ALONE, "--json").out)
    assert now["inspection"]["statistics"]["steps"] == 3
    assert "its past is as it was lived" in pagefault("replay", "ada", "--verify", *ALONE).out


def test_what_is_not_in_the_past_is_said(pagefault: Pagefault, tmp_path: Path) -> None:
    asyncio.run(_make(tmp_path / "kept"))
    assert "step: found 4, allowed: 0 to 3" in pagefault("replay", "ada", "--to", "4", *ALONE).error
    assert "no agent has the id 'bob'" in pagefault("replay", "bob", *ALONE).error
    assert "--folder" in pagefault("replay", "ada", "--folder", "nowhere").error
    assert not (tmp_path / "nowhere").exists()
    assert "allowed: one of them" in pagefault("replay", "ada", "--to", "1", "--record", "1", *ALONE).error


def test_a_fork_begins_at_a_step(pagefault: Pagefault, tmp_path: Path) -> None:
    asyncio.run(_make(tmp_path / "kept"))
    made = pagefault("fork", "ada", "eve", "--at", "1", "--persona", "I am new.", "--policy", "lru", *ALONE, "--json")
    assert json.loads(made.out) == {"agent": "eve", "from": "ada", "at": 1}
    assert "'eve' is registered already" in pagefault("fork", "ada", "eve", *ALONE).error
    assert "heard hello" in pagefault("send", "eve", "hello", "--wait", *ALONE).out
    assert asyncio.run(_look(tmp_path / "kept", "eve")) == (["one", "hello"], 2)
    assert asyncio.run(_look(tmp_path / "kept", "ada")) == (["one", "two \x1b[31mred", "three"], 3)


def test_an_agent_of_a_fleet_that_runs_is_not_disturbed(pagefault: Pagefault, living: Living) -> None:
    where = ("--folder", str(living.folder))
    assert pagefault("send", "ada", "remember me", *where, "--wait").code == 0
    found = json.loads(pagefault("replay", "ada", *where, "--json").out)
    assert any("remember me" in page["text"] for page in found["inspection"]["pages"])
    assert pagefault("fork", "ada", "ada-again", *where).code == 0
    assert pagefault("send", "ada-again", "are you there", *where, "--wait").out == "heard are you there\n"


def test_a_whole_run_is_lived_again(pagefault: Pagefault, tmp_path: Path) -> None:
    asyncio.run(_make(tmp_path / "kept"))
    found = json.loads(pagefault("replay", "--all", *ALONE, "--json").out)
    assert (found["agents"], found["is_exact"], found["diverged"]) == (1, True, {})
    shown = pagefault("replay", "--all", *ALONE)
    assert shown.code == 0
    assert "0 agents diverge" in shown.out
    assert "allowed: the name of an agent, or --all" in pagefault("replay", *ALONE).error
    assert "allowed: the name of an agent, or --all" in pagefault("replay", "ada", "--all", *ALONE).error
