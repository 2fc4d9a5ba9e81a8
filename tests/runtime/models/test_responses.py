"""The Responses API through the real SDK, against the fake server on the loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from pagefault import Agent
from pagefault.runtime.errors import ConfigError, ModelBusy, ModelMalformed, ModelOverflow, ModelUnavailable
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.ladder import Rung, RungMemory
from pagefault.runtime.models.openai import OpenAIProcessor
from pagefault.runtime.models.replay import request_hash
from pagefault.runtime.models.retry import RetryPolicy
from pagefault.runtime.testing.fake_openai import Answer, Behaviour, BreakOff, Call, CutStream, FakeOpenAI, Raw, busy
from pagefault.runtime.values import AgentId, FunctionCall, FunctionSchema, Message, ModelRequest

SPEAK = FunctionSchema(
    "send_message",
    "Send a message.",
    '{"additionalProperties":false,"properties":{"message":{"type":"string"}},"required":["message"],"type":"object"}',
)
THOUGHT = '{"encrypted_content": "abc", "id": "rs_0", "summary": [], "type": "reasoning"}'
CHAIN = (
    Message("system", "Be kind."),
    Message("user", "Hello"),
    Message("assistant", "Hm.", calls=(FunctionCall("c1", "look", "{}"),), reasoning=(THOUGHT,)),
    Message("tool", "[p3] OK: nothing", answers="c1", name="look"),
)
ONCE = RetryPolicy(attempts_max=1)
Make = Callable[..., OpenAIProcessor]


def request(*messages: Message, functions: tuple[FunctionSchema, ...] = (SPEAK,)) -> ModelRequest:
    return ModelRequest(AgentId("ana"), messages or CHAIN[:2], functions, 20, 50)


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as made:
        yield made


@pytest.fixture
async def make(server: FakeOpenAI) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        def made(**options: Any) -> OpenAIProcessor:
            given = {"base_url": server.base_url, "api": "responses", "memory": RungMemory(), "retry": ONCE, **options}
            processor = OpenAIProcessor("m", **given)
            stack.push_async_callback(processor.close)
            return processor

        yield made


async def test_a_request_as_it_is_sent(server: FakeOpenAI, make: Make) -> None:
    await make(seed=7, temperature=0.5).reply(request(*CHAIN))
    assert server.requests[0].path == "/v1/responses"
    body = server.requests[0].body
    assert body["input"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        json.loads(THOUGHT),
        {"role": "assistant", "content": "Hm."},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "[p3] OK: nothing"},
    ]
    assert body["tools"] == [
        {
            "type": "function",
            "name": "send_message",
            "description": "Send a message.",
            "parameters": json.loads(SPEAK.parameters),
            "strict": True,
        }
    ]
    assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])
    assert (body["max_output_tokens"], body["temperature"]) == (50, 0.5)
    assert not {"messages", "max_tokens", "seed", "previous_response_id", "stream_options"} & set(body)


@pytest.mark.parametrize("stream", [False, True])
async def test_text_calls_reasoning_and_usage_are_read(server: FakeOpenAI, make: Make, stream: bool) -> None:
    server.then(Answer("I think.", [Call("send_message", '{"message": "Hi"}', "c9")], reasoning=["abc"]))
    reply = await make(stream=stream).reply(request())
    assert (reply.text, reply.finish) == ("I think.", "calls")
    assert reply.calls == (FunctionCall("c9", "send_message", '{"message": "Hi"}'),)
    assert reply.reasoning == (THOUGHT,)
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.cached_tokens == reply.usage.prompt_tokens // 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answer", "finish"),
    [
        (Answer("cut", finish="length"), "length"),
        (Answer(refusal="No."), "refusal"),
        (Answer("x", finish="content_filter"), "refusal"),
        (Answer("all"), "stop"),
    ],
)
async def test_how_it_ended(server: FakeOpenAI, make: Make, answer: Answer, finish: str, stream: bool) -> None:
    server.then(answer)
    assert (await make(stream=stream).reply(request())).finish == finish


@pytest.mark.parametrize(
    ("behaviour", "stream", "kind"),
    [
        (busy("1"), False, ModelBusy),
        (BreakOff(), False, ModelUnavailable),
        (BreakOff(after_bytes=300), True, ModelMalformed),
        (CutStream(events=3, done=True), True, ModelMalformed),
        (Raw(b'{"output": 3}'), False, ModelMalformed),
        (Raw(b'{"output": ["x"]}'), False, ModelMalformed),
        (Raw(b'{"output": [{"type": "function_call", "name": 3}]}'), False, ModelMalformed),
        (Raw(b'{"status": "failed", "error": {"code": "server_error", "message": "x"}}'), False, ModelUnavailable),
        (Raw(b'{"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "x"}}'), False, ModelBusy),
        (Raw(b'data: {"type": "error", "code": "server_error"}\n\n', "text/event-stream"), True, ModelUnavailable),
    ],
)
async def test_what_goes_wrong_is_the_same_error_as_of_chat(
    server: FakeOpenAI, make: Make, behaviour: Behaviour, stream: bool, kind: type[Exception]
) -> None:
    server.then(behaviour)
    with pytest.raises(kind):
        await make(stream=stream).reply(request())


async def test_a_prompt_that_is_too_long_is_an_overflow(make: Make) -> None:
    with FakeOpenAI(token_limit=10) as small, pytest.raises(ModelOverflow):
        await make(base_url=small.base_url).reply(request())


async def test_the_ladder_is_the_same(make: Make) -> None:
    memory = RungMemory()
    said = '{"thought": "", "function": "send_message", "arguments": {"message": "Hi"}}'
    with FakeOpenAI([Answer(said)], tools=False) as server:
        reply = await make(base_url=server.base_url, memory=memory).reply(request())
        body = server.requests[-1].body
        place = (server.base_url, "m")
    assert reply.calls[0].name == "send_message"
    assert memory.standing[place] is Rung.SCHEMA
    assert body["text"]["format"]["type"] == "json_schema"
    assert "send_message" in body["text"]["format"]["schema"]["properties"]["function"]["enum"]
    assert "tools" not in body


def test_an_api_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="'chat' or 'responses'"):
        OpenAIProcessor("m", base_url="http://localhost:1/v1", api="rest")


def test_reasoning_is_part_of_what_a_model_is_shown() -> None:
    bare = (*CHAIN[:2], Message("assistant", "Hm.", calls=CHAIN[2].calls), CHAIN[3])
    assert request_hash(request(*CHAIN)) != request_hash(request(*bare))


# --- a chain ------------------------------------------------------------------------------------------------


def thinking(server: FakeOpenAI) -> None:
    """One chain of three steps, each with thoughts of its own, and one of a single step."""
    search = '{"query": "tea", "page": null, "request_heartbeat": true}'
    for number in (1, 2):
        server.then(Answer("", [Call("conversation_search", search, f"c{number}")], reasoning=[f"thought {number}"]))
    for number in (3, 4):
        speak = Call("send_message", '{"message": "Tea."}', f"c{number}")
        server.then(Answer("", [speak], reasoning=[f"thought {number}"]))


async def test_reasoning_goes_back_in_its_chain_and_ends_with_it() -> None:
    with FakeOpenAI() as server:
        thinking(server)
        options = {"base_url": server.base_url, "api": "responses"}
        async with Local(embedder="hash") as fleet:
            ref = await fleet.spawn(Agent("ann", model="openai:m", model_options=options))
            assert await ref.ask("What do I drink?") == "Tea."
            assert await ref.ask("Sure?") == "Tea."
        sent = [
            [item["encrypted_content"] for item in each.body["input"] if item.get("type") == "reasoning"]
            for each in server.requests
        ]
    assert sent == [[], ["thought 1"], ["thought 1", "thought 2"], []]


async def test_reasoning_that_does_not_fit_stays_away_and_the_budget_holds() -> None:
    with FakeOpenAI() as server:
        search = '{"query": "tea", "page": null, "request_heartbeat": true}'
        server.then(Answer("", [Call("conversation_search", search)], reasoning=["x9" * 20_000]))
        server.then(Answer("", [Call("send_message", '{"message": "Tea."}', "c2")]))
        options = {"base_url": server.base_url, "api": "responses"}
        async with Local(embedder="hash") as fleet:
            ref = await fleet.spawn(Agent("ann", model="openai:m", model_options=options))
            assert await ref.ask("What do I drink?") == "Tea."
        assert not [item for item in server.requests[-1].body["input"] if item.get("type") == "reasoning"]
