"""Several nodes, some of which are lost, join, or are drained: nothing is lost, done twice, or out of order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.runs import report_of

INTERRUPTS = 3_000
"""The soak tests send 20,000, and half a million."""


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return report_of("tests.faults.nodes", str(INTERRUPTS))


pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_node_is_removed_and_one_added_during_thousands_of_interrupts(report: dict[str, Any]) -> None:
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
@pytest.mark.parametrize("interrupts", ["20000", "500000"])
def test_the_same_with_many_more(interrupts: str) -> None:
    found = report_of("tests.faults.nodes", interrupts)["traffic"]
    assert (found["lost"], found["twice"], found["disordered"]) == (0, 0, 0), found
