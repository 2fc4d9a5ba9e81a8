from __future__ import annotations

import asyncio
import importlib.util
import json
import random
import string
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from pagefault import Agent, ConfigError
from pagefault.runtime.errors import ModelError, ModelMalformed, ModelOverflow, ModelRefused, UnknownName
from pagefault.runtime.functions.builtin import BUILTINS
from pagefault.runtime.host.local import Local
from pagefault.runtime.models import local
from pagefault.runtime.models.local import LocalProcessor, check_installed
from pagefault.runtime.models.local_variants import SYSTEM_CALLS, VARIANTS, offer
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.values import AgentId, FunctionCall, FunctionSchema, Message, ModelRequest

needs_model = pytest.mark.skipif(
    importlib.util.find_spec("needle") is None,
    reason="the local model is not installed: pip install 'pagefault[local]'",
)
SCHEMAS = tuple(BUILTINS[name].schema for name in ("archival_memory_insert", "archival_memory_search", "send_message"))


class Recorded:
    """An engine that says what it is told to, and remembers what it was asked."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, list[str]]] = []

    def converse(self, tools: str, turns: Sequence[str], reply_tokens_max: int) -> dict[str, Any]:
        self.asked.append((tools, list(turns)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def calling(name: str, **arguments: object) -> dict[str, Any]:
    return {"type": "call", "error": None, "function_calls": [{"name": name, "arguments": arguments}]}


RESPOND: dict[str, Any] = {"type": "respond", "error": None, "function_calls": []}


def request(*messages: Message, functions: tuple[FunctionSchema, ...] = SCHEMAS, purpose: str = "step") -> ModelRequest:
    return ModelRequest(AgentId("ann"), (Message("system", "You are ann."), *messages), functions, 100, 200, purpose)


def asked(text: str) -> Message:
    return Message("user", f"[p1 2030-01-02 10:00 user] {text}")


async def test_a_call_comes_back_under_its_real_names_and_asks_for_a_heartbeat() -> None:
    engine = Recorded(calling("save_note", note="the code is 44"))
    reply = await LocalProcessor(engine=engine).reply(request(asked("Remember that the code is 44.")))
    assert [(call.name, json.loads(call.arguments)) for call in reply.calls] == [
        ("archival_memory_insert", {"content": "the code is 44", "request_heartbeat": True})
    ]
    assert reply.finish == "calls"
    tools, turns = engine.asked[0]
    assert turns == ["Remember that the code is 44."]
    assert [tool["name"] for tool in json.loads(tools)] == ["save_note", "search_notes"]


async def test_what_a_search_found_is_told_as_a_turn_and_said_when_no_more_calls_come() -> None:
    engine = Recorded(RESPOND)
    searched = Message("assistant", "", calls=(FunctionCall("c1", "archival_memory_search", '{"query": "code"}'),))
    hits = Message(
        "tool",
        "[p3] OK: Showing 1 of 1 results (page 1/1):\n[p2 2030-01-01 09:00 ann] the code is 44",
        answers="c1",
        name="archival_memory_search",
    )
    reply = await LocalProcessor(engine=engine).reply(request(asked("What is the code?"), searched, hits))
    assert engine.asked[0][1] == ["What is the code?", '[{"results": ["the code is 44"]}]']
    assert (reply.text, reply.calls) == ("the code is 44", ())


async def test_it_is_shown_the_functions_of_the_program_without_what_its_grammar_cannot_say() -> None:
    parameters = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where."},
            "days": {"type": ["integer", "null"]},
            "unit": {"anyOf": [{"type": "string", "enum": ["C", "F"]}, {"type": "null"}]},
            "request_heartbeat": {"type": ["boolean", "null"]},
        },
    }
    own = FunctionSchema("forecast", "Say the weather. At length.", json.dumps(parameters))
    found = json.loads(offer(VARIANTS["notes"], (own, BUILTINS["page_in"].schema)).tools)
    assert found == [
        {
            "name": "forecast",
            "description": "Say the weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where."},
                    "days": {"type": "integer"},
                    "unit": {"type": "string", "enum": ["C", "F"]},
                },
                "required": ["city"],
            },
        }
    ]


def test_variants_know_every_system_call() -> None:
    assert frozenset(BUILTINS) == SYSTEM_CALLS
    for variant in VARIANTS.values():
        for shown in variant.functions:
            real = json.loads(BUILTINS[shown.function].schema.parameters)["properties"]
            assert {name for _, name, _ in shown.parameters} <= set(real)


async def test_what_it_cannot_do_is_refused_in_words() -> None:
    with pytest.raises(ModelRefused, match="cannot summarize: name another model as summarizer"):
        await LocalProcessor(engine=Recorded()).reply(request(asked("x"), purpose="summarize"))


@pytest.mark.parametrize(
    ("words", "kind"), [("needle_init context budget exceeded", ModelOverflow), ("code -3", ModelMalformed)]
)
async def test_an_engine_that_fails_is_a_model_error_that_is_not_tried_again(
    words: str, kind: type[ModelError]
) -> None:
    with pytest.raises(kind) as caught:
        await LocalProcessor(engine=Recorded(RuntimeError(words))).reply(request(asked("x")))
    assert caught.value.retryable is False


async def test_a_cancelled_call_does_not_hold_the_loop_up() -> None:
    inside, release = threading.Event(), threading.Event()

    class Slow:
        def converse(self, tools: str, turns: Sequence[str], reply_tokens_max: int) -> dict[str, Any]:
            inside.set()
            release.wait(20)
            return RESPOND

    task = asyncio.create_task(LocalProcessor(engine=Slow()).reply(request(asked("x"))))
    await asyncio.to_thread(inside.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    reply = await LocalProcessor(engine=Recorded(calling("search_notes", query="x"))).reply(request(asked("x")))
    assert reply.calls  # the thread is free again


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"model\.variant: found 'loud', allowed: names, notes, speaking"):
        LocalProcessor(variant="loud", engine=Recorded())
    with pytest.raises(ConfigError, match="local or local:needle"):
        make_processor("local:llama")
    with pytest.raises(UnknownName):
        make_processor("locale")


def test_without_its_files_it_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"pip install 'pagefault\[local\]'"):
        check_installed()


# --- malformed output ---------------------------------------------------------------------------------------


class Chaos:
    """An engine that answers with anything at all."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def converse(self, tools: str, turns: Sequence[str], reply_tokens_max: int) -> dict[str, Any]:
        chance = self._chance
        if chance.random() < 0.1:
            raise RuntimeError("needle_complete failed (code -1)")
        calls: Any = [self._call() for _ in range(chance.randrange(4))]
        found = chance.choice((calls, calls, calls, None, [None], [["x"]], "text"[: chance.randrange(1)]))
        return {"type": chance.choice(("call", "respond", "", None)), "error": None, "function_calls": found}

    def _call(self) -> dict[str, Any]:
        name = self._chance.choice(("save_note", "search_notes", "send_message", "page_in", "", "\udcff", "x" * 300))
        names = ("note", "query", "message", "page_id", "request_heartbeat", "")
        keys = [self._chance.choice(names) for _ in range(self._chance.randrange(4))]
        return {"name": name, "arguments": self._chance.choice(({key: self._value() for key in keys}, None, [1]))}

    def _value(self) -> object:
        letters = "".join(self._chance.choices(string.printable + "\0\udcff\u202e", k=self._chance.randrange(40)))
        return self._chance.choice((letters, letters, None, -1, 1e308, [letters], {letters: letters}, True))


async def live_with_chaos(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "shared_engine", lambda: Chaos(7))
    monkeypatch.setattr(local, "check_installed", lambda: None)
    agent = Agent("ann", functions=("all",), context_tokens=6144, write_back="archive", model="local")
    outcomes = set()
    async with Local(embedder="hash", durability="exit") as fleet:
        ref = await fleet.spawn(agent)
        while (await ref.inspect()).statistics["model_calls"] < steps:
            outcomes.add((await fleet.answer(ref.id, "Remember something.", timeout_s=30)).outcome)
        assert (await ref.inspect()).phase == "idle"
    assert {"yielded", "malformed"} <= outcomes


async def test_no_malformed_output_crashes_or_wedges_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    await live_with_chaos(100, monkeypatch)


@pytest.mark.soak
async def test_nor_does_it_in_a_thousand_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    await live_with_chaos(1_000, monkeypatch)


# --- the real model -----------------------------------------------------------------------------------------

ALONE = """
import asyncio, os, sys

def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request"):
        os.write(2, f"{event} {arguments}".encode())
        os._exit(3)

sys.addaudithook(guard)
os.environ.pop("CI", None)
os.environ["NEEDLE_TELEMETRY"] = "1"
from pagefault.runtime.models import local
from pagefault.runtime.models.local import LocalProcessor
from pagefault.runtime.functions.builtin import BUILTINS
from pagefault.runtime.values import AgentId, Message, ModelRequest

schemas = tuple(BUILTINS[name].schema for name in ("archival_memory_insert", "archival_memory_search"))
heard = Message("user", "[p1 2030-01-02 10:00 user] Remember that the violet key opens the north gate.")
request = ModelRequest(AgentId("ann"), (Message("system", "x"), heard), schemas, 100, 200)
reply = asyncio.run(LocalProcessor().reply(request))
again = asyncio.run(LocalProcessor().reply(request))
assert reply == again, (reply, again)
assert os.environ["NEEDLE_TELEMETRY"] == "0"
print(reply.calls[0].name, reply.calls[0].arguments)
"""


@needs_model
def test_the_real_model_answers_without_opening_a_connection() -> None:
    """An audit hook sees every connection, also of threads; the environment asks for telemetry, and is overruled."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "archival_memory_insert" in done.stdout
    assert "violet key opens the north gate" in done.stdout.lower()
