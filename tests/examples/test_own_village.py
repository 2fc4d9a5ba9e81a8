"""The example with a village of one's own."""

from __future__ import annotations

from pathlib import Path

from tests.examples.running import run_example


def test_the_secret_comes_to_the_last(tmp_path: Path) -> None:
    assert run_example("own_village.py", tmp_path) == "runa: The baker hides his best bread behind the blue door.\n"
