"""``pagefault eval``: scripted minds sit the paper's tasks; what cannot be is one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pagefault.runtime.testing.fake_openai import Answer, Call, FakeOpenAI
from tests.cluster.console.conftest import Pagefault
from tests.cluster.worlds.exams import ROW, write_rows
from tests.cluster.worlds.talk import write_talk

MEMORIES = ["pagefault", "full", "truncated", "summary", "retrieval"]


def test_every_chain_is_solved(pagefault: Pagefault) -> None:
    ended = pagefault("eval", "nested-kv", "--orderings", "1", "--memory", "pagefault", "--memory", "full", "--json")
    assert ended.code == 0
    found = json.loads(ended.out)
    assert set(found["by_hops"].values()) == {1.0}
    assert found["searches"] == {str(hops): hops + 2 for hops in range(6)}
    assert set(found["baselines"]["full"]["by_hops"].values()) == {1.0}


def test_chains_are_followed_once(pagefault: Pagefault) -> None:
    arguments = (
        "eval",
        "nested-kv",
        "--orderings",
        "1",
        "--memory",
        "pagefault,truncated",
        "--folder",
        "kept",
        "--json",
    )
    first, again = (json.loads(pagefault(*arguments).out) for _ in range(2))
    for name in ("by_hops", "searches", "baselines", "steps"):
        assert first[name] == again[name], name
    assert "the same content" in pagefault(*arguments, "--seed", "2").error


def test_other_memories_alone(pagefault: Pagefault) -> None:
    ended = pagefault("eval", "nested-kv", "--orderings", "1", "--memory", "truncated")
    assert ended.code == 0
    assert "truncated" in ended.out
    assert "page faults" not in ended.out


@pytest.mark.parametrize("task", ["dialogues", "dmr", "openers", "documents"])
def test_each_task_compares_all_memories(pagefault: Pagefault, tmp_path: Path, task: str) -> None:
    data = write_talk(tmp_path) if task == "dialogues" else write_rows(tmp_path / "msc.jsonl", ROW)
    more: tuple[str, ...] = ()
    if task == "documents":
        passages = [{"title": "T", "text": f"Mason{n} built tower{n}."} for n in range(9)]
        lines = [
            {"question": f"who built tower{n}", "answers": [f"Mason{n}"], "ctxs": [passage]}
            for n, passage in enumerate(passages)
        ]
        data = write_rows(tmp_path / "nq.jsonl", *lines)
        more = ("--documents", "3", "--documents", "9", "--questions", "4", "--seed", "2")
    arguments = ("eval", task, "--data", str(data), "--embedder", "hash", "--folder", "kept", *more)
    first = pagefault(*arguments, "--json")
    assert first.code == 0, first.errors
    found = json.loads(first.out)
    assert list(found["memories"]) == MEMORIES
    assert all(each["failed"] == 0 for each in found["memories"].values())
    again = pagefault(*arguments, "--json")
    assert json.loads(again.out) == found
    other = pagefault(*arguments, "--context-tokens", "3000").error
    assert "--folder: found" in other
    assert "the same context_tokens" in other


def answers(body: Mapping[str, Any]) -> Answer:
    """A model that searches if it can, and knows what a queen of bees is called if it is shown it."""
    messages = body["messages"]
    shown = " ".join(str(message.get("content")) for message in messages)
    said = "She is called Otilia." if "Otilia" in shown else "I do not know."
    if not body.get("tools"):
        return Answer("CORRECT" if "exam" in messages[0]["content"][:20] else said)
    if messages[-1]["role"] != "tool":
        searched = {"query": "the queen of the bees", "request_heartbeat": True}
        return Answer("", [Call("conversation_search", json.dumps({**searched, "page": 0}))])
    return Answer("", [Call("send_message", json.dumps({"message": said}))])


def test_a_model_of_a_server_sits_and_judges(pagefault: Pagefault, tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "msc.jsonl", ROW))
    with FakeOpenAI(respond=answers) as server:
        where = ("--model", "fake", "--base-url", server.base_url, "--judge", "marker")
        ended = pagefault("eval", "dmr", "--data", data, "--embedder", "hash", *where, "--json")
    assert ended.code == 0, ended.errors
    found = json.loads(ended.out)
    assert found["model"] == "openai:fake"
    for memory, each in found["memories"].items():
        assert (each["rouge_l"], each["judged"], each["failed"]) == (1.0, 1.0, 0), memory
    assert found["memories"]["pagefault"]["searches_mean"] == 1.0


def test_what_is_wrong_is_one_line(pagefault: Pagefault, tmp_path: Path) -> None:
    assert "--data: found" in pagefault("eval", "nested-kv", "--data", str(tmp_path)).error
    assert "context" in pagefault("eval", "nested-kv", "--context-tokens", "300").error
    assert "allowed: pagefault, full" in pagefault("eval", "nested-kv", "--memory", "none").error
    data = str(write_rows(tmp_path / "msc.jsonl", ROW))
    assert "MSC-Self-Instruct" in pagefault("eval", "dmr", "--data", "nowhere").error
    assert "no field 'ctxs'" in pagefault("eval", "documents", "--data", data).error
    assert "at least one conversation" in pagefault("eval", "dialogues", "--data", data).error
    assert "--judge-url" in pagefault("eval", "dmr", "--data", data, "--judge-url", "http://localhost:1/v1").error
    unreachable = ("--model", "m", "--base-url", "http://127.0.0.1:9/v1")
    assert "127.0.0.1:9" in pagefault("eval", "dmr", "--data", data, *unreachable).error
