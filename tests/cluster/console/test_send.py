"""``pagefault send`` and ``stop``, on fleets that run and one that does not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from pagefault.cluster import _ray
from pagefault.cluster.whereabouts import read_whereabouts
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from tests.cluster.console.conftest import Living, Pagefault
from tests.cluster.driver import Driver

ECHO = "scripted:tests.cluster.minds:echo"


def test_an_agent_of_a_fleet_that_runs_answers(pagefault: Pagefault, living: Living) -> None:
    ended = pagefault("send", "ada", "are \x1b[31myou there?", "--folder", str(living.folder), "--wait")
    assert (ended.code, ended.out) == (0, "heard are \N{REPLACEMENT CHARACTER}[31myou there?\n")
    ended = pagefault("send", "ada", "no hurry", "--name", "living", "--priority", "background", "--json")
    answer = json.loads(ended.out)
    assert (answer["agent"], answer["runs"], answer["answer"]) == ("ada", True, None)
    assert "no agent" in pagefault("send", "nobody", "hello", "--folder", str(living.folder)).error
    assert "not both" in pagefault("send", "ada", "hello", "--folder", "there", "--name", "living").error


def test_a_fleet_that_does_not_run_handles_it_and_keeps_it(pagefault: Pagefault, tmp_path: Path) -> None:
    asyncio.run(_make(tmp_path / "kept"))
    send = ("send", "ada", "hello", "--folder", "kept", "--embedder", "hash")
    assert pagefault(*send, "--wait").out == "heard hello\n"
    ended = pagefault(*send, "--priority", "operator")
    assert (ended.code, ended.out) == (0, "")
    assert "accepted" in ended.errors
    assert asyncio.run(_steps(tmp_path / "kept")) == 2
    assert "--folder: found 'empty'" in pagefault("send", "ada", "hello", "--folder", "empty").error
    assert not (tmp_path / "empty").exists()


async def _make(folder: Path) -> None:
    async with Local(folder, embedder="hash") as fleet:
        await fleet.spawn(Agent("ada", model=ECHO))


async def _steps(folder: Path) -> int:
    async with Local(folder, embedder="hash") as fleet:
        return (await fleet.inspect("ada")).statistics["steps"]


def test_a_fleet_that_is_kept_is_stopped_from_outside(pagefault: Pagefault, tmp_path: Path, ray_session: None) -> None:
    folder = tmp_path / "kept"
    with Driver(tmp_path, errors=tmp_path / "errors") as driver:
        arguments = {"folder": str(folder), "address": _ray.gcs_address(), "keep": True}
        asyncio.run(driver("start", name="kept", embedder="hash", hosts=1, **arguments))
        asyncio.run(driver("spawn", name="ada", model=ECHO))
    assert read_whereabouts(folder) is not None
    assert json.loads(pagefault("stop", "--folder", str(folder), "--json").out) == {"stopped": "kept"}
    assert read_whereabouts(folder) is None
    assert "fleet that runs" in pagefault("stop", "--folder", str(folder)).error
    assert asyncio.run(_steps(folder)) == 0


def test_a_host_is_drained(pagefault: Pagefault, living: Living) -> None:
    folder = ("--folder", str(living.folder))
    places = {row["agent"]: row["place"] for row in json.loads(pagefault("ps", *folder[1:], "--json").out)["agents"]}
    host, _, node = places["ada"].partition("@")
    ended = pagefault("drain", host, *folder, "--json")
    assert ended.code == 0, ended.errors
    assert json.loads(ended.out)["hosts"] == 1
    assert pagefault("send", "ada", "moved?", *folder, "--wait").out == "heard moved?\n"
    (row,) = json.loads(pagefault("ps", *folder[1:], "--prefix", "ada", "--json").out)["agents"]
    assert row["place"].partition("@")[0] != host
    assert row["place"].partition("@")[2] == node
    assert "drain: found 'no-such'" in pagefault("drain", "no-such", *folder).error
