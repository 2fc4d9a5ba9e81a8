"""A whole run, with a model that is reached over a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pagefault.cluster import _ray
from pagefault.cluster.console.plan import FleetTable
from pagefault.cluster.console.run import open_fleet
from pagefault.runtime.testing.fake_openai import Answer, Call, FakeOpenAI
from tests.cluster.console.conftest import ROOT, Pagefault
from tests.cluster.worlds.talk import TURNS, write_talk


def searcher(body: Mapping[str, Any]) -> Answer:
    """A model that searches when it is asked something, and then says what it found."""
    messages = body["messages"]
    last = messages[-1]
    if last["role"] == "tool":
        return Answer("", [Call("send_message", json.dumps({"message": last["content"][:200]}), id="said")])
    if " examiner" in last["content"]:
        question = last["content"].partition("] ")[2]
        wanted = json.dumps({"query": question, "request_heartbeat": True})
        return Answer("", [Call("conversation_search", wanted, id="found")])
    return Answer("Noted.")


def test_dialogues_with_the_only_model_of_a_server(pagefault: Pagefault, tmp_path: Path) -> None:
    data = write_talk(tmp_path)
    file = shutil.copy(ROOT / "examples" / "dialogues.toml", tmp_path)
    with FakeOpenAI(respond=searcher) as server:
        ended = pagefault("run", str(file), "--local", "--base-url", server.base_url, "--data", str(data), "--json")
    assert ended.code == 0, ended.errors
    report = json.loads(ended.out)
    assert (report["agents"], report["turns"], report["questions"]) == (1, len(TURNS), 5)
    assert report["evidence_recall"] == 1.0
    assert report["evidence_recall_search"] == 1.0
    assert (report["overflows"], report["failed_chains"]) == (0, 0)
    assert report["context_tokens_max"] <= report["context_budget"] == 4096 - 512
    assert {request.body["model"] for request in server.requests} == {"fake"}
    probes = [request for request in server.requests if "tools" not in request.body]
    assert len(probes) == 1, "the server is tried out once, and every other call offers the functions"
    # A turn is one call, a question two or three.
    assert len(server.requests) - 1 >= len(TURNS) + 2 * 5


def test_fleets_are_what_the_table_says() -> None:
    assert type(open_fleet(FleetTable(kind="local"))).__name__ == "Local"
    assert type(open_fleet(FleetTable(placement="dedicated", hosts=2))).__name__ == "Cluster"


def test_a_fleet_that_is_kept_runs_on_after_the_run(
    pagefault: Pagefault, village: Callable[[str, str], str], tmp_path: Path, ray_session: None
) -> None:
    address = _ray.gcs_address()
    file = village('kind = "local"', 'kind = "cluster"\nkeep = true\nembedder = "hash"')
    ended = pagefault("run", file, "--agents", "6", "--name", "stays", "--address", address, "--folder", "kept")
    assert ended.code == 0, ended.errors
    assert "the fleet stays runs on" in ended.errors
    assert json.loads(pagefault("ps", "kept", "--json").out)["total"] == 6
    assert pagefault("stop", "--folder", "kept").code == 0
    assert json.loads(pagefault("ps", "kept", "--json").out)["phases"] == {"asleep": 6}
