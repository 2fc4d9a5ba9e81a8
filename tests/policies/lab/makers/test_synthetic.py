"""Distributions: shapes, seeds, and the published fault rates of the shifting working set."""

import numpy as np
import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.lab.makers.synthetic import shifting, sized_zipf, zipf
from pagefault.policies.lab.measures import wilson
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.trace import Budget, Op, Trace
from pagefault.policies.registry import make_policy


def accesses(trace: Trace) -> list[int]:
    return [trace.pages[page].ordinal for page in trace.events.page]


def test_zipf_gives_ranks_their_share() -> None:
    trace = zipf(pages=50, accesses=40_000, alpha=1.0, seed=3)
    seen = np.bincount(accesses(trace), minlength=50)
    expected = 40_000 / np.arange(1, 51) / sum(1 / rank for rank in range(1, 51))
    assert np.all(np.abs(seen - expected) < 5 * np.sqrt(expected))
    assert trace.references == 40_000 - len(trace.pages)
    assert trace.tokens.tolist() == [1] * len(trace.pages)


@pytest.mark.parametrize("make", [zipf, sized_zipf, shifting])
def test_a_seed_is_a_trace(make: type[Trace]) -> None:
    first, again, other = (make(accesses=500, seed=seed) for seed in (4, 4, 5))  # type: ignore[call-arg]  # makers are called alike
    assert first == again
    assert first.events != other.events


def test_sized_zipf_has_sizes_around_the_median_and_under_the_limit() -> None:
    trace = sized_zipf(pages=4_000, accesses=60_000, alpha=0.0, median_tokens=45, spread=1.0, tokens_max=300)
    assert 42 <= np.median(trace.tokens) <= 48
    assert trace.tokens.min() >= 1
    assert trace.tokens.max() == 300


def test_the_working_set_is_a_window_that_shifts() -> None:
    trace = shifting(pages=20, accesses=300, working_set=5, shift_every=100, shift_by=8, seed=1)
    keys = accesses(trace)
    assert set(keys[:100]) == {0, 1, 2, 3, 4}
    assert set(keys[100:200]) == {8, 9, 10, 11, 12}
    assert set(keys[200:]) == {16, 17, 18, 19, 0}


@pytest.mark.parametrize(("policy", "published"), [("lru", 0.226), ("fifo", 0.276)])
def test_fault_rates_are_those_of_neural_paging(policy: str, published: float) -> None:
    faults = accessed = 0
    for seed in range(10):
        trace = shifting(seed=seed)
        faults += replay(trace, make_policy(policy), Budget(8)).faults + len(trace.pages)  # they count first accesses
        accessed += len(trace)
    interval = wilson(faults, accessed)
    assert interval.low <= published <= interval.high


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"pages": 0}, "shifting.pages"),
        ({"alpha": -1.0}, "shifting.alpha"),
        ({"working_set": 65}, "shifting.working_set"),
        ({"seed": -1}, "shifting.seed"),
        ({"shift_every": 0}, "shifting.shift_every"),
    ],
)
def test_parameters_out_of_bounds_are_named(parameters: dict[str, int], field: str) -> None:
    with pytest.raises(PolicyError) as caught:
        shifting(**parameters)
    assert caught.value.field == field


def test_no_accesses_make_an_empty_trace() -> None:
    trace = zipf(pages=5, accesses=0)
    assert len(trace) == 0
    assert replay(trace, make_policy("lru"), Budget(1)).faults == 0
    assert not np.any(trace.events.op == Op.INSERT)
