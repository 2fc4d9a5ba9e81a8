"""The example with Gymnasium."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.running import run_example


def test_the_lake_is_crossed(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium", reason="the extra worlds is not installed")
    assert run_example("gym_agent.py", tmp_path) == "6 steps, reward 1\n"
