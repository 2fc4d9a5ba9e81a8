from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from pagefault.cluster.console.doctor_model import CONTEXT_CALLS_MAX, Finding, ModelDoctor
from pagefault.runtime.kernel.settings import ModelSettings
from pagefault.runtime.testing.fake_openai import Answer, Behaviour, Call, FakeOpenAI, Raw, Status


def capable(body: Mapping[str, Any]) -> Behaviour:
    """A model that does as it is asked, in whichever way functions are offered."""
    said = str(body["messages"][-1]["content"])
    words = said.split("Remember the code ")
    if len(words) < 2:
        return Answer("OK")
    arguments = {"note": f"the code {words[1][:4]}"}
    if body.get("tools"):
        return Answer("", [Call("save_note", json.dumps(arguments))])
    if body.get("response_format"):
        return Answer(json.dumps({"thought": "", "function": "save_note", "arguments": arguments}))
    if "<tool_call>" in str(body["messages"][0]["content"]):
        return Answer(f"<tool_call>{json.dumps({'name': 'save_note', 'arguments': arguments})}</tool_call>")
    return Answer("OK")


async def examine(server: FakeOpenAI, tries: int = 4, context_tokens_max: int = 8_192) -> dict[str, Finding]:
    settings = ModelSettings("openai:fake", (("base_url", server.base_url),))
    found = await ModelDoctor(settings, tries=tries, context_tokens_max=context_tokens_max).examine()
    return {each.name: each for each in found}


async def test_a_server_that_can_do_everything_passes_everything() -> None:
    with FakeOpenAI(respond=capable, token_limit=6_000) as server:
        found = await examine(server)
    assert {name: each.status for name, each in found.items()} == dict.fromkeys(found, "pass")
    assert found["rung"].value == "native"
    assert found["malformed_calls"].value == 0.0
    assert found["context_tokens"].value == 6_000  # the server says so when a prompt is too long


@pytest.mark.parametrize(
    ("switched_off", "rung", "failed"),
    [
        ({"tools": False}, "schema", {"native_tools"}),
        ({"response_format": False}, "native", {"json_schema"}),
        ({"tools": False, "response_format": False}, "text", {"native_tools", "json_schema"}),
    ],
)
async def test_what_is_switched_off_is_seen_and_the_next_rung_is_taken(
    switched_off: dict[str, bool], rung: str, failed: set[str]
) -> None:
    with FakeOpenAI(respond=capable, **switched_off) as server:  # type: ignore[arg-type]  # only flags are given
        found = await examine(server, context_tokens_max=1_024)
    assert {name for name, each in found.items() if each.status == "fail"} == failed
    assert found["rung"].value == rung
    assert found["context_tokens"].status == "unknown"


async def test_a_model_that_never_calls_fails_on_every_rung() -> None:
    with FakeOpenAI(respond=lambda _: Answer("I would rather talk.")) as server:
        found = await examine(server, context_tokens_max=1_024)
    assert found["rung"].status == "fail"
    assert found["malformed_calls"].value == 1.0
    assert "I would rather talk" in found["malformed_calls"].seen


async def test_half_of_the_calls_malformed_are_counted() -> None:
    turn = iter(range(10_000))

    def every_second(body: Mapping[str, Any]) -> Behaviour:
        if body.get("tools") and next(turn) % 2:
            return Answer("", [Call("save_note", '{"wrong": 1}')])
        return capable(body)

    with FakeOpenAI(respond=every_second) as server:
        found = await examine(server, tries=6, context_tokens_max=1_024)
    assert found["malformed_calls"].value == 0.5
    assert found["malformed_calls"].status == "fail"


async def test_streams_that_are_none_or_say_no_usage_are_seen() -> None:
    def in_one_piece(body: Mapping[str, Any]) -> Behaviour:
        if body.get("stream"):
            return Raw(Answer("OK").body(body, {"prompt_tokens": 1}))
        return capable(body)

    with FakeOpenAI(respond=in_one_piece) as server:
        found = await examine(server, context_tokens_max=1_024)
    assert (found["streaming"].status, found["usage_in_streams"].status) == ("fail", "unknown")
    with FakeOpenAI(respond=lambda body: Answer("OK", usage=False) if body.get("stream") else capable(body)) as server:
        found = await examine(server, context_tokens_max=1_024)
    assert (found["streaming"].status, found["usage_in_streams"].status) == ("pass", "fail")


async def test_a_window_that_nobody_states_is_found_with_few_calls() -> None:
    sizes: list[int] = []

    def silent(body: Mapping[str, Any]) -> Behaviour:
        size = str(body["messages"][-1]["content"]).count(" word")
        if size:
            sizes.append(size)
        return Status(400, "prompt is too long") if size > 5_000 else capable(body)

    with FakeOpenAI(respond=silent) as server:
        found = await examine(server, context_tokens_max=65_536)
    window = found["context_tokens"].value
    assert isinstance(window, int)
    assert abs(window - 5_000) <= 500
    assert len(sizes) <= CONTEXT_CALLS_MAX


async def test_a_server_that_is_not_there_is_one_finding() -> None:
    with FakeOpenAI() as server:
        address = server.base_url
    settings = ModelSettings("openai:fake", (("base_url", address),))
    found = await ModelDoctor(settings).examine()
    assert [(each.name, each.status) for each in found] == [("answers", "fail")]
    assert "cannot reach" in found[0].seen
