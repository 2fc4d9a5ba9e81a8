"""How far clocks are apart: what is sure of it, and on a real Ray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.cluster import _ray
from pagefault.cluster._ray_clocks import ROUNDS, read_clocks
from pagefault.cluster.console.health import nodes as health
from pagefault.cluster.console.health.contract import Asked
from pagefault.cluster.console.health.nodes import judged_clocks, nodes, offset
from pagefault.cluster.whereabouts import Whereabouts

NOW_S = 1_795_000_000.0
delays = st.floats(0, 2)


def reading(ahead_s: float, there_s: float = 0.001, back_s: float = 0.001, at_s: float = NOW_S) -> list[float]:
    return [at_s, at_s + there_s + ahead_s, at_s + there_s + back_s]


@given(st.floats(-1e4, 1e4), st.lists(st.tuples(delays, delays), min_size=1, max_size=5))
def test_an_offset_is_wrong_by_no_more_than_it_says(ahead_s: float, trips: list[tuple[float, float]]) -> None:
    readings = [reading(ahead_s, *trip, at_s=NOW_S + 10 * number) for number, trip in enumerate(trips)]
    found = offset(readings)
    assert abs(found.ahead_s - ahead_s) <= found.error_s + 1e-5
    assert found.error_s <= min(sum(trip) for trip in trips) / 2 + 1e-5, "the quickest counts"


@pytest.mark.parametrize(
    ("ahead", "status", "seen"),
    [
        ({"a": 0.0, "b": 0.2}, "ok", "2 of 2 nodes: 200 ms apart (±1 ms)"),
        ({"a": 0.0, "b": 0.7}, "warning", "2 of 2 nodes: 700 ms apart (±1 ms), b ahead of this machine"),
        ({"a": -3.0, "b": 3.0}, "failed", "2 of 2 nodes: 6.0 s apart (±2 ms), b ahead of a"),
        ({"a": -7.0}, "failed", "1 of 1 nodes: 7.0 s apart (±1 ms), this machine ahead of a"),
    ],
)
def test_what_is_apart_is_said_with_whose_clock_it_is(ahead: dict[str, float], status: str, seen: str) -> None:
    found = judged_clocks({node: [reading(ahead_s)] for node, ahead_s in ahead.items()})
    assert (found.status, found.seen) == (status, seen)


def test_what_a_slow_answer_may_have_made_up_is_held_against_nobody() -> None:
    assert judged_clocks({"a": [reading(0.0, there_s=2.0, back_s=0.0)]}).status == "ok"
    assert judged_clocks({"a": [reading(2.0, there_s=2.0, back_s=0.0)]}).status == "warning"


def test_who_does_not_answer_is_named_unless_clocks_are_the_greater_trouble() -> None:
    assert "no answer from b" in judged_clocks({"a": [reading(0.0)], "b": []}).seen
    assert judged_clocks({"a": [reading(9.0)], "b": []}).status == "failed"


def test_of_no_cluster_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for address in (None, "local", "127.0.0.1:1"):
        (found,) = nodes(Asked(tmp_path, address=address))
        assert found.status == "skipped"


async def test_nodes_of_a_ray_say_their_time(ray_session: None) -> None:
    (found,) = (await read_clocks(60.0)).values()
    assert len(found) == ROUNDS
    clock = offset(found)
    assert abs(clock.ahead_s) <= clock.error_s + 0.001, "it is this machine's clock"


def test_the_cluster_of_a_folder_is_asked(ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(health, "PATIENCE_S", 60.0)  # what is tested is not how busy this machine is
    Whereabouts("asked", _ray.gcs_address(), os.getpid(), 0, token=_ray.wants_token()).write(tmp_path)
    (found,) = nodes(Asked(tmp_path))
    assert (found.status, found.seen[:13]) == ("ok", "1 of 1 nodes:"), found
