"""The scripted mind of nested key-value: it files what it is shown, and follows a chain to its end."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pagefault.cluster.worlds.exam_mind import shorten
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

SEARCHES = ("archival_memory_search", "archival_text_search")
_PAIR = re.compile(r"Key-value pair: key = (\S+), value = (\S+)")
_QUESTION = re.compile(r"What is the value of key (\S+)\?")


@mind("nested-kv")
def follower(request: ModelRequest) -> Reply:
    """Search for the key that is asked for; as long as the value found is a key itself, search for that one.

    Where it cannot search, it follows the chain through what it is shown.
    """
    if request.purpose == "summarize":
        return shorten(request)
    view = View(request)
    incoming = view.incoming
    question = _QUESTION.search(incoming.text) if incoming is not None else None
    if question is None:
        pairs = _PAIR.findall(incoming.text) if incoming is not None else []
        if not pairs or view.result is not None:
            return nothing()
        text = "Key-value pair: key = {}, value = {}"
        return tuple(call("archival_memory_insert", content=text.format(key, value)) for key, value in pairs)
    search = next((name for name in SEARCHES if name in view.functions), None)
    if search is None:
        shown = [*(line.text for line in view.lines), *view.notices]
        return follow(question[1], dict(pair for text in shown for pair in _PAIR.findall(text)))
    result = view.result
    if result is None:
        return call(search, True, query=question[1])
    wanted = str(result.arguments.get("query", ""))
    found = {key: value for line in view.hits().lines for key, value in _PAIR.findall(line.text)}
    if wanted in found:
        return call(search, True, query=found[wanted])
    return say(wanted)  # no key: the chain ends with it


def follow(key: str, table: Mapping[str, str]) -> str:
    """The value at the end of the chain that begins with a key, as far as the table has it."""
    passed = {key}
    at = table.get(key, "")
    while at in table and at not in passed:
        passed.add(at)
        at = table[at]
    return at or "I do not know."
