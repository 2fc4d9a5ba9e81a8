"""Nested key-value for the other memories: a window that holds the chain solves it, others as far as they see."""

from __future__ import annotations

from typing import Any

import pytest

from pagefault.cluster.worlds.exam import Memory
from pagefault.cluster.worlds.nested_kv import HOPS_MAX, NestedKv, made_up
from pagefault.cluster.worlds.nested_kv_exam import FOLLOWER, nested_kv_exam, template_for, with_baselines
from pagefault.cluster.worlds.nested_kv_mind import follow
from pagefault.runtime.host.local import Local
from tests.cluster.worlds.exams import Counted, sit

TASKS = made_up(1, 60, 1, seed=7)


def test_a_chain_is_followed_to_its_end_and_not_round_in_circles() -> None:
    assert follow("a", {"a": "b", "b": "c"}) == "c"
    assert follow("a", {"a": "b", "b": "a"}) == "a"
    assert follow("x", {"a": "b"}) == "I do not know."


def test_the_evidence_is_the_chain() -> None:
    for task, case in zip(TASKS, nested_kv_exam(TASKS).cases, strict=True):
        (asked,) = case.questions
        assert len(asked.evidence) == task.hops + 1
        assert asked.group == str(task.hops)


async def test_other_memories_solve_what_they_hold() -> None:
    report = await sit(
        nested_kv_exam(TASKS), Memory.FULL, Memory.TRUNCATED, Memory.SUMMARY, Memory.RETRIEVAL, model=FOLLOWER
    )
    found = with_baselines(None, report).results["baselines"]
    assert found["full"]["by_hops"] == {str(hops): 1.0 for hops in range(HOPS_MAX + 1)}
    assert found["retrieval"]["by_hops"]["0"] == 1.0
    for memory in ("truncated", "summary", "retrieval"):
        assert found[memory]["by_hops"]["5"] == 0.0
    assert found["full"]["prompt_tokens_max"] > 900 >= found["truncated"]["prompt_tokens_max"]


@pytest.mark.parametrize("search", ["hybrid", "substring"])
async def test_both_searches_take_exactly_what_is_needed(search: str) -> None:
    template: dict[str, Any] = {**template_for(search), "context_tokens": 8192, "policy": "lru"}
    world = NestedKv(TASKS)
    async with Local() as fleet:
        refs = await fleet.spawn_many(world.agents(template))
        report = await world.run(fleet, refs, Counted())
    assert set(report.results["by_hops"].values()) == {1.0}
    assert report.results["searches"] == {str(hops): hops + 2 for hops in range(HOPS_MAX + 1)}
