"""The command line as a new user meets it: what goes wrong is one line, a code, and nothing half-made."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pagefault.runtime.host.local import Local
from pagefault.runtime.testing.fake_openai import Answer, FakeOpenAI, Status
from tests.cluster.console.conftest import Pagefault

Village = Callable[..., str]


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("context_tokens =", "context_token =", ["agent", "'context_token'", "did you mean context_tokens?"]),
        ("days =", "dayz =", ["village.toml.village", "'dayz'", "did you mean days?"]),
        ("seed =", "sede =", ["village.toml", "'sede'", "did you mean seed?"]),
        (
            "seed = 1",
            "colour = 1",
            [
                "'colour'",
                "one of agent, agents, budget, dialogues, endpoint, fleet, gymnasium, mcp, pettingzoo, play, seed",
            ],
        ),
        ("context_tokens = 2048", 'context_tokens = "many"', ["agent.context_tokens", "'many'", "integer"]),
        ("days = 2", "days = 0", ["village.days", "found 0", "greater than or equal to 1"]),
        ('world = "village"', 'world = "vilage"', ["village.toml.world", "'vilage'", "'village', 'town'"]),
        ('world = "village"', "world village", ["valid TOML", "line 3"]),
        ('policy = "lru"', 'policy = "lruu"', ["'lruu'", "one of arc, clock, fifo, foresight, gdsf"]),
        ('write_back = "archive"', 'write_back = "archiv"', ["write_back", "'archiv'", "archive, drop, handle"]),
        ("scripted:pagefault.cluster", "scripted:nowhere", ["nowhere"]),
        ('"send_message"', '"send_mesage"', ["'send_mesage'", "did you mean 'send_message'"]),
        ('"send_message"', '"no_such_module:look"', ["no module 'no_such_module'"]),
        ('"send_message"', '"without_hints:look"', ["'look'", "'what'", "no type hint", "what: str"]),
        ('"send_message"', '"broken_module:look"', ["cannot be imported", "ZeroDivisionError"]),
        ("context_tokens = 2048", "context_tokens = 600", ["context_tokens", "600", "or more: system prompt, blocks"]),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line(
    pagefault: Pagefault, village: Village, tmp_path: Path, *, old: str, new: str, said: list[str]
) -> None:
    (tmp_path / "without_hints.py").write_text(
        'from pagefault import function\n\n\n@function\ndef look(what):\n    """Look."""\n    return what\n'
    )
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    file = village(old, new)
    before = files(tmp_path)
    ended = pagefault("run", file, "--agents", "4", "--folder", "kept")
    assert ended.error.startswith("error: ")
    assert ended.code == 2
    assert [words for words in said if words not in ended.error] == [], ended.error
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--placement", "moon"], ["--placement", "'moon'", "'packed'"]),
        (["--policy", "lruu"], ["'lruu'", "importance"]),
        (["--model", "nothing:like-it"], ["'nothing:like-it' is not known", "openai:MODEL"]),
        (["--model", "scripted:nobody"], ["mind 'nobody' is not registered"]),
        (["--model", ""], ["--model"]),
        (["--context-tokens", "400"], ["context_tokens", "400", "or more"]),
        (["--context-tokens", "0"], ["context_tokens", "256 or more"]),
        (["--agents", "0"], ["--agents"]),
        (["--agents", "1"], ["village.agents", "2 or more"]),
        (["--log-level", "loud"], ["--log-level", "'loud'", "'warning'"]),
        (["--sed", "3"], ["--sed"]),
        (["--base-url", "nonsense"], ["--base-url", "'nonsense'", "http://"]),
        (["--model", "some-model", "--base-url", "nonsense"], ["base_url", "'nonsense'", "http://"]),
        (["--model", "scripted:nobody", "--base-url", "http://127.0.0.1:9/v1"], ["--base-url", "scripted"]),
        (["--model", "some-model"], ["OPENAI_API_KEY"]),
    ],
)
def test_what_is_wrong_on_the_command_line_is_one_line(
    pagefault: Pagefault, village: Village, tmp_path: Path, arguments: list[str], said: list[str]
) -> None:
    command = ["run", village(), "--folder", "kept", *arguments]
    before = files(tmp_path)
    ended = pagefault(*command)
    assert ended.code == 2
    assert [words for words in said if words not in ended.error] == [], ended.error
    assert files(tmp_path) == before


def test_a_file_that_is_not_there(pagefault: Pagefault) -> None:
    assert "'missing.toml'" in pagefault("run", "missing.toml").error
    assert "'file'" in pagefault("run").error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "a readable JSON file"),
        ("{}", "a JSON list with at least one conversation"),
        ("[5]", "conversation 1 is not an object"),
        ('[{"conversation": []}]', "'conversation' of conversation 1 is not an object"),
        ('[{"conversation": {}}]', "conversation 1 has no 'qa'"),
        ("[" * 100_000, "a readable JSON file"),
    ],
)
def test_a_data_file_of_the_wrong_shape(pagefault: Pagefault, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "talk.toml").write_text('world = "dialogues"\n[fleet]\nkind = "local"\n')
    (tmp_path / "talk.json").write_text(text)
    ended = pagefault("run", "talk.toml", "--data", "talk.json", "--folder", "kept")
    assert said in ended.error
    assert not (tmp_path / "kept").exists()
    assert "--data: found 'nothing'" in pagefault("run", "talk.toml").error


class Refusal(NamedTuple):
    server: dict[str, Any]
    said: str


@pytest.mark.parametrize("command", [("run", "village.toml", "--folder", "kept"), ("chat", "--folder", "kept")])
@pytest.mark.parametrize(
    "refusal",
    [
        Refusal({"api_key": "right"}, "did not accept the key (401)"),
        Refusal({"respond": lambda _: Status(404, "model not found", "model_not_found")}, "has no model 'some-model'"),
        Refusal({"respond": lambda _: Status(503, "out for lunch")}, "failed (503): out for lunch"),
    ],
    ids=["key", "model", "failing"],
)
def test_a_server_that_refuses_is_one_line_before_anything_is_made(
    pagefault: Pagefault,
    village: Village,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    command: tuple[str, ...],
    refusal: Refusal,
) -> None:
    village()
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with FakeOpenAI(**refusal.server) as server:
        ended = pagefault(*command, "--model", "some-model", "--base-url", server.base_url)
    assert ended.code == 1
    assert refusal.said in ended.error
    assert not (tmp_path / "kept").exists()


def test_a_server_that_is_down_is_one_line(pagefault: Pagefault, village: Village, tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        address = server.base_url  # nobody listens there once it is closed
    for model in (["--model", "qwen3:8b"], []):
        ended = pagefault("run", village(), *model, "--base-url", address, "--folder", "kept")
        assert f"cannot reach {address}" in ended.error
        assert not (tmp_path / "kept").exists()


def test_a_server_that_goes_down_later_fails_the_run(pagefault: Pagefault, village: Village) -> None:
    with FakeOpenAI([Answer("OK")], respond=lambda _: Status(401, "no longer")) as server:
        ended = pagefault(
            "run", village(), "--agents", "4", "--model", "some-model", "--base-url", server.base_url, "--json"
        )
    assert ended.code == 1
    assert json.loads(ended.out)["failed_chains"] > 10
    last = ended.errors.splitlines()[-1]
    assert "chains failed; the first: " in last
    assert "401" in last


def test_folders_that_cannot_be_used(pagefault: Pagefault, village: Village, tmp_path: Path) -> None:
    file = village()
    assert "cannot be made" in pagefault("run", file, "--folder", file).error

    async def while_it_is_open() -> str:
        async with Local(tmp_path / "taken", embedder="hash"):
            return await asyncio.to_thread(other_process)

    def other_process() -> str:
        script = "from pagefault.cluster.console.main import main; main()"
        command = [sys.executable, "-c", script, "run", file, "--folder", "taken"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    errors = asyncio.run(while_it_is_open())
    assert "one process at a time may open it" in errors
    assert errors.count("\n") == 1


def test_a_full_disk_is_one_line(
    pagefault: Pagefault, village: Village, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = village()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=200_000))
    ended = pagefault("run", file, "--folder", "kept")
    assert ended.code == 1
    assert "the disk is full: 0.2 MB are free" in ended.error
    assert not (tmp_path / "kept").exists()


def test_results_as_one_json_object(pagefault: Pagefault, village: Village) -> None:
    ended = pagefault("run", village(), "--agents", "6", "--json", "--seed", "5", "--policy", "fifo")
    assert ended.code == 0
    assert ended.out.count("\n") == 1
    results = json.loads(ended.out)
    assert (results["agents"], results["accuracy"], results["overflows"]) == (6, 1.0, 0)
    assert "to do" in ended.errors


def test_results_as_a_table_that_no_pipe_breaks(pagefault: Pagefault, village: Village) -> None:
    ended = pagefault("run", village(), "--agents", "6")
    row = next(line for line in ended.out.splitlines() if "answered right" in line)
    assert "100.0%" in row
    assert "the true answers are known" in row


def test_versions(pagefault: Pagefault) -> None:
    assert {"python", "pagefault", "ray"} <= set(json.loads(pagefault("version", "--json").out))
    assert "python 3." in pagefault("version").out


def test_help_when_nothing_is_asked_for(pagefault: Pagefault) -> None:
    ended = pagefault()
    assert ended.code == 0
    assert all(command in ended.out for command in ("run", "chat", "version"))
