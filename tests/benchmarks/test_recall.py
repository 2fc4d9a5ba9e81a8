"""The recall benchmark over a small file in its format, written for this test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import recall
from pagefault.runtime.values import PageId
from tests.runtime.store.helpers import TALK, at_ms

DATES = {"s1": "9:05 am on 2 March, 2023", "s2": "12:30 pm on 17 May, 2023", "s3": "8:00 pm on 30 August, 2023"}


def dialogue() -> dict[str, Any]:
    talk: dict[str, Any] = {"speaker_a": "Mira", "speaker_b": "Oskar"}
    for number, (session, date) in enumerate(DATES.items(), 1):
        turns = [(author, text) for name, _, author, text in TALK if name == session]
        talk[f"session_{number}_date_time"] = date
        talk[f"session_{number}"] = [
            {"speaker": author, "dia_id": f"D{number}:{turn}", "text": text}
            for turn, (author, text) in enumerate(turns, 1)
        ]
    talk["session_3"][4]["blip_caption"] = "a kitten in a flour bin"
    questions = [
        ("Which instrument does Oskar own?", ["D1:4"], 4),
        ("What did Oskar do on 17 May 2023?", ["D2:1", "D2:3", "D9:9"], 2),
        ("What do Mira and Ilse like?", ["D"], 1),
        ("Who stole the moon?", ["D1:1"], 5),
    ]
    asked = [{"question": text, "answer": "-", "evidence": named, "category": kind} for text, named, kind in questions]
    return {"sample_id": "valley", "conversation": talk, "qa": asked}


def test_a_conversation_is_read_as_pages_and_questions() -> None:
    read = recall.conversation(dialogue())
    assert len(read.pages) == len(TALK)
    kitten = read.pages[16]
    assert (kitten.id, kitten.author, kitten.session, kitten.ordinal) == ("D3:5", "Mira", "session 3", 16)
    assert kitten.text.endswith("She sleeps in the flour bin. [shares a photo: a kitten in a flour bin]")
    assert kitten.created_ms == at_ms(2023, 8, 30, 20)
    assert [(question.category, question.evidence) for question in read.questions] == [
        (4, frozenset({PageId("D1:4")})),
        (2, frozenset({PageId("D2:1"), PageId("D2:3")})),
    ]
    assert read.skipped == 2


def test_it_measures_through_the_real_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "talk.json", tmp_path / "out.json"
    data.write_text(json.dumps([dialogue()]))
    monkeypatch.setattr("sys.argv", ["recall", "--data", str(data), "--json", str(out), "--quick"])
    recall.main()
    whole = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert whole == json.loads(out.read_text())
    assert (whole["benchmark"], whole["quick"]) == ("recall", True)
    results = whole["results"]
    for mode in ("dense", "bm25", "hybrid"):
        assert results[mode].keys() == {"5", "10", "20"}
        assert results[mode]["20"] <= 1.0
    assert results["hybrid"]["5"] == 1.0
    assert results["dense"]["20"] == 1.0  # all pages are among the first twenty
    assert (results["conversations"], results["turns"], results["questions"]) == (1, 18, 2)
    assert results["evidence_skipped"] == 2


@pytest.mark.parametrize("content", ["{", "[1]", '[{"conversation": {}}]', '{"a": 1}', "[]"])
def test_another_format_is_refused_with_what_to_do(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "talk.json"
    data.write_text(content)
    monkeypatch.setattr("sys.argv", ["recall", "--data", str(data)])
    with pytest.raises(SystemExit, match=r"--data: .*(get data/locomo10\.json|holds no question)"):
        recall.main()


def test_a_missing_file_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["recall", "--data", str(tmp_path / "absent.json")])
    with pytest.raises(SystemExit):
        recall.main()
    said = capsys.readouterr().err
    assert "absent.json" in said
    assert "get data/locomo10.json from github.com/snap-research/LoCoMo" in said
