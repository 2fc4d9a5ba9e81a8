"""How functions are shown to the local model: a variant is data, and ``model_options={"variant": …}`` chooses one.

A model of this size calls what the user's words point to.  So a variant shows few functions, under names that users
would say, each with one line that says when to call it.  Which of them works is measured: ``benchmarks.local_model``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pagefault.runtime.values import FunctionSchema

HEARTBEAT = "request_heartbeat"
SYSTEM_CALLS = frozenset(
    "send_message core_memory_append core_memory_replace conversation_search conversation_search_date "
    "archival_memory_insert archival_memory_search pause_heartbeats set_timer page_in page_out pin unpin "
    "send_to_agent call_agent yield_control cancel_timer subscribe unsubscribe publish "
    "archival_memory_review archival_memory_merge".split()
)
"""The runtime's own functions: of these a variant shows only what it lists."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One function under another name.  ``parameters``: the name shown, the real name, what it is."""

    function: str
    name: str
    description: str
    parameters: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """What a model is shown.  Functions of the program's own are shown as they are, with their first sentence."""

    name: str
    functions: tuple[Shown, ...]


_SAVE = "Save a note when the user says remember, note or keep in mind."
_SEARCH = "Search the saved notes when the user asks a question: what, which, where, who, when."
_NOTES = (
    Shown("archival_memory_insert", "save_note", _SAVE, (("note", "content", "The note to save, in full."),)),
    Shown("archival_memory_search", "search_notes", _SEARCH, (("query", "query", "Words to search for."),)),
)
_SPEAK = Shown("send_message", "send_message", "Say something to the user.", (("message", "message", "What to say."),))
_NAMES = (
    Shown(
        "archival_memory_insert",
        "archival_memory_insert",
        "Save a note in archival memory when the user says remember, note or keep in mind.",
        (("content", "content", "The note to save, in full."),),
    ),
    Shown(
        "archival_memory_search",
        "archival_memory_search",
        "Search archival memory when the user asks a question: what, which, where, who, when.",
        (("query", "query", "Words to search for."),),
    ),
)

VARIANTS: Mapping[str, Variant] = {
    each.name: each
    for each in (
        Variant("notes", _NOTES),
        Variant("speaking", (*_NOTES, _SPEAK)),
        Variant("names", _NAMES),
    )
}


@dataclass(frozen=True, slots=True)
class Offer:
    """Functions as the model is shown them, and the way back to their real names."""

    tools: str
    real: Mapping[str, tuple[str, Mapping[str, str]]]
    chaining: frozenset[str]

    def call(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """A call under its real names.  A heartbeat is asked for wherever it can be: a model that never writes one
        itself shall see what its calls gave."""
        function, parameters = self.real.get(name, (name, {}))
        given = {parameters.get(key, key): value for key, value in arguments.items()}
        if function in self.chaining:
            given[HEARTBEAT] = True
        return function, given


def offer(variant: Variant, functions: Sequence[FunctionSchema]) -> Offer:
    """What of these functions is shown, and how."""
    known = {each.name: each for each in functions}
    tools: list[dict[str, Any]] = []
    real: dict[str, tuple[str, Mapping[str, str]]] = {}
    for shown in variant.functions:
        if shown.function in known:
            tools.append(_as_shown(shown))
            real[shown.name] = (shown.function, {alias: name for alias, name, _ in shown.parameters})
    tools += [_as_it_is(each) for each in functions if each.name not in SYSTEM_CALLS]
    chaining = frozenset(name for name, each in known.items() if HEARTBEAT in _properties(each))
    return Offer(json.dumps(tools, ensure_ascii=False), real, chaining)


def _as_shown(shown: Shown) -> dict[str, Any]:
    properties = {alias: {"type": "string", "description": what} for alias, _, what in shown.parameters}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": shown.name, "description": shown.description, "parameters": parameters}


def _as_it_is(function: FunctionSchema) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = []
    for name, node in _properties(function).items():
        if name == HEARTBEAT:
            continue
        properties[name], optional = _plain(node)
        if not optional:
            required.append(name)
    description = function.description.partition(". ")[0].strip()
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"name": function.name, "description": description, "parameters": parameters}


def _plain(node: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A parameter without ``null`` among its types, which the engine's grammar has no word for; and whether it had."""
    alternatives = [each for each in node.get("anyOf", [node]) if each.get("type") != "null"]
    optional = len(alternatives) < len(node.get("anyOf", [node]))
    plain = dict(alternatives[0]) if alternatives else {"type": "string"}
    kind = plain.get("type", "string")
    if isinstance(kind, list):
        optional = optional or "null" in kind
        plain["type"] = next((each for each in kind if each != "null"), "string")
    if "enum" in plain:
        plain["enum"] = [each for each in plain["enum"] if each is not None]
    if node.get("description"):
        plain["description"] = node["description"]
    return plain, optional


def _properties(function: FunctionSchema) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(function.parameters).get("properties", {})
    return found
