import json

from hypothesis import given
from hypothesis import strategies as st

from pagefault.policies.contract import Capability, EvictionPolicy
from pagefault.policies.lab.bounds import intervals_of
from pagefault.policies.lab.makers.synthetic import sized_zipf
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.sweep import uses_of
from pagefault.policies.lab.trace import Budget
from pagefault.policies.offline.exact import optimum
from pagefault.policies.offline.schedule import Scheduled
from tests.policies.facts import facts


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 40))
def test_the_optimum_is_no_mere_promise(seed: int, accesses: int, capacity: int) -> None:
    trace = sized_zipf(pages=8, accesses=accesses, alpha=0.5, median_tokens=5, seed=seed)
    budget = Budget(capacity)
    given_to = intervals_of(trace, budget)
    best = optimum(given_to)
    policy = Scheduled(uses=uses_of(trace), kept=given_to.end[best.kept > 0.5].tolist())
    played = replay(trace, policy, budget)
    assert trace.references - played.faults == best.hits


def scheduled() -> Scheduled:
    """``b`` is to be a hit at event 5; ``a`` and ``c`` are needed too, but not kept."""
    policy = Scheduled(uses={"a": [0, 3], "b": [1, 5], "c": [2, 4]}, kept=[5])
    for turn, page_id in enumerate("abc"):
        policy.on_insert(facts(page_id), turn)
    return policy


def test_what_is_kept_leaves_last_and_says_so() -> None:
    policy = scheduled()
    assert policy.victims(20, (), 2) == ["a", "c"]
    assert policy.victims(30, (), 2) == ["a", "c", "b"]
    assert policy.explain("b", 2) == "kept by the schedule, used again in 3 events: number 3 of 3 to leave"
    assert policy.explain("a", 2).startswith("not kept by the schedule, ")


def test_a_use_ends_what_was_kept_for_it() -> None:
    policy = scheduled()
    for turn, page_id in ((3, "a"), (4, "c"), (5, "b")):
        policy.on_hit(page_id, turn)
    assert policy.victims(10, {"a"}, 5) == ["b"]


def test_is_a_policy_that_knows_the_future_and_survives_a_dump() -> None:
    policy = scheduled()
    assert isinstance(policy, EvictionPolicy)
    assert Capability.NEEDS_FUTURE in policy.capabilities
    policy.on_remove("a", evicted=True)
    fresh = Scheduled(uses={"a": [0, 3], "b": [1, 5], "c": [2, 4]}, kept=[5])
    fresh.load(json.loads(json.dumps(policy.dump())))
    assert fresh.victims(20, (), 3) == policy.victims(20, (), 3) == ["c", "b"]
