"""The dialogues as an exam: LoCoMo's questions (Maharana et al. 2024), graded by its own rules, by category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pagefault.cluster.worlds.dialogues import CATEGORY_NAMES, Dialogue
from pagefault.cluster.worlds.exam import UNKNOWN, Case, Piece, Question, Task
from pagefault.cluster.worlds.scoring import abstains, list_f1, rouge_l_recall, token_f1

MULTI_HOP, OPEN_DOMAIN, ADVERSARIAL = 1, 3, 5
FUNCTIONS = ("send_message", "conversation_search", "conversation_search_date")
SYSTEM = (
    "You have followed a long conversation between two people; lines begin with the time at which they were said. "
    "Answer the examiner's question from what was said, in as few words as possible; give dates as dates, such as "
    f"7 May 2023. If it was not said, or was said of somebody else, answer: {UNKNOWN}"
)
AGENT_SYSTEM = (
    f"{SYSTEM} What was said long ago has left your context: look for it with conversation_search, more than once if "
    "need be, and ask for a heartbeat to go on after a search. Then answer with send_message, once."
)


def dialogues_exam(dialogues: Sequence[Dialogue], questions_max: int | None = None) -> Task:
    """The exam of these conversations; ``questions_max`` of each."""
    return Task(
        name="dialogues",
        title="Dialogues (LoCoMo)",
        cases=tuple(_case(dialogue, questions_max) for dialogue in dialogues),
        grade=grade,
        measures=("f1", "rouge_l", "abstained", "abstained_wrongly"),
        by="category",
        system=SYSTEM,
        agent_system=AGENT_SYSTEM,
        functions=FUNCTIONS,
        notes={"malformed_evidence": sum(dialogue.malformed_evidence for dialogue in dialogues)},
    )


def grade(question: Question, given: str) -> Mapping[str, float]:
    """LoCoMo's F1 and ROUGE-L recall where there is an answer; whether it abstains where there is none.

    To abstain from a question that has an answer is ``abstained_wrongly``: a memory that has nothing abstains well.
    """
    silent = float(abstains(given) or not given.strip())
    if not question.answerable:
        return {"abstained": silent}
    wanted = question.answers[0]
    if question.group == CATEGORY_NAMES[OPEN_DOMAIN]:
        wanted = wanted.split(";")[0]
    f1 = list_f1 if question.group == CATEGORY_NAMES[MULTI_HOP] else token_f1
    return {"f1": f1(given, wanted), "rouge_l": rouge_l_recall(given, wanted), "abstained_wrongly": silent}


def _case(dialogue: Dialogue, questions_max: int | None) -> Case:
    pieces = tuple(Piece(turn.key, turn.text, turn.speaker, turn.session, turn.at_ms) for turn in dialogue.turns)
    questions = tuple(
        Question(
            key=f"question-{number}",
            text=question.text,
            answers=(question.answer,),
            evidence=question.evidence if question.category != ADVERSARIAL else (),
            group=CATEGORY_NAMES.get(question.category, str(question.category)),
            answerable=question.category != ADVERSARIAL,
        )
        for number, question in enumerate(dialogue.questions)
    )
    return Case(f"dialogue-{dialogue.name}", pieces, questions[:questions_max])
