"""Questions over documents: libraries of every size hold the same questions, and memory is as good in large ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster.worlds.documents_exam import Asked, documents_exam, grade, load_asked
from pagefault.cluster.worlds.exam import Memory, Question
from pagefault.runtime.errors import ConfigError
from tests.cluster.worlds.exams import sit

ASKED = [
    Asked(
        f"who built tower{n} of fort{n}",
        (f"Mason{n} Reed",),
        f"Fort{n}",
        f"Tower{n} of Fort{n} was built by {builder}.",
    )
    for n in range(60)
    for builder in [f"Mason{n} Reed"]
]


def row(**changes: Any) -> str:
    value = {"question": "who?", "answers": ["Ada"], "ctxs": [{"title": "T", "text": "Ada did."}], **changes}
    return json.dumps({name: each for name, each in value.items() if each is not None})


def test_every_question_has_its_document_among_k() -> None:
    task = documents_exam(ASKED, [4, 10, 50], 10, seed=3)
    assert task == documents_exam(ASKED, [50, 4, 10, 4], 10, seed=3)
    assert [(len(case.pieces), len(case.questions)) for case in task.cases] == [
        (4, 4),
        (4, 4),
        (4, 2),
        (10, 10),
        (50, 10),
    ]
    for case in task.cases:
        held = {piece.key: piece.text for piece in case.pieces}
        assert len(set(held.values())) == len(case.pieces)
        for asked in case.questions:
            assert asked.answers[0] in held[asked.evidence[0]]
            assert asked.group == str(len(case.pieces))
    by_size = {
        size: {q.text for case in task.cases if len(case.pieces) == size for q in case.questions}
        for size in (4, 10, 50)
    }
    assert by_size[4] == by_size[10] == by_size[50]
    assert documents_exam(ASKED, [4], 10, seed=4).cases != task.cases[:3]


def test_more_than_the_file_has_is_refused() -> None:
    for sizes, questions in (([61], 10), ([4], 61), ([0], 1)):
        with pytest.raises(ConfigError, match="--documents"):
            documents_exam(ASKED, sizes, questions, seed=1)


def test_the_file_is_read_once_for_each_document(tmp_path: Path) -> None:
    path = tmp_path / "nq.jsonl.gz"
    path.write_bytes(
        gzip.compress("\n".join([row(), row(question="again?"), row(ctxs=[{"title": "", "text": "x"}])]).encode())
    )
    assert load_asked(path) == [Asked("who?", ("Ada",), "T", "Ada did."), Asked("who?", ("Ada",), "", "x")]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"question": None}, "line 2: no field 'question'"),
        ({"answers": []}, "line 2: answers = []"),
        ({"answers": [3]}, "'answers' as a list of texts"),
        ({"ctxs": []}, "line 2: ctxs = []"),
        ({"ctxs": [{"title": "T"}]}, "line 2, ctxs[0]: no field 'text'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    (tmp_path / "nq.jsonl").write_text(f"{row()}\n{row(**changes)}\n")
    with pytest.raises(ConfigError) as raised:
        load_asked(tmp_path / "nq.jsonl")
    assert said in str(raised.value)


def test_grades() -> None:
    asked = Question("q", "?", ("Ada", "Lady Ada"))
    assert grade(asked, "It was Lady Ada.") == {"accuracy": 1.0, "exact_match": 0.0, "abstained": 0.0}
    assert grade(asked, "lady ada")["exact_match"] == 1.0


async def test_memory_is_as_good_in_a_large_library() -> None:
    report = await sit(
        documents_exam(ASKED, [5, 60], 5, seed=2), Memory.PAGEFAULT, Memory.TRUNCATED, context_tokens=1100
    )
    mine, cut = (report.results["memories"][memory]["by_group"] for memory in (Memory.PAGEFAULT, Memory.TRUNCATED))
    assert [mine[size]["accuracy"] for size in ("5", "60")] == [1.0, 1.0]
    assert cut["5"]["accuracy"] == 1.0 > cut["60"]["accuracy"]
