"""The Responses wire of OpenAI's protocol: what is sent, and what comes back as the same checked values as chat's.

The server keeps nothing (``store: false``): the whole input is sent each time, as the pager decides what a model sees.
Reasoning items come back encrypted and are sent again with the calls that they led to, as long as their chain lasts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pagefault.runtime.errors import ModelMalformed
from pagefault.runtime.models.ladder import Rung
from pagefault.runtime.models.ladder import payload as chat_payload
from pagefault.runtime.models.wire import CALLS_MAX, Completion, clean, message_payload
from pagefault.runtime.values import FunctionCall, Message, ModelRequest, Usage

ENDINGS = ("response.completed", "response.incomplete", "response.failed")
ENCRYPTED = "reasoning.encrypted_content"
_STATUSES = {"rate_limit_exceeded": 429, "context_length_exceeded": 400, "invalid_prompt": 400}


# --- what is sent -----------------------------------------------------------------------------------


def payload(rung: Rung, request: ModelRequest, *, strict: bool, mend_arguments: bool) -> dict[str, Any]:
    """Input, and whatever offers the functions."""
    chat = chat_payload(rung, request, strict=strict, mend_arguments=mend_arguments)
    sent: dict[str, Any] = {"store": False, "include": [ENCRYPTED], "input": chat.pop("messages")}
    if rung is Rung.NATIVE:
        sent["input"] = list(_items(request.messages, mend_arguments=mend_arguments))
    for tool in chat.pop("tools", ()):
        flat = {"type": "function", "strict": False, **tool["function"]}
        sent.setdefault("tools", []).append(flat)
    wanted = chat.pop("response_format", None)
    if wanted is not None:
        sent["text"] = {"format": {"type": "json_schema", **wanted["json_schema"]}}
    return sent | chat


def _items(messages: Sequence[Message], *, mend_arguments: bool) -> Iterator[dict[str, Any]]:
    for message in messages:
        if message.role == "tool":
            yield {"type": "function_call_output", "call_id": message.answers, "output": clean(message.text)}
            continue
        # A reasoning item stands right before what it led to.
        yield from (json.loads(item) for item in message.reasoning)
        chat = message_payload(message, mend_arguments=mend_arguments)
        if chat["content"] or not message.calls:
            yield {"role": message.role, "content": chat["content"]}
        for call in chat.get("tool_calls", ()):
            yield {"type": "function_call", "call_id": call["id"], **call["function"]}


# --- what comes back --------------------------------------------------------------------------------


def read_response(answer: Mapping[str, Any]) -> Completion:
    """A whole answer.

    Raises:
        ModelMalformed: it has no output, or something in it is of another type than the protocol says.
    """
    output = answer.get("output")
    if not isinstance(output, list):
        raise ModelMalformed("the answer has no output")
    completion = Completion(finish=_finish(answer), usage=_usage(answer.get("usage")))
    texts: list[str] = []
    for item in output:
        if not isinstance(item, dict):
            raise ModelMalformed(f"an item of the output is {type(item).__name__}, not an object")
        kind = item.get("type")
        if kind == "message":
            texts.extend(_texts(item, "output_text", "text"))
            completion.refusal += "".join(_texts(item, "refusal", "refusal"))
        elif kind == "function_call":
            completion.calls.append(_call(item))
        elif kind == "reasoning" and item.get("encrypted_content"):
            kept = {name: item[name] for name in ("type", "id", "summary", "encrypted_content") if name in item}
            completion.reasoning.append(json.dumps(kept, ensure_ascii=False, sort_keys=True))
    if len(completion.calls) > CALLS_MAX:
        raise ModelMalformed(f"the answer has {len(completion.calls)} calls, at most {CALLS_MAX} are taken")
    completion.text = "".join(texts)
    return completion


def problem_in(answer: Mapping[str, Any]) -> int:
    """The HTTP status that stands for an answer's failure; 0 if it has not failed."""
    error = answer.get("error")
    if not error and answer.get("status") != "failed":
        return 0
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else _STATUSES.get(str(code), 500)


class ResponseStream:
    """Waits for the event that ends a stream, which holds the whole answer."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._text: list[str] = []
        self._calls: dict[str, tuple[str, list[str]]] = {}

    def words(self) -> tuple[str, list[tuple[str, str]]]:
        """The text so far, and name and arguments of the calls so far."""
        return "".join(self._text), [(name, "".join(parts)) for name, parts in self._calls.values()]

    def _note(self, kind: object, event: Mapping[str, Any]) -> None:
        item, delta, key = event.get("item"), event.get("delta"), str(event.get("output_index"))
        if kind == "response.output_item.added" and isinstance(item, dict) and item.get("type") == "function_call":
            self._calls[key] = (str(item.get("name")), [])
        elif kind == "response.output_text.delta" and isinstance(delta, str):
            self._text.append(delta)
        elif kind == "response.function_call_arguments.delta" and isinstance(delta, str) and key in self._calls:
            self._calls[key][1].append(delta)

    def feed(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """The whole answer if this event ends the stream.

        Raises:
            ModelMalformed: it breaks the protocol.
        """
        kind = event.get("type")
        if kind == "error":
            return {"error": event.get("error") or dict(event), "status": "failed"}
        self._note(kind, event)
        if kind == "response.output_item.done":
            self._items.append(event.get("item"))
        if kind not in ENDINGS:
            return None
        answer = event.get("response")
        if not isinstance(answer, dict):
            raise ModelMalformed(f"{kind} has no response")
        # Some servers name what they made only as it was done.
        return answer if answer.get("output") else {**answer, "output": self._items}


def _finish(answer: Mapping[str, Any]) -> str:
    if answer.get("status") != "incomplete":
        return ""
    details = answer.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else ""
    return "content_filter" if reason == "content_filter" else "length"


def _texts(item: Mapping[str, Any], kind: str, name: str) -> Iterator[str]:
    content = item.get("content")
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == kind:
            text = part.get(name)
            if not isinstance(text, str):
                raise ModelMalformed(f"{name} is {type(text).__name__}, not text")
            yield text


def _call(item: Mapping[str, Any]) -> FunctionCall:
    found = []
    for name in ("call_id", "name", "arguments"):
        value = item.get(name)
        if value is not None and not isinstance(value, str):
            raise ModelMalformed(f"{name} is {type(value).__name__}, not text")
        found.append(value or "")
    return FunctionCall(*found)


def _usage(found: object) -> Usage:
    if not isinstance(found, dict):
        return Usage()
    details = found.get("input_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    counts = (found.get("input_tokens"), found.get("output_tokens"), cached)
    return Usage(*(each if type(each) is int and 0 <= each < 2**53 else 0 for each in counts))
