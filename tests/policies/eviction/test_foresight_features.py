import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.contract import PageFacts
from pagefault.policies.eviction import foresight_features
from pagefault.policies.eviction.foresight_features import FEATURES, PAUSE_MS, Reader


def page(text: str, *, kind: str = "message", author: str = "Per", created_ms: int = 0, tokens: int = 9) -> PageFacts:
    return PageFacts("p", kind, tokens, created_ms=created_ms, author=author, text=text)


def read(reader: Reader, text: str, **given: object) -> dict[str, float]:
    return dict(zip(FEATURES, reader.read(page(text, **given)), strict=True))  # type: ignore[arg-type]  # by name


def test_what_was_read_before_is_not_new() -> None:
    reader = Reader()
    first = read(reader, "The harbour of Bergen froze, order AX4471 is late.")
    second = read(reader, "The harbour of Bergen froze, order AX4471 is late.")
    for name in ("new_words", "new_share", "new_names", "new_identifiers", "new_codes"):
        assert first[name] > 0
        assert second[name] == 0
    assert first["identifiers"] == second["identifiers"] > 0
    assert first["rarity"] > second["rarity"]


def test_names_are_capitals_that_begin_no_sentence() -> None:
    seen = read(Reader(), "Yesterday Ingrid came. Then she left! I'm sure I\u2019ve met Liv.")
    assert seen["names"] == pytest.approx(1.0986, abs=1e-3)  # ln(1 + 2): Ingrid and Liv


def test_questions_statements_and_answers() -> None:
    reader = Reader()
    asked = read(reader, "I baked bread. Where did you get the flour?", author="Liv")
    answer = read(reader, "Thanks! From the mill.")
    after = read(reader, "Nice.")
    assert (asked["questions"], asked["ends_asking"], asked["before_questions"]) == (1, 1, 0)
    assert asked["statements"] == pytest.approx(1.3863, abs=1e-3)  # ln(1 + 3)
    assert (answer["before_questions"], answer["before_asking"], answer["same_author"], answer["assents"]) == (
        1,
        1,
        0,
        1,
    )
    assert (after["before_questions"], after["same_author"]) == (0, 1)
    assert after["before_courtesy"] > 0


def test_attachments_are_counted_apart_from_what_is_said() -> None:
    seen = read(Reader(), "Look! [photo: a red lighthouse in the snow]")
    assert seen["attachment"] == 1
    assert seen["attachment_words"] > seen["words"] > 0
    assert read(Reader(), "Look!")["attachment"] == 0


def test_a_pause_opens_a_stretch_of_history() -> None:
    reader = Reader()
    openings = [read(reader, "word", created_ms=when)["opening"] for when in (0, 1_000, 2_000, 3_000 + PAUSE_MS)]
    assert openings == [1, 1 / 2, 1 / 3, 1]


def test_kinds_and_the_share_of_calls() -> None:
    reader = Reader()
    assert read(reader, "")["calling"] == 0
    result = read(reader, "", kind="result")
    assert (result["kind_result"], result["kind_message"], result["calling"]) == (1, 0, 0.5)
    assert read(reader, "", kind="something else")["calling"] == pytest.approx(1 / 3)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(max_size=80), max_size=8))
def test_any_text_gives_finite_numbers_and_a_dump_changes_nothing(texts: list[str]) -> None:
    straight, through = Reader(), Reader()
    for text in texts:
        values = straight.read(page(text))
        assert len(values) == len(FEATURES)
        assert all(abs(value) < 1e6 for value in values)
        again = Reader()
        again.load(json.loads(json.dumps(through.dump())))
        through = again
        assert through.read(page(text)) == values


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresight_features, "TERMS_MAX", 50)
    reader = Reader()
    for number in range(200):
        read(reader, f"harbour word{number} other{number}x")
    terms = dict(reader.dump()["terms"])
    assert len(terms) <= 50
    assert terms["harbour"] > 1
    assert read(reader, "harbour")["new_words"] == 0


def test_a_long_word_takes_no_more_time_than_its_length() -> None:
    # A pattern that backtracks would need minutes for this.
    assert read(Reader(), "a" * 200_000 + " " + "[" * 20_000)["words"] > 0
