"""Runs that are stopped half-way, by Ctrl-C or by death, and go on with the same command."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.runs import VILLAGE, Run

STOPS_WITHIN_S = 10.0
"""A bound for slow machines; what is meant is a second or two."""
Start = Callable[..., Run]
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def begin(*arguments: str, stdin: int = subprocess.DEVNULL) -> Run:
        runs.append(Run(*arguments, folder=tmp_path, stdin=stdin))
        return runs[-1]

    yield begin
    for run in runs:
        run.end()


def village(folder: Path, kind: str, *, agents: int = 20, latency_ms: int = 130) -> tuple[str, ...]:
    (folder / "village.toml").write_text(VILLAGE.format(kind=kind, agents=agents, latency_ms=latency_ms))
    return "run", "village.toml", "--folder", "kept", "--json"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", pytest.param("cluster", marks=pytest.mark.soak)])
def test_ctrl_c_stops_cleanly_and_the_run_can_be_resumed(start: Start, tmp_path: Path, kind: str) -> None:
    command = village(tmp_path, kind)
    run = start(*command)
    run.until_it_is_half_way()
    began_s = time.monotonic()
    run.signal(signal.SIGINT, group=True)
    code, out, errors = run.ended()
    assert time.monotonic() - began_s < STOPS_WITHIN_S
    assert (code, out) == (130, "")
    assert "Traceback" not in errors
    assert "every agent is saved in kept. `pagefault resume kept` goes on from there." in errors
    report = start("resume", "kept", "--json").report()
    assert report["accuracy"] == 1.0
    assert report["failed_chains"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param("local", marks=pytest.mark.soak), "cluster"])
def test_a_killed_run_is_resumed_from_its_folder(start: Start, tmp_path: Path, kind: str) -> None:
    command = village(tmp_path, kind)
    run = start(*command)
    run.until_it_is_half_way()
    run.signal(signal.SIGKILL, group=True)
    assert run.ended()[0] == -signal.SIGKILL
    (tmp_path / "village.toml").unlink(missing_ok=True)  # what is needed was kept
    report = start("resume", "kept", "--json").report()
    assert report["accuracy"] == 1.0
    assert report["failed_chains"] == 0


@pytest.mark.soak
def test_a_killed_run_goes_on_with_the_same_command_too(start: Start, tmp_path: Path) -> None:
    command = village(tmp_path, "local")
    run = start(*command)
    run.until_it_is_half_way()
    run.signal(signal.SIGKILL, group=True)
    assert run.ended()[0] == -signal.SIGKILL
    report = start(*command).report()
    assert report["accuracy"] == 1.0
    assert report["failed_chains"] == 0


def test_a_run_without_a_folder_says_that_nothing_was_kept(start: Start, tmp_path: Path) -> None:
    run = start("run", village(tmp_path, "local")[1])
    run.until_it_is_half_way()
    run.signal(signal.SIGTERM)
    code, out, errors = run.ended()
    assert (code, out) == (128 + signal.SIGTERM, "")
    assert "nothing was kept. Give --folder DIR" in errors


def test_ctrl_c_ends_a_chat_that_waits_for_its_next_line(start: Start) -> None:
    chat = start("chat", "--model", "scripted:tests.cluster.minds:echo", "--folder", "kept", stdin=subprocess.PIPE)
    chat.type("hello")
    assert chat.line() == "heard hello"
    chat.signal(signal.SIGINT, group=True)
    code, out, errors = chat.ended(STOPS_WITHIN_S)
    assert (code, out) == (130, "")
    assert errors.strip() == "stopped; what was said is in kept"


def conversation(turns: int) -> str:
    """Notes on an imaginary garden, the evidence of each question in one turn."""
    plants = [f"bed {number} holds {plant}" for number, plant in enumerate(["leeks", "kale", "beans", "chard"] * turns)]
    said = [
        {"dia_id": f"D1:{number}", "speaker": ("Ida", "Bo")[number % 2], "text": f"I noted that {plants[number]}."}
        for number in range(turns)
    ]
    asked = [
        {"question": f"What does bed {number} hold?", "answer": "", "evidence": [f"D1:{number}"], "category": 4}
        for number in range(0, turns, 9)
    ]
    talk = {
        "speaker_a": "Ida", "speaker_b": "Bo", "session_1_date_time": "9:00 am on 3 May, 2024", "session_1": said,
    }  # fmt: skip
    return json.dumps([{"sample_id": "garden", "conversation": talk, "qa": asked}])


@pytest.mark.slow
def test_a_killed_reading_goes_on_and_finds_what_an_unbroken_one_finds(start: Start, tmp_path: Path) -> None:
    (tmp_path / "talk.json").write_text(conversation(90))
    (tmp_path / "talk.toml").write_text(
        'world = "dialogues"\n[agent]\nmodel = "scripted:pagefault.cluster.worlds.dialogues_mind:reader"\n'
        'model_options = { latency_ms = 30 }\nfunctions = ["send_message", "conversation_search"]\n'
        'context_tokens = 2048\nreply_tokens = 256\nwrite_back = "archive"\n'
        '[fleet]\nkind = "local"\nembedder = "hash"\n'
    )
    command = ("run", "talk.toml", "--data", "talk.json", "--json", "--folder")
    other, run = start(*command, "unbroken"), start(*command, "broken")
    run.until_it_is_half_way()
    run.signal(signal.SIGKILL)
    assert run.ended()[0] == -signal.SIGKILL
    resumed, unbroken = start(*command, "broken").report(), other.report()
    assert unbroken["evidence_recall_search"] > 0.5
    for key in ("turns", "questions", "evidence_recall_search", "overflows", "failed_chains", "evictions"):
        assert resumed[key] == unbroken[key], key
