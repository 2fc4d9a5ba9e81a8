"""The benchmark of consolidation, small: reviews make the archive smaller and the answers better."""

from __future__ import annotations

from pathlib import Path

from benchmarks.consolidation import Life


def test_who_tidies_up_knows_more_of_less(tmp_path: Path) -> None:
    off = Life(tmp_path / "off", 20, 1, "off").live()
    review = Life(tmp_path / "review", 20, 1, "review").live()
    assert review["pages"] < off["pages"] / 2
    assert review["right_newest_hit"] >= off["right_newest_hit"]
    assert review["right_best_hit"] > off["right_best_hit"]
    assert (off["reviews"], off["passages_merged"]) == (0, 0)
