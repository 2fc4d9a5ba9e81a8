"""Nested key-value as an exam, for the memories that Pagefault is held against; and how an agent takes part in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pagefault.cluster.worlds.contract import Report, Row
from pagefault.cluster.worlds.exam import Case, Piece, Question
from pagefault.cluster.worlds.exam import Task as ExamTask
from pagefault.cluster.worlds.nested_kv import PAIR, QUESTION, Task

FOLLOWER = "scripted:pagefault.cluster.worlds.nested_kv_mind:follower"
SEARCHES = {
    "hybrid": "archival_memory_search",
    "substring": "pagefault.cluster.worlds.nested_kv_search:archival_text_search",
}
"""How archival memory is searched, with the function that does it: by meaning and words, or by text as in the paper."""
AGENT_SYSTEM = (
    "Whatever key-value pairs you are shown, store each with archival_memory_insert, word for word. When you are asked "
    "for a value, search archival memory for the key. If the value that you find is a key itself, search for that one, "
    "until a search shows a value that is no key: send that value, and nothing else, with send_message."
)
SYSTEM = (
    "You are shown key-value pairs, and asked for the value of a key. If that value is itself a key, go on to its "
    "value, until you come to a value that is no key. Answer with that value, and nothing else."
)


def template_for(search: str) -> dict[str, Any]:
    """The table of an agent that follows chains; ``search`` is a key of :data:`SEARCHES`."""
    return {
        "system": AGENT_SYSTEM,
        "functions": ("send_message", "archival_memory_insert", SEARCHES[search]),
        "model": FOLLOWER,
    }


def nested_kv_exam(tasks: Sequence[Task]) -> ExamTask:
    """The same chains for those who are shown pairs instead of searching for them."""
    return ExamTask(
        name="nested_kv",
        title="Nested key-value",
        cases=tuple(_case(task) for task in tasks),
        grade=solved,
        measures=("solved",),
        by="hops",
        system=SYSTEM,
        agent_system=AGENT_SYSTEM,
        functions=(),
    )


def solved(question: Question, given: str) -> Mapping[str, float]:
    """Whether the value at the end of the chain was given."""
    return {"solved": float(question.answers[0] in given)}


def with_baselines(report: Report | None, others: Report) -> Report:
    """The report of Pagefault's run with what the other memories solved; theirs alone if it took no part."""
    found: dict[str, Any] = {}
    rows = []
    for memory, result in others.results["memories"].items():
        by_hops = {hops: each["solved"] for hops, each in result["by_group"].items()}
        largest = result["prompt_tokens_max"]
        found[memory] = {"solved": result["solved"], "by_hops": by_hops, "prompt_tokens_max": largest}
        shown = ", ".join(f"{hops}: {share:.0%}" for hops, share in by_hops.items())
        rows.append(
            Row(f"  {memory}", f"{result['solved']:.1%}", f"by hops {shown}; largest prompt {largest:,} tokens")
        )
    if report is None:
        return replace(others, results={"baselines": found}, rows=rows)
    return replace(
        report,
        results={**report.results, "baselines": found},
        rows=[*report.rows, Row("other memories", "", "the same chains and model"), *rows],
        failed=report.failed or others.failed,
    )


def _case(task: Task) -> Case:
    pieces = tuple(Piece(f"pair-{place}", PAIR.format(*pair)) for place, pair in enumerate(task.pairs))
    table = {key: (place, value) for place, (key, value) in enumerate(task.pairs)}
    chain: list[str] = []
    at = task.key
    while at in table and len(chain) <= task.hops:
        place, at = table[at]
        chain.append(f"pair-{place}")
    question = Question("question", QUESTION.format(task.key), (task.answer,), tuple(chain), str(task.hops))
    return Case(f"pairs-{task.name}", pieces, (question,))
