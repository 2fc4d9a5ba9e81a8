"""Importance: scored when a page is made, or rated by a model a little later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pagefault.policies.contract import Capability, PageFacts
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.rating import WAITING_MAX
from pagefault.runtime.values import PageId, Priority
from tests.runtime.kernel.harness import Desk, definition, message, new_agent


def rated(scorer: str, eviction: str = "importance") -> Desk:
    made = definition(eviction=eviction, functions=("send_message",))
    return Desk(replace(made, policies=replace(made.policies, scorer=scorer)))


def importance_of(desk: Desk, page_id: str) -> float | None:
    return desk.agent.context.entries[PageId(page_id)].page.importance


def answer(desk: Desk, page_id: str, text: str, problem: str = "") -> None:
    desk.feed(ev.PageRated(desk.tick(), PageId(page_id), text, problem))


def test_a_heuristic_score_is_there_when_the_page_is_and_goes_into_the_archive() -> None:
    desk = rated("heuristic")
    desk.send(message(1, "Marta moved to Lisbon in 2021 with her brother Okoye"))
    score = importance_of(desk, "p1")
    assert score is not None
    assert 0.3 < score < 1
    assert desk.archive[PageId("p1")].importance == score
    desk.settle()
    desk.send(replace(message(2, "ok"), importance=0.9))
    assert importance_of(desk, list(desk.agent.context.entries)[-1]) == 0.9, "a claim counts"


def test_a_model_is_asked_and_its_answer_cached_with_the_page() -> None:
    desk = rated("model_rated")
    desk.send(message(1, "the house burned down"))
    (asked,) = desk.of(fx.RatePage)
    assert (asked.page_id, asked.request.purpose) == ("p1", "rate")
    assert asked.request.priority is Priority.BACKGROUND
    assert "the house burned down" in asked.request.messages[0].text
    assert desk.of(fx.CallModel), "nothing waits for a rating"
    before = desk.agent.context_bytes()
    answer(desk, "p1", "I would say 10.")
    assert importance_of(desk, "p1") == 1.0
    assert desk.agent.context_bytes() == before, "the model is shown the same"
    assert desk.archive[PageId("p1")].importance == 1.0
    desk.settle()
    assert desk.agent.statistics.ratings == 1


def test_the_policy_goes_by_the_rating() -> None:
    desk = rated("model_rated")
    for number in range(3):
        desk.send(message(number, f"something was said here, number {number}"))
        desk.settle()
    asked = [effect.page_id for effect in desk.of(fx.RatePage)]
    for page_id, grade in zip(asked, ("1", "10", "5"), strict=True):
        answer(desk, page_id, grade)
    victims = desk.agent.eviction.victims(10**6, (), desk.agent.turn)
    order = [page_id for page_id in victims if page_id in asked]
    assert order == [asked[0], asked[2], asked[1]]


@pytest.mark.parametrize(("text", "problem"), [("no idea", ""), ("77", ""), ("", "the model is down")])
def test_a_rating_that_does_not_come_changes_nothing(text: str, problem: str) -> None:
    desk = rated("model_rated")
    desk.send(message(1))
    answer(desk, "p1", text, problem)
    assert importance_of(desk, "p1") is None
    assert desk.notices("rating_failed")[0].page_ids == ("p1",)
    answer(desk, "p1", "9")
    assert importance_of(desk, "p1") is None
    assert desk.notices("late")


def test_a_rating_that_comes_when_the_page_has_left_is_harmless() -> None:
    desk = rated("model_rated", eviction="fifo")
    desk.send(message(1, "early " * 40))
    number = 2
    while PageId("p1") in desk.agent.context.entries and desk.agent.is_resident(PageId("p1")):
        desk.settle()
        desk.send(message(number, "something that takes some room " * 12))
        for asked in list(desk.agent.rating):
            if asked != "p1":
                answer(desk, asked, "3")
        number += 1
    answer(desk, "p1", "9")
    assert "p1" not in desk.agent.rating


def test_only_so_many_ratings_are_awaited() -> None:
    desk = rated("model_rated")
    for number in range(WAITING_MAX + 2):
        desk.send(message(number, "a short word"))
        desk.settle()
    assert len(desk.of(fx.RatePage)) == WAITING_MAX
    assert len(desk.notices("rating_skipped")) == 2


def test_a_snapshot_knows_which_ratings_are_awaited_and_a_new_activation_does_not_wait() -> None:
    desk = rated("model_rated")
    desk.send(message(1))
    woken: AgentState = new_agent(desk.definition)
    woken.load(desk.agent.dump())
    assert list(woken.rating) == ["p1"]
    woken.handle(ev.Recovered(desk.tick(), 2))
    assert not woken.rating


def test_a_scorer_that_raises_does_not_stop_the_agent() -> None:
    class Broken:
        name = "broken"
        capabilities: frozenset[Capability] = frozenset()

        def score(self, page: PageFacts) -> float | None:
            raise RuntimeError(f"on purpose, {page.kind}")

    desk = rated("heuristic")
    desk.agent.scorer = Broken()
    desk.send(message(1))
    desk.settle()
    assert desk.agent.statistics.policy_failures >= 1
    assert "on purpose, message" in desk.notices("policy_failed")[0].text
