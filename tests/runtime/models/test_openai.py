"""The processor against a real server on the loopback, through the real SDK: every way in which one fails."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from pagefault.runtime.errors import (
    ConfigError,
    ModelBusy,
    ModelError,
    ModelMalformed,
    ModelOverflow,
    ModelRefused,
    ModelUnavailable,
)
from pagefault.runtime.models.ladder import Rung, RungMemory
from pagefault.runtime.models.openai import OpenAIProcessor
from pagefault.runtime.models.retry import RetryPolicy, Timing
from pagefault.runtime.models.tokens import BpeTokenCounter, request_tokens
from pagefault.runtime.testing.fake_openai import (
    Answer,
    Behaviour,
    BreakOff,
    Call,
    CutStream,
    FakeOpenAI,
    GarbageEvent,
    Hang,
    HugeBody,
    Raw,
    SlowBytes,
    Status,
    busy,
)
from pagefault.runtime.values import AgentId, FunctionCall, FunctionSchema, Message, ModelReply, ModelRequest, Usage

SPEAK = FunctionSchema(
    "send_message",
    "Send a message.",
    '{"additionalProperties":false,"properties":{"message":{"type":"string"}},"required":["message"],"type":"object"}',
)
SEARCH = FunctionSchema(
    "search",
    "Search.",
    '{"additionalProperties":false,"properties":{"query":{"type":"string"},"page":{"type":["integer","null"]}},'
    '"required":["page","query"],"type":"object"}',
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GREETING = Call("send_message", '{"message": "Hi"}')


def request(*messages: Message, functions: tuple[FunctionSchema, ...] = (SPEAK, SEARCH)) -> ModelRequest:
    return ModelRequest(
        AgentId("ana"), messages or (Message("system", "Be kind."), Message("user", "Hello")), functions, 20, 50
    )


@dataclass
class FakeTime:
    """A clock on which sleeping costs nothing; remembers how long was slept."""

    now_ms: float = 0
    slept_ms: list[float] = field(default_factory=list)
    chance: float = 0.0

    def timing(self) -> Timing:
        return Timing(
            monotonic_ms=lambda: self.now_ms,
            wall_ms=lambda: NOW.timestamp() * 1_000,
            sleep_ms=self.sleep_ms,
            random=lambda: self.chance,
        )

    async def sleep_ms(self, delay_ms: float) -> None:
        self.slept_ms.append(delay_ms)
        self.now_ms += delay_ms


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as made:
        yield made


Make = Callable[..., OpenAIProcessor]


@pytest.fixture
async def make(server: FakeOpenAI, time: FakeTime) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        def made(model: str = "m", **options: Any) -> OpenAIProcessor:
            options = {"base_url": server.base_url, "timing": time.timing(), "memory": RungMemory(), **options}
            processor = OpenAIProcessor(model, **options)
            stack.push_async_callback(processor.close)
            return processor

        yield made


async def failure(processor: OpenAIProcessor, asked: ModelRequest | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await processor.reply(asked or request())
    return caught.value


# --- what is sent -----------------------------------------------------------------------------------


async def test_a_request_as_it_is_sent(server: FakeOpenAI, make: Make) -> None:
    earlier = (
        Message("system", "Be kind."),
        Message("user", "Hello"),
        Message("assistant", "", calls=(FunctionCall("c1", "search", '{"query":"tea","page":null}'),)),
        Message("tool", "[p3] OK: nothing", answers="c1", name="search"),
    )
    server.then(Answer("", [GREETING]))
    reply = await make(temperature=0.5, seed=7, extra_body={"top_k": 3}).reply(request(*earlier))
    body = server.requests[0].body
    assert body["model"] == "m"
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "search", "arguments": '{"query":"tea","page":null}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "[p3] OK: nothing"},
    ]
    assert body["tools"][0]["function"] == {
        "name": "send_message",
        "description": "Send a message.",
        "parameters": json.loads(SPEAK.parameters),
        "strict": True,
    }
    assert body["parallel_tool_calls"] is False
    assert (body["temperature"], body["seed"], body["top_k"], body["max_tokens"]) == (0.5, 7, 3, 50)
    assert "prompt_cache_key" not in body
    assert reply.calls == (FunctionCall("call_1", "send_message", '{"message": "Hi"}'),)
    assert (reply.finish, reply.attempts, reply.repaired) == ("calls", 1, False)
    assert reply.usage.prompt_tokens == server.count(body)


async def test_openai_itself_gets_its_own_fields(make: Make) -> None:
    processor = make(base_url="https://api.openai.com/v1", api_key="sk-made-up")
    sent = processor._payload(request(), Rung.NATIVE, streams=False)
    assert sent["prompt_cache_key"] == "ana"
    assert sent["max_completion_tokens"] == 50
    assert "max_tokens" not in sent


async def test_arguments_that_no_server_could_parse_are_wrapped(server: FakeOpenAI, make: Make) -> None:
    calls = (FunctionCall("c1", "search", '{"query": '), FunctionCall("c2", "search", ""))
    results = (Message("tool", "Failed", answers="c1"), Message("tool", "Failed", answers="c2"))
    await make().reply(request(Message("user", "x"), Message("assistant", "", calls=calls), *results))
    sent = server.requests[0].body["messages"][1]["tool_calls"]
    assert json.loads(sent[0]["function"]["arguments"]) == {"unreadable": '{"query": '}
    assert sent[1]["function"]["arguments"] == "{}"


async def test_half_characters_are_not_sent(server: FakeOpenAI, make: Make) -> None:
    await make().reply(request(Message("user", "half \ud800")))
    assert server.requests[0].body["messages"][0]["content"] == "half ?"


async def test_no_functions_no_tools(server: FakeOpenAI, make: Make) -> None:
    assert (await make().reply(request(functions=()))).text == "OK"
    assert "tools" not in server.requests[0].body
    assert "parallel_tool_calls" not in server.requests[0].body


# --- whole answers, streamed and not ----------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer("Grüße, 世界"), {"text": "Grüße, 世界", "finish": "stop"}),
        (Answer(""), {"text": "", "finish": "stop"}),
        (Answer("cut of", finish="length"), {"text": "cut of", "finish": "length"}),
        (Answer("", finish="content_filter"), {"text": "", "finish": "refusal"}),
        (Answer(refusal="I will not."), {"text": "I will not.", "finish": "refusal"}),
        (Answer("Well.", [GREETING]), {"text": "Well.", "finish": "calls"}),
        (Answer("", [GREETING], finish="stop"), {"finish": "calls"}),
        (Answer("x", usage=False), {"usage": Usage()}),
    ],
)
async def test_whole_answers(
    server: FakeOpenAI, make: Make, stream: bool, answer: Answer, expected: dict[str, Any]
) -> None:
    server.then(answer)
    reply = await make(stream=stream).reply(request())
    assert {name: getattr(reply, name) for name in expected} == expected
    assert [call.arguments for call in reply.calls] == [call.arguments for call in answer.calls]
    if answer.usage:
        assert reply.usage.prompt_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_call_ids_are_made_unique(server: FakeOpenAI, make: Make, stream: bool) -> None:
    calls = [Call("search", "{}", id=each) for each in ("same", "same", None, "", "old")]
    earlier = Message("assistant", "", calls=(FunctionCall("old", "search", "{}"),))
    server.then(Answer("", calls))
    asked = request(Message("user", "x"), earlier, Message("tool", "y", answers="old"))
    reply = await make(stream=stream).reply(asked)
    ids = [call.id for call in reply.calls]
    assert len(set(ids)) == 5
    assert ids[0] == "same"
    assert "old" not in ids
    assert all(ids)


@pytest.mark.parametrize("stream", [False, True])
async def test_wrong_arguments_stay_as_they_are(server: FakeOpenAI, make: Make, stream: bool) -> None:
    wrong = ['{"query": "te', '{"query": NaN}', "[" * 10_000, '{"a": 1, "a": 2}', "no JSON", '{"query": 1}\x00']
    server.then(Answer("", [Call("search", each, id=str(index)) for index, each in enumerate(wrong)]))
    reply = await make(stream=stream).reply(request())
    assert [call.arguments for call in reply.calls] == wrong


async def test_a_hundred_calls_are_taken_and_a_flood_is_not(server: FakeOpenAI, make: Make) -> None:
    for stream in (False, True):
        server.then(Answer("", [Call("search", "{}", id=str(index)) for index in range(100)]))
        assert len((await make(stream=stream).reply(request())).calls) == 100
        server.then(*[Answer("", [Call("search", "{}", id=str(index)) for index in range(300)])] * 3)
        assert isinstance(await failure(make(stream=stream)), ModelMalformed)


async def test_forms_that_servers_give_to_the_same_thing(server: FakeOpenAI, make: Make) -> None:
    def body(message: object, **more: object) -> Raw:
        return Raw(json.dumps({"choices": [{"message": message, **more}]}).encode())

    server.then(
        body({"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}),
        body({"content": None, "function_call": {"name": "search", "arguments": '{"query":"x"}'}}),
        body({"tool_calls": [{"id": "c", "function": {"name": "search", "arguments": {"query": "x"}}}]}),
        body({"content": "half \ud83d"}, finish_reason="eos"),
    )
    processor = make()
    assert (await processor.reply(request())).text == "ab"
    for _ in range(2):
        (call,) = (await processor.reply(request())).calls
        assert (call.name, json.loads(call.arguments)) == ("search", {"query": "x"})
    reply = await processor.reply(request())
    assert (reply.text, reply.finish) == ("half ?", "stop")


# --- answers that cannot be read: rows 19 and 20 of the fault matrix --------------------------------

NOT_STREAMED: list[Behaviour] = [
    Raw(b"<html><body>It works!</body></html>", "text/html"),
    Raw(b"<html>", "application/json"),
    Raw(b'{"choices": [{"message": {"content": "cu'),
    Raw(b""),
    Raw(b"[]"),
    Raw(b"null"),
    Raw(b'{"id": "x"}'),
    Raw(b'{"choices": null}'),
    Raw(b'{"choices": []}'),
    Raw(b'{"choices": [3]}'),
    Raw(b'{"choices": [{}]}'),
    Raw(b'{"choices": [{"message": {"content": 3}}]}'),
    Raw(b'{"choices": [{"message": {"tool_calls": {}}}]}'),
    Raw(b'{"choices": [{"message": {"tool_calls": [{}]}}]}'),
    Raw(b'{"choices": [{"message": {"tool_calls": [{"function": {"name": 3}}]}}]}'),
    Raw(b'{"a":' * 100_000),
    HugeBody(4_000_000),
]
STREAMED: list[Behaviour] = [
    CutStream(events=0),
    CutStream(events=2),
    CutStream(done=True, finish_reason=False),
    CutStream(done=False),
    CutStream(done=True, events=3),
    GarbageEvent(),
    GarbageEvent(garbage=b"data: [1]\n\n"),
    GarbageEvent(garbage=b'data: {"choices": [7]}\n\n'),
    GarbageEvent(garbage=b'data: {"choices": [{"delta": {"tool_calls": [7]}}]}\n\n'),
    BreakOff(after_bytes=120),
    BreakOff(after_bytes=120, reset=False),
    HugeBody(4_000_000),
    Raw(b"<html>", "text/html"),
]


@pytest.mark.parametrize(
    ("stream", "behaviour"),
    [*((False, each) for each in NOT_STREAMED), *((True, each) for each in STREAMED)],
    ids=lambda each: str(each)[:40],
)
async def test_an_answer_that_cannot_be_read_is_asked_for_again(
    server: FakeOpenAI, make: Make, stream: bool, behaviour: Behaviour
) -> None:
    server.then(behaviour, Answer("whole"))
    reply = await make(stream=stream, body_bytes_max=1_000_000).reply(request())
    assert (reply.text, reply.attempts) == ("whole", 2)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("stream", "behaviour"),
    [
        (False, NOT_STREAMED[0]),
        (False, NOT_STREAMED[6]),
        (False, HugeBody(4_000_000)),
        *((True, s) for s in STREAMED[:6]),
    ],
    ids=lambda each: str(each)[:40],
)
async def test_and_only_so_often(server: FakeOpenAI, make: Make, stream: bool, behaviour: Behaviour) -> None:
    server.then(*[behaviour] * 10)
    processor = make(stream=stream, body_bytes_max=1_000_000, retry=RetryPolicy(malformed_max=2))
    error = await failure(processor)
    assert isinstance(error, ModelMalformed)
    assert error.retryable
    assert error.attempts == len(server.requests) == 2


async def test_a_stream_is_taken_whatever_its_line_ends_and_comments(server: FakeOpenAI, make: Make) -> None:
    lines = (
        ': hello\r\ndata: {"choices": [{"delta": {"content": "a"}}]}\r\n\r\n'
        'event: x\ndata:{"choices": [{"delta": {"content": "b"}, "finish_reason": "stop"}]}\n\ndata: [DONE]'
    )
    server.then(Raw(lines.encode(), "text/event-stream; charset=utf-8"))
    assert (await make(stream=True).reply(request())).text == "ab"


async def test_a_server_that_does_not_stream_is_understood(server: FakeOpenAI, make: Make) -> None:
    server.then(Raw(Answer("whole").body({}, {})))
    assert (await make(stream=True).reply(request())).text == "whole"


async def test_streamed_calls_without_index_and_with_repeated_names(server: FakeOpenAI, make: Make) -> None:
    def chunk(*calls: object, finish: str | None = None) -> bytes:
        choice = {"delta": {"tool_calls": calls}, "finish_reason": finish}
        return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"

    def piece(arguments: str, name: str | None = None, call_id: str | None = None) -> dict[str, Any]:
        return {"id": call_id, "function": {"name": name, "arguments": arguments}}

    body = chunk(piece("{", "search", "a")) + chunk(piece("}", "search")) + chunk(piece("{}", "search", "b"))
    server.then(Raw(body + chunk(finish="tool_calls") + b"data: [DONE]\n\n", "text/event-stream"))
    reply = await make(stream=True).reply(request())
    assert reply.calls == (FunctionCall("a", "search", "{}"), FunctionCall("b", "search", "{}"))


# --- refusals: what asking again would not mend ------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Status(401, "Incorrect API key provided: secret-key"), ["OPENAI_API_KEY", "401"]),
        (Status(403, "no access"), ["403", "no access"]),
        (Status(404, "The model `m` does not exist", "model_not_found"), ["404", "'m'", "base_url"]),
        (Status(400, "temperature must be at most 2, secret-key"), ["400", "temperature must be"]),
        (Status(402, "pay first"), ["credit"]),
        (Status(429, "You exceeded your current quota", "insufficient_quota"), ["credit"]),
        (Status(418, "short and stout"), ["418"]),
        (Status(503, "no", headers={"x-should-retry": "false"}), ["503"]),
    ],
)
async def test_refusals_are_final_and_say_what_to_do(
    server: FakeOpenAI, make: Make, behaviour: Status, words: list[str]
) -> None:
    server.then(*[behaviour] * 10)
    error = await failure(make(functions="native", api_key="secret-key"))
    assert not error.retryable
    assert error.status == behaviour.status
    assert error.attempts == len(server.requests) == 1
    for word in words:
        assert word in str(error)
    assert "secret-key" not in str(error)


async def test_a_server_that_checks_its_key(make: Make) -> None:
    with FakeOpenAI(api_key="right") as checking:
        assert (await make(base_url=checking.base_url, api_key="right").reply(request())).text == "OK"
        error = await failure(make(base_url=checking.base_url, api_key="wrong"))
        assert isinstance(error, ModelRefused)
        assert "wrong" not in str(error)


@pytest.mark.parametrize(
    "behaviour",
    [
        Status(400, "x", "context_length_exceeded"),
        Status(400, "This model's maximum context length is 4096 tokens."),
        Status(400, "the request exceeds the available context size, try increasing it"),
        Status(413, "prompt is too long: 5000 tokens"),
        Raw(b'{"error": {"code": 400, "message": "context window exceeded"}}'),
        Raw(b'{"detail": "Input is too long"}', status=422),
    ],
)
async def test_a_prompt_that_is_too_long(server: FakeOpenAI, make: Make, behaviour: Behaviour) -> None:
    server.then(behaviour)
    error = await failure(make())
    assert isinstance(error, ModelOverflow)
    assert len(server.requests) == 1


async def test_a_hard_limit_counts_like_the_server(make: Make) -> None:
    counter = BpeTokenCounter()
    long = request(Message("user", "word " * 200), functions=())
    for per_mille in (800, 1_000, 1_200):
        tokens = request_tokens(counter, long) * per_mille // 1_000
        with FakeOpenAI(token_limit=tokens, count_per_mille=per_mille) as limited:
            reply = await make(base_url=limited.base_url).reply(long)
            assert abs(reply.usage.prompt_tokens - tokens) <= 5
        with FakeOpenAI(token_limit=tokens - 10, count_per_mille=per_mille) as limited:
            assert isinstance(await failure(make(base_url=limited.base_url), long), ModelOverflow)


# --- busy and broken servers: rows 17 and 18 --------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_after", "slept_ms"),
    [
        (None, 500),
        ("0", 500),
        ("1", 1_000),
        ("2.5", 2_500),
        ("abc", 500),
        ("-5", 500),
        ("nan", 500),
        ("", 500),
        (format_datetime(NOW + timedelta(seconds=7), usegmt=True), 7_000),
        (format_datetime(NOW - timedelta(days=7), usegmt=True), 500),
    ],
)
async def test_retry_after_is_kept_to(
    server: FakeOpenAI, make: Make, time: FakeTime, retry_after: str | None, slept_ms: float
) -> None:
    server.then(busy(retry_after), Answer("at last"))
    reply = await make().reply(request())
    assert (reply.text, reply.attempts) == ("at last", 2)
    assert time.slept_ms == [pytest.approx(slept_ms)]


async def test_retry_after_in_milliseconds_comes_first(server: FakeOpenAI, make: Make, time: FakeTime) -> None:
    server.then(busy("9", **{"Retry-After-Ms": "1500"}), Answer("at last"))
    await make().reply(request())
    assert time.slept_ms == [1_500]


@pytest.mark.parametrize(("retry_after", "reported_ms"), [("121", 121_000), ("inf", 3_600_000), ("1e300", 3_600_000)])
async def test_an_absurd_retry_after_is_not_waited_for(
    server: FakeOpenAI, make: Make, time: FakeTime, retry_after: str, reported_ms: int
) -> None:
    server.then(*[busy(retry_after)] * 3)
    error = await failure(make())
    assert isinstance(error, ModelBusy)
    assert error.retry_after_ms == reported_ms
    assert (error.attempts, time.slept_ms) == (1, [])


async def test_a_busy_server_is_asked_a_bounded_number_of_times(server: FakeOpenAI, make: Make, time: FakeTime) -> None:
    server.then(*[busy()] * 50)
    error = await failure(make(retry=RetryPolicy(attempts_max=4)))
    assert isinstance(error, ModelBusy)
    assert error.attempts == len(server.requests) == 4
    assert time.slept_ms == [500, 1_000, 2_000]


async def test_the_deadline_holds_whatever_the_number_of_attempts(
    server: FakeOpenAI, make: Make, time: FakeTime
) -> None:
    server.then(*[Status(500)] * 50)
    await failure(make(retry=RetryPolicy(attempts_max=50, deadline_ms=10_000)))
    assert time.now_ms < 10_000


async def test_chance_takes_off_up_to_half(server: FakeOpenAI, make: Make, time: FakeTime) -> None:
    time.chance = 1.0
    server.then(Status(500), busy("10"), Answer("x"))
    await make().reply(request())
    assert time.slept_ms == [250, pytest.approx(11_000)]


@pytest.mark.parametrize(
    "behaviour",
    [
        Status(500),
        Status(502),
        Status(503),
        Status(408),
        Status(409),
        Status(529),
        Status(400, "odd", headers={"x-should-retry": "true"}),
        Raw(b'{"error": {"message": "upstream", "code": 502}}'),
        Raw(b'{"error": "upstream"}'),
        BreakOff(after_bytes=0),
        BreakOff(after_bytes=30),
        BreakOff(after_bytes=30, reset=False),
        HugeBody(2_000_000, status=500),
    ],
    ids=str,
)
async def test_failures_are_asked_again(server: FakeOpenAI, make: Make, behaviour: Behaviour) -> None:
    server.then(behaviour, Answer("at last"))
    reply = await make(functions="native", body_bytes_max=1_000_000).reply(request())
    assert (reply.text, reply.attempts) == ("at last", 2)


@pytest.mark.parametrize("behaviour", [Hang(), SlowBytes(pause_ms=30)], ids=str)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_stalls(server: FakeOpenAI, make: Make, behaviour: Behaviour, stream: bool) -> None:
    server.then(behaviour, Answer("at last"))
    reply = await make(stream=stream, retry=RetryPolicy(attempt_ms=1_000)).reply(request())
    assert (reply.text, reply.attempts) == ("at last", 2)
    server.then(*[behaviour] * 2)
    error = await failure(make(stream=stream, retry=RetryPolicy(attempt_ms=50, attempts_max=2)))
    assert isinstance(error, ModelUnavailable)
    assert "50 ms" in str(error)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_every_attempt_is_counted(
    server: FakeOpenAI, make: Make, stream: bool, seed: int
) -> None:
    chance = random.Random(seed)
    faults: list[Behaviour] = [*NOT_STREAMED[:9], busy("1"), busy("500"), Status(503), Status(401), Status(400)]
    faults += [BreakOff(after_bytes=40), *(STREAMED[:7] if stream else [])]
    policy = RetryPolicy(attempts_max=5, deadline_ms=60_000)
    processor = make(stream=stream, functions="native", retry=policy, body_bytes_max=1_000_000)
    for number in range(40):
        server.then(*(chance.choice([Answer(f"answer {number}"), *faults]) for _ in range(6)))
        before = len(server.requests)
        try:
            reply = await processor.reply(request())
        except ModelError as error:
            attempts = error.attempts
        else:
            attempts = reply.attempts
            assert reply.text == f"answer {number}"
        assert attempts == len(server.requests) - before <= policy.attempts_max
        server.clear()


async def test_a_server_that_is_not_there(make: Make) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    error = await failure(make(base_url=address, retry=RetryPolicy(attempts_max=3)))
    assert isinstance(error, ModelUnavailable)
    assert error.attempts == 3
    assert address in str(error)


async def test_cancelling_stops_the_call(server: FakeOpenAI, make: Make, time: FakeTime) -> None:
    server.then(Hang())
    task = asyncio.create_task(make().reply(request()))
    while not server.requests:  # noqa: ASYNC110  the server is in another thread
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(server.requests) == 1
    assert time.slept_ms == []


# --- the ladder -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal",
    [
        Status(400, "m does not support tools"),
        Status(404, "No endpoints found that support tool use"),
        Status(501, "not here"),
        Status(500, "tools param requires --jinja flag"),
        Status(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        Status(422, "Extra inputs are not permitted: tools"),
    ],
    ids=lambda each: each.message,
)
async def test_without_tools_a_schema_is_asked_for(server: FakeOpenAI, make: Make, refusal: Status) -> None:
    memory = RungMemory()
    spoken = Answer('{"thought": "greet", "function": "send_message", "arguments": {"message": "Hi"}}')
    server.then(refusal, spoken, spoken)
    processor = make(memory=memory)
    with capture_logs() as logs:
        reply = await processor.reply(request())
        again = await make(memory=memory).reply(request())
    assert reply.calls[0].name == "send_message"
    assert json.loads(reply.calls[0].arguments) == {"message": "Hi"}
    assert (reply.text, reply.finish, reply.repaired, reply.attempts) == ("greet", "calls", False, 2)
    # What was found out is known to the next processor, and was said once.
    assert again.attempts == 1
    assert "tools" not in server.requests[2].body
    assert server.requests[2].body["response_format"]["type"] == "json_schema"
    told = [entry for entry in logs if entry["event"] == "functions_offered_differently"]
    assert [entry["rung"] for entry in told] == ["schema"]


async def test_without_anything_text_is_read(make: Make) -> None:
    answer = Answer('Let me see.\n<tool_call>{"name": "search", "arguments": {"query": "tea"}}</tool_call>')
    with FakeOpenAI([answer], tools=False, response_format=False) as plain:
        memory = RungMemory()
        reply = await make(base_url=plain.base_url, memory=memory).reply(request())
        assert memory.standing[plain.base_url, "m"] is Rung.TEXT
        bodies = [each.body for each in plain.requests]
    assert [("tools" in each, "response_format" in each) for each in bodies] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert (reply.text, reply.attempts, reply.repaired) == ("Let me see.", 3, False)
    assert reply.calls[0].name == "search"
    system = bodies[2]["messages"][0]["content"]
    assert "send_message(message: string)" in system
    assert "<tool_call>" in system


async def test_calls_written_as_text_are_taken_and_remembered(server: FakeOpenAI, make: Make) -> None:
    memory = RungMemory()
    server.then(Answer('<tool_call>{"name": "search", "arguments": {"query": "tea"}}</tool_call>'))
    reply = await make(memory=memory).reply(request())
    assert reply.calls[0].name == "search"
    assert reply.repaired
    assert memory.standing[server.base_url, "m"] is Rung.SCHEMA


async def test_a_text_about_a_call_is_none(server: FakeOpenAI, make: Make) -> None:
    text = 'To greet, one writes {"name": "send_message", "arguments": {}}. Shall I?'
    server.then(Answer(text))
    reply = await make().reply(request())
    assert (reply.text, reply.calls) == (text, ())


async def test_a_refusal_for_another_reason_does_not_lower_what_is_proven(server: FakeOpenAI, make: Make) -> None:
    processor = make()
    server.then(Answer("", [GREETING]), Status(400, "the temperature is off"))
    await processor.reply(request())
    error = await failure(processor)
    assert "temperature" in str(error)
    assert len(server.requests) == 2


async def test_when_no_rung_helps_the_first_refusal_is_told(server: FakeOpenAI, make: Make) -> None:
    server.then(Status(400, "first"), Status(400, "second"), Status(400, "third"))
    memory = RungMemory()
    error = await failure(make(memory=memory))
    assert "first" in str(error)
    assert error.attempts == 3
    assert not memory.standing


async def test_a_fixed_rung_stays(make: Make) -> None:
    with FakeOpenAI(tools=False) as plain:
        assert isinstance(await failure(make(base_url=plain.base_url, functions="native")), ModelRefused)
        assert len(plain.requests) == 1


async def test_the_newer_name_of_the_limit_is_learnt(server: FakeOpenAI, make: Make) -> None:
    server.then(Status(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."))
    processor = make(functions="native")
    reply = await processor.reply(request())
    assert reply.attempts == 2
    assert server.requests[1].body["max_completion_tokens"] == 50
    assert "max_tokens" not in server.requests[1].body


async def test_a_cut_text_is_not_mended(server: FakeOpenAI, make: Make) -> None:
    cut = '<tool_call>{"name": "send_message", "arguments": {"message": "I hereby promise not'
    server.then(Answer(cut, finish="length"), Answer(cut))
    processor = make(functions="text")
    reply = await processor.reply(request())
    assert (reply.calls, reply.finish) == ((), "length")
    # A model that merely forgot to close is understood.
    reply = await processor.reply(request())
    assert json.loads(reply.calls[0].arguments) == {"message": "I hereby promise not"}
    assert reply.repaired


# --- options and sharing ----------------------------------------------------------------------------


def test_options_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match=r"model\.api_key.*OPENAI_API_KEY"):
        OpenAIProcessor("m")
    with pytest.raises(ConfigError, match=r"model\.base_url: found 'localhost:8000/v1'.*http://"):
        OpenAIProcessor("m", base_url="localhost:8000/v1")
    with pytest.raises(ConfigError, match=r"model\.functions: found 'magic'"):
        OpenAIProcessor("m", functions="magic", base_url="http://127.0.0.1/v1")
    with pytest.raises(ConfigError, match=r"model\.name"):
        OpenAIProcessor(" ", base_url="http://127.0.0.1/v1")
    with pytest.raises(ConfigError, match=r"model\.attempts_max: found 0"):
        RetryPolicy(attempts_max=0)


async def test_key_and_address_from_the_environment(monkeypatch: pytest.MonkeyPatch, server: FakeOpenAI) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " from-environment\n")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url + "/")
    processor = OpenAIProcessor("m", memory=RungMemory())
    await processor.reply(request())
    await processor.close()
    assert server.requests[0].headers["authorization"] == "Bearer from-environment"


async def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch, server: FakeOpenAI, make: Make) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert (await make().reply(request())).text == "OK"


@asynccontextmanager
async def closing(*processors: OpenAIProcessor) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for each in processors:
            await each.close()


async def test_processors_of_one_server_share_a_client(make: Make) -> None:
    one, two, other = make(), make("another model"), make(api_key="other")
    assert one._handle.client() is two._handle.client()
    assert one._handle.client() is not other._handle.client()
    client = one._handle.client()
    await one.close()
    await one.close()
    assert not client.is_closed()
    assert (await two.reply(request())).text == "OK"
    await two.close()
    assert client.is_closed()


def test_every_event_loop_has_its_own_connections(server: FakeOpenAI) -> None:
    processor = OpenAIProcessor("m", base_url=server.base_url, memory=RungMemory())

    async def once() -> ModelReply:
        async with closing(processor):
            return await processor.reply(request())

    for _ in range(2):
        assert asyncio.run(once()).text == "OK"


async def test_many_at_once(server: FakeOpenAI, make: Make) -> None:
    processor = make()
    replies = await asyncio.gather(*(processor.reply(request()) for _ in range(100)))
    assert all(reply.text == "OK" for reply in replies)
    assert len(server.requests) == 100
