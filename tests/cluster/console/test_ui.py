"""``pagefault ui`` from the command line: what it shows, and what it says when there is nothing to show."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from pagefault.cluster.console import ui
from tests.cluster.console.conftest import ROOT, Pagefault

COMMAND = "from pagefault.cluster.console.entry import main; main()"


class Started:
    """The command in a process of its own; its page answers inside the block."""

    def __init__(self, place: Path, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "ui", *arguments, "--port", "0", "--json"],
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> httpx2.Client:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate()[1]
        return httpx2.Client(base_url=json.loads(line)["url"], timeout=30, trust_env=False)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        assert self._process.communicate(timeout=30)[1] == ""
        self.code = self._process.returncode


def first_event(client: httpx2.Client) -> dict[str, object]:
    with client.stream("GET", "/api/events") as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                found: dict[str, object] = json.loads(line.removeprefix("data: "))
                return found
    raise AssertionError("nothing was told")


def test_the_demo_lives(tmp_path: Path) -> None:
    with Started(tmp_path, "--demo") as client:
        told = first_event(client)
        assert (told["mode"], told["total"]) == ("live", 320)


def test_what_cannot_be_shown_is_said_in_a_line(pagefault: Pagefault, monkeypatch: pytest.MonkeyPatch) -> None:
    error = pagefault("ui").error
    assert "--folder: found 'pagefault-data'" in error
    assert "--demo" in error
    assert "--demo: found True" in pagefault("ui", "somewhere", "--demo").error
    assert "--port" in pagefault("ui", "--demo", "--port", "70000").error
    assert "--token" in pagefault("ui", "--demo", "--port", "0", "--token", "short").error
    monkeypatch.setattr(ui, "import_module", _missing)
    assert "pip install 'pagefault[ui]'" in pagefault("ui", "--demo").error


def _missing(_name: str) -> object:
    raise ModuleNotFoundError("No module named 'starlette'", name="starlette")
