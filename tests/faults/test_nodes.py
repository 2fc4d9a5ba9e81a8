"""Several nodes, some of which are lost, join, or are drained: nothing is lost, done twice, or out of order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTS = 20_000


def run(count: int) -> dict[str, Any]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.nodes", str(count)],
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


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return run(INTERRUPTS)


pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_node_is_removed_and_one_added_during_twenty_thousand_interrupts(report: dict[str, Any]) -> None:
    found = report["traffic"]
    assert found["events"] == 3, "a node was removed, one added, and the scheduler killed while interrupts were sent"
    assert found["zones"] == ["b", "c", "head"]
    assert (found["lost"], found["twice"], found["disordered"]) == (0, 0, 0), found
    assert found["moves"] > 0, "agents moved all the time"
    assert found["shared"], "the node that joined has its share of the agents"


def test_a_node_is_drained_though_an_agent_there_is_busy(report: dict[str, Any]) -> None:
    found = report["drained"]
    assert found["wishes"], "node, labels and neighbours were as wished for, though the scheduler had died meanwhile"
    assert found["empty"], "the drained node has no host"
    assert found["drain_seconds"] < 60
    assert found["busy"] == "heard hello", "whoever waited for the busy agent has its answer"
    assert found["answers"] == ["heard again"]
    assert found["remembered"], "a scheduler that comes back knows which nodes are drained"
    assert found["elsewhere"], "whoever was there lives on the other node now"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_same_with_half_a_million() -> None:
    found = run(500_000)["traffic"]
    assert (found["lost"], found["twice"], found["disordered"]) == (0, 0, 0), found
