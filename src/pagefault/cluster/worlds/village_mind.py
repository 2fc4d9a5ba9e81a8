"""The scripted mind of a villager: files what it finds out, tells what it is asked for, from memory only."""

from __future__ import annotations

import re

from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

_MEETING = re.compile(r"You meet (\S+) at the well, who wonders about (.+)\.")
_FACT = re.compile(r"(the \w+ of the \w+'s \w+) is ([\w-]+)")
_QUESTION = re.compile(r"what is (the .+)\?")


@mind("villager")
def villager(request: ModelRequest) -> Reply:
    """One step of a villager.

    A fact that is found out or told is stored.  At a meeting, and when asked, the topic is looked up in
    archival memory; what is found is told, and nothing is made up.
    """
    view = View(request)
    incoming = view.incoming
    if incoming is None:
        return nothing()
    meeting = _MEETING.search(incoming.text)
    question = _QUESTION.search(incoming.text)
    if meeting is None and question is None:
        fact = _FACT.search(incoming.text)
        if fact is None or view.result is not None:
            return nothing()
        source = "I found out" if incoming.author == "village" else f"{incoming.author} told me"
        return call("archival_memory_insert", content=f"{source} that {fact.group(0)}.")
    topic = meeting.group(2) if meeting is not None else question.group(1) if question is not None else ""
    result = view.result
    if result is None:
        return call("archival_memory_search", True, query=topic)
    if result.name != "archival_memory_search":
        return nothing()
    value = _look_up(view, topic)
    if meeting is None:
        return say(f"{topic} is {value}" if value else f"I do not know {topic}.")
    if not value:
        return nothing()
    return call("send_to_agent", agent=meeting.group(1), message=f"Did you know? {topic} is {value}.")


def _look_up(view: View, topic: str) -> str:
    for line in view.hits().lines:
        fact = _FACT.search(line.text)
        if fact is not None and fact.group(1) == topic:
            return fact.group(2)
    return ""
