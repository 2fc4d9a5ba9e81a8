"""Two copies of one agent at work at the same time: only one of them has any effect."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.runs import report_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return report_of("tests.faults.copies")


def test_there_are_two_and_one_is_fenced(report: dict[str, Any]) -> None:
    assert report["old_had_begun"]
    assert report["noticed"], "the stopped node is taken for dead"
    assert report["old_is_alive"], "the first copy goes on: this is what the test is about"
    assert report["two_processes"]
    assert report["old_was_refused"], "what the first copy committed after that was refused"


def test_every_message_took_effect_once(report: dict[str, Any]) -> None:
    assert report["words"] == ["heard first", "heard second"]
    assert report["text"] == ["first", "second"]
    assert report["arrived"] == ["first", "second"]
    assert report["replies"] == 2, "one step each, though the model was asked by both copies"
    assert report["epochs"] == sorted(set(report["epochs"]))
