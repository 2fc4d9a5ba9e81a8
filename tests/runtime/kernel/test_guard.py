from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from pagefault.policies.contract import Capability, PageFacts
from pagefault.runtime.kernel.guard import GuardedEviction


class Broken:
    """Does what the contract says, but for one thing."""

    name = "broken"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, answer: Sequence[str] | None = None, raising: str = "") -> None:
        self.answer = answer
        self.raising = raising

    def _maybe(self, method: str) -> None:
        if method == self.raising:
            raise RuntimeError("on purpose")

    def on_insert(self, page: PageFacts, turn: int) -> None:
        self._maybe("on_insert")

    def on_hit(self, page_id: str, turn: int) -> None:
        self._maybe("on_hit")

    def on_remove(self, page_id: str, evicted: bool) -> None:
        self._maybe("on_remove")

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
        self._maybe("victims")
        return self.answer or ()

    def explain(self, page_id: str, turn: int) -> str:
        self._maybe("explain")
        return "because"

    def dump(self) -> Mapping[str, Any]:
        self._maybe("dump")
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        self._maybe("load")


def filled(policy: Broken) -> GuardedEviction:
    guard = GuardedEviction(policy)
    for number in range(4):
        guard.on_insert(PageFacts(f"p{number}", "message", 10), number)
    return guard


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (["p9"], "not resident"),
        (["p0"], "protected"),
        (["p1", "p1"], "twice"),
        (["p1"], "freed 10 of 20 tokens though more pages could go"),
        (None, "freed 0 of 20"),
    ],
)
def test_wrong_victims_are_replaced_by_the_oldest(answer: list[str] | None, problem: str) -> None:
    guard = filled(Broken(answer))
    assert guard.victims(20, {"p0"}, 5) == ["p1", "p2"]
    assert problem in guard.problem
    assert "oldest goes first" in guard.explain("p1", 5)


@pytest.mark.parametrize("method", ["on_insert", "on_hit", "on_remove", "victims", "explain", "dump", "load"])
def test_whatever_a_policy_raises_is_contained(method: str) -> None:
    guard = filled(Broken(["p1", "p2"], raising=method))
    guard.on_hit("p2", 4)
    guard.explain("p1", 4)
    state = guard.dump()
    again = GuardedEviction(Broken(["p1", "p2"], raising=method))
    again.load(state)
    assert again.victims(20, {"p0"}, 5) == ["p1", "p2"]
    guard.on_remove("p1", True)
    assert set(guard.resident()) == {"p0", "p2", "p3"}
    assert "on purpose" in guard.problem or "on purpose" in again.problem


def test_right_victims_are_left_alone() -> None:
    guard = filled(Broken(["p3", "p2"]))
    assert guard.victims(20, {"p0"}, 5) == ["p3", "p2"]
    assert guard.problem == ""
    assert guard.explain("p1", 5) == "because"


def test_all_unprotected_pages_do_when_they_do_not_suffice() -> None:
    guard = filled(Broken(["p1", "p2", "p3"]))
    assert guard.victims(10**6, {"p0"}, 5) == ["p1", "p2", "p3"]
    assert guard.problem == ""
