"""Traces of chat logs with tool calls: what a call's arguments came from had to be in the context.

Value provenance: when an argument of a call, as a whole, occurs verbatim in an earlier message, the call
needed that message.  Only arguments that look like identifiers count (:func:`is_identifying`), and a value's
origin is the message in which it occurred first: later ones repeat it.  All origins of one message's calls
are one group, each needed once.

Two kinds of file are read, each also compressed with gzip:

* episodes as tau-bench writes them: a JSON list, or lines, of ``{"task_id", "trial", "reward", "traj"}``
  where ``traj`` is a list of OpenAI chat messages; a trace each;
* OpenAI chat messages: a JSON list of messages (one trace), a list of such lists, objects with ``messages``,
  or lines of any of these; lines of messages alone are one trace.

System messages are instructions, which a context holds in a place of their own: they are no pages.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pagefault.policies.contract import PageFacts
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.makers.sizes import Count, estimated_tokens
from pagefault.policies.lab.trace import Source, Trace, TraceError

INSTRUCTIONS = ("system", "developer")
ROLES = {"user": "message", "assistant": "reply", "tool": "result", "function": "result"}
"""From the roles of messages to the kinds of pages; an assistant's message with calls is a ``call``."""
IDENTIFIER_CHARACTERS_MIN = 3


def is_identifying(value: object) -> bool:
    """Whether an argument names something: a string or a number of three characters or more, with a digit.

    Flight numbers, user ids, dates, prices; not words such as ``economy``, which occur everywhere, nor small
    counts, nor truth values.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return False
    written = str(value)
    return len(written) >= IDENTIFIER_CHARACTERS_MIN and any(character.isdigit() for character in written)


def chat_log(path: Path, *, count: Count = estimated_tokens) -> list[Trace]:
    """One trace an episode or conversation of a file.

    ``count`` gives tokens for the text of a message, its calls included.  Raises :class:`TraceError` for a
    file that is neither of the two kinds, with the path of the field.
    """
    stem = path.name.partition(".")[0]
    return [
        chat_trace(messages, name=f"{stem}-{name}", count=count, field=field)
        for name, messages, field in _conversations(_read(path))
    ]


def chat_trace(
    messages: Sequence[Mapping[str, Any]],
    *,
    name: str = "chat",
    count: Count = estimated_tokens,
    field: str = "messages",
) -> Trace:
    """The trace of one list of OpenAI chat messages; ``field`` is its name in errors.

    A turn of the trace is a message.  ``notes`` count ``arguments`` that look like identifiers, those of them
    ``found`` in an earlier message, and ``calls_unreadable`` whose arguments are not JSON.
    """
    builder = TraceBuilder(name, Source.PROVENANCE)
    builder.notes |= {"arguments": 0, "found": 0, "calls_unreadable": 0}
    texts: list[str] = []
    for turn, message in enumerate(messages):
        where = f"{field}[{turn}]"
        role = _role(message, where)
        if role in INSTRUCTIONS:
            continue
        calls = _calls(message, where)
        needed: dict[int, None] = {}
        for arguments in calls:
            for value in _identifiers(arguments, builder.notes):
                builder.notes["arguments"] += 1
                origin = _origin(value, texts)
                if origin is not None:
                    builder.notes["found"] += 1
                    needed[origin] = None
        for origin in sorted(needed):
            builder.reference(f"m{origin}", turn, turn)
        text = _text(message, where) + "".join(f"\n{arguments}" for arguments in calls)
        kind = "call" if calls else ROLES[role]
        author = str(message.get("name") or role)
        page = PageFacts(f"m{len(texts)}", kind, count(text.strip()), len(texts), author=author, text=text.strip())
        builder.insert(page, turn)
        texts.append(page.text)
    return builder.build()


def _origin(value: str, texts: Sequence[str]) -> int | None:
    """Index of the first text in which the value stands by itself, not as part of a longer word or number."""
    return next((index for index, text in enumerate(texts) if _stands_in(value, text)), None)


def _stands_in(value: str, text: str) -> bool:
    start = text.find(value)
    while start >= 0:
        end = start + len(value)
        if not (start and text[start - 1].isalnum()) and not (end < len(text) and text[end].isalnum()):
            return True
        start = text.find(value, start + 1)
    return False


def _identifiers(arguments: str, notes: dict[str, int]) -> list[str]:
    """The values in a call's arguments that look like identifiers, as they are written, in order."""
    try:
        parsed = json.loads(arguments)
    except json.JSONDecodeError:
        notes["calls_unreadable"] += 1
        return []
    return [str(value) for value in _leaves(parsed) if is_identifying(value)]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _role(message: Any, field: str) -> str:
    role = message.get("role") if isinstance(message, Mapping) else None
    if role not in ROLES and role not in INSTRUCTIONS:
        raise TraceError(f"{field}.role", role, "one of " + ", ".join((*INSTRUCTIONS, *ROLES)))
    return str(role)


def _text(message: Mapping[str, Any], field: str) -> str:
    """The text of a message: a string, nothing, or parts of which those with a text count."""
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "\n".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise TraceError(f"{field}.content", content, "a string, a list of parts, or null")
    return content


def _calls(message: Mapping[str, Any], field: str) -> list[str]:
    """The arguments of every call in a message, as the JSON text that the model wrote."""
    calls = [call.get("function") for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
    if message.get("function_call"):
        calls.append(message["function_call"])
    written = []
    for place, call in enumerate(calls):
        arguments = call.get("arguments") if isinstance(call, Mapping) else None
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments, ensure_ascii=False)
        if not isinstance(arguments, str):
            raise TraceError(f"{field}.tool_calls[{place}].function.arguments", arguments, "a JSON object as a string")
        written.append(arguments)
    return written


def _read(path: Path) -> Any:
    """The JSON in a file, or a list of the JSON values on its lines; unpacked if it is gzip."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise TraceError(str(path), str(problem), "JSON or lines of JSON in UTF-8, plain or gzip") from problem
    try:
        return json.loads(text)
    except json.JSONDecodeError as problem:
        if "Extra data" not in problem.msg:
            raise TraceError(str(path), str(problem), "JSON or lines of JSON") from problem
    lines = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError as problem:
                raise TraceError(f"{path}:{number}", line[:80], "one JSON value a line") from problem
    return lines


def _conversations(content: Any) -> Iterator[tuple[str, Sequence[Any], str]]:
    """Name, messages and field of every conversation in what was read."""
    if isinstance(content, Mapping) and "role" not in content:
        content = [content]
    if not isinstance(content, list):
        raise TraceError("file", type(content).__name__, "a list of messages, of conversations or of episodes")
    if content and all(isinstance(each, Mapping) and "role" in each for each in content):
        yield "0", content, "messages"
        return
    for place, each in enumerate(content):
        key = next((key for key in ("traj", "messages") if isinstance(each, Mapping) and key in each), None)
        messages = each[key] if key else each
        field = f"[{place}].{key}" if key else f"[{place}]"
        if not isinstance(messages, list):
            raise TraceError(field, type(messages).__name__, "a list of messages")
        episode = key == "traj" and "task_id" in each
        yield (f"{each['task_id']}-{each.get('trial', 0)}" if episode else str(place)), messages, field
