"""What the span of a call says: by the kind of the call, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pagefault.runtime.host.secrecy import redacted
from pagefault.runtime.host.telemetry.tracing import names
from pagefault.runtime.host.telemetry.tracing.record import Value
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.settings import AgentDefinition
from pagefault.runtime.values import FunctionCall, Message, ModelReply, Usage

Asked: TypeAlias = fx.CallModel | fx.Summarize | fx.RatePage
"""Calls of models."""
Call: TypeAlias = Asked | fx.RunFunction | fx.SearchArchive | fx.LoadPages
CONTENT_CHARS: Final = 200_000
"""What was said in one call, as JSON; what is longer is cut, and no more JSON then."""
CANCELLED: Final = "cancelled"
BROKEN_OFF: Final = "broken_off"


@dataclass(frozen=True, slots=True)
class Told:
    """A span but for when and where."""

    name: str
    kind: Literal["internal", "client"]
    attributes: Mapping[str, Value]
    error: str = ""


def about(effect: Call, event: ev.Event | None, definition: AgentDefinition, *, content: bool) -> Told:
    """The span of a call that has ended; words only with ``content``."""
    if isinstance(effect, Asked):
        told = _chat(effect, event, definition, content)
    else:
        told = _TOLD[type(effect)](effect, event, content)
    if event is None or isinstance(event, ev.Cancelled):
        error = BROKEN_OFF if event is None else CANCELLED
        return Told(told.name, told.kind, {**told.attributes, names.ERROR: error}, error)
    return told


def _chat(effect: Asked, event: ev.Event | None, definition: AgentDefinition, content: bool) -> Told:
    written = definition.model if isinstance(effect, fx.CallModel) else definition.summarizer or definition.model
    provider, model, server = _where(written.name, dict(written.options).get("base_url"))
    request = effect.request
    attributes: dict[str, Value] = {
        names.OPERATION: names.CHAT,
        names.PROVIDER: provider,
        names.MODEL: model,
        names.TOKENS_MAX: request.reply_tokens_max,
        f"{names.OWN}purpose": request.purpose,
        f"{names.OWN}context_tokens": request.prompt_tokens,
    }
    if server:
        attributes["server.address"] = server
    error = ""
    if isinstance(event, ev.ModelReplied):
        attributes |= _usage(event.reply.usage) | _reply(event.reply)
    elif isinstance(event, ev.SummaryReady):
        attributes |= _usage(event.usage)
    elif isinstance(event, ev.ModelFailed):
        error = event.reason
    elif isinstance(event, ev.SummaryFailed) or (isinstance(event, ev.PageRated) and event.problem):
        error = "model_failed"
    if error:
        attributes[names.ERROR] = error
    if content:
        attributes[names.INPUT_MESSAGES] = _as_json([_message(each) for each in request.messages])
        if said := _said(event):
            attributes[names.OUTPUT_MESSAGES] = _as_json([said])
    return Told(f"{names.CHAT} {model}", "client", attributes, error)


def _usage(usage: Usage) -> dict[str, Value]:
    counts = {
        names.INPUT_TOKENS: usage.prompt_tokens,
        names.OUTPUT_TOKENS: usage.reply_tokens,
        names.CACHED_TOKENS: usage.cached_tokens,
    }
    return {name: count for name, count in counts.items() if count}


def _reply(reply: ModelReply) -> dict[str, Value]:
    attributes: dict[str, Value] = {names.FINISH: [_FINISHES.get(reply.finish, reply.finish)]}
    if reply.calls:
        attributes[f"{names.OWN}calls"] = [call.name for call in reply.calls]
    if reply.attempts > 1:
        attributes[f"{names.OWN}attempts"] = reply.attempts
    if reply.repaired:
        attributes[f"{names.OWN}repaired"] = True
    return attributes


_FINISHES: Final = {"calls": "tool_call", "refusal": "content_filter"}


@lru_cache(maxsize=256)
def _where(name: str, base_url: object) -> tuple[str, str, str]:
    """``openai:gpt-5`` is the model ``gpt-5`` of the provider ``openai``; and who is asked, if that is set."""
    provider, _, model = name.partition(":")
    server = urlsplit(base_url).hostname if isinstance(base_url, str) else None
    return provider, model or provider, server or ""


def _tool(effect: fx.RunFunction, event: ev.Event | None, content: bool) -> Told:
    attributes: dict[str, Value] = {
        names.OPERATION: names.EXECUTE_TOOL,
        names.TOOL_NAME: effect.name,
        names.TOOL_CALL: effect.call_id,
        names.TOOL_TYPE: "function",
        f"{names.OWN}effect": effect.effect.value,
        f"{names.OWN}runs_in": effect.runs_in,
    }
    error = ""
    if isinstance(event, ev.FunctionReturned):
        attributes[f"{names.OWN}status"] = event.status
        if event.status != "ok":
            error = attributes[names.ERROR] = event.status
    if content:
        attributes[names.TOOL_ARGUMENTS] = _cut(redacted(effect.arguments))
        if isinstance(event, ev.FunctionReturned):
            attributes[names.TOOL_RESULT] = _cut(redacted(event.text))
    return Told(f"{names.EXECUTE_TOOL} {effect.name}", "internal", attributes, error)


def _search(effect: fx.SearchArchive, event: ev.Event | None, content: bool) -> Told:
    query = effect.query
    attributes: dict[str, Value] = {
        names.OPERATION: names.SEARCH_MEMORY,
        f"{names.OWN}spaces": list(query.spaces),
        f"{names.OWN}mode": query.mode,
    }
    error = ""
    if isinstance(event, ev.SearchReturned):
        if event.result is None:
            error = attributes[names.ERROR] = "store"
        else:
            attributes[f"{names.OWN}hits"] = len(event.result.hits)
            attributes[f"{names.OWN}total"] = event.result.total
    if content:
        attributes[names.MEMORY_QUERY] = _cut(redacted(query.text))
    return Told(f"{names.SEARCH_MEMORY} {' '.join(query.spaces)}", "client", attributes, error)


def _load(effect: fx.LoadPages, event: ev.Event | None, _content: bool) -> Told:
    attributes: dict[str, Value] = {names.OPERATION: names.PAGE_IN, f"{names.OWN}page_ids": list(effect.page_ids)}
    error = ""
    if isinstance(event, ev.PagesLoaded):
        attributes[f"{names.OWN}loaded"] = len(event.pages)
        attributes[f"{names.OWN}tokens"] = sum(page.tokens for page in event.pages)
        if event.missing:
            attributes[f"{names.OWN}missing"] = list(event.missing)
        if event.problem:
            error = attributes[names.ERROR] = "store"
    return Told(names.PAGE_IN, "client", attributes, error)


_TOLD: Final[Mapping[type[Any], Callable[[Any, ev.Event | None, bool], Told]]] = {
    fx.RunFunction: _tool,
    fx.SearchArchive: _search,
    fx.LoadPages: _load,
}

# --- what was said, in the conventions' form (gen-ai-input-messages.json and gen-ai-output-messages.json)


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        part = {"type": "tool_call_response", "id": message.answers, "response": redacted(message.text)}
        return {"role": "tool", "parts": [part]}
    return {"role": message.role, "parts": [*_text(message.text), *map(_call, message.calls)]}


def _said(event: ev.Event | None) -> dict[str, Any] | None:
    if isinstance(event, ev.ModelReplied):
        reply = event.reply
        finish = _FINISHES.get(reply.finish, reply.finish)
        return {"role": "assistant", "parts": [*_text(reply.text), *map(_call, reply.calls)], "finish_reason": finish}
    text = event.text if isinstance(event, ev.SummaryReady) else event.answer if isinstance(event, ev.PageRated) else ""
    return {"role": "assistant", "parts": _text(text), "finish_reason": "stop"} if text else None


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "content": redacted(text)}] if text else []


def _call(call: FunctionCall) -> dict[str, Any]:
    return {"type": "tool_call", "id": call.id, "name": call.name, "arguments": redacted(call.arguments)}


def _as_json(value: object) -> str:
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= CONTENT_CHARS else f"{text[:CONTENT_CHARS]}[cut]"
