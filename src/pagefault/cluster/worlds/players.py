"""Scripted minds that play: whatever is legal, or what a walkthrough says."""

from __future__ import annotations

import json
import re
import zlib
from typing import Any

from pagefault.runtime.models.scripted import Act, Reply, mind, nothing
from pagefault.runtime.models.view import Line, View
from pagefault.runtime.values import ModelRequest

_LEGAL = re.compile(r"^Legal (?:actions|moves): (.*)$", re.MULTILINE)
_MAY = re.compile(r"^You may: (.*)\.$", re.MULTILINE)
_ONE_OF = re.compile(r"one of (.*?)\.(?: |$)", re.MULTILINE)
_ADVICE = re.compile(r"^The walkthrough says: (.*)$", re.MULTILINE)
_STEP = re.compile(r"^(?:You have not acted yet[^\n]*\n)?Step \d+\.")


@mind("chooser")
def chooser(request: ModelRequest) -> Reply:
    """Act with something legal, chosen by the observation alone: the same game is always played the same way."""
    view = View(request)
    shown = to_act_on(view)
    if shown is None:
        return nothing()
    found = _LEGAL.search(shown.text) or _MAY.search(shown.text) or _ONE_OF.search(shown.text)
    labels = [] if found is None else [each for each in found[1].split(", ") if not each.startswith("…")]
    if not labels:
        return nothing()
    return act(request, labels[zlib.crc32(f"{view.agent} {shown.text}".encode()) % len(labels)])


@mind("walkthrough")
def walkthrough(request: ModelRequest) -> Reply:
    """Do what the walkthrough says."""
    shown = to_act_on(View(request))
    advice = _ADVICE.search(shown.text) if shown is not None else None
    return nothing() if advice is None else act(request, advice[1])


def to_act_on(view: View) -> Line | None:
    """What the agent is shown to act on, as long as it has not acted on it."""
    shown = view.incoming
    if shown is None or not _STEP.match(shown.text) or any(result.ok for result in view.results):
        return None
    return shown


def act(request: ModelRequest, label: str) -> Act:
    """The call of the function to act with (its name begins with ``act``) with one argument, as its schema says."""
    schema = next(each for each in request.functions if each.name.startswith("act"))
    properties: dict[str, Any] = json.loads(schema.parameters)["properties"]
    name = next(each for each in properties if each != "request_heartbeat")
    value: object = int(label) if properties[name].get("type") == "integer" else label
    return Act(schema.name, json.dumps({name: value}))
