"""Whoever asks again with the same interrupt hears what was said then, whatever happened in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pagefault.runtime.errors import AgentFailed
from pagefault.runtime.host import answers
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, ModelRequest, Priority


def talker(request: ModelRequest) -> Reply:
    """Says two things, the second one after a call of its model that may wait."""
    view = View(request)
    text = view.incoming.text if view.incoming is not None else ""
    if view.result is None:
        return [call("send_message", message=f"first of {text}"), call("conversation_search", True, query=text)]
    return say(f"second of {text}")


def question(key: str) -> Interrupt:
    return Interrupt(InterruptId(key), InterruptKind.MESSAGE, Priority.USER, "user", key, created_ms=1)


def fleet_in(folder: Path) -> Local:
    return Local(folder, embedder="hash")


async def test_the_words_of_an_earlier_life_are_found(tmp_path: Path) -> None:
    async with fleet_in(tmp_path) as fleet:
        await fleet.spawn(Agent("ada", model="scripted:tests.runtime.host.test_answers:talker", snapshot_steps=2))
        first = [await fleet.answer("ada", question(f"k{number}")) for number in range(6)]
        assert first[3].text == "first of k3\nsecond of k3"
    async with fleet_in(tmp_path) as fleet:
        again = [await fleet.answer("ada", question(f"k{number}")) for number in range(6)]
        assert again == first
        assert (await fleet.inspect("ada")).statistics["chains"] == 6


async def test_whoever_comes_late_hears_all_that_was_said(tmp_path: Path) -> None:
    async with fleet_in(tmp_path) as fleet:
        options = {"latency_ms": 150}
        await fleet.spawn(Agent("ada", model="scripted:tests.runtime.host.test_answers:talker", model_options=options))
        early = asyncio.create_task(fleet.answer("ada", question("k")))
        async for step in fleet.stream("ada"):
            if step.kind == "message":
                break
        late = await fleet.answer("ada", question("k"))
        assert late == await early
        assert late.text == "first of k\nsecond of k"


async def test_a_history_that_is_too_long_is_not_gone_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fleet_in(tmp_path) as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:tests.runtime.host.test_answers:talker"))
        await ada.ask(question("k"))
        monkeypatch.setattr(answers, "RECORDS_MAX", 1)
        with pytest.raises(AgentFailed, match="handled before") as caught:
            await ada.ask(question("k"))
        assert caught.value.reason == "duplicate"


async def test_a_fork_answers_again_too(tmp_path: Path) -> None:
    """Its journal does not begin with an agent that has not lived."""
    async with fleet_in(tmp_path) as fleet:
        ref = await fleet.spawn(Agent("ada", model="scripted:tests.runtime.host.test_answers:talker", snapshot_steps=2))
        for number in range(3):
            await fleet.answer(ref.id, question(f"k{number}"))
        await fleet.fork("ada", "eve", at=4)
        said = await fleet.answer("eve", question("new"))
        assert said.text == "first of new\nsecond of new"
        assert await fleet.answer("eve", question("new")) == said
