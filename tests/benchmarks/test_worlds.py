"""The figures of the benchmark of worlds have the agreed keys, and come from what was played."""

from __future__ import annotations

from typing import Any

from benchmarks.worlds import figures
from pagefault.cluster.worlds.contract import Report


def played(**changes: Any) -> Report:
    results = {
        "episodes": 4,
        "finished": 3,
        "illegal": 1,
        "world_steps_per_s": 5.5,
        "endings": {"player: won": 2, "player: truncated": 2},
    }
    return Report("r", {**results, **changes}, [])


def test_figures_have_the_agreed_keys() -> None:
    found = {"textworld": played(), "pettingzoo": played(episodes=9), "gymnasium": played(episodes=7)}
    assert figures(found, 12.345) == {
        "textworld": {"games": 4, "won": 2, "steps_per_s": 5.5},
        "pettingzoo": {"games": 9, "finished": 3, "illegal": 1},
        "gymnasium": {"episodes": 7, "steps_per_s": 5.5},
        "overhead_us_per_step": 12.3,
    }
