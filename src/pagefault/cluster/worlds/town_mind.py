"""The scripted mind of somebody who lives in a town: files what it hears, answers from memory, plans, reflects.

Planning and reflection are those of Generative Agents (Park et al. 2023, section 4), on Pagefault's own functions: a
plan is filed when a season begins; at its end the meetings are looked up, and what follows from them is filed.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter

from pagefault.cluster.worlds.town_plan import PLACES
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

FACT = re.compile(r"(the \w+ of \S+'s \w+) is ([\w-]+)")
_DAY = re.compile(r"Day (\d+), (\w+)")
_WONDERS = re.compile(r"wonders about (the .+)\.$")
_QUESTION = re.compile(r"what is (the .+?)\?|heard about (the .+?)\?")
_SEASON = re.compile(r"the (\w+ of year \d+)")
_MET = re.compile(r"[Yy]ou meet (\S+?)[, ]")
_SLOTS = ("dawn", "morning", "noon", "evening", "night")


@mind("townsman")
def townsman(request: ModelRequest) -> Reply:
    """One step of somebody who lives in a town; see the module."""
    view = View(request)
    if view.incoming is None:
        return nothing()
    text = view.incoming.text
    for word, act in (("begins.", _plan), ("ends.", _reflect), ("did you plan", _planned), ("know best?", _friend)):
        if word in text:
            return act(view, text)
    wonders = _WONDERS.search(text)
    asked = _QUESTION.search(text)
    if wonders is not None or asked is not None:
        topic = wonders.group(1) if wonders is not None else next(each for each in asked.groups() if each)  # type: ignore[union-attr]  # one of them matched
        return _tell(view, topic)
    return _file(view, text)


def _file(view: View, text: str) -> Reply:
    """What was found out or heard is filed with its moment, for it may be true no longer some day."""
    fact = FACT.search(text)
    if view.result is not None or fact is None:
        return nothing()
    when = _DAY.match(text)
    who = _MET.search(text)
    source = f" ({who.group(1)} says)" if who is not None else ""
    return call("archival_memory_insert", content=f"{when.group() if when else ''}: {fact.group()}{source}")


def _tell(view: View, topic: str) -> Reply:
    if view.result is None:
        return call("archival_memory_search", True, query=topic)
    if view.result.name != "archival_memory_search":
        return nothing()
    newest: tuple[int, int] = (-1, -1)
    value = ""
    for line in view.hits().lines:
        fact = FACT.search(line.text)
        if fact is not None and fact.group(1) == topic and _moment(line.text) >= newest:
            newest, value = _moment(line.text), fact.group(2)
    return say(f"{topic} is {value}" if value else f"I do not know {topic}.")


def _moment(text: str) -> tuple[int, int]:
    found = _DAY.search(text)
    return (int(found.group(1)), _SLOTS.index(found.group(2))) if found is not None else (-1, -1)


def _plan(view: View, text: str) -> Reply:
    if view.result is not None:
        return nothing()
    season = _season(text)
    place = PLACES[zlib.crc32(f"{view.request.agent}/{season}".encode()) % len(PLACES)]
    plan = f"For the {season} I plan to help at the {place}."
    return [call("archival_memory_insert", content=plan), say(plan)]


def _planned(view: View, text: str) -> Reply:
    season = _season(text)
    if view.result is None:
        return call("archival_memory_search", True, query=f"For the {season} I plan to help")
    if view.result.name != "archival_memory_search":
        return nothing()
    plans = [line.text for line in view.hits().lines if f"For the {season} I plan" in line.text]
    return say(plans[0] if plans else "I do not know.")


def _reflect(view: View, text: str) -> Reply:
    """Whom have I met most often?  Answered from what the search of the past brings up."""
    if view.result is None:
        return call("conversation_search", True, query="You meet somebody")
    if view.result.name != "conversation_search":
        return nothing()
    met = Counter(name for line in view.hits().lines for name in _MET.findall(line.text))
    if not met:
        return nothing()
    name, count = min(met.items(), key=lambda each: (-each[1], each[0]))
    return call(
        "archival_memory_insert",
        content=f"Reflection on the {_season(text)}: I know {name} best, from {count} meetings.",
    )


def _friend(view: View, _text: str) -> Reply:
    if view.result is None:
        return call("archival_memory_search", True, query="Reflection: I know somebody best, from meetings")
    if view.result.name != "archival_memory_search":
        return nothing()
    found = [re.search(r"I know (\S+) best", line.text) for line in view.hits().lines]
    names = [each.group(1) for each in found if each is not None]
    return say(f"I know {names[0]} best." if names else "I do not know.")


def _season(text: str) -> str:
    found = _SEASON.search(text)
    return found.group(1) if found is not None else ""
