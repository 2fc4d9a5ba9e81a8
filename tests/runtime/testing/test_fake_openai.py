"""The shipped server, used as its users do: with the SDK, and with a bare connection."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from pagefault.runtime.testing.fake_openai import Answer, BreakOff, Call, FakeOpenAI, Hang, Raw, Status, busy
from pagefault.runtime.testing.fake_openai_http import Exchange


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as made:
        yield made


@pytest.fixture
def client(server: FakeOpenAI) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as made:
        yield made


ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello world"}]}


def test_a_chat(server: FakeOpenAI, client: openai.OpenAI) -> None:
    server.then(Answer("Hello", [Call("f", '{"a": 1}', id="c1")]))
    answer = client.chat.completions.create(**ASKED)
    choice = answer.choices[0]
    assert choice.message.content == "Hello"
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].to_dict() == {
        "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'},
    }  # fmt: skip
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == server.count(ASKED) > 2
    # The script is used up: now the default answers.
    assert client.chat.completions.create(**ASKED).choices[0].message.content == "OK"
    assert [each.path for each in server.requests] == ["/v1/chat/completions"] * 2


def test_a_streamed_chat(server: FakeOpenAI, client: openai.OpenAI) -> None:
    server.then(Answer("Hello there", [Call("f", '{"a": 1}')]))
    stream = client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    pieces = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
    assert text == "Hello there"
    assert "".join((piece.function and piece.function.arguments) or "" for piece in pieces) == '{"a": 1}'
    assert chunks[-2].choices[0].finish_reason == "tool_calls"
    assert chunks[-1].usage is not None


def test_answers_may_depend_on_the_request() -> None:
    def parrot(body: Any) -> Answer:
        return Answer(body["messages"][-1]["content"].upper())

    with FakeOpenAI(respond=parrot) as server, openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        assert client.chat.completions.create(**ASKED).choices[0].message.content == "HELLO WORLD"


def test_embeddings_and_models(server: FakeOpenAI, client: openai.OpenAI) -> None:
    found = client.embeddings.create(model="e", input=["a", "b", "a"])
    first, second, third = (each.embedding for each in found.data)
    assert len(first) == 64
    assert first == third != second
    assert sum(value * value for value in first) == pytest.approx(1, abs=1e-4)
    floats = client.embeddings.create(model="e", input="a", encoding_format="float", dimensions=8).data[0].embedding
    assert len(floats) == 8
    assert [model.id for model in client.models.list()] == ["fake"]


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (busy("3"), openai.RateLimitError),
        (Status(500), openai.InternalServerError),
        (Status(401), openai.AuthenticationError),
        (BreakOff(after_bytes=5), openai.APIConnectionError),
    ],
)
def test_errors_reach_the_sdk_as_such(
    server: FakeOpenAI, client: openai.OpenAI, behaviour: Any, error: type[Exception]
) -> None:
    server.then(behaviour)
    with pytest.raises(error) as caught:
        client.chat.completions.create(**ASKED)
    if isinstance(caught.value, openai.RateLimitError):
        assert caught.value.response.headers["Retry-After"] == "3"


def test_limits_and_abilities() -> None:
    with (
        FakeOpenAI(token_limit=5, tools=False, response_format=False, api_key="k") as server,
        openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(**ASKED)
        assert caught.value.code == "context_length_exceeded"
        tool: Any = {"type": "function", "function": {"name": "f"}}
        with pytest.raises(openai.BadRequestError, match="does not support tools"):
            client.chat.completions.create(**ASKED, tools=[tool])
        with pytest.raises(openai.BadRequestError, match="response_format is not supported"):
            client.chat.completions.create(**ASKED, response_format={"type": "json_object"})
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="other").chat.completions.create(**ASKED)
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="other").models.list()


def test_a_behaviour_of_ones_own(server: FakeOpenAI, client: openai.OpenAI) -> None:
    class Teapot:
        async def perform(self, exchange: Exchange, usage: Any) -> None:
            await exchange.send(b'{"error": "short and stout"}', status=418)

    server.then(Teapot())
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**ASKED)
    assert caught.value.status_code == 418


def connect(server: FakeOpenAI) -> http.client.HTTPConnection:
    address = urlsplit(server.base_url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)


def test_a_connection_is_kept_for_the_next_request(server: FakeOpenAI) -> None:
    connection = connect(server)
    body = json.dumps(ASKED)
    for _ in range(3):
        connection.request("POST", "/v1/chat/completions?x=1", body, {"Content-Type": "application/json"})
        assert json.loads(connection.getresponse().read())["choices"]
    connection.request("GET", "/v1/nothing")
    assert connection.getresponse().status == 404
    connection.close()
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000,
    ],
    ids=lambda each: str(each[-20:]),
)
def test_nonsense_is_refused_and_the_server_lives(
    server: FakeOpenAI, client: openai.OpenAI, request_bytes: bytes
) -> None:
    address = urlsplit(server.base_url)
    answer = b""
    with (
        socket.create_connection((address.hostname, address.port or 0), timeout=20) as connection,
        suppress(OSError),  # it need not read all of the nonsense before it closes
    ):
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65_536):
            answer += piece
    assert not answer or answer.startswith(b"HTTP/1.1 400")
    assert client.chat.completions.create(**ASKED).choices


def test_it_ends_though_a_request_hangs() -> None:
    server = FakeOpenAI([Hang()])
    with server:
        failed: list[Exception] = []

        def ask() -> None:
            try:
                openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0).chat.completions.create(**ASKED)
            except openai.APIConnectionError as error:
                failed.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not server.requests:
            thread.join(0.001)
    thread.join()
    assert len(failed) == 1


async def test_many_clients_at_once() -> None:
    with FakeOpenAI([Raw(b"{}")] * 10) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
            await asyncio.gather(*(client.chat.completions.create(**ASKED) for _ in range(50)))
        assert len(server.requests) == 50


def test_a_limit_in_a_sliding_window() -> None:
    with (
        FakeOpenAI(requests_per_window=3, window_s=0.5) as server,
        openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
    ):
        for _ in range(3):
            client.chat.completions.create(**ASKED)
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**ASKED)
        wait_s = float(caught.value.response.headers["retry-after"])
        assert 0 < wait_s <= 0.5
        time.sleep(wait_s)  # the server's clock is the machine's: there is nothing else to wait for
        client.chat.completions.create(**ASKED)
        assert [let_through for _, let_through in server.arrivals] == [True, True, True, False, True]
