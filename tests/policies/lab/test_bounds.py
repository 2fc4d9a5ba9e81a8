"""Nothing that is replayed beats the optimum of the same trace and budget."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.contract import PageFacts
from pagefault.policies.eviction.lru import Lru
from pagefault.policies.lab.bounds import intervals_of
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.measures import measure, regret
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.trace import Budget, Source, Trace, TraceError
from pagefault.policies.offline.belady import Belady
from pagefault.policies.offline.exact import Objective, optimum


def made(accesses: list[tuple[int, int]], *, is_checked: bool = False, source: Source = Source.SYNTHETIC) -> Trace:
    builder = TraceBuilder("made", source)
    for turn, (key, tokens) in enumerate(accesses):
        if f"{key}" in builder:
            builder.reference(f"{key}", turn)
        else:
            builder.insert(PageFacts(f"{key}", "message", tokens, key), turn)
        if is_checked:
            builder.check(turn, turn % 3)
        if key == 0:
            builder.pin("0", turn)
        elif key < 3 and "0" in builder:
            (builder.unpin if key == 1 else builder.remove)("0", turn)
    return builder.build()


@given(
    accesses=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 20)), min_size=1, max_size=25),
    capacity=st.integers(1, 60),
    is_checked=st.booleans(),
)
@settings(max_examples=60)
def test_no_replay_beats_the_optimum(accesses: list[tuple[int, int]], capacity: int, is_checked: bool) -> None:
    trace, budget = made(accesses, is_checked=is_checked), Budget(capacity)
    result = measure(replay(trace, Lru(), budget))
    best = optimum(intervals_of(trace, budget))
    assert regret(result.object_hit_ratio, best.object_hit_ratio) >= 0
    most = optimum(intervals_of(trace, budget), objective=Objective.TOKENS)
    assert regret(result.token_hit_ratio, most.token_hit_ratio) >= 0


def test_the_optimum_keeps_what_is_needed_again() -> None:
    trace, budget = made([(1, 10), (2, 10), (3, 10), (1, 0), (2, 0), (1, 0)]), Budget(20)
    assert measure(replay(trace, Lru(), budget)).hits == 1
    assert optimum(intervals_of(trace, budget)).hits == 2


def test_there_is_none_on_what_retrieval_returned() -> None:
    with pytest.raises(TraceError, match=r"trace\.made\.source: found 'endogenous'"):
        intervals_of(made([(1, 10), (1, 10)], source=Source.ENDOGENOUS), Budget(20))


@given(keys=st.lists(st.integers(1, 6), min_size=1, max_size=30), capacity=st.integers(1, 5))
@settings(max_examples=60)
def test_belady_is_optimal_for_pages_of_one_size(keys: list[int], capacity: int) -> None:
    trace, budget = made([(key, 10) for key in keys]), Budget(10 * capacity)
    uses = {f"{key}": [event for event, each in enumerate(keys) if each == key] for key in keys}
    hits = measure(replay(trace, Belady(uses=uses), budget)).hits
    assert hits == optimum(intervals_of(trace, budget)).hits
