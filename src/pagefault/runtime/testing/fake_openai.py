"""A server on this machine that speaks OpenAI's protocol, and misbehaves on command.

::

    with FakeOpenAI([busy(retry_after="1"), Answer("Hello")]) as server:
        processor = OpenAIProcessor("any-model", base_url=server.base_url)

It serves ``/v1/chat/completions`` and ``/v1/responses`` (streamed or not), ``/v1/embeddings`` and
``/v1/models``.  Each chat request takes the next behaviour of the script; when there are none left, ``respond``
answers.  All behaviours are in :mod:`pagefault.runtime.testing.fake_openai_answers`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from pagefault.runtime.errors import UsageError
from pagefault.runtime.models.tokens import MESSAGE_OVERHEAD_TOKENS, BpeTokenCounter
from pagefault.runtime.testing.fake_openai_answers import (
    Answer,
    Behaviour,
    BreakOff,
    Call,
    CutStream,
    GarbageEvent,
    Hang,
    HugeBody,
    Raw,
    SlowBytes,
    Status,
    busy,
)
from pagefault.runtime.testing.fake_openai_http import HEADERS_BYTES_MAX, BadRequest, Exchange, Request, read_request

__all__ = [
    "Answer",
    "Behaviour",
    "BreakOff",
    "Call",
    "CutStream",
    "FakeOpenAI",
    "GarbageEvent",
    "Hang",
    "HugeBody",
    "Raw",
    "Request",
    "SlowBytes",
    "Status",
    "busy",
]

Respond = Callable[[Mapping[str, Any]], Behaviour]
START_SECONDS_MAX = 20


def _ok(_: Mapping[str, Any]) -> Behaviour:
    return Answer("OK")


class FakeOpenAI:
    """The server; use it as a context manager.  It runs in a thread of its own.

    Args:
        script: behaviours for the first chat requests, in order.
        respond: from a request's body to a behaviour, for all further ones.
        api_key: refuse requests with another key (401).
        token_limit: refuse longer prompts, as OpenAI does (400, ``context_length_exceeded``).
        tools: whether requests with tools are taken, else 400.
        response_format: whether requests with a response format are taken, else 400.
        count_per_mille: what the server counts, against the true number of tokens.
        dimension: of embeddings.
        requests_per_window, window_s: refuse more requests than that (429, with ``Retry-After``), counted as
            they arrive in a window that slides; what is refused does not count.
    """

    def __init__(
        self,
        script: Iterable[Behaviour] = (),
        *,
        respond: Respond = _ok,
        api_key: str | None = None,
        token_limit: int | None = None,
        tools: bool = True,
        response_format: bool = True,
        count_per_mille: int = 1_000,
        dimension: int = 64,
        requests_per_window: int | None = None,
        window_s: float = 60.0,
    ) -> None:
        self.requests: list[Request] = []
        """Every chat request so far, in the order of arrival."""
        self._script = deque(script)
        self._respond = respond
        self._api_key = api_key
        self._token_limit = token_limit
        self._tools = tools
        self._response_format = response_format
        self._count_per_mille = count_per_mille
        self._dimension = dimension
        self._requests_per_window = requests_per_window
        self._window_s = window_s
        self.arrivals: list[tuple[float, bool]] = []
        """When each chat request arrived (by ``time.monotonic``), and whether the limit let it through."""
        self._window: deque[float] = deque()
        self._counter = BpeTokenCounter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), name="fake-openai", daemon=True)
        self._thread.start()
        if not self._started.wait(START_SECONDS_MAX):
            raise UsageError("the fake server did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()

    @property
    def base_url(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self._port}/v1"

    def then(self, *behaviours: Behaviour) -> None:
        """Add to the script."""
        self._script.extend(behaviours)

    def clear(self) -> None:
        """Forget what is left of the script."""
        self._script.clear()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connection(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=HEADERS_BYTES_MAX)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await read_request(reader)) is not None:
                exchange = Exchange(request, writer)
                # A client that gives up while it waits is noticed at once, as the connection's end is read.
                answering = asyncio.ensure_future(self._answer(exchange))
                gone = asyncio.ensure_future(_until_closed(reader))
                try:
                    await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
                    if not answering.done():
                        return
                    await answering
                finally:
                    answering.cancel()
                    gone.cancel()
                    await asyncio.gather(answering, gone, return_exceptions=True)
                if exchange.closed:
                    return
        except BadRequest as error:
            body = json.dumps({"error": {"message": str(error), "code": None}}).encode()
            await Exchange(Request("", "", {}, {}), writer).send(body, status=400)
        except ConnectionError:
            pass  # the client went away
        finally:
            writer.close()

    async def _answer(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if self._api_key is not None and exchange.request.headers.get("authorization") != f"Bearer {self._api_key}":
            await Status(401, "Incorrect API key provided.", "invalid_api_key").perform(exchange, {})
        elif path in ("/v1/chat/completions", "/v1/responses"):
            await self._chat(exchange)
        elif path == "/v1/embeddings":
            await exchange.send(json.dumps(self._embeddings(exchange.request.body)).encode())
        elif path == "/v1/models":
            models = [{"id": "fake", "object": "model", "created": 0, "owned_by": "pagefault"}]
            await exchange.send(json.dumps({"object": "list", "data": models}).encode())
        else:
            await Status(404, f"no such path: {path}").perform(exchange, {})

    async def _chat(self, exchange: Exchange) -> None:
        body = exchange.request.body
        self.requests.append(exchange.request)
        refused_for_s = self._over_limit(time.monotonic())
        tokens = self.count(body)
        behaviour = self._refusal(body, tokens)
        if refused_for_s > 0:
            behaviour = busy(f"{refused_for_s:.3f}")
        if behaviour is None:
            behaviour = self._script.popleft() if self._script else self._respond(body)
        reply_tokens = self._counter.count(behaviour.text) if isinstance(behaviour, Answer) else 0
        usage = {"prompt_tokens": tokens, "completion_tokens": reply_tokens, "total_tokens": tokens + reply_tokens}
        await behaviour.perform(exchange, usage)

    def fill_window(self, requests: int) -> None:
        """Let it be as if so many requests had come in, evenly, in the window that ends now."""
        now_s = time.monotonic()
        self._window = deque(now_s - self._window_s * (1 - place / requests) for place in range(requests))

    def _over_limit(self, now_s: float) -> float:
        """Count a request that arrives; how long to wait in seconds if it is one too many."""
        while self._window and self._window[0] <= now_s - self._window_s:
            self._window.popleft()
        is_over = self._requests_per_window is not None and len(self._window) >= self._requests_per_window
        self.arrivals.append((now_s, not is_over))
        if is_over:
            return max(0.001, self._window[0] + self._window_s - now_s)
        self._window.append(now_s)
        return 0.0

    def _refusal(self, body: Mapping[str, Any], tokens: int) -> Behaviour | None:
        if body.get("tools") and not self._tools:
            return Status(400, f"{body.get('model')} does not support tools")
        if (body.get("response_format") or body.get("text")) and not self._response_format:
            return Status(400, "response_format is not supported by this server")
        if self._token_limit is not None and tokens > self._token_limit:
            return Status(
                400,
                f"This model's maximum context length is {self._token_limit} tokens. However, your messages "
                f"resulted in {tokens} tokens. Please reduce the length of the messages.",
                "context_length_exceeded",
            )
        return None

    def count(self, body: Mapping[str, Any]) -> int:
        """The tokens of a chat request, as this server counts them."""
        tokens = 3
        for message in body.get("messages") or body.get("input") or ():
            said = message.get("content") or message.get("output") or message.get("arguments") or ""
            tokens += MESSAGE_OVERHEAD_TOKENS + self._counter.count(str(said))
            for call in message.get("tool_calls") or ():
                tokens += self._counter.count(call["function"]["name"] + call["function"]["arguments"])
        for offered in ("tools", "response_format", "text"):
            if body.get(offered):
                tokens += self._counter.count(json.dumps(body[offered], separators=(",", ":")))
        return tokens * self._count_per_mille // 1_000

    def _embeddings(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Unit vectors that depend on the text alone."""
        given = body.get("input")
        texts = [given] if isinstance(given, str) else list(given or ())
        size = int(body.get("dimensions") or self._dimension)
        data = []
        for index, text in enumerate(texts):
            vector = _vector(str(text), size)
            packed = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
            shown: object = packed if body.get("encoding_format") == "base64" else vector
            data.append({"object": "embedding", "index": index, "embedding": shown})
        tokens = sum(self._counter.count(str(text)) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": body.get("model", "fake"), "usage": usage}


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """Wait for the client to close; it sends nothing more before its answer."""
    while not reader.at_eof():
        await asyncio.sleep(0.005)
        if reader.exception() is not None:
            return


def _vector(text: str, size: int) -> list[float]:
    noise = hashlib.shake_256(text.encode(errors="replace")).digest(2 * size)
    values = [value / 32_768 - 1 for value in struct.unpack(f"<{size}H", noise)]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]
