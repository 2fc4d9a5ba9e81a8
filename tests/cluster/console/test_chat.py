"""A conversation through a pipe."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pagefault.cluster.console.chat import chat_with
from pagefault.runtime.testing.fake_openai import Answer, Behaviour, Call, CutStream, FakeOpenAI, Status
from tests.cluster.console.conftest import Pagefault

LONG = "It leans on the \x1b[31mbarn, behind the wheelbarrow,\nwhere you left it yesterday."
ECHO = ("chat", "--model", "scripted:tests.cluster.minds:echo", "--folder", "kept")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What is written to the command's standard input."""
    given = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given, encoding="utf-8"))
    return given


def put(typed: io.BytesIO, text: bytes) -> None:
    typed.write(text)
    typed.seek(0)


def test_lines_are_answered_until_quit(pagefault: Pagefault, typed: io.BytesIO) -> None:
    put(typed, b"hello\n\n \nand again\n/quit\nnever read\n")
    ended = pagefault(*ECHO)
    assert (ended.code, ended.out) == (0, "heard hello\nheard and again\n")
    assert "its memory is in kept" in ended.errors


def test_it_remembers(pagefault: Pagefault, typed: io.BytesIO, tmp_path: Path) -> None:
    command = ("chat", "--model", "scripted:tests.cluster.minds:keeper", "--folder", "kept", "--steps")
    put(typed, b"The ladder leans on the barn.\n")
    assert pagefault(*command).code == 0
    typed.truncate(0)
    put(typed, b"Where is the ladder?\n")
    sys.stdin.seek(0)
    ended = pagefault(*command)
    assert "barn" in ended.out
    assert "function called" in ended.errors
    assert (tmp_path / "kept").is_dir()


def test_bytes_that_are_no_text_do_not_end_it(pagefault: Pagefault, typed: io.BytesIO) -> None:
    put(typed, b"caf\xe9\nhello\n")
    ended = pagefault(*ECHO)
    assert (ended.code, ended.out) == (0, "heard caf\N{REPLACEMENT CHARACTER}\nheard hello\n")


@pytest.mark.parametrize(("lines", "code"), [(b"one\n", 1), (b"one\ntwo\n", 0), (b"", 0)])
def test_nothing_but_failures_is_a_failure(pagefault: Pagefault, typed: io.BytesIO, lines: bytes, code: int) -> None:
    put(typed, lines)
    said = Answer("", [Call("send_message", json.dumps({"message": "Good day."}))])
    with FakeOpenAI([Answer("OK"), Status(403, "not that"), said]) as server:
        ended = pagefault("chat", "--base-url", server.base_url, "--folder", "kept")
    assert ended.code == code
    assert ended.errors.count("error: ") == (1 if lines else 0)
    assert ended.out == ("Good day.\n" if lines.endswith(b"two\n") else "")


def test_a_model_must_be_named(pagefault: Pagefault, tmp_path: Path) -> None:
    assert "--model: found 'nothing'" in pagefault("chat").error
    assert list(tmp_path.iterdir()) == []


def test_a_runs_file_says_where_models_are_and_what_may_be_spent(
    pagefault: Pagefault, typed: io.BytesIO, tmp_path: Path
) -> None:
    said = Answer("", [Call("send_message", json.dumps({"message": "Good day."}))])
    command = ("chat", "--model", "fake", "--file", "run.toml", "--folder", "kept")
    with FakeOpenAI([Answer("OK"), said, Answer("OK")]) as server:
        endpoint = f'world = "village"\n[[endpoint]]\nname = "main"\nbase_url = "{server.base_url}"\n'
        (tmp_path / "run.toml").write_text(endpoint)
        put(typed, b"hello\n")
        assert pagefault(*command).out == "Good day.\n"
        asked = len(server.requests)
        (tmp_path / "run.toml").write_text(endpoint + "[budget]\ntokens_max = 1\n")
        sys.stdin.seek(0)
        ended = pagefault(*command)
        assert len(server.requests) == asked + 1, "the test of the connection alone"
    assert (ended.code, ended.out) == (1, "")
    assert "tokens_max" in ended.errors


@pytest.mark.parametrize("is_cut", [False, True])
async def test_on_a_terminal_words_are_shown_as_they_come(typed: io.BytesIO, tmp_path: Path, is_cut: bool) -> None:
    streams: list[object] = []

    def respond(body: Mapping[str, Any]) -> Behaviour:
        if body.get("stream"):  # not what tries the server out before
            streams.append(body)
        return CutStream(Answer(LONG)) if is_cut and len(streams) == 1 else Answer(LONG)

    put(typed, b"Where is it?\n")
    screen, notes = io.StringIO(), io.StringIO()
    with FakeOpenAI(respond=respond) as server:
        options = {"base_url": server.base_url, "backoff_ms": 1}
        template = {"name": "ada", "model": "openai:any", "model_options": options, "context_tokens": 8192}
        console = Console(file=screen, force_terminal=True, color_system=None, width=80)
        went_well = await chat_with(template, tmp_path / "kept", console, Console(file=notes), show_steps=False)
        assert went_well
    assert len(streams) == 1 + is_cut
    shown = screen.getvalue()
    assert shown.endswith(LONG.replace("\x1b", "\N{REPLACEMENT CHARACTER}") + "\n")
    assert "\x1b" not in shown
    assert ("withdrawn" in notes.getvalue()) == is_cut
