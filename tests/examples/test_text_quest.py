"""The example with TextWorld."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.running import run_example


def test_the_quests_are_won(tmp_path: Path) -> None:
    pytest.importorskip("textworld", reason="textworld is not installed")
    assert run_example("text_quest.py", tmp_path) == "4 of 4 quests won\n"
