"""Deep memory retrieval and conversation openers (MemGPT, Packer et al. 2023, section 3.1).

Both read a file of MSC-Self-Instruct (Multi-Session Chat, Xu et al. 2021, with one question for each conversation):
``previous_dialogs`` are the earlier sessions, ``dialog`` the last one, its turns taken in turn by two speakers;
``self_instruct`` has the question (``B``) and its answer (``A``), ``personas`` what is so of each speaker.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pagefault.cluster.worlds.exam import UNKNOWN, Case, Piece, Question, Task
from pagefault.cluster.worlds.jsonl import Record, read_records
from pagefault.cluster.worlds.scoring import abstains, holds_answer, rouge_l_recall
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.store.protocols import Embedder

WHAT = "a file of MSC-Self-Instruct, such as msc_self_instruct.jsonl (huggingface.co/datasets/MemGPT/MSC-Self-Instruct)"
SPEAKERS = ("Speaker 1", "Speaker 2")
FUNCTIONS = ("send_message", "conversation_search")
SESSION_GAP_MS = 24 * 3600 * 1000
TURN_GAP_MS = 60_000
BEGAN_MS = 1_640_995_200_000
"""The file has no dates: sessions are a day apart, from the beginning of 2022."""
SYSTEM = (
    "You have followed several conversations between two people. Answer the examiner's question from what they said, "
    f"in one short sentence. If they did not say, answer: {UNKNOWN}"
)
OPENER_SYSTEM = (
    f"You are {SPEAKERS[0]}, and have talked with {SPEAKERS[1]} several times. When you are asked for it, write the "
    "first message of your next conversation: short and warm, and taking up what you know of them. Write nothing else."
)
LOOK = (
    " What was said long ago has left your context: look for it with conversation_search, and ask for a heartbeat to "
    "go on after a search. Then answer with send_message, once."
)
OPENER = f"Write the first message of the next conversation with {SPEAKERS[1]}: what do they like, do, and live with?"


def dmr_exam(path: Path, limit: int | None = None) -> Task:
    """One question a conversation of five sessions.  Raises :class:`~pagefault.runtime.errors.ConfigError`."""
    cases = []
    for number, record in enumerate(read_records(path, WHAT, limit)):
        asked = record.inner("self_instruct")
        sessions = [*record.items("previous_dialogs"), record]
        question = Question("question", asked.get("B", str), (asked.get("A", str),))
        cases.append(Case(f"dmr-{number}", tuple(_turns(sessions)), (question,)))
    return Task(
        name="dmr",
        title="Deep memory retrieval (MSC)",
        cases=tuple(cases),
        grade=grade,
        measures=("rouge_l", "holds_answer", "abstained"),
        by="",
        system=SYSTEM,
        agent_system=SYSTEM + LOOK,
        functions=FUNCTIONS,
    )


def grade(question: Question, given: str) -> Mapping[str, float]:
    """ROUGE-L recall, as in the paper's table 2; whether the whole answer stands in it; whether it abstains."""
    return {
        "rouge_l": rouge_l_recall(given, question.answers[0]),
        "holds_answer": holds_answer(given, question.answers),
        "abstained": float(abstains(given)),
    }


def openers_exam(path: Path, embedder: Embedder, limit: int | None = None) -> Task:
    """An opener for the last session of each conversation, from the earlier ones.

    It is compared, by the cosine of embeddings, with what the file says of the other speaker (the best match, and the
    mean of the best three) and with the opener that a human wrote, as in the paper's table 3.  Raises
    :class:`~pagefault.runtime.errors.ConfigError`.
    """
    cases = []
    for number, record in enumerate(read_records(path, WHAT, limit)):
        turns = record.items("dialog")
        facts = _persona(record)
        if not turns:
            raise ConfigError(
                "--data", f"{record.where}: dialog = []", "the opener that a human wrote, as its first turn"
            )
        question = Question("opener", OPENER, (turns[0].get("text", str), *facts))
        cases.append(Case(f"opener-{number}", tuple(_turns(record.items("previous_dialogs"))), (question,)))

    def similar(question: Question, given: str) -> Mapping[str, float]:
        said, *labels = embedder.embed([given, *question.answers])
        human, *facts = (float(said @ label) for label in labels)
        best = sorted(facts, reverse=True)
        return {"sim_1": best[0], "sim_3": statistics.fmean(best[:3]), "sim_h": human}

    return Task(
        name="openers",
        title="Conversation openers (MSC)",
        cases=tuple(cases),
        grade=similar,
        measures=("sim_1", "sim_3", "sim_h"),
        by="",
        system=OPENER_SYSTEM,
        agent_system=OPENER_SYSTEM + LOOK,
        functions=FUNCTIONS,
    )


def _persona(record: Record) -> Sequence[str]:
    """What is so of the second speaker, whom the opener is for."""
    personas = record.get("personas", list)
    facts = personas[1] if len(personas) > 1 else None
    if not isinstance(facts, list) or not facts or not all(isinstance(fact, str) for fact in facts):
        raise ConfigError("--data", f"{record.where}: personas", "two lists of sentences, one for each speaker")
    return facts


def _turns(sessions: Sequence[Record]) -> Iterator[Piece]:
    for number, session in enumerate(sessions, 1):
        for place, turn in enumerate(session.items("dialog")):
            yield Piece(
                key=f"{number}-{place}",
                text=turn.get("text", str),
                author=SPEAKERS[place % len(SPEAKERS)],
                session=f"session {number}",
                at_ms=BEGAN_MS + number * SESSION_GAP_MS + place * TURN_GAP_MS,
            )
