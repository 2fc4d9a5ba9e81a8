from __future__ import annotations

import pytest

from pagefault.policies.contract import ImportanceScorer, ModelScorer, PageFacts, PolicyError
from pagefault.policies.eviction.importance import estimated_importance
from pagefault.policies.registry import UnknownPolicy, make_scorer, scorer_names
from pagefault.policies.scorers.model_rated import ModelRated

PAGE = PageFacts("p1", "message", 12, text="Marta moved to Lisbon in 2021", author="Okoye")
CLAIMED = PageFacts("p2", "message", 12, text="yes", importance=0.25)


@pytest.mark.parametrize("name", scorer_names())
def test_a_claim_is_never_overruled(name: str) -> None:
    scorer = make_scorer(name)
    assert isinstance(scorer, ImportanceScorer)
    assert scorer.name == name
    assert scorer.score(CLAIMED) == 0.25


def test_what_they_say_where_nothing_is_claimed() -> None:
    assert make_scorer("claimed").score(PAGE) is None
    assert make_scorer("heuristic").score(PAGE) == pytest.approx(estimated_importance(PAGE))
    assert make_scorer("model_rated").score(PAGE) is None, "the answer comes later"


def test_what_was_learned_tells_facts_from_small_talk() -> None:
    learned = make_scorer("learned")
    fact = learned.score(PAGE)
    talk = learned.score(PageFacts("p3", "message", 12, text="Thanks, that sounds great!", author="Okoye"))
    assert fact is not None
    assert talk is not None
    assert 0 < talk < fact < 1
    assert learned.score(PAGE) == fact, "it keeps nothing of what it has read"


def test_a_model_is_asked_about_so_much_of_the_text() -> None:
    scorer = ModelRated(characters=12)
    assert isinstance(scorer, ModelScorer)
    assert scorer.question(PAGE).endswith("\n\nOkoye: Marta")


@pytest.mark.parametrize(
    ("answer", "importance"),
    [("10", 1.0), ("1", 0.0), ("Rating: 5.5", 0.5), ("7/10", 0.667), ("none", None), ("0", None), ("-", None)],
)
def test_its_answer_is_a_number_from_1_to_10(answer: str, importance: float | None) -> None:
    assert ModelRated().read(answer) == importance


def test_wrong_names_and_parameters_are_refused() -> None:
    with pytest.raises(UnknownPolicy, match="claimed, heuristic"):
        make_scorer("best")
    with pytest.raises(PolicyError, match=r"model_rated\.characters: found 0"):
        make_scorer("model_rated", characters=0)
