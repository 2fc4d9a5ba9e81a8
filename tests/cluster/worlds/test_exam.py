"""Exams: what the answers come to, by memory and by group."""

from __future__ import annotations

import pytest

from pagefault.cluster.worlds.exam import Given, Memory, Sitting, chosen_memories, standing
from pagefault.runtime.errors import ConfigError


def test_means_are_over_the_questions_that_have_a_measure() -> None:
    given = [
        Given("pagefault", "c", "1", "10", "", {"f1": 1.0}, 0.5, 100, 60, 2, 1),
        Given("pagefault", "c", "2", "10", "", {"f1": 0.0}, None, 300, 200, 2, 3, problem="busy"),
        Given("pagefault", "c", "3", "9", "", {"abstained": 1.0}, None, 200, 50, 2, 2),
        Given("full", "c", "1", "", "", {}, None),
    ]
    found = standing(given, ("f1", "abstained"))
    assert list(found) == ["pagefault", "full"]
    mine = found["pagefault"]
    assert (mine["f1"], mine["abstained"], mine["evidence_recall"]) == (0.5, 1.0, 0.5)
    assert (mine["questions"], mine["failed"], mine["searches_mean"]) == (3, 1, 2.0)
    assert (mine["prompt_tokens_mean"], mine["prompt_tokens_max"]) == (200.0, 200)
    assert list(mine["by_group"]) == ["9", "10"], "numbers by size"
    assert mine["by_group"]["9"] == {"f1": None, "abstained": 1.0, "evidence_recall": None, "questions": 1}
    assert found["full"]["by_group"] == {}


def test_memories_are_chosen_by_name() -> None:
    assert chosen_memories(None) == tuple(Memory)
    assert chosen_memories(["full", "pagefault,full"]) == (Memory.FULL, Memory.PAGEFAULT)
    with pytest.raises(ConfigError, match="--memory: found 'nothing'"):
        chosen_memories(["nothing"])


def test_a_sitting_has_the_room_of_its_agent() -> None:
    assert Sitting((), {"context_tokens": 1000, "reply_tokens": 100}).prompt_tokens_max == 900
    with pytest.raises(ConfigError, match="contextt"):
        _ = Sitting((), {"contextt": 1}).agent
