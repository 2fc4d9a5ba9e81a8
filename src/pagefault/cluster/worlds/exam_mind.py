"""The scripted mind of exams: it searches once where it can, and quotes the passage that fits the question best.

It knows nothing of the data and understands nothing: figures with it say what a memory has at hand, not what a model
would make of it.
"""

from __future__ import annotations

import math
from collections import Counter

from pagefault.cluster.worlds.exam import EXAMINER, UNKNOWN
from pagefault.cluster.worlds.scoring import stems
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import Line, View
from pagefault.runtime.values import ModelRequest

SEARCHES = ("archival_memory_search", "conversation_search")
FITTING_SHARE = 0.5
"""Fewer of the question's words than this in the best passage, and the answer is not known."""
SUMMARY_CHARS_PER_TOKEN = 3
_COMMON = frozenset(
    "a an and are at be been by can could did do does for from had has have he her his how i in is it its many me much"
    " my of on or she so that the their them they this to was we were what when where which who whom whose why will"
    " with would you your".split()
)


@mind("exam")
def quoting(request: ModelRequest) -> Reply:
    """Answer the examiner with a quotation; to everybody else, nothing.  Summaries are the beginnings of lines."""
    if request.purpose == "summarize":
        return shorten(request)
    view = View(request)
    incoming = view.incoming
    if incoming is None or incoming.author != EXAMINER:
        return nothing()
    search = next((name for name in SEARCHES if name in view.functions), None)
    if search is not None and view.result is None:
        return call(search, True, query=incoming.text)
    told = [Line("", "", "", "", text) for notice in view.notices for text in notice.split("\n")]  # a summary is one
    lines = view.hits().lines if search is not None else [*view.lines, *told]
    answer = best(incoming.text, [line for line in lines if line.author != EXAMINER])
    return say(answer) if search is not None else answer


def best(question: str, lines: list[Line]) -> str:
    """The text of the line with most of the question's words, rare ones counting more; the unknown if there is none."""
    wanted = set(stems(" ".join(word for word in question.lower().split() if word not in _COMMON)))
    held = [wanted.intersection(stems(f"{line.author} {line.text}")) for line in lines]
    spread = Counter(word for each in held for word in each)
    weight = {word: math.log(1 + len(lines) / (0.5 + spread[word])) for word in wanted}
    place = max(range(len(lines)), key=lambda place: (sum(weight[word] for word in held[place]), -place), default=-1)
    if place < 0 or not wanted or len(held[place]) < FITTING_SHARE * len(wanted):
        return UNKNOWN
    return lines[place].text or UNKNOWN


def shorten(request: ModelRequest) -> str:
    """As much of the beginning of every line as there is room for."""
    lines = request.messages[-1].text.split("\n")
    each = max(16, request.reply_tokens_max * SUMMARY_CHARS_PER_TOKEN // max(1, len(lines)))
    return "\n".join(line[:each] for line in lines if line)
