from collections.abc import Sequence
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.contract import PolicyError
from pagefault.policies.offline.exact import Objective, Prices, cost_optimum, optimum
from pagefault.policies.offline.intervals import intervals


@st.composite
def tiny_traces(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """Sizes, pages of the events, and a capacity; some pages are larger than it."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    pages = draw(st.lists(st.integers(0, len(sizes) - 1), max_size=10))
    return sizes, pages, draw(st.integers(1, 10))


def references(pages: Sequence[int]) -> list[bool]:
    return [page in pages[:event] for event, page in enumerate(pages)]


def best_by_trying_all(
    sizes: Sequence[int], pages: Sequence[int], capacity: int, worth_of_hit: Sequence[float], keep_a_token: float
) -> float:
    """The most worth of hits, less what keeping costs, over every choice of what to evict at every event."""
    best: dict[frozenset[int], float] = {frozenset(): 0.0}
    seen: set[int] = set()
    for page in pages:
        after: dict[frozenset[int], float] = {}
        for resident, worth in best.items():
            gained = worth + (worth_of_hit[page] if page in resident else 0.0) - keep_a_token * tokens(resident, sizes)
            others = resident - {page}
            for kept in chain.from_iterable(combinations(sorted(others), count) for count in range(len(others) + 1)):
                if not kept or tokens(kept, sizes) + sizes[page] <= capacity:
                    state = frozenset(kept) | {page}
                    after[state] = max(after.get(state, -np.inf), gained)
        # The page of an event may also leave as soon as the event is over.
        for state, worth in list(after.items()):
            after[state - {page}] = max(after.get(state - {page}, -np.inf), worth)
        best = after
        seen.add(page)
    return max(best.values())


def tokens(resident: Sequence[int] | frozenset[int], sizes: Sequence[int]) -> int:
    return sum(sizes[page] for page in resident)


@settings(deadline=None, max_examples=150)
@given(tiny_traces())
def test_the_optimum_is_what_trying_everything_finds(trace: tuple[list[int], list[int], int]) -> None:
    sizes, pages, capacity = trace
    seen = intervals(sizes, pages, references(pages), capacity)
    by_objects = optimum(seen)
    by_tokens = optimum(seen, objective=Objective.TOKENS)
    assert by_objects.hits == best_by_trying_all(sizes, pages, capacity, [1.0] * len(sizes), 0.0)
    assert by_tokens.hit_tokens == best_by_trying_all(sizes, pages, capacity, list(map(float, sizes)), 0.0)
    assert by_objects.exact
    assert by_objects.bound == by_objects.hits
    assert by_objects.references == sum(references(pages))
    assert by_objects.hit_tokens <= by_tokens.hit_tokens <= by_tokens.reference_tokens
    assert optimum(seen, relaxed=True).hits >= by_objects.hits - 1e-6


@settings(deadline=None, max_examples=100)
@given(tiny_traces(), st.floats(0, 1), st.floats(0, 5), st.floats(0, 1))
def test_the_least_cost_is_what_trying_everything_finds(
    trace: tuple[list[int], list[int], int], keep: float, fault: float, page_in: float
) -> None:
    sizes, pages, capacity = trace
    seen = intervals(sizes, pages, references(pages), capacity)
    saved = [fault + page_in * size for size in sizes]
    all_faults = sum(saved[page] for page, reference in zip(pages, references(pages), strict=True) if reference)
    # Trying everything pays for a token at the event after each turn of residency, which is the same count.
    expected = all_faults - best_by_trying_all(sizes, pages, capacity, saved, keep)
    found = cost_optimum(seen, Prices(keep, fault, page_in))
    assert found.cost == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert found.cost == pytest.approx(found.keep_cost + found.fault_cost)


def test_fewest_faults_is_not_least_cost() -> None:
    pages = [0, 1, 2, 3, 0]
    seen = intervals([10, 1, 1, 1], pages, references(pages), 20)
    assert optimum(seen).hits == 1
    cheap_keeping, dear_keeping = Prices(0.1, 1, 0.5), Prices(1, 1, 0.5)
    assert cost_optimum(seen, cheap_keeping).cost == pytest.approx(0.1 * 10 * 4)
    assert cost_optimum(seen, dear_keeping).cost == pytest.approx(1 + 0.5 * 10)
    # Four events, but one turn: keeping the page costs that turn only.
    assert cost_optimum(seen, dear_keeping, turns=np.array([0, 0, 0, 0, 1])).schedule.hits == 0
    assert cost_optimum(seen, Prices(0.5, 1, 0.5), turns=np.array([0, 0, 0, 0, 1])).cost == pytest.approx(5)


def test_a_page_that_fills_the_context_drives_all_others_out() -> None:
    pages = [0, 1, 0]
    seen = intervals([1, 50], pages, references(pages), 20)
    assert optimum(seen).hits == 0
    assert optimum(intervals([1, 19], pages, references(pages), 20)).hits == 1


def test_a_page_that_fills_the_context_leaves_the_rest_of_the_trace_as_it_is() -> None:
    pages = [0, 1, 2, 0, 1, 3, 0, 1, 2, 4, 0, 1, 2]
    best = optimum(intervals([5, 5, 5, 99, 1], pages, references(pages), 11))
    assert best.exact
    assert best.hits == best_by_trying_all([5, 5, 5, 99, 1], pages, 11, [1.0] * 5, 0.0) == 3


def test_room_may_be_looked_at_when_the_trace_says_so() -> None:
    pages = [0, 1, 2, -1, 0]
    flags = [False, False, False, False, True]
    free = np.full(5, 1_000)
    checked = free.copy()
    checked[3] = 4
    assert optimum(intervals([5, 5, 5], pages, flags, 6, room_tokens=free)).hits == 1
    assert optimum(intervals([5, 5, 5], pages, flags, 6, room_tokens=checked)).hits == 0


def test_a_dialogue_of_a_thousand_events_is_solved_within_seconds() -> None:
    chance = np.random.default_rng(7)
    sizes = chance.integers(10, 120, 700)
    pages = list(range(700))
    for place in sorted(chance.integers(20, 700, 300).tolist(), reverse=True):
        pages.insert(place, int(chance.integers(0, place)))
    flags = references(pages)
    pages = [page for page, _ in zip(pages, flags, strict=True)]
    seen = intervals(sizes, pages, references(pages), int(sizes.sum()) // 10)
    best, bound = optimum(seen), optimum(seen, relaxed=True)
    assert best.exact
    assert best.hits <= bound.hits + 1e-6
    assert best.hits >= 0.95 * bound.hits


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"capacity_tokens": 0}, "capacity_tokens"),
        ({"sizes": [1, -1]}, "sizes"),
        ({"sizes": [[1]]}, "sizes"),
        ({"pages": [0, 2, 0]}, "pages"),
        ({"pages": [0.5, 1, 0]}, "pages"),
        ({"is_reference": [False]}, "is_reference"),
        ({"is_reference": [True, False, True]}, r"pages[0]"),
        ({"is_reference": [False, False, False]}, r"pages[2]"),
        ({"room_tokens": [1]}, "room_tokens"),
    ],
)
def test_what_is_no_trace_is_refused(change: dict[str, object], field: str) -> None:
    good: dict[str, object] = {
        "sizes": [1, 1],
        "pages": [0, 1, 0],
        "is_reference": [False, False, True],
        "capacity_tokens": 5,
    }
    with pytest.raises(PolicyError) as caught:
        intervals(**{**good, **change})  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.field == field


def test_an_objective_or_price_that_does_not_exist_is_refused() -> None:
    seen = intervals([1], [0], [False], 1)
    with pytest.raises(PolicyError, match="objective: found 'hits'"):
        optimum(seen, objective="hits")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(PolicyError, match=r"prices\.fault"):
        Prices(1, -1, 0)
    with pytest.raises(PolicyError, match="turns: found 0"):
        cost_optimum(seen, Prices(1, 1, 1), turns=np.array([], dtype=np.int64))


def test_nothing_referenced_is_nothing_missed() -> None:
    best = optimum(intervals([3, 4], [0, 1], [False, False], 5))
    assert (best.references, best.hits, best.object_hit_ratio, best.token_hit_ratio) == (0, 0, 1.0, 1.0)
