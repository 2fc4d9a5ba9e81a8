"""LoCoMo's format, on a conversation written for these tests."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pagefault.policies.lab.makers.locomo import Asked, locomo, locomo_trace
from pagefault.policies.lab.trace import NO_GROUP, Op, Source, Trace, TraceError


def turn(dia_id: str, speaker: str, text: str, **more: str) -> dict[str, str]:
    return {"dia_id": dia_id, "speaker": speaker, "text": text, **more}


SAMPLE: dict[str, Any] = {
    "sample_id": "made-1",
    "conversation": {
        "speaker_a": "Ines",
        "speaker_b": "Tariq",
        "session_1_date_time": "9:05 am on 3 March, 2024",
        "session_1": [
            turn("D1:1", "Ines", "I adopted a greyhound called Biscuit."),
            turn("D1:2", "Tariq", "Look at my new canoe!", blip_caption="a red canoe on a lake"),
        ],
        "session_2_date_time": "12:30 pm on 4 March, 2024",
        "session_2": [turn("D2:1", "Tariq", "The canoe leaks."), turn("D2:2", "Ines", "Oh no.")],
        "session_3_date_time": "8:00 pm on 9 March, 2024",
        "session_3": [turn("D3:1", "Ines", "Biscuit won a race.")],
        "session_4_date_time": "8:00 pm on 19 March, 2024",
    },
    "qa": [
        {"question": "Who is Biscuit?", "answer": "a greyhound", "evidence": ["D1:1"], "category": 4},
        {"question": "What about it?", "answer": "leaks", "evidence": ["D2:1", "D1:2", "D2:1"], "category": 1},
        {"question": "Who sank?", "evidence": ["D1:1"], "adversarial_answer": "Tariq", "category": 5},
        {"question": "What else?", "answer": "x", "evidence": ["D", "D1:1; D2:1", 7, "D9:9"], "category": 2},
        {"question": "And then?", "answer": "x", "evidence": [], "category": 3},
    ],
}


def sample(change: Any = None) -> dict[str, Any]:
    made = copy.deepcopy(SAMPLE)
    if change is not None:
        change(made)
    return made


def story(trace: Trace) -> list[tuple[str, str, int]]:
    return [
        (Op(op).name, trace.pages[page].id, turn)
        for op, page, turn in zip(trace.events.op, trace.events.page, trace.events.turn.tolist(), strict=True)
    ]


def test_turns_are_inserted_and_evidence_is_needed_at_the_end() -> None:
    trace = locomo_trace(SAMPLE)
    assert trace.source is Source.EVIDENCE
    assert trace.name == "locomo-made-1-end"
    assert story(trace) == [
        ("INSERT", "D1:1", 0),
        ("INSERT", "D1:2", 1),
        ("INSERT", "D2:1", 2),
        ("INSERT", "D2:2", 3),
        ("INSERT", "D3:1", 4),
        ("REFERENCE", "D1:1", 5),
        ("REFERENCE", "D2:1", 6),
        ("REFERENCE", "D1:2", 6),
    ]
    assert trace.events.group.tolist() == [NO_GROUP] * 5 + [0, 1, 1]


def test_pages_carry_what_is_known_of_a_turn() -> None:
    page = locomo_trace(SAMPLE).pages[1]
    assert (page.kind, page.author, page.ordinal) == ("message", "Tariq", 1)
    assert page.text == "Look at my new canoe! [photo: a red canoe on a lake]"
    assert page.tokens == len("Tariq: " + page.text) // 4 + 4
    assert page.created_ms == datetime(2024, 3, 3, 9, 5, tzinfo=UTC).timestamp() * 1000


def test_tokens_are_counted_as_asked() -> None:
    trace = locomo_trace(SAMPLE, count=lambda text: len(text.split()))
    assert trace.pages[3].tokens == 3  # Ines: Oh no.


def test_what_cannot_be_used_is_counted() -> None:
    assert dict(locomo_trace(SAMPLE).notes) == {
        "questions": 2,
        "questions_without_evidence": 2,
        "evidence_skipped": 4,
        "turns_renamed": 0,
    }


def test_an_id_that_is_taken_means_its_first_turn() -> None:
    made = sample(lambda made: made["conversation"]["session_2"][0].update(dia_id="D1:2"))
    trace = locomo_trace(made)
    assert [page.id for page in trace.pages] == ["D1:1", "D1:2", "D1:2#2", "D2:2", "D3:1"]
    assert trace.notes["turns_renamed"] == 1
    assert story(trace)[-1] == ("REFERENCE", "D1:2", 6)


def test_spread_questions_come_after_their_evidence() -> None:
    sessions = {"D1:1": 0, "D1:2": 0, "D2:1": 1, "D2:2": 1, "D3:1": 2}
    places = set()
    for seed in range(40):
        trace = locomo_trace(SAMPLE, asked=Asked.SPREAD, seed=seed)
        entered = -1
        for op, page_id, _ in story(trace):
            if op == "INSERT":
                entered = sessions[page_id]
            else:
                places.add((page_id, entered))
                assert sessions[page_id] <= entered
    assert {place for page_id, place in places if page_id == "D1:1"} == {0, 1, 2}
    assert {place for page_id, place in places if page_id == "D2:1"} == {1, 2}


def test_a_conversation_is_spread_alike_in_every_file(tmp_path: Path) -> None:
    other = sample(lambda made: made.update(sample_id="made-0"))
    path = tmp_path / "two.json"
    path.write_text(json.dumps([other, SAMPLE]))
    assert locomo(path, asked=Asked.SPREAD, seed=9)[1] == locomo_trace(SAMPLE, asked=Asked.SPREAD, seed=9)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda made: made.pop("qa"), "sample.qa"),
        (lambda made: made["conversation"]["session_2"][1].pop("text"), "sample.conversation.session_2[1].text"),
        (lambda made: made["qa"][0].update(category="4"), "sample.qa[0].category"),
        (
            lambda made: made["conversation"].update(session_1_date_time="yesterday"),
            "sample.conversation.session_1_date_time",
        ),
        (lambda made: made.update(conversation={"speaker_a": "Ines"}), "sample.conversation"),
    ],
)
def test_a_file_of_another_shape_is_refused_by_field(change: Any, field: str) -> None:
    with pytest.raises(TraceError) as caught:
        locomo_trace(sample(change))
    assert caught.value.field == field


@pytest.mark.parametrize("content", ["{", "{}"])
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(TraceError, match="a JSON list of conversations"):
        locomo(path)
