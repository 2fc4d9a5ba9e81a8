"""The Chat Completions wire: what is sent as plain dictionaries, what comes back as checked values.

Nothing that a server sends is believed: every field is looked at, and whatever cannot be read is
:class:`~pagefault.runtime.errors.ModelMalformed`.  Arguments of calls stay the text that they are; whether
they are right is told to the model by the function table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pagefault.runtime.errors import ModelMalformed
from pagefault.runtime.values import FunctionCall, FunctionSchema, Message, ModelReply, Usage

CALLS_MAX = 128
_SHOWN_CHARS = 80
_FINISHES = {"length": "length", "max_tokens": "length", "content_filter": "refusal", "refusal": "refusal"}


# --- what is sent -----------------------------------------------------------------------------------


def message_payload(message: Message, *, mend_arguments: bool) -> dict[str, Any]:
    """One message with native calls.

    ``mend_arguments``: some servers parse the arguments of earlier calls and fail on those that a model got
    wrong, so these are wrapped into an object that holds the text.
    """
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.answers, "content": clean(message.text)}
    payload: dict[str, Any] = {"role": message.role, "content": clean(message.text)}
    if message.calls:
        payload["content"] = payload["content"] or None
        payload["tool_calls"] = [_call_payload(call, mend_arguments=mend_arguments) for call in message.calls]
    return payload


def _call_payload(call: FunctionCall, *, mend_arguments: bool) -> dict[str, Any]:
    arguments = call.arguments
    if mend_arguments and not is_object(arguments):
        arguments = json.dumps({"unreadable": clean(arguments)}) if arguments.strip() else "{}"
    return {"id": call.id, "type": "function", "function": {"name": clean(call.name), "arguments": clean(arguments)}}


def tool_payload(function: FunctionSchema, *, strict: bool) -> dict[str, Any]:
    """One function as a native tool."""
    description: dict[str, Any] = {
        "name": function.name,
        "description": function.description,
        "parameters": json.loads(function.parameters),
    }
    if strict and function.strict:
        description["strict"] = True
    return {"type": "function", "function": description}


def clean(text: str) -> str:
    """The text without half characters, which cannot be sent."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def is_object(text: str) -> bool:
    """Whether a text is a JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


# --- what comes back --------------------------------------------------------------------------------


@dataclass(slots=True)
class Completion:
    """An answer as the server gave it, its fields checked for their types."""

    text: str = ""
    refusal: str = ""
    calls: list[FunctionCall] = field(default_factory=list)
    finish: str = ""
    usage: Usage = field(default_factory=Usage)
    reasoning: list[str] = field(default_factory=list)


def read_json(body: bytes) -> dict[str, Any]:
    """The object in a response's body.

    Raises:
        ModelMalformed: there is none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        shown = body[:_SHOWN_CHARS].decode(errors="replace").strip()
        raise ModelMalformed(f"the answer is not JSON: {shown!r}") from error
    if not isinstance(found, dict):
        raise ModelMalformed(f"the answer is JSON, but no object: {str(found)[:_SHOWN_CHARS]!r}")
    return found


def read_completion(answer: Mapping[str, Any]) -> Completion:
    """A whole (not streamed) answer.

    Raises:
        ModelMalformed: it has no choice with a message, or a field of another type than the protocol says.
    """
    choice = _first_choice(answer)
    if choice is None:
        raise ModelMalformed("the answer has no choices")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise ModelMalformed("the answer's first choice has no message")
    calls = [_read_call(each) for each in _list(message.get("tool_calls"), "tool_calls")]
    if isinstance(message.get("function_call"), dict) and not calls:  # the form before tool_calls
        calls.append(_read_call({"function": message["function_call"]}))
    if len(calls) > CALLS_MAX:
        raise ModelMalformed(f"the answer has {len(calls)} calls, at most {CALLS_MAX} are taken")
    return Completion(
        text=_content(message.get("content")),
        refusal=_string(message.get("refusal"), "refusal"),
        calls=calls,
        finish=_string(choice.get("finish_reason"), "finish_reason"),
        usage=read_usage(answer.get("usage")),
    )


def read_usage(found: object) -> Usage:
    """The server's token counts; zeros for whatever it does not say."""
    if not isinstance(found, dict):
        return Usage()
    details = found.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(_count(found.get("prompt_tokens")), _count(found.get("completion_tokens")), _count(cached))


class StreamAssembler:
    """Puts the chunks of a streamed answer together."""

    def __init__(self) -> None:
        self._completion = Completion()
        self._parts: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _PartialCall] = {}

    def feed(self, chunk: Mapping[str, Any]) -> None:
        """Take one event.

        Raises:
            ModelMalformed: it breaks the protocol.
        """
        if chunk.get("usage"):
            self._completion.usage = read_usage(chunk["usage"])
        choice = _first_choice(chunk)
        if choice is None:
            return
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._parts.append(_content(delta.get("content")))
            self._refusal.append(_string(delta.get("refusal"), "refusal"))
            for each in _list(delta.get("tool_calls"), "tool_calls"):
                self._feed_call(each)
        self._completion.finish = _string(choice.get("finish_reason"), "finish_reason") or self._completion.finish

    def _feed_call(self, found: object) -> None:
        if not isinstance(found, dict):
            raise ModelMalformed(f"a call is {type(found).__name__}, not an object")
        index = found.get("index")
        if not isinstance(index, int):
            # A server without indexes sends whole calls, or goes on with the last one.
            index = len(self._calls) if found.get("id") or not self._calls else max(self._calls)
        if index not in self._calls and len(self._calls) >= CALLS_MAX:
            raise ModelMalformed(f"the answer has more than {CALLS_MAX} calls")
        call = self._calls.setdefault(index, _PartialCall())
        function = found.get("function")
        piece = _read_call({"id": found.get("id"), "function": function if isinstance(function, dict) else {}})
        call.id = call.id or piece.id
        if piece.name != call.name:  # some servers repeat the name in every chunk
            call.name += piece.name
        call.arguments.append(piece.arguments)

    def words(self) -> tuple[str, list[tuple[str, str]]]:
        """The text so far, and name and arguments of the calls so far."""
        calls = [(call.name, "".join(call.arguments)) for _, call in sorted(self._calls.items())]
        return "".join(self._parts), calls

    def finish(self) -> Completion:
        """The whole answer, once the stream has ended properly.

        Raises:
            ModelMalformed: it stopped before the server said why.
        """
        if not self._completion.finish:
            raise ModelMalformed("the stream ended before the answer did (no finish_reason)")
        self._completion.text = "".join(self._parts)
        self._completion.refusal = "".join(self._refusal)
        self._completion.calls = [
            FunctionCall(call.id, call.name, "".join(call.arguments)) for _, call in sorted(self._calls.items())
        ]
        return self._completion


@dataclass(slots=True)
class _PartialCall:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class EventLines:
    """Splits a byte stream into the data of server-sent events (WHATWG HTML §9.2.6, data fields only)."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of every event that is complete now."""
        self._open.append(piece)
        if b"\n" not in piece:  # a long line in small pieces is put together once
            return
        *lines, rest = b"".join(self._open).split(b"\n")
        self._open = [rest]
        for line in lines:
            stripped = line.rstrip(b"\r")
            if stripped.startswith(b"data:"):
                self._data.append(stripped[5:].removeprefix(b" "))
            elif not stripped and self._data:
                yield b"\n".join(self._data)
                self._data.clear()

    def rest(self) -> bytes:
        """What was not ended by a blank line, as the last event of some servers is not."""
        last = b"".join(self._open).strip().removeprefix(b"data:").strip()
        return b"\n".join([*self._data, last]).strip()


def finish_of(completion: Completion, *, calls: bool) -> str:
    """How an answer ended, in the words of :class:`~pagefault.runtime.values.ModelReply`."""
    if completion.refusal:
        return "refusal"
    return _FINISHES.get(completion.finish, "calls" if calls else "stop")


def to_reply(
    completion: Completion,
    *,
    text: str,
    calls: Sequence[FunctionCall],
    taken_ids: Iterable[str],
    attempts: int,
    repaired: bool,
) -> ModelReply:
    """The reply to hand on: call ids made unique, half characters replaced."""
    taken = set(taken_ids)
    unique = []
    for call in calls:
        call_id = _unique_id(clean(call.id), taken)
        taken.add(call_id)
        unique.append(FunctionCall(call_id, clean(call.name), clean(call.arguments)))
    return ModelReply(
        text=clean(completion.refusal or text),
        calls=tuple(unique),
        usage=completion.usage,
        finish=finish_of(completion, calls=bool(calls)),
        repaired=repaired,
        attempts=attempts,
        reasoning=tuple(clean(item) for item in completion.reasoning),
    )


def _unique_id(wanted: str, taken: set[str]) -> str:
    """The id itself, or with a number: some servers send none, or the same one in every answer."""
    if wanted and wanted not in taken:
        return wanted
    stem = wanted or "call"
    number = len(taken)
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"


def _first_choice(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        return None
    if not isinstance(choices[0], dict):
        raise ModelMalformed(f"the answer's first choice is {type(choices[0]).__name__}, not an object")
    return choices[0]


def _read_call(found: object) -> FunctionCall:
    function = found.get("function") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(function, dict):
        raise ModelMalformed("a call has no function")
    arguments = function.get("arguments")
    if isinstance(arguments, dict | list):  # not the protocol's text, but clear enough
        arguments = json.dumps(arguments, ensure_ascii=False)
    return FunctionCall(
        _string(found.get("id"), "id"), _string(function.get("name"), "name"), _string(arguments, "arguments")
    )


def _content(found: object) -> str:
    """Text, or the text parts of a list of parts."""
    if isinstance(found, list):
        texts = [part.get("text") for part in found if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return _string(found, "content")


def _string(found: object, name: str) -> str:
    if found is None:
        return ""
    if isinstance(found, str):
        return found
    raise ModelMalformed(f"{name} is {type(found).__name__}, not text")


def _list(found: object, name: str) -> list[Any]:
    if found is None:
        return []
    if isinstance(found, list):
        return found
    raise ModelMalformed(f"{name} is {type(found).__name__}, not a list")


def _count(found: object) -> int:
    return found if type(found) is int and 0 <= found < 2**53 else 0
