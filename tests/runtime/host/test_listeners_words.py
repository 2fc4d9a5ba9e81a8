"""A stream that is asked for words has them while a server still makes the reply; nothing else changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from pagefault.runtime.errors import ModelMalformed
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import Step
from pagefault.runtime.host.secrecy import forget_secrets, learn_secrets, shareable
from pagefault.runtime.models.words import HEARER
from pagefault.runtime.testing.fake_openai import Answer, Behaviour, Call, CutStream, FakeOpenAI
from pagefault.runtime.values import ModelReply, ModelRequest

SAID = "The ladder leans on the barn, behind the wheelbarrow."


async def begun(agent: AgentRef, *, words: bool) -> asyncio.Task[list[Step]]:
    """The steps of an agent until a chain of its ends, seen from now on."""
    began = asyncio.Event()

    async def watch() -> list[Step]:
        steps: list[Step] = []
        stream = agent.stream(words=words)
        began.set()
        async for step in stream:
            steps.append(step)
            if step.kind == "ended":
                break
        return steps

    watching = asyncio.create_task(watch())
    await began.wait()
    return watching


async def watched(script: Sequence[Behaviour], api: str = "chat", words: bool = True) -> tuple[str, list[Step]]:
    """What an agent answers, and the steps that were seen of it."""
    with FakeOpenAI(script) as server:
        options = {"base_url": server.base_url, "api": api, "backoff_ms": 1}
        async with Local(embedder="hash") as fleet:
            ada = await fleet.spawn(Agent("ada", model="openai:any", model_options=options))
            seen = await begun(ada, words=words)
            answer = await ada.ask("Where is the ladder?")
            return answer, await seen


class Unreadable:
    """A server whose words come, and turn out to be no answer."""

    name = "unreadable"
    window_tokens = 0

    async def reply(self, request: ModelRequest) -> ModelReply:
        hearer = HEARER.get()
        assert hearer is not None
        hearer.hear("Certainly! The ladder ", ())
        raise ModelMalformed("it cannot be read")

    async def close(self) -> None:
        """Nothing is held open."""


def unreadable(**_options: str) -> Unreadable:
    return Unreadable()


async def test_words_of_a_reply_that_came_to_nothing_are_withdrawn() -> None:
    async with Local(embedder="hash") as fleet:
        ada = await fleet.spawn(Agent("ada", model=f"processor:{__name__}:unreadable"))
        seen = await begun(ada, words=True)
        await ada.send("Where is the ladder?")
        steps = await seen
    assert [step.kind for step in steps if step.kind.startswith("words")][:2] == ["words", "words_withdrawn"]
    assert heard(steps) == ""


def heard(steps: Sequence[Step]) -> str:
    """What is on a screen in the end, but for what the message itself brings."""
    shown = ""
    for step in steps:
        if step.kind == "words":
            shown += step.text
        elif step.kind == "words_withdrawn":
            shown = ""
    return shown


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("native", [True, False])
async def test_words_come_before_the_message(api: str, native: bool) -> None:
    calls = [Call("send_message", json.dumps({"message": SAID}))] if native else []
    answer, steps = await watched([Answer("" if native else SAID, calls)], api)
    assert answer == SAID
    kinds = [step.kind for step in steps]
    assert "words" in kinds
    assert kinds.index("words") < kinds.index("message")
    assert SAID.startswith(heard(steps).rstrip())
    assert len(heard(steps)) > len(SAID) // 2


async def test_words_of_a_stream_that_is_cut_are_withdrawn_and_come_again() -> None:
    answer, steps = await watched([CutStream(Answer(SAID)), Answer(SAID)])
    assert answer == SAID
    assert [step.kind for step in steps].count("words_withdrawn") == 1
    assert SAID.startswith(heard(steps).rstrip())
    assert [step.text for step in steps if step.kind == "message"] == [SAID]


async def test_a_call_that_is_written_as_text_was_no_answer() -> None:
    written = json.dumps({"name": "send_message", "arguments": {"message": SAID}}, indent=1)
    answer, steps = await watched([Answer(f"```json\n{written}\n```")])
    assert answer == SAID
    assert "words_withdrawn" in [step.kind for step in steps]
    assert SAID.startswith(heard(steps).rstrip())


async def test_who_did_not_ask_for_words_gets_none() -> None:
    _, steps = await watched([Answer(SAID)], words=False)
    assert "words" not in {step.kind for step in steps}


def test_half_a_secret_is_not_shown() -> None:
    try:
        learn_secrets(["open sesame now", "swordfish1234"], {})
        whole = "Say swordfish1234 and open sesame now, then knock three times on the door there."
        shown = [shareable(whole[:end]) for end in range(len(whole) + 1)]
        assert not [text for text in shown if "swordf" in text or "sesam" in text]
        assert shareable(whole + " " * 20).startswith("Say [secret] and [secret], then knock")
    finally:
        forget_secrets()
