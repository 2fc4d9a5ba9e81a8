import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.generative_agents import GenerativeAgents, GenerativeAgentsAsReleased
from tests.policies.facts import facts


def filled(policy: GenerativeAgents, importances: dict[str, float], texts: dict[str, str] | None = None) -> None:
    for turn, (page_id, importance) in enumerate(importances.items()):
        policy.on_insert(facts(page_id, importance=importance, text=(texts or {}).get(page_id, "")), turn)


def test_the_papers_score_is_the_sum_of_three_scaled_parts() -> None:
    policy = GenerativeAgents()
    filled(policy, {"a": 1.0, "b": 0.5, "c": 0.0}, {"a": "tea", "b": "boats and tea", "c": "boats"})
    policy.on_hit("c", 10)
    recency = {"a": 0.995**20, "b": 0.995**19, "c": 0.995**10}
    low, high = recency["a"], recency["c"]
    scaled = (recency["b"] - low) / (high - low)
    found = policy.explain("b", 20)
    assert f"recency {scaled:.2f}, importance 0.50" in found
    assert "recency 0.00, importance 1.00, relevance 0.00" in policy.explain("a", 20)
    assert "recency 1.00, importance 0.00, relevance 1.00" in policy.explain("c", 20)
    assert policy.victims(10, (), 20) == ["a"], "1 against 2 for c, and b is related"


def test_a_use_makes_a_memory_recent() -> None:
    policy = GenerativeAgents()
    filled(policy, {"a": 0.5, "b": 0.5, "c": 0.5})
    policy.on_hit("a", 30)
    assert policy.victims(30, (), 40) == ["b", "c", "a"]


def test_as_released_the_least_recently_used_scores_highest() -> None:
    policy = GenerativeAgentsAsReleased()
    filled(policy, {"a": 0.5, "b": 0.5, "c": 0.5})
    policy.on_hit("a", 30)
    assert policy.victims(30, (), 40) == ["a", "c", "b"]


def test_as_released_weighs_half_three_and_two_and_what_is_alike_counts_half() -> None:
    policy = GenerativeAgentsAsReleased()
    filled(policy, {"a": 0.0, "b": 1.0})
    # recency 1 and 0 (ranks 1 and 2), importance 0 and 1, relevance alike: 0.5
    assert policy.explain("a", 9).startswith("score 2.000 (recency 1.00, importance 0.00, relevance 0.50)")
    assert policy.explain("b", 9).startswith("score 3.500 (recency 0.00, importance 1.00, relevance 0.50)")


def test_an_hour_may_be_several_turns() -> None:
    """Scaling hides the unit unless a third page lies between: it is the curve that changes."""

    def middle(turns_per_hour: float) -> str:
        policy = GenerativeAgents(turns_per_hour=turns_per_hour)
        filled(policy, {"a": 0.5, "b": 0.5, "c": 0.5})
        policy.on_hit("b", 500)
        policy.on_hit("c", 1000)
        return policy.explain("b", 1000)

    assert "recency 0.08" in middle(1)
    assert "recency 0.47" in middle(20)


def test_refuses_an_unknown_variant() -> None:
    with pytest.raises(PolicyError, match=r"variant: found 'code', allowed: one of paper, as_released$"):
        GenerativeAgents(variant="code")
