"""What a traced fleet tells OpenTelemetry: one trace for what one message sets off, and no words unless asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import StatusCode

from pagefault.runtime.errors import AgentFailed, ConfigError
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.secrecy import forget_secrets
from pagefault.runtime.host.telemetry.tracing import names
from pagefault.runtime.models.scripted import Reply, call, mind, say
from pagefault.runtime.models.view import View
from pagefault.runtime.testing.fake_openai import Answer, Behaviour, Call, FakeOpenAI, Status
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, ModelRequest, Priority
from tests.runtime.host.telemetry.tracing.exporters import memory

IN_MEMORY = "tests.runtime.host.telemetry.tracing.exporters:in_memory"
WORDS = "the ladder leans on the barn"


@mind("traced-caller")
def caller(request: ModelRequest) -> Reply:
    """Asks bob, and says what he said."""
    view = View(request)
    if view.result is None:
        return call("call_agent", True, agent="bob", message=WORDS, timeout_seconds=30)
    return say(view.result.text)


@mind("traced-callee")
def callee(request: ModelRequest) -> Reply:
    """Writes to eve without waiting for her, and answers."""
    view = View(request)
    if view.result is None:
        return call("send_to_agent", True, agent="eve", message=WORDS)
    return say("I have told eve")


@mind("traced-searcher")
def searcher(request: ModelRequest) -> Reply:
    view = View(request)
    if view.result is None:
        return [call("conversation_search", True, query=WORDS), call("weigh", True, what=WORDS)]
    return say("done")


@mind("traced-listener")
def listener(_request: ModelRequest) -> Reply:
    return say("heard")


@function(effect="pure")
def weigh(what: str) -> str:
    """Weigh something.

    Args:
        what: Anything.
    """
    return f"{what} weighs nothing"


@function(effect="pure")
def lift(what: str) -> str:
    """Lift something.

    Args:
        what: Anything.
    """
    raise ValueError(what)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    memory.clear()
    yield
    memory.clear()


def spans() -> list[ReadableSpan]:
    return list(memory.get_finished_spans())


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    assert span.attributes is not None
    return span.attributes


def named(found: Sequence[ReadableSpan], name: str) -> ReadableSpan:
    (one,) = [span for span in found if span.name == name]
    return one


def parent_id(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


async def settled(fleet: Local) -> None:
    """What agents have sent each other is handled."""
    await asyncio.wait_for(fleet.idle(), 30)


async def test_what_one_message_sets_off_is_one_trace() -> None:
    async with Local(embedder="hash", traces=IN_MEMORY) as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:traced-caller", functions=("all",)))
        await fleet.spawn(Agent("bob", model="scripted:traced-callee", functions=("all",)))
        await fleet.spawn(Agent("eve", model="scripted:traced-listener"))
        assert "I have told eve" in await ada.ask("Go.")
        await settled(fleet)
    found = spans()
    assert len({span.context.trace_id for span in found if span.context is not None}) == 1
    ada_chain, bob_chain, eve_chain = (named(found, f"invoke_agent {name}") for name in ("ada", "bob", "eve"))
    assert parent_id(ada_chain) is None
    assert parent_id(bob_chain) == span_id(ada_chain)
    assert parent_id(eve_chain) == span_id(bob_chain)
    for name, chain, steps in (("ada", ada_chain, 2), ("bob", bob_chain, 2), ("eve", eve_chain, 1)):
        chats = [span for span in found if span.name.startswith("chat") and attributes(span)[names.AGENT_ID] == name]
        assert len(chats) == steps == attributes(chain)[f"{names.OWN}steps"]
        assert {parent_id(chat) for chat in chats} == {span_id(chain)}
    assert "pagefault.parked" in [event.name for event in ada_chain.events]
    assert len({span_id(span) for span in found}) == len(found)
    assert all(span.start_time <= span.end_time for span in found if span.start_time and span.end_time)
    assert found[0].resource.attributes["service.name"] == "pagefault"


async def test_calls_say_what_they_were_and_no_words() -> None:
    async with Local(embedder="hash", traces=IN_MEMORY, functions=[weigh]) as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:traced-searcher", functions=("memgpt", "weigh")))
        await ada.ask(f"Remember: {WORDS}.")
    found = spans()
    search, tool = named(found, "search_memory recall"), named(found, "execute_tool weigh")
    assert attributes(search)[names.OPERATION] == names.SEARCH_MEMORY
    assert attributes(search)[f"{names.OWN}mode"] == "hybrid"
    assert attributes(tool)[names.TOOL_NAME] == "weigh"
    assert attributes(tool)[f"{names.OWN}status"] == "ok"
    chain = named(found, "invoke_agent ada")
    assert {parent_id(each) for each in (search, tool)} == {span_id(chain)}
    told = [json.loads(span.to_json()) for span in found]
    assert WORDS not in json.dumps(told)
    assert not {name for span in found for name in attributes(span)} & set(names.CONTENT)


async def test_words_where_they_are_asked_for_without_secrets() -> None:
    secret = "correct-horse-battery"
    traces = {"exporter": IN_MEMORY, "content": True}
    try:
        async with Local(embedder="hash", traces=traces, functions=[weigh], secrets=[secret]) as fleet:
            ada = await fleet.spawn(Agent("ada", model="scripted:traced-searcher", functions=("memgpt", "weigh")))
            await ada.ask(f"Remember: {secret} and {WORDS}.")
    finally:
        forget_secrets()
    found = spans()
    chat = next(span for span in found if span.name == "chat traced-searcher")
    messages = json.loads(attributes(chat)[names.INPUT_MESSAGES])
    assert [message["role"] for message in messages][:2] == ["system", "user"]
    assert WORDS in messages[-1]["parts"][0]["content"]
    (reply,) = json.loads(attributes(chat)[names.OUTPUT_MESSAGES])
    assert [part["name"] for part in reply["parts"]] == ["conversation_search", "weigh"]
    assert json.loads(attributes(named(found, "execute_tool weigh"))[names.TOOL_ARGUMENTS])["what"] == WORDS
    assert attributes(named(found, "execute_tool weigh"))[names.TOOL_RESULT] == f"{WORDS} weighs nothing"
    assert attributes(named(found, "search_memory recall"))[names.MEMORY_QUERY] == WORDS
    assert secret not in json.dumps([json.loads(span.to_json()) for span in found])


async def test_a_model_server_is_told_of_and_its_failure() -> None:
    script: list[Behaviour] = [Answer("", [Call("send_message", json.dumps({"message": "hello"}))]), Status(400)]
    with FakeOpenAI(script) as server:
        options = {"base_url": server.base_url, "backoff_ms": 1}
        async with Local(embedder="hash", traces=IN_MEMORY) as fleet:
            ada = await fleet.spawn(Agent("ada", model="openai:gpt-any", model_options=options))
            await ada.ask("Say hello.")
            with pytest.raises(AgentFailed):
                await ada.ask("Again.")
    good, bad = [span for span in spans() if span.name == "chat gpt-any"]
    assert attributes(good)[names.PROVIDER] == "openai"
    assert attributes(good)["server.address"] == "127.0.0.1"
    assert attributes(good)[names.FINISH] == ["tool_call"]
    assert attributes(good)[f"{names.OWN}calls"] == ["send_message"]
    assert attributes(good)[names.INPUT_TOKENS] > 0
    assert bad.status.status_code is StatusCode.ERROR
    assert attributes(bad)[names.ERROR] == bad.status.description
    chains = [span for span in spans() if span.name == "invoke_agent ada"]
    assert [span.status.status_code for span in chains] == [StatusCode.UNSET, StatusCode.ERROR]
    assert [attributes(span)[f"{names.OWN}outcome"] for span in chains] == ["yielded", "model_failed"]


async def test_a_programs_own_span_is_above() -> None:
    async with Local(embedder="hash", traces=IN_MEMORY) as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:traced-listener"))
        with TracerProvider().get_tracer("a program").start_as_current_span("its work") as work:
            await ada.ask("Go.")
        await ada.ask("Again.")
    above, alone = [span for span in spans() if span.name == "invoke_agent ada"]
    assert above.context is not None
    own = work.get_span_context()
    assert (above.context.trace_id, parent_id(above)) == (own.trace_id, own.span_id)
    assert parent_id(alone) is None


async def test_a_chain_that_another_process_ends_is_the_same_span(tmp_path: Path) -> None:
    """Its agent was put away while it waited for an answer; what came before and after has one parent."""
    async with Local(tmp_path, embedder="hash", traces=IN_MEMORY) as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:traced-caller", functions=("all",)))
        await fleet.spawn(Agent("bob", model="scripted:traced-callee", functions=("all",)))
        await fleet.spawn(Agent("eve", model="scripted:traced-listener"))
        held = Interrupt(InterruptId("hold"), InterruptKind.MASK, Priority.OPERATOR, "test", mask=(Priority.AGENT,))
        await fleet.send("bob", held)
        watched, parked = asyncio.Event(), asyncio.Event()

        async def watch() -> None:
            stream = fleet.stream("ada")
            watched.set()
            async for step in stream:
                if step.kind == "parked":
                    parked.set()

        watching = asyncio.create_task(watch())
        await watched.wait()
        await ada.send("Go.")
        await parked.wait()
        watching.cancel()
    first = spans()
    assert [span.name for span in first] == ["chat traced-caller"], "the chain is not over"
    memory.clear()
    async with Local(tmp_path, embedder="hash", traces=IN_MEMORY) as fleet:
        freed = Interrupt(InterruptId("free"), InterruptKind.MASK, Priority.OPERATOR, "test", mask=())
        await fleet.send("bob", freed)
        await settled(fleet)
    chain = named(spans(), "invoke_agent ada")
    assert span_id(chain) == parent_id(first[0])
    assert chain.context is not None
    assert first[0].context is not None
    assert chain.context.trace_id == first[0].context.trace_id
    assert chain.start_time is not None
    assert first[0].start_time is not None
    assert chain.start_time // 1_000_000 <= first[0].start_time // 1_000_000, "it began when it was sent"
    assert parent_id(named(spans(), "invoke_agent bob")) == span_id(chain)


async def test_traces_that_are_not_kept_have_no_spans_and_are_not_begun_elsewhere() -> None:
    async with Local(embedder="hash", traces={"exporter": IN_MEMORY, "share": 0}) as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:traced-caller", functions=("all",)))
        await fleet.spawn(Agent("bob", model="scripted:traced-callee", functions=("all",)))
        await fleet.spawn(Agent("eve", model="scripted:traced-listener"))
        await ada.ask("Go.")
        await settled(fleet)
    assert spans() == []


async def test_a_function_that_fails_is_an_error() -> None:
    @mind("traced-lifter")
    def lifter(request: ModelRequest) -> Reply:
        return call("lift", True, what="a house") if View(request).result is None else say("it is too heavy")

    async with Local(embedder="hash", traces=IN_MEMORY, functions=[lift]) as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:traced-lifter", functions=("memgpt", "lift")))
        await ada.ask("Lift it.")
    tool = named(spans(), "execute_tool lift")
    assert tool.status.status_code is StatusCode.ERROR
    assert attributes(tool)[names.ERROR] == "failed"


async def test_without_metrics_there_are_still_traces_and_without_traces_no_spans() -> None:
    async with Local(embedder="hash", traces=IN_MEMORY, metrics=False) as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:traced-listener"))
        await ada.ask("Go.")
    assert {span.name for span in spans()} == {"invoke_agent ada", "chat traced-listener"}
    memory.clear()
    async with Local(embedder="hash") as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:traced-listener"))
        await ada.ask("Go.")
    assert spans() == []


@pytest.mark.parametrize(
    ("given", "field", "allowed"),
    [
        ("nowhere", "traces.exporter", "'module:function'"),
        ("tests.nowhere:make", "traces.exporter", "that is there"),
        ({"share": 2}, "traces.share", "1"),
        ({"sample": 1}, "traces", "exporter"),
    ],
)
def test_settings_that_are_wrong(given: str | dict[str, Any], field: str, allowed: str) -> None:
    with pytest.raises(ConfigError, match=allowed) as caught:
        Local(traces=given)
    assert caught.value.field == field
