"""The plan of a town: from a seed, and nobody tells what nobody could know."""

from __future__ import annotations

import pytest

from pagefault.cluster.worlds.town_plan import Happening, TownPlan, TownPlanner, moment_of, season_of


def made(seed: int, agents: int = 60, days: int = 9) -> TownPlan:
    return TownPlanner(agents, days, 4, 2, seed).make()


def test_a_seed_is_a_plan() -> None:
    assert made(3) == made(3)
    assert made(3) != made(4)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_told_was_known_before_and_nobody_is_in_two_places(seed: int) -> None:
    plan = made(seed)
    knows: dict[str, dict[str, str]] = {name: {} for name in plan.names}
    busy: set[tuple[str, int]] = set()
    moment = 0
    for number, event in enumerate(plan.events):
        assert event.number == number
        assert event.moment >= moment
        moment = event.moment
        if event.happening is Happening.LEARN:
            assert plan.truths[event.topic][-1][0] >= event.moment
            knows[event.who][event.topic] = event.value
        elif event.happening is Happening.MEET:
            for name in (event.who, event.partner):
                assert (name, moment) not in busy
                busy.add((name, moment))
            value = knows[event.who][event.topic]
            assert event.value != value
            assert knows[event.partner].get(event.topic) != value
            knows[event.partner][event.topic] = event.value or value
    spread = {topic: sum(topic in known for known in knows.values()) for topic in plan.ideal_spread}
    assert spread == plan.ideal_spread
    assert any(event.value for event in plan.events if event.happening is Happening.MEET)
    assert any(len(values) > 1 for values in plan.truths.values())


def test_seasons_follow_each_other() -> None:
    assert [season_of(day, 2) for day in (1, 2, 3, 8, 9)] == [
        "spring of year 1",
        "spring of year 1",
        "summer of year 1",
        "winter of year 1",
        "spring of year 2",
    ]
    assert moment_of(2, 0) > moment_of(1, 4)
