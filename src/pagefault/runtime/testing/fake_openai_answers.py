"""What the fake server says: right answers, and every wrong one seen in the field.

A behaviour is anything with ``async perform(exchange, usage)``; write your own for what is missing here.
``usage`` is what the server counted, in the protocol's words.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pagefault.runtime.testing.fake_openai_http import Exchange

Usage = Mapping[str, int]
EVENT_STREAM = "text/event-stream"
_DONE = b"data: [DONE]\n\n"
_PIECES = 3


class Behaviour(Protocol):
    """One way to answer one request."""

    async def perform(self, exchange: Exchange, usage: Usage) -> None: ...


@dataclass(frozen=True, slots=True)
class Call:
    """A function call of an answer; ``arguments`` is text, right or wrong.  ``id=None`` leaves the id out."""

    name: str
    arguments: str = "{}"
    id: str | None = "call_1"


@dataclass(frozen=True, slots=True)
class Answer:
    """A proper answer, streamed if the request asks for it.

    ``finish`` follows from the calls if it is empty.  ``usage=False``: the server does not say what it counted.
    ``reasoning``: encrypted contents, which only the Responses API gives.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    finish: str = ""
    refusal: str = ""
    usage: bool = True
    reasoning: Sequence[str] = ()

    async def perform(self, exchange: Exchange, usage: Usage) -> None:
        if exchange.request.body.get("stream"):
            await send_events(exchange, [*self.events(exchange.request.body, usage), _DONE])
        else:
            await exchange.send(self.body(exchange.request.body, usage))

    @property
    def finish_reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")

    def body(self, request: Mapping[str, Any], usage: Usage) -> bytes:
        """The answer as one JSON object."""
        if "input" in request:
            return json.dumps(self._response(request, usage)).encode()
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.refusal:
            message["refusal"] = self.refusal
        if self.calls:
            message["tool_calls"] = [_call(each) for each in self.calls]
        answer = _head(request, "chat.completion") | {
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}]
        }
        return json.dumps(answer | ({"usage": dict(usage)} if self.usage else {})).encode()

    def events(self, request: Mapping[str, Any], usage: Usage) -> Iterator[bytes]:
        """The answer as server-sent events, without the last one (``[DONE]``)."""
        if "input" in request:
            yield from self._response_events(request, usage)
            return
        head = _head(request, "chat.completion.chunk")

        def event(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
            return sse(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

        yield event({"role": "assistant", "content": ""})
        for piece in _pieces(self.text):
            yield event({"content": piece})
        for piece in _pieces(self.refusal):
            yield event({"refusal": piece})
        for index, call in enumerate(self.calls):
            opening = _call(call) | {"index": index}
            opening["function"] = {"name": call.name, "arguments": ""}
            yield event({"tool_calls": [opening]})
            for piece in _pieces(call.arguments):
                yield event({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield event({}, self.finish_reason)
        if self.usage and (request.get("stream_options") or {}).get("include_usage"):
            yield sse(head | {"choices": [], "usage": dict(usage)})

    def _response(self, request: Mapping[str, Any], usage: Usage) -> dict[str, Any]:
        """The answer of the Responses API."""
        output: list[dict[str, Any]] = [
            {"type": "reasoning", "id": f"rs_{place}", "summary": [], "encrypted_content": content}
            for place, content in enumerate(self.reasoning)
        ]
        content = [{"type": "output_text", "text": self.text, "annotations": []}] if self.text else []
        content += [{"type": "refusal", "refusal": self.refusal}] if self.refusal else []
        if content:
            output.append({"type": "message", "id": "msg_1", "role": "assistant", "content": content})
        for place, call in enumerate(self.calls):
            named = {} if call.id is None else {"call_id": call.id}
            item = {"type": "function_call", "id": f"fc_{place}", "name": call.name, "arguments": call.arguments}
            output.append(item | named)
        is_cut = self.finish in ("length", "content_filter")
        reason = {"length": "max_output_tokens"}.get(self.finish, self.finish)
        answer = {
            "id": "resp_fake",
            "object": "response",
            "model": request.get("model", "fake"),
            "status": "incomplete" if is_cut else "completed",
            "error": None,
            "incomplete_details": {"reason": reason} if is_cut else None,
            "output": output,
        }
        if self.usage:
            answer["usage"] = {
                "input_tokens": usage.get("prompt_tokens", 0),
                "output_tokens": usage.get("completion_tokens", 0),
                "input_tokens_details": {"cached_tokens": usage.get("prompt_tokens", 0) // 2},
            }
        return answer

    def _response_events(self, request: Mapping[str, Any], usage: Usage) -> Iterator[bytes]:
        answer = self._response(request, usage)
        yield sse({"type": "response.created", "response": {**answer, "status": "in_progress", "output": []}})
        for place, item in enumerate(answer["output"]):
            yield sse({"type": "response.output_item.added", "output_index": place, "item": {**item, "content": []}})
            for piece in _pieces(self.text if item["type"] == "message" else item.get("arguments", "")):
                kind = "output_text" if item["type"] == "message" else "function_call_arguments"
                yield sse({"type": f"response.{kind}.delta", "output_index": place, "delta": piece})
            yield sse({"type": "response.output_item.done", "output_index": place, "item": item})
        yield sse({"type": f"response.{answer['status']}", "response": answer})


@dataclass(frozen=True, slots=True)
class Status:
    """An HTTP error with the protocol's error object.  ``headers`` such as ``Retry-After`` go out as they are."""

    status: int
    message: str = "made to fail"
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def perform(self, exchange: Exchange, usage: Usage) -> None:  # noqa: ARG002  nothing was counted
        error = {"message": self.message, "type": "fake_error", "code": self.code or None, "param": None}
        body = json.dumps({"error": error}).encode()
        await exchange.send(body, status=self.status, headers=self.headers)


@dataclass(frozen=True, slots=True)
class Raw:
    """Any body: an HTML page, broken JSON, an answer without choices."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200

    async def perform(self, exchange: Exchange, usage: Usage) -> None:  # noqa: ARG002  nothing was counted
        await exchange.send(self.body, status=self.status, content_type=self.content_type)


@dataclass(frozen=True, slots=True)
class Hang:
    """Take the request and never answer; the connection ends with the client's patience or the server."""

    async def perform(self, exchange: Exchange, usage: Usage) -> None:  # noqa: ARG002  nothing happens
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class SlowBytes:
    """An answer that comes a byte at a time."""

    answer: Answer = Answer("slow")
    pause_ms: float = 20

    async def perform(self, exchange: Exchange, usage: Usage) -> None:
        body = self.answer.body(exchange.request.body, usage)
        await exchange.begin(200, "application/json", {"Content-Length": str(len(body))})
        for place in range(len(body)):
            await exchange.write(body[place : place + 1])
            await asyncio.sleep(self.pause_ms / 1_000)


@dataclass(frozen=True, slots=True)
class BreakOff:
    """An answer that stops after some bytes: with a reset, or as a connection that is closed too early."""

    answer: Answer = Answer("this will not arrive whole")
    after_bytes: int = 20
    reset: bool = True

    async def perform(self, exchange: Exchange, usage: Usage) -> None:
        request = exchange.request.body
        if request.get("stream"):
            body = b"".join(self.answer.events(request, usage))
            await exchange.begin(200, EVENT_STREAM, {})
        else:
            body = self.answer.body(request, usage)
            await exchange.begin(200, "application/json", {"Content-Length": str(len(body))})
        await exchange.write(body[: self.after_bytes])
        if self.reset:
            exchange.reset()
        else:
            exchange.close()


@dataclass(frozen=True, slots=True)
class CutStream:
    """A stream that ends properly as HTTP, but too early as an answer.

    ``events``: how many of the answer's events are sent; ``None`` means all.  ``finish_reason=False`` leaves
    that field out, ``done=False`` the ``[DONE]`` at the end.
    """

    answer: Answer = Answer("this stops in the middle")
    events: int | None = None
    finish_reason: bool = True
    done: bool = False

    async def perform(self, exchange: Exchange, usage: Usage) -> None:
        events = list(self.answer.events(exchange.request.body, usage))[: self.events]
        if not self.finish_reason:
            reason = f'"finish_reason": {json.dumps(self.answer.finish_reason)}'.encode()
            events = [event.replace(reason, b'"finish_reason": null') for event in events]
        await send_events(exchange, [*events, *([_DONE] if self.done else [])])


@dataclass(frozen=True, slots=True)
class GarbageEvent:
    """A stream with an event in it that is not JSON."""

    answer: Answer = Answer("before and after")
    garbage: bytes = b"data: {not json\n\n"
    place: int = 2

    async def perform(self, exchange: Exchange, usage: Usage) -> None:
        events = [*self.answer.events(exchange.request.body, usage), _DONE]
        events.insert(self.place, self.garbage)
        await send_events(exchange, events)


@dataclass(frozen=True, slots=True)
class HugeBody:
    """An answer that goes on and on."""

    bytes_total: int = 1_073_741_824
    status: int = 200

    async def perform(self, exchange: Exchange, usage: Usage) -> None:  # noqa: ARG002  nothing was counted
        content_type = EVENT_STREAM if exchange.request.body.get("stream") else "application/json"
        await exchange.begin(self.status, content_type, {"Content-Length": str(self.bytes_total)})
        sent = 0
        while sent < self.bytes_total:
            piece = b" " * min(65_536, self.bytes_total - sent)
            await exchange.write(piece)
            sent += len(piece)


def busy(retry_after: str | None = None, **headers: str) -> Status:
    """A 429, with any ``Retry-After`` whatsoever."""
    found = dict(headers) if retry_after is None else {"Retry-After": retry_after, **headers}
    return Status(429, "too many requests", "rate_limit_exceeded", found)


def numbered(answer: Answer) -> Answer:
    """The answer with the id of its calls counted up, as it should be."""
    calls = [replace(call, id=f"call_{index}") for index, call in enumerate(answer.calls)]
    return replace(answer, calls=calls)


def sse(value: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


async def send_events(exchange: Exchange, events: Sequence[bytes]) -> None:
    """A whole stream of events."""
    await exchange.begin(200, EVENT_STREAM, {})
    for event in events:
        await exchange.write(event)
    await exchange.end()


def _head(request: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-fake", "object": kind, "created": 0, "model": request.get("model", "fake")}


def _call(call: Call) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    return described if call.id is None else {"id": call.id, **described}


def _pieces(text: str) -> Iterator[str]:
    size = max(1, -(-len(text) // _PIECES))
    for start in range(0, len(text), size):
        yield text[start : start + size]
