"""A processor for every server that speaks OpenAI's Chat Completions or Responses.

Requests, retries and reading are ours; the SDK gives connections, proxies, certificates and headers.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import structlog

from pagefault.runtime.errors import ConfigError, ModelError, ModelMalformed, ModelRefused, ModelUnavailable
from pagefault.runtime.models import responses
from pagefault.runtime.models.clients import CONNECT_SECONDS, BodyTooLarge, ClientHandle
from pagefault.runtime.models.ladder import (
    SHARED_MEMORY,
    Rung,
    RungMemory,
    calls_in_text,
    next_rung,
    payload,
    read_answer,
)
from pagefault.runtime.models.problems import from_status, may_be_unsupported, says_unsupported
from pagefault.runtime.models.retry import RetryPolicy, Timing, with_retries
from pagefault.runtime.models.wire import (
    Completion,
    EventLines,
    StreamAssembler,
    read_completion,
    read_json,
    to_reply,
)
from pagefault.runtime.models.words import HEARER, Hearer
from pagefault.runtime.values import ModelReply, ModelRequest

_log = structlog.get_logger("pagefault.models")

OPENAI_URL = "https://api.openai.com/v1"
APIS = ("chat", "responses")
OPENAI_HOST = "api.openai.com"
BODY_BYTES_MAX = 16 * 1024 * 1024
NO_KEY = "no-key"  # the SDK insists on one; local servers do not look at it
_DONE = b"[DONE]"
OneMore = Callable[[], Awaitable[None]]


class OpenAIProcessor:
    """A model behind a server of Chat Completions, or of Responses.

    Args:
        model: its name on the server.
        base_url: the server's address up to ``/v1``; ``OPENAI_BASE_URL`` or OpenAI's own if not given.
        api_key: ``OPENAI_API_KEY`` if not given; servers other than OpenAI's do without.
        functions: how functions are offered: ``native``, ``schema``, ``text``, or ``auto``, which begins
            with native and steps down when the server cannot do it.
        api: ``chat``, which every server has, or ``responses``, which keeps the reasoning of a chain.
        stream: have the answer streamed, also if nobody watches its words come; nothing is taken before its end.
        strict: ask for arguments that keep to their schema.
        temperature, top_p, seed: passed on if given.
        window_tokens: the model's context window, 0 when unknown.
        retry: bounds of one call.
        timing: clock, sleep and chance.
        body_bytes_max: larger answers are refused.
        extra_body: further fields of the request, as the server knows them.
        memory: where what ``auto`` finds out is kept; shared in the process if not given.

    Raises:
        ConfigError: an option is wrong, or OpenAI's own server is meant and there is no key.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        functions: str = "auto",
        api: str = "chat",
        stream: bool = False,
        strict: bool = True,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        window_tokens: int = 0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  frozen
        timing: Timing = Timing(),  # noqa: B008  frozen
        body_bytes_max: int = BODY_BYTES_MAX,
        extra_body: Mapping[str, Any] | None = None,
        memory: RungMemory = SHARED_MEMORY,
    ) -> None:
        if not model.strip():
            raise ConfigError("model.name", model, "the name of a model, as in 'openai:gpt-4.1-mini'")
        if functions != "auto" and functions not in tuple(Rung):
            raise ConfigError("model.functions", functions, "'auto', 'native', 'schema' or 'text'")
        if api not in APIS:
            raise ConfigError("model.api", api, "'chat' or 'responses'")
        self.name = f"openai:{model}"
        self.window_tokens = window_tokens
        self.base_url = _base_url(base_url)
        self._is_openai = urlsplit(self.base_url).hostname == OPENAI_HOST
        self._api_key = _api_key(api_key, required=self._is_openai)
        self._model = model
        self._fixed_rung = None if functions == "auto" else Rung(functions)
        self._stream = stream
        self._strict = strict
        self._is_responses = api == "responses"
        # Responses knows no seed.
        sampling = {"temperature": temperature, "top_p": top_p, "seed": None if self._is_responses else seed}
        self._sampling = {name: value for name, value in sampling.items() if value is not None}
        self._retry = retry
        self._timing = timing
        self._body_bytes_max = body_bytes_max
        self._extra_body = dict(extra_body or {})
        self._memory = memory
        self._handle = ClientHandle(self.base_url, self._api_key, body_bytes_max)
        # Newer models of OpenAI's refuse the old name, older servers do not know the new one.
        self._limit_name = "max_completion_tokens" if self._is_openai else "max_tokens"
        if self._is_responses:
            self._limit_name = "max_output_tokens"

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer one request completely; see :class:`~pagefault.runtime.models.protocols.Processor`."""
        return await self.reply_admitted(request, None)

    async def reply_admitted(self, request: ModelRequest, one_more: OneMore | None) -> ModelReply:
        """The same; ``one_more`` is awaited before each request to the server after the first."""
        rung = self._fixed_rung or self._memory.standing.get(self._place, Rung.NATIVE)
        first: ModelError | None = None
        attempts = 0
        while True:
            try:
                ask = partial(self._attempt, request, rung, attempts, one_more=one_more)
                reply = await with_retries(self._retry, self._timing, ask)
            except ModelError as error:
                attempts += error.attempts
                if self._renamed_limit(error):
                    continue
                lower = self._lower_rung(rung, error, request)
                if lower is None:
                    worst = first or error
                    worst.attempts = attempts
                    raise worst from None
                first = first or error
                rung = lower
                continue
            if first is not None:
                self._step_down(rung, first.message)
            return reply

    async def close(self) -> None:
        """Give back the connection; other processors of the same server keep it open."""
        await self._handle.close()

    # --- one attempt --------------------------------------------------------------------------------

    async def _attempt(
        self,
        request: ModelRequest,
        rung: Rung,
        attempts_before: int,
        attempt: int,
        timeout_ms: float,
        *,
        one_more: OneMore | None = None,
    ) -> ModelReply:
        if one_more is not None and attempts_before + attempt > 1:
            await one_more()
        seconds = timeout_ms / 1_000
        hearer = HEARER.get() if rung is Rung.NATIVE else None  # elsewhere calls come as text
        streams = self._stream or hearer is not None
        sent = self._payload(request, rung, streams=streams)
        try:
            async with asyncio.timeout(seconds):
                completion = await self._ask(sent, seconds, hearer)
        except TimeoutError as error:
            raise ModelUnavailable(f"{self.base_url} gave no complete answer within {timeout_ms:.0f} ms") from error
        except openai.APITimeoutError as error:
            raise ModelUnavailable(f"{self.base_url} did not answer within {timeout_ms:.0f} ms") from error
        except openai.APIStatusError as error:
            problem = self._problem(error.status_code, error.body or error.response.text, error.response.headers)
            if self._fixed_rung is None and says_unsupported(problem, rung):
                problem.retryable = False  # not even if it is a 500: asking again would not teach the server
            raise problem from error
        except BodyTooLarge as error:
            raise ModelMalformed(str(error)) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise ModelUnavailable(
                f"cannot reach {self.base_url}: {type(cause).__name__}: {cause}".rstrip(": ")
            ) from error
        except httpx2.HTTPError as error:
            kind = ModelMalformed if streams else ModelUnavailable
            raise kind(f"the answer of {self.base_url} broke off: {type(error).__name__}") from error
        return self._read(completion, request, rung, attempts_before + attempt)

    def _payload(self, request: ModelRequest, rung: Rung, *, streams: bool) -> dict[str, Any]:
        make = responses.payload if self._is_responses else payload
        sent = make(rung, request, strict=self._strict, mend_arguments=not self._is_openai)
        sent |= self._sampling
        sent[self._limit_name] = request.reply_tokens_max
        if self._is_openai:
            # Requests with the same beginning go to the machine that has it cached.
            sent["prompt_cache_key"] = str(request.agent)
        if streams:
            sent |= (
                {"stream": True} if self._is_responses else {"stream": True, "stream_options": {"include_usage": True}}
            )
        return sent | self._extra_body

    async def _ask(self, sent: dict[str, Any], seconds: float, hearer: Hearer | None) -> Completion:
        client = self._handle.client()
        timeout = openai.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
        # As the SDK's own parameters the messages would be walked through by their type hints, which takes it
        # 20 ms for a context of 8k tokens; as a body they go out as they are.
        asked: AbstractAsyncContextManager[Any]
        if self._is_responses:
            asked = client.responses.with_streaming_response.create(
                model=self._model, input="", extra_body=sent, timeout=timeout
            )
        else:
            asked = client.chat.completions.with_streaming_response.create(
                model=self._model, messages=(), extra_body=sent, timeout=timeout
            )
        async with asked as response:
            pieces = response.iter_bytes()
            if sent.get("stream") and "text/event-stream" in response.headers.get("content-type", "").lower():
                read = self._read_responses if self._is_responses else self._read_stream
                try:
                    return await read(pieces, response.headers, hearer)
                except BaseException:  # whatever broke it off: of half an answer nothing is taken
                    if hearer is not None:
                        hearer.withdraw()
                    raise
            answer = read_json(b"".join([piece async for piece in pieces]))
            if self._is_responses:
                return self._read_response(answer, response.headers)
            self._raise_for_error(answer, response.headers)
            return read_completion(answer)

    async def _read_responses(
        self, pieces: AsyncIterator[bytes], headers: Mapping[str, str], hearer: Hearer | None
    ) -> Completion:
        events, stream = EventLines(), responses.ResponseStream()
        async for piece in pieces:
            for data in events.feed(piece):
                answer = None if data.strip() == _DONE else stream.feed(read_json(data))
                if hearer is not None:
                    hearer.hear(*stream.words())
                if answer is not None:
                    return self._read_response(answer, headers)
        rest = events.rest()
        answer = stream.feed(read_json(rest)) if rest and rest != _DONE else None
        if answer is None:
            raise ModelMalformed("the stream ended before the answer did (no response.completed)")
        return self._read_response(answer, headers)

    def _read_response(self, answer: Mapping[str, Any], headers: Mapping[str, str]) -> Completion:
        status = responses.problem_in(answer)
        if status:
            raise self._problem(status, answer, headers)
        return responses.read_response(answer)

    async def _read_stream(
        self, pieces: AsyncIterator[bytes], headers: Mapping[str, str], hearer: Hearer | None
    ) -> Completion:
        events, assembler = EventLines(), StreamAssembler()
        async for piece in pieces:
            for data in events.feed(piece):
                if data.strip() == _DONE:
                    return assembler.finish()
                chunk = read_json(data)
                self._raise_for_error(chunk, headers)
                assembler.feed(chunk)
                if hearer is not None:
                    hearer.hear(*assembler.words())
        if events.rest() == _DONE:
            return assembler.finish()
        raise ModelMalformed("the stream ended before the answer did (no [DONE])")

    def _raise_for_error(self, answer: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Some servers send an error with status 200."""
        error = answer.get("error")
        if error and not answer.get("choices"):
            code = error.get("code") if isinstance(error, dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
            raise self._problem(status, answer, headers)

    def _problem(self, status: int, body: object, headers: Mapping[str, str]) -> ModelError:
        return from_status(
            status,
            body,
            headers,
            where=self.base_url,
            model=self._model,
            api_key=self._api_key,
            wall_ms=self._timing.wall_ms(),
        )

    def _read(self, completion: Completion, request: ModelRequest, rung: Rung, attempt: int) -> ModelReply:
        parsed = read_answer(rung, completion, request)
        if parsed.calls:
            self._memory.proven.add((*self._place, rung))
        elif rung is Rung.NATIVE and self._fixed_rung is None:
            found = calls_in_text(completion, request)
            if found is not None:
                parsed = found
                if not self._proven(rung):
                    self._step_down(Rung.SCHEMA, "the model wrote its calls as text")
        return to_reply(
            completion,
            text=parsed.text,
            calls=parsed.calls,
            taken_ids=(call.id for message in request.messages for call in message.calls),
            attempts=attempt,
            repaired=parsed.repaired,
        )

    # --- the ladder ---------------------------------------------------------------------------------

    @property
    def _place(self) -> tuple[str, str]:
        return self.base_url, self._model

    def _proven(self, rung: Rung) -> bool:
        return (*self._place, rung) in self._memory.proven

    def _lower_rung(self, rung: Rung, error: ModelError, request: ModelRequest) -> Rung | None:
        """Where to try next after an error, if the rung may be the reason for it."""
        if self._fixed_rung is not None or not request.functions:
            return None
        if says_unsupported(error, rung) or (may_be_unsupported(error) and not self._proven(rung)):
            return next_rung(rung)
        return None

    def _step_down(self, rung: Rung, reason: str) -> None:
        if self._memory.standing.get(self._place) is not rung:
            self._memory.standing[self._place] = rung
            _log.warning(
                "functions_offered_differently", server=self.base_url, model=self._model, rung=rung.value, reason=reason
            )

    def _renamed_limit(self, error: ModelError) -> bool:
        if self._is_responses:
            return False
        asked_for = isinstance(error, ModelRefused) and "max_completion_tokens" in error.message
        if not asked_for or self._limit_name == "max_completion_tokens":
            return False
        self._limit_name = "max_completion_tokens"
        return True


def _base_url(given: str | None) -> str:
    address = (given or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).strip().rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("model.base_url", address, "an address such as http://localhost:8000/v1")
    return address


def _api_key(given: str | None, *, required: bool) -> str:
    key = (given or os.environ.get("OPENAI_API_KEY") or "").strip()
    if key:
        return key
    if required:
        raise ConfigError(
            "model.api_key", "", "a key: set OPENAI_API_KEY, or give base_url for a server that needs none"
        )
    return NO_KEY
