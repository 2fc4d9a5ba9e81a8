"""The example with two agents at chess."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.running import run_example


def test_white_mates_in_four(tmp_path: Path) -> None:
    for module in ("pettingzoo", "chess", "pygame"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    said = run_example("chess_match.py", tmp_path)
    assert said == "player_0: terminated, won\nplayer_1: terminated, lost\n"
