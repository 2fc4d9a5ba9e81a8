"""``pagefault ps`` on a fleet that runs, and on one that only is on disk."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster import _ray
from pagefault.cluster.console.ps import Choice, show
from pagefault.cluster.whereabouts import FILE
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import AgentRow
from pagefault.runtime.values import AgentId
from tests.cluster.console.conftest import Living, Pagefault

ECHO = "scripted:tests.cluster.minds:echo"


def test_agents_of_a_fleet_that_runs_are_listed_and_not_woken(pagefault: Pagefault, living: Living) -> None:
    ended = pagefault("ps", str(living.folder), "--json")
    assert ended.code == 0, ended.errors
    found = json.loads(ended.out)
    rows = {row["agent"]: row for row in found["agents"]}
    assert list(rows) == ["ada", *(f"asleep-{number}" for number in range(5)), "lost"]
    assert (rows["ada"]["phase"], rows["ada"]["waiting"]) == ("idle", 0)
    assert rows["ada"]["steps"] >= 1
    assert rows["ada"]["place"].startswith("host-1@")
    assert 0 < rows["ada"]["tokens"] < rows["ada"]["prompt_limit"]
    assert {rows[f"asleep-{number}"]["phase"] for number in range(5)} == {"asleep"}
    assert found["total"] == 7
    again = json.loads(pagefault("ps", "--name", "living", "--phase", "asleep", "--limit", "2", "--json").out)
    assert ([row["agent"] for row in again["agents"]], again["total"]) == (["asleep-0", "asleep-1"], 5)


def test_the_table_is_sorted_filtered_and_paged(pagefault: Pagefault, living: Living) -> None:
    ended = pagefault("ps", str(living.folder), "--sort", "steps", "--limit", "3")
    lines = ended.out.splitlines()
    assert lines[0].strip().startswith("fleet living: 7 agents (5 asleep, 2 idle)")
    assert "1 to 3 of 7" in lines[-1]
    table = [line for line in lines if line.startswith("\N{BOX DRAWINGS LIGHT VERTICAL}")]
    assert [line.split()[1] for line in table][:2] == ["lost", "ada"] or "ada" in table[0]
    page = pagefault("ps", str(living.folder), "--prefix", "asleep", "--limit", "2", "--page", "3").out
    assert "asleep-4" in page
    assert "5 to 5 of 5" in page
    assert "--watch" in pagefault("ps", str(living.folder), "--watch", "--json").error


def test_a_fleet_that_does_not_run_is_read_from_its_stores(
    pagefault: Pagefault, tmp_path: Path, ray_session: None
) -> None:
    asyncio.run(_make(tmp_path / "kept"))
    (tmp_path / "kept" / FILE).write_text(
        json.dumps({"name": "gone", "address": "127.0.0.1:1", "pid": 1, "started_ms": 0})
    )
    ended = pagefault("ps", "kept", "--json")
    assert [(row["agent"], row["phase"]) for row in json.loads(ended.out)["agents"]] == [
        ("ada", "asleep"),
        ("bob", "asleep"),
    ]
    table = pagefault("ps", "kept").out
    assert "this fleet does not run" in table
    stale = {"name": "gone", "address": _ray.gcs_address(), "pid": 1, "started_ms": 0}
    (tmp_path / "kept" / FILE).write_text(json.dumps(stale))  # its Ray runs on, the fleet does not
    assert json.loads(pagefault("ps", "kept", "--json").out)["phases"] == {"asleep": 2}
    assert not (tmp_path / "kept" / FILE).exists()
    shutil.rmtree(tmp_path / "kept")
    assert "holds no journal" in pagefault("ps", "kept").error


async def _make(folder: Path) -> None:
    async with Local(folder, embedder="hash") as fleet:
        for name in ("ada", "bob"):
            await (await fleet.spawn(Agent(name, model=ECHO))).ask("hello")


def test_names_are_not_obeyed_by_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    row = AgentRow(AgentId("\x1b[31mred\x1b]0;title\x07 [bold]x[/bold]"), "idle", "host-1@\x9b2J")
    choice = Choice(None, "", "name", 10, 1)
    show(choice, [row], "fleet", as_json=False)
    out = capsys.readouterr().out
    assert not {sign for sign in out if not sign.isprintable()} - {"\n"}
    assert "[bold]x[/bold]" in out
    show(choice, [row], "fleet", as_json=True)
    out = capsys.readouterr().out
    assert json.loads(out)["agents"][0]["agent"] == row.agent
    assert not {sign for sign in out if not sign.isprintable()} - {"\n"}


@pytest.mark.parametrize(
    ("sort", "order"),
    [("name", "abc"), ("waiting", "bac"), ("oldest", "abc"), ("steps", "bac"), ("timer", "cab"), ("place", "abc")],
)
def test_counts_are_sorted_from_the_highest_times_from_the_earliest_and_who_has_none_is_last(
    sort: str, order: str
) -> None:
    rows: list[Any] = [
        AgentRow(AgentId("a"), "idle", "host-1", waiting=1, oldest_ms=5, steps=2, timer_ms=9),
        AgentRow(AgentId("b"), "idle", "host-2", waiting=3, oldest_ms=7, steps=8),
        AgentRow(AgentId("c"), "asleep", timer_ms=3),
    ]
    part, first, total = Choice(None, "", sort, 10, 1).part(rows)
    assert "".join(row.agent for row in part) == order
    assert (first, total) == (0, 3)
