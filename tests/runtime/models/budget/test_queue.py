"""Turns and fairness."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.models.budget.queue import FLOWS_KEPT, Fairness, Turns
from pagefault.runtime.values import Priority

PRIORITIES = st.sets(st.sampled_from(list(Priority)[1:]), min_size=2)


@given(PRIORITIES, st.floats(0.01, 0.5))
def test_none_that_waits_starves_and_the_highest_gets_nearly_all(waiting: set[Priority], share: float) -> None:
    turns = Turns(share)
    lower = len(waiting) - 1
    bound = math.ceil(lower * (1 + math.ceil(1 / share - 1e-6)))
    served: list[Priority] = []
    for _ in range(4 * bound):
        first = turns.order(waiting)[0]
        turns.served(first, waiting)
        served.append(first)
    for priority in waiting - {min(waiting)}:
        places = [-1, *(place for place, each in enumerate(served) if each is priority), len(served)]
        assert max(after - before for before, after in pairwise(places)) <= bound
    assert served.count(min(waiting)) >= len(served) * (1 - share) - 1


def test_with_no_share_lower_ones_wait_for_ever() -> None:
    turns = Turns(0.0)
    waiting = {Priority.USER, Priority.BACKGROUND}
    for _ in range(1_000):
        assert turns.order(waiting)[0] is Priority.USER
        turns.served(Priority.USER, waiting)


def test_serving_while_nobody_else_waits_earns_the_lower_ones_nothing() -> None:
    turns = Turns(0.5)
    for _ in range(100):
        turns.served(Priority.USER, {Priority.USER})
    assert turns.order({Priority.USER, Priority.BACKGROUND})[0] is Priority.USER


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 500)), min_size=50, max_size=50))
def test_agents_that_always_wait_get_the_same_tokens(sizes: list[tuple[int, int]]) -> None:
    """Each agent has one call waiting at a time, and a size of its own: what they get differs by two calls at most."""
    fairness = Fairness()
    size_of = {str(agent): size for agent, size in enumerate(size for _, size in sizes[:5])}
    tags = {agent: fairness.tag(Priority.USER, agent, size) for agent, size in size_of.items()}
    got = dict.fromkeys(size_of, 0)
    for _ in range(500):
        agent = min(tags, key=lambda each: (tags[each], each))
        fairness.served(Priority.USER, tags[agent])
        got[agent] += size_of[agent]
        tags[agent] = fairness.tag(Priority.USER, agent, size_of[agent])
    assert max(got.values()) - min(got.values()) <= 2 * max(size_of.values())


def test_silence_saves_up_nothing() -> None:
    fairness = Fairness()
    for _ in range(100):
        fairness.served(Priority.USER, fairness.tag(Priority.USER, "busy", 10))
    late = [fairness.tag(Priority.USER, "late", 10) for _ in range(3)]
    busy = fairness.tag(Priority.USER, "busy", 10)
    assert late[0] < busy + 1e-9, "it is served at once"
    assert late[2] > busy, "and then takes turns"


def test_agents_that_are_behind_are_forgotten() -> None:
    fairness = Fairness()
    for agent in range(3 * FLOWS_KEPT):
        fairness.served(Priority.USER, fairness.tag(Priority.USER, str(agent), 1))
        fairness.served(Priority.USER, agent + 2.0)
    assert len(fairness._ends) <= FLOWS_KEPT + 1
