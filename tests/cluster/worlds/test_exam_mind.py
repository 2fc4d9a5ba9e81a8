"""The scripted mind of exams: quotes what fits, says when nothing does, and shortens within its room."""

from __future__ import annotations

from pagefault.cluster.worlds.exam import UNKNOWN
from pagefault.cluster.worlds.exam_mind import best, shorten
from pagefault.runtime.models.view import Line
from pagefault.runtime.values import AgentId, Message, ModelRequest


def line(text: str, author: str = "") -> Line:
    return Line("", "", author, "", text)


def test_rare_words_count_more_and_the_author_counts() -> None:
    lines = [line("the boat was painted", "ana"), line("the boat was sold", "ben"), line("the boat, the boat", "ana")]
    assert best("Who sold the boat?", lines) == "the boat was sold"
    assert best("What of ana's boat was painted?", lines) == "the boat was painted"


def test_what_fits_nothing_is_not_known() -> None:
    assert best("Where is the treasure of the queen?", [line("the weather is fine")]) == UNKNOWN
    assert best("Where?", []) == best("is it the?", [line("it is")]) == UNKNOWN


def test_a_summary_is_within_its_room() -> None:
    text = "\n".join(f"line {number} " + "x" * 500 for number in range(10))
    request = ModelRequest(AgentId("a"), (Message("user", text),), (), 1, 100, purpose="summarize")
    made = shorten(request)
    assert all(f"line {number}" in made for number in range(10))
    assert len(made) < 400
