"""Two copies of one agent at work at the same time: only one of them has any effect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.copies"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    reports = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(reports[-1])
    return found


def test_there_are_two_and_one_is_fenced(report: dict[str, Any]) -> None:
    assert report["noticed"], "the stopped node is taken for dead"
    assert report["old_is_alive"], "the first copy goes on: this is what the test is about"
    assert report["two_processes"]
    assert report["old_was_refused"], "what the first copy committed after that was refused"


def test_every_message_took_effect_once(report: dict[str, Any]) -> None:
    assert report["words"] == "heard second"
    assert report["text"] == ["first", "second"]
    assert report["replies"] == 2, "one step each, though the model was asked by both copies"
    assert report["epochs"] == sorted(set(report["epochs"]))
