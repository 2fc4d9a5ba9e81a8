"""Steps and lives drawn."""

from __future__ import annotations

from pagefault.cluster.console.draw.past import BAR_CELLS, level, spark


def test_bars() -> None:
    assert [len(level(tokens, 100)) for tokens in (0, 50, 100, 500)] == [0, BAR_CELLS // 2, BAR_CELLS, BAR_CELLS]
    assert level(3, 0) == "█" * BAR_CELLS
    assert spark([0, 1, 4, 8]) == " ▁▄█"
    assert spark([1, 1_000]) == "▁█", "what happened at all is seen"
    assert spark([]) == spark([0, 0]) == ""
