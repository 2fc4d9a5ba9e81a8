"""The scripted mind of the dialogues: it listens, and when examined it searches once and answers.

Searching well is the archive's business; this mind knows nothing of the data.
"""

from __future__ import annotations

import re

from pagefault.cluster.worlds.dialogues import EXAMINER
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

_WORD = re.compile(r"[a-z0-9]+")
_COMMON = frozenset("a an and are at be been did do does for from had has have how in is it of on or that the their"
                    " they to was were what when where which who why will with would".split())  # fmt: skip


@mind("dialogues")
def reader(request: ModelRequest) -> Reply:
    """Read turns in silence; answer the examiner with the passage that shares most words with the question."""
    view = View(request)
    incoming = view.incoming
    if incoming is None or incoming.author != EXAMINER:
        return nothing()
    result = view.result
    if result is None:
        return call("conversation_search", True, query=incoming.text)
    wanted = _words(incoming.text)
    best = max(view.hits().lines, key=lambda line: len(wanted & _words(line.text)), default=None)
    return say(best.text if best is not None and best.text else "I do not know.")


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower())) - _COMMON
