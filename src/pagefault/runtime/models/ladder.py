"""Three ways to let a model call functions, from the best to the one that always works.

``native``: tools of the Chat Completions protocol.  ``schema``: a JSON schema for the whole answer, one
object with ``thought``, ``function`` and ``arguments``.  ``text``: functions are described in the system
prompt, and calls are read out of the answer.  On the lower two there are no ``tool`` messages and no calls
in messages: both are rewritten to text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pagefault.runtime.models.repair import ParsedText, parse_calls, read_call_object
from pagefault.runtime.models.wire import Completion, clean, finish_of, is_object, message_payload, tool_payload
from pagefault.runtime.values import FunctionCall, FunctionSchema, Message, ModelRequest

NO_FUNCTION = "none"


class Rung(StrEnum):
    """How functions are offered."""

    NATIVE = "native"
    SCHEMA = "schema"
    TEXT = "text"


LADDER = tuple(Rung)


@dataclass(slots=True)
class RungMemory:
    """Which rung an endpoint and model stand on; ``proven`` are rungs on which calls have come back."""

    standing: dict[tuple[str, str], Rung] = field(default_factory=dict)
    proven: set[tuple[str, str, Rung]] = field(default_factory=set)


SHARED_MEMORY = RungMemory()
"""What this process has found out so far."""


# --- what is sent -----------------------------------------------------------------------------------


def payload(rung: Rung, request: ModelRequest, *, strict: bool, mend_arguments: bool) -> dict[str, Any]:
    """Messages, and whatever offers the functions."""
    functions = request.functions
    if rung is Rung.NATIVE:
        messages = [message_payload(each, mend_arguments=mend_arguments) for each in request.messages]
        if not functions:
            return {"messages": messages}
        tools = [tool_payload(each, strict=strict) for each in functions]
        # Strict arguments are only kept to when one call is made at a time.
        serial = {"parallel_tool_calls": False} if strict and any(each.strict for each in functions) else {}
        return {"messages": messages, "tools": tools, **serial}
    guide = _guide(rung, functions) if functions else ""
    sent: dict[str, Any] = {"messages": plain_messages(rung, request.messages, guide)}
    if rung is Rung.SCHEMA and functions:
        strict_schema = strict and all(each.strict for each in functions)
        sent["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "call", "strict": strict_schema, "schema": call_schema(functions)},
        }
    return sent


def call_schema(functions: Sequence[FunctionSchema]) -> dict[str, Any]:
    """The schema of an answer that is one call; ``function`` may be ``none``."""
    alternatives: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for function in functions:
        parameters = json.loads(function.parameters)
        own = parameters.pop("$defs", {})
        # References count from the root, so definitions move there under names of their own.
        definitions |= {f"{function.name}_{name}": _moved(each, function.name) for name, each in own.items()}
        moved = _moved(parameters, function.name)
        if moved not in alternatives:
            alternatives.append(moved)
    nothing = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    if nothing not in alternatives:
        alternatives.append(nothing)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "thought": {"type": "string"},
            "function": {"type": "string", "enum": [*(each.name for each in functions), NO_FUNCTION]},
            "arguments": {"anyOf": alternatives},
        },
        "required": ["thought", "function", "arguments"],
        "additionalProperties": False,
    }
    return schema | ({"$defs": definitions} if definitions else {})


def _moved(node: Any, owner: str) -> Any:
    if isinstance(node, list):
        return [_moved(each, owner) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: f"#/$defs/{owner}_{value.rsplit('/', 1)[-1]}" if key == "$ref" else _moved(value, owner)
        for key, value in node.items()
    }


def _guide(rung: Rung, functions: Sequence[FunctionSchema]) -> str:
    """The functions in a few lines, and how to call one."""
    lines = ["You act only by calling functions. Your functions are:"]
    lines += [
        f"- {each.name}({', '.join(_parameters(each))}): {' '.join(each.description.split())}" for each in functions
    ]
    if rung is Rung.SCHEMA:
        lines.append(
            'Answer with one JSON object and nothing else: {"thought": "…", "function": "name", "arguments": {…}}. '
            f'To call nothing, use the function "{NO_FUNCTION}" with the arguments {{}}.'
        )
    else:
        lines.append(
            "To call a function, write this, and nothing after it:\n"
            '<tool_call>{"name": "function name", "arguments": {…}}</tool_call>\n'
            "The result comes in the next message."
        )
    return "\n".join(lines)


def _parameters(function: FunctionSchema) -> Iterator[str]:
    """``page: integer or null "Which page."`` for each parameter."""
    for name, node in json.loads(function.parameters).get("properties", {}).items():
        description = f" {json.dumps(node['description'], ensure_ascii=False)}" if node.get("description") else ""
        yield f"{name}: {_type(node)}{description}"


def _type(node: dict[str, Any]) -> str:
    if "enum" in node:
        return " or ".join(json.dumps(each, ensure_ascii=False) for each in node["enum"])
    if "anyOf" in node:
        return " or ".join(_type(each) for each in node["anyOf"])
    kind = node.get("type", "object")
    if "items" in node:
        return f"list of {_type(node['items'])}" + (" or null" if isinstance(kind, list) else "")
    if node.get("properties"):
        return "{" + ", ".join(f"{name}: {_type(each)}" for name, each in node["properties"].items()) + "}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def plain_messages(rung: Rung, messages: Sequence[Message], guide: str) -> list[dict[str, str]]:
    """Messages with calls and results as text: one system message, then user and assistant in turn.

    Chat templates of open models often refuse anything else.
    """
    system = [message.text for message in messages[:1] if message.role == "system"]
    if guide:
        system.append(guide)
    plain = [{"role": "system", "content": clean("\n\n".join(system))}] if system else []
    for role, text in _turns(rung, messages[1:] if messages and messages[0].role == "system" else messages):
        if plain and plain[-1]["role"] == role != "system":
            plain[-1]["content"] += "\n\n" + clean(text)
        else:
            plain.append({"role": role, "content": clean(text)})
    if plain and plain[-1]["role"] == "system":
        plain.append({"role": "user", "content": "Begin."})
    return plain


def _turns(rung: Rung, messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    names = {call.id: call.name for message in messages for call in message.calls}
    for message in messages:
        if message.role == "assistant":
            yield from _assistant_turns(rung, message)
        elif message.role == "tool":
            name = message.name or names.get(message.answers) or "function"
            yield "user", f"[result of {name}] {message.text}"
        else:
            yield "user", message.text


def _assistant_turns(rung: Rung, message: Message) -> Iterator[tuple[str, str]]:
    """An earlier answer in the form that is asked for now, so that the model sees it done."""
    if not message.calls:
        yield "assistant", _call_object(message.text, None) if rung is Rung.SCHEMA else message.text
        return
    if rung is Rung.SCHEMA:
        yield (
            "assistant",
            "\n".join(
                _call_object(message.text if index == 0 else "", call) for index, call in enumerate(message.calls)
            ),
        )
        return
    calls = "\n".join(f"<tool_call>{_call_json(call)}</tool_call>" for call in message.calls)
    yield "assistant", f"{message.text}\n{calls}" if message.text else calls


def _call_object(thought: str, call: FunctionCall | None) -> str:
    name, arguments = (call.name, _arguments_json(call)) if call else (NO_FUNCTION, "{}")
    head = json.dumps({"thought": thought, "function": name}, ensure_ascii=False)
    return f'{head[:-1]}, "arguments": {arguments}}}'


def _call_json(call: FunctionCall) -> str:
    return f'{{"name": {json.dumps(call.name, ensure_ascii=False)}, "arguments": {_arguments_json(call)}}}'


def _arguments_json(call: FunctionCall) -> str:
    return call.arguments if is_object(call.arguments) else json.dumps(call.arguments, ensure_ascii=False)


# --- what comes back --------------------------------------------------------------------------------


def read_answer(rung: Rung, completion: Completion, request: ModelRequest) -> ParsedText:
    """Text and calls of an answer; ``repaired`` if they were not in the form that was asked for."""
    if rung is Rung.NATIVE or not request.functions:
        return ParsedText(completion.text, list(completion.calls))
    if completion.calls:  # native calls though none were offered: fine
        return ParsedText(completion.text, list(completion.calls))
    text = completion.text.strip()
    whole = finish_of(completion, calls=False) != "length"
    if rung is Rung.SCHEMA:
        found = read_call_object(text, request.functions)
        if found is not None:
            thought, calls = found
            return ParsedText(thought, [call for call in calls if call.name != NO_FUNCTION])
    parsed = parse_calls(text, request.functions, mend=whole)
    asked_for = rung is Rung.TEXT and "<tool_call>" in text
    parsed.repaired = parsed.repaired or (bool(parsed.calls) and not asked_for)
    return parsed


def calls_in_text(completion: Completion, request: ModelRequest) -> ParsedText | None:
    """Calls that a model wrote as text though tools were offered; ``None`` if it wrote none."""
    if completion.calls or not completion.text or not request.functions:
        return None
    whole = finish_of(completion, calls=False) != "length"
    parsed = parse_calls(completion.text, request.functions, whole=True, mend=whole)
    if not parsed.calls:
        return None
    parsed.repaired = True
    return parsed


def next_rung(rung: Rung) -> Rung | None:
    """The rung below."""
    index = LADDER.index(rung) + 1
    return LADDER[index] if index < len(LADDER) else None
