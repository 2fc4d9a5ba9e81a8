"""Questions over K documents (MemGPT, Packer et al. 2023, section 3.2.1), from NQ-open with its gold passages.

The file is that of *Lost in the Middle* (Liu et al. 2023): a question a line, with its answers and the one passage that
holds them.  A *library* of K documents has the golds of some questions, and those of others as distractors: so every
question has its one document among K, and the same model is asked the same questions however large K is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pagefault.cluster.worlds.exam import UNKNOWN, Case, Piece, Question, Task
from pagefault.cluster.worlds.jsonl import Record, read_records
from pagefault.cluster.worlds.scoring import abstains, exact_match, holds_answer
from pagefault.runtime.errors import ConfigError

WHAT = (
    "a file of NQ-open with gold passages, such as nq-open-oracle.jsonl.gz (github.com/nelson-liu/lost-in-the-middle)"
)
FUNCTIONS = ("send_message", "archival_memory_search")
SYSTEM = (
    "Answer the examiner's question from the documents that you are shown, in as few words as possible. If they do not "
    f"say, answer: {UNKNOWN}"
)
AGENT_SYSTEM = (
    "Answer the examiner's question from the documents in archival memory, in as few words as possible. Look for them "
    "with archival_memory_search, page by page or with other words if need be, and ask for a heartbeat to go on after "
    f"a search. Then answer with send_message, once. If they do not say, answer: {UNKNOWN}"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the file: its answers, and the document that has them."""

    text: str
    answers: tuple[str, ...]
    title: str
    document: str


def load_asked(path: Path) -> list[Asked]:
    """Every question of a file whose gold document no earlier one has.

    Raises :class:`~pagefault.runtime.errors.ConfigError` naming the line and the field.
    """
    found: dict[str, Asked] = {}
    for record in read_records(path, WHAT):
        asked = _asked(record)
        found.setdefault(asked.document, asked)
    return list(found.values())


def _asked(record: Record) -> Asked:
    contexts = record.items("ctxs")
    if not contexts:
        raise ConfigError("--data", f"{record.where}: ctxs = []", "at least one passage, the first of them the gold")
    answers = record.texts("answers")
    if not answers:
        raise ConfigError("--data", f"{record.where}: answers = []", "at least one answer")
    return Asked(record.get("question", str), answers, contexts[0].get("title", str), contexts[0].get("text", str))


def documents_exam(asked: Sequence[Asked], sizes: Sequence[int], questions: int, seed: int) -> Task:
    """The same questions over libraries of each of these sizes.

    Questions, distractors and the places of all documents follow from the seed.  Raises
    :class:`~pagefault.runtime.errors.ConfigError` when the file has fewer documents than that takes.
    """
    largest = max(sizes)
    if min(sizes) < 1:
        raise ConfigError("--documents", min(sizes), "1 or more")
    if len(asked) < max(largest, questions):
        raise ConfigError("--documents", largest, f"at most {len(asked)}, the documents in the file (also --questions)")
    chance = random.Random(seed)  # noqa: S311 - a seeded draw, not a secret
    drawn = chance.sample(list(asked), len(asked))
    cases = [
        _library(size, number, drawn[first : first + size][: questions - first], drawn, seed)
        for size in sorted(set(sizes))
        for number, first in enumerate(range(0, questions, size))
    ]
    return Task(
        name="documents",
        title="Questions over documents (NQ-open)",
        cases=tuple(cases),
        grade=grade,
        measures=("accuracy", "exact_match", "abstained"),
        by="documents",
        system=SYSTEM,
        agent_system=AGENT_SYSTEM,
        functions=FUNCTIONS,
        notes={"seed": seed},
    )


def grade(question: Question, given: str) -> Mapping[str, float]:
    """Whether an answer stands in it (NQ-open's accuracy in Liu et al. 2023), is it, or it abstains."""
    return {
        "accuracy": holds_answer(given, question.answers),
        "exact_match": exact_match(given, question.answers),
        "abstained": float(abstains(given)),
    }


def _library(size: int, number: int, own: Sequence[Asked], drawn: Sequence[Asked], seed: int) -> Case:
    """A library of ``size`` documents with the golds of ``own``, filled up with others, in an order of its own."""
    others = [each for each in drawn if each not in own]
    chance = random.Random(f"{seed}/{size}/{number}")  # noqa: S311 - as above
    held = [*own, *chance.sample(others, size - len(own))]
    chance.shuffle(held)
    pieces = tuple(Piece(f"document-{place}", each.document, each.title) for place, each in enumerate(held))
    keys = {each.document: piece.key for each, piece in zip(held, pieces, strict=True)}
    questions = tuple(
        Question(f"question-{drawn.index(each)}", each.text, each.answers, (keys[each.document],), str(size))
        for each in own
    )
    return Case(f"library-{size}-{number}", pieces, questions, filed=True)
