"""Gists and what they retain."""

import pytest

from pagefault.policies.contract import PageFacts, PolicyError
from pagefault.policies.lab.leavings import Leavings, RecursiveSummary, retained


def page(number: int, text: str, tokens: int = 20) -> PageFacts:
    return PageFacts(f"p{number}", "message", tokens, number, text=text)


@pytest.mark.parametrize(
    ("text", "gist", "share"),
    [
        ("We met Okoye in 2021.", "We met Okoye", 0.5),
        ("We met Okoye in 2021.", "okoye, 2021", 1.0),
        ("Flights HAT-12 and HAT-13. Nobody came.", "Flights HAT-12 and", 0.5),
        ("Nothing happened. Really nothing.", "Nothing", 1 / 3),  # no numbers and no names: words
        ("", "", 1.0),
        ("It cost 40 dollars.", "", 0.0),
    ],
)
def test_retention_is_the_share_of_numbers_and_names(text: str, gist: str, share: float) -> None:
    assert retained(text, gist) == pytest.approx(share)


def test_a_summary_is_bounded_and_forgets_the_oldest() -> None:
    summary = RecursiveSummary(Leavings(summary_tokens_max=10, gist_tokens=4))
    summary.fold([page(1, "Room 11"), page(2, "Room 22")])
    assert summary.tokens == 8
    summary.fold([page(3, "Room 33", tokens=2)])
    assert summary.tokens == 10
    assert "p1" in summary
    summary.fold([page(4, "Room 44")])
    assert "p1" not in summary
    assert summary.tokens == 10
    assert summary.retention(page(4, "Room 44")) == 1.0
    summary.fold([page(4, "Room 44")])  # again: it counts once, and is the newest
    assert summary.tokens == 10


def test_long_input_takes_several_calls() -> None:
    summary = RecursiveSummary(Leavings(piece_tokens_max=45, gist_tokens=3, instruction_tokens=10))
    calls = summary.fold([page(number, "x") for number in (3, 1, 2, 4)] + [page(9, "x", tokens=400)])
    assert [(call.input_tokens, call.output_tokens) for call in calls] == [(50, 6), (56, 12), (422, 15)]


def test_retention_can_be_set() -> None:
    summary = RecursiveSummary(Leavings(retention=0.4))
    summary.fold([page(1, "Room 11")])
    assert summary.retention(page(1, "Room 11")) == 0.4


@pytest.mark.parametrize(
    "given", [{"handle_tokens": 0}, {"gist_tokens": -1}, {"summary_tokens_max": -1}, {"retention": 1.5}]
)
def test_settings_are_checked(given: dict[str, float]) -> None:
    with pytest.raises(PolicyError, match=f"leavings.{next(iter(given))}"):
        Leavings(**given)  # type: ignore[arg-type]  # wrong on purpose
