"""Puts a model through what agents will ask of it, whatever server it is behind, and says what it can do.

Every probe goes through the processor that agents use, held to one way of offering functions at a time; only streams
are looked at on the wire, since a processor takes a whole answer from servers that do not stream.  All is bounded:
requests, tokens and time.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from pagefault.runtime.errors import ModelError, ModelMalformed, ModelOverflow
from pagefault.runtime.kernel.settings import ModelSettings
from pagefault.runtime.models.ladder import Rung
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.wire import EventLines, StreamAssembler, read_json
from pagefault.runtime.values import AgentId, FunctionSchema, Message, ModelReply, ModelRequest

Status = Literal["pass", "fail", "unknown"]
ATTEMPT_MS = 60_000
REPLY_TOKENS = 128
CONTEXT_CALLS_MAX = 12
CONTEXT_TOKENS_MIN = 1_024
CONTEXT_TOKENS_MAX = 131_072
CONTEXT_PRECISION = 0.05
MALFORMED_SHARE_MAX = 0.1
SEEN_CHARS_MAX = 160
_WORD = " word"
_LISTED = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx", "n_ctx_train")
_STATED = re.compile(
    r"(?:maximum context length is|context window of|max_model_len[^\d]{0,20})\s*(\d{3,8})", re.IGNORECASE
)
SAVE = FunctionSchema(
    "save_note",
    "Save a note when the user says remember.",
    '{"additionalProperties":false,"properties":{"note":{"type":"string","description":"The note, in full."}},'
    '"required":["note"],"type":"object"}',
)
CODES = ("4417", "9032", "1586", "7741", "2290")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one probe saw.  ``value`` is its figure or choice, for scripts."""

    name: str
    status: Status
    seen: str
    value: str | float | int | None = None


class ModelDoctor:
    """Examines one model.

    Args:
        settings: as an agent would have it.
        tries: how many calls are asked for to say how many come back malformed.
        context_tokens_max: prompts are not made longer than this.
    """

    def __init__(
        self, settings: ModelSettings, *, tries: int = 10, context_tokens_max: int = CONTEXT_TOKENS_MAX
    ) -> None:
        self._settings = settings
        self._tries = tries
        self._context_tokens_max = context_tokens_max
        self._is_served = settings.name.startswith("openai:")

    async def examine(self) -> list[Finding]:
        """Every probe's finding, in order; after a server that cannot be reached there are no others."""
        if not self._is_served:
            return await self._calls("")
        answered = await self._answers()
        if answered.status == "fail":
            return [answered]
        offered = [await self._offers(rung) for rung in (Rung.NATIVE, Rung.SCHEMA, Rung.TEXT)]
        rung = _choose(offered)
        calls = await self._calls(str(rung.value))
        return [answered, *offered, rung, *calls, *await self._streams(), await self._context()]

    # --- one request ------------------------------------------------------------------------------------

    def _processor(self, **options: str) -> Processor:
        given = dict(self._settings.options)
        if self._is_served:
            given |= {"attempts_max": "1", "attempt_ms": str(ATTEMPT_MS), "deadline_ms": str(ATTEMPT_MS)}
        return make_processor(ModelSettings(self._settings.name, tuple(sorted((given | options).items()))))

    async def _ask(
        self, text: str, *, with_function: bool, functions: str = "", tokens: int = REPLY_TOKENS
    ) -> ModelReply:
        messages = (Message("system", "You keep notes."), Message("user", f"[p1 2030-01-01 10:00 user] {text}"))
        offered = (SAVE,) if with_function else ()
        processor = self._processor(**({"functions": functions} if functions else {}))
        try:
            return await processor.reply(ModelRequest(AgentId("doctor"), messages, offered, 64, tokens))
        finally:
            await processor.close()

    # --- probes -----------------------------------------------------------------------------------------

    async def _answers(self) -> Finding:
        begun = time.perf_counter()
        try:
            reply = await self._ask("Say OK.", with_function=False)
        except ModelError as error:
            return Finding("answers", "fail", _shown(error.message))
        seen = f"answered in {(time.perf_counter() - begun) * 1_000:.0f} ms: {reply.text!r}"
        return Finding("answers", "pass", _shown(seen))

    async def _offers(self, rung: Rung) -> Finding:
        """Whether calls come back when functions are offered in this way."""
        name = {Rung.NATIVE: "native_tools", Rung.SCHEMA: "json_schema", Rung.TEXT: "parsed_text"}[rung]
        try:
            reply = await self._ask(f"Remember the code {CODES[0]}.", with_function=True, functions=rung.value)
        except ModelError as error:
            return Finding(name, "fail", _shown(error.message))
        problem = _problem_of(reply, CODES[0])
        if problem:
            return Finding(name, "fail", _shown(problem))
        if reply.repaired and rung is not Rung.TEXT:
            return Finding(name, "fail", "the call was not in the form that was asked for, and had to be mended")
        return Finding(name, "pass", _shown(f"{reply.calls[0].name}({reply.calls[0].arguments})"))

    async def _calls(self, rung: str) -> list[Finding]:
        """How many calls are malformed, and how long they take."""
        problems, times_ms = [], []
        for number in range(self._tries):
            code = CODES[number % len(CODES)]
            begun = time.perf_counter()
            try:
                reply = await self._ask(f"Remember the code {code}.", with_function=True, functions=rung)
            except ModelMalformed as error:
                problems.append(error.message)
                continue
            except ModelError as error:
                return [Finding("malformed_calls", "unknown", _shown(error.message))]
            times_ms.append((time.perf_counter() - begun) * 1_000)
            if problem := _problem_of(reply, code):
                problems.append(problem)
        share = len(problems) / self._tries
        seen = f"{len(problems)} of {self._tries} calls" + (f", such as: {problems[0]}" if problems else "")
        status: Status = "pass" if share <= MALFORMED_SHARE_MAX else "fail"
        found = [Finding("malformed_calls", status, _shown(seen), round(share, 3))]
        if times_ms:
            middle = statistics.median(times_ms)
            seen = f"{middle:.0f} ms in the middle, {max(times_ms):.0f} ms at most"
            found.append(Finding("latency", "pass", seen, round(middle, 1)))
        return found

    async def _streams(self) -> list[Finding]:
        """Whether answers are streamed, and say what they cost."""
        try:
            events, assembler = await self._stream()
            completion = assembler.finish()
        except (ModelError, httpx2.HTTPError, ValueError) as error:
            seen = _shown(str(error) or type(error).__name__)
            return [Finding("streaming", "fail", seen), Finding("usage_in_streams", "unknown", "there is no stream")]
        streaming = Finding("streaming", "pass", f"{events} events, then [DONE]")
        if completion.usage.prompt_tokens:
            seen = f"{completion.usage.prompt_tokens} tokens of prompt, {completion.usage.reply_tokens} of reply"
            return [streaming, Finding("usage_in_streams", "pass", seen)]
        seen = "the stream does not say what it cost; tokens are our own count then"
        return [streaming, Finding("usage_in_streams", "fail", seen)]

    async def _stream(self) -> tuple[int, StreamAssembler]:
        body = {
            "model": self._settings.name.removeprefix("openai:"),
            "messages": [{"role": "user", "content": "Say OK."}],
            "max_tokens": REPLY_TOKENS,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        lines, assembler, events = EventLines(), StreamAssembler(), 0
        async with self._client() as client, client.stream("POST", "chat/completions", json=body) as response:
            if not response.is_success:
                raise ModelMalformed(
                    f"HTTP {response.status_code}: {(await response.aread())[:200].decode('utf-8', 'replace')}"
                )
            if "text/event-stream" not in response.headers.get("content-type", "").lower():
                raise ModelMalformed("a stream was asked for, and the answer came in one piece")
            async for piece in response.aiter_bytes():
                for data in lines.feed(piece):
                    if data.strip() == b"[DONE]":
                        return events, assembler
                    assembler.feed(read_json(data))
                    events += 1
        if lines.rest() == b"[DONE]":
            return events, assembler
        raise ModelMalformed("the stream ended without [DONE]")

    async def _context(self) -> Finding:
        """The window: what the server lists or says, else found by longer and longer prompts."""
        listed = await self._listed_window()
        if listed:
            return Finding("context_tokens", "pass", f"{listed} tokens, as the server lists it", listed)
        fits, too_long, calls = 0, 0, 0
        size = CONTEXT_TOKENS_MIN
        while calls < CONTEXT_CALLS_MAX and size <= self._context_tokens_max:
            calls += 1
            try:
                reply = await self._ask(_WORD * size, with_function=False, tokens=1)
            except ModelOverflow as error:
                if stated := _STATED.search(error.message):
                    return Finding("context_tokens", "pass", f"{stated[1]} tokens, as the server says", int(stated[1]))
                too_long = size
            except ModelError as error:
                return Finding("context_tokens", "unknown", _shown(f"at about {size} tokens: {error.message}"))
            else:
                fits = max(size, reply.usage.prompt_tokens)
            if too_long and too_long - fits <= max(1, fits * CONTEXT_PRECISION):
                break
            size = (fits + too_long) // 2 if too_long else size * 2
        if too_long:
            return Finding("context_tokens", "pass", f"about {fits} tokens fit, {too_long} do not", fits)
        return Finding("context_tokens", "unknown", f"at least {fits} tokens; longer prompts were not tried", fits)

    async def _listed_window(self) -> int:
        try:
            async with self._client() as client:
                listing = (await client.get("models")).json()
        except (httpx2.HTTPError, ValueError):
            return 0
        name = self._settings.name.removeprefix("openai:")
        entries = listing.get("data") if isinstance(listing, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("id") == name:
                return _window_of(entry)
        return 0

    def _client(self) -> httpx2.AsyncClient:
        options = dict(self._settings.options)
        address: str = getattr(self._processor(), "base_url", "")
        key = os.environ.get(options.get("api_key_env", "OPENAI_API_KEY"), "").strip()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.AsyncClient(base_url=f"{address}/", headers=headers, timeout=ATTEMPT_MS / 1_000)


def _choose(offered: list[Finding]) -> Finding:
    """The rung of the ladder that agents will stand on, and why."""
    reasons: list[str] = []
    for rung, finding in zip((Rung.NATIVE, Rung.SCHEMA, Rung.TEXT), offered, strict=True):
        if finding.status == "pass":
            why = "; ".join([*reasons, f"{finding.name} works"])
            return Finding("rung", "pass", _shown(f"functions are offered as {rung.value}: {why}"), rung.value)
        reasons.append(f"{finding.name} does not")
    return Finding("rung", "fail", "no way of offering functions led to a call", Rung.TEXT.value)


def _problem_of(reply: ModelReply, code: str) -> str:
    """What is wrong with a call that was to save a code; empty if nothing is."""
    if not reply.calls:
        return f"no call, but the words {reply.text[:80]!r}"
    call = reply.calls[0]
    if call.name != SAVE.name:
        return f"a call of {call.name!r}, which does not exist"
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return f"arguments that are no JSON: {call.arguments[:80]!r}"
    if not isinstance(arguments, dict) or set(arguments) != {"note"} or not isinstance(arguments["note"], str):
        return f"arguments that do not fit the schema: {call.arguments[:80]!r}"
    return "" if code in arguments["note"] else f"a note without the code: {arguments['note'][:80]!r}"


def _window_of(entry: Mapping[str, Any]) -> int:
    """The window that a server's entry for a model states under one of the usual names; 0 if none."""
    meta = entry.get("meta")
    places = (entry, meta) if isinstance(meta, dict) else (entry,)
    values = (place.get(name) for place in places for name in _LISTED)
    return next((value for value in values if type(value) is int and value > 0), 0)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SEEN_CHARS_MAX else f"{line[:SEEN_CHARS_MAX]}…"
