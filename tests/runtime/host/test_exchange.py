"""Agents from Agent Files and back: blocks, messages with their dates, functions by name, and no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pagefault.runtime.errors import AgentExists, ConfigError, UnknownName
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.agent_file import read_agent_file
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest
from tests.runtime.host.answering import MIND
from tests.runtime.host.test_agent_file import TOOL_CODE, present_form

SETTINGS = {"model": MIND, "model_options": {}}


def searcher(request: ModelRequest) -> Reply:
    """Says what it finds of what it is asked for."""
    view = View(request)
    if view.result is not None:
        return say(view.result.text)
    assert view.incoming is not None
    return call("conversation_search", True, query=view.incoming.text)


def filed(**changes: Any) -> bytes:
    return json.dumps(present_form(**changes)).encode()


@function(name="weather_here")
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"{city}: sun"


async def test_an_agent_is_imported_lives_and_is_replayed(tmp_path: Path) -> None:
    mind = f"scripted:{__name__}:searcher"
    async with Local(tmp_path, embedder="hash", functions=[weather]) as fleet:
        made = await fleet.import_agent(
            read_agent_file(filed()),
            name="ada",
            mapped={"get_weather": "weather_here", "run_code": ""},
            settings={"model": mind, "model_options": {}},
        )
        assert (made.blocks, made.messages, made.in_context) == (2, 5, 2)
        assert made.functions == ("send_message", "conversation_search", "core_memory_replace", "weather_here")
        seen = await fleet.agent("ada").inspect()
        assert dict(seen.blocks) == {"human": "Name: Kim", "persona": "I am Ada."}
        texts = [message.text for message in seen.messages]
        assert any("2024-05-02" in text and "<data>What did I say of the heron?</data>" in text for text in texts)
        assert not any("heron by the lake" in text for text in texts)
        found = await fleet.agent("ada").ask("heron by the lake")
        assert "2024-05-01" in found
        assert "I saw a heron by the lake" in found
        assert await fleet.verify("ada") >= 0
    async with Local(tmp_path, embedder="hash", functions=[weather]) as fleet:
        assert "I saw a heron" in await fleet.agent("ada").ask("heron by the lake")
        assert (await fleet.replay_run()).is_exact


async def test_a_round_trip_keeps_blocks_and_messages(tmp_path: Path) -> None:
    async with Local(tmp_path, embedder="hash") as fleet:
        await fleet.spawn(Agent("ada", model=MIND, persona="I am Ada.", blocks={"human": "Kim"}))
        for number in range(20):
            await fleet.agent("ada").ask(f"message {number}")
        first = await fleet.export_agent("ada")
        data = json.dumps(first).encode()
        await fleet.import_agent(read_agent_file(data), name="eve", trusted=True, settings=SETTINGS)
        second = await fleet.export_agent("eve")
    keys = ("role", "content", "name", "created_at")
    said = [[{key: message[key] for key in keys} for message in each["agents"][0]["messages"][1:]]
            for each in (first, second)]  # fmt: skip
    assert said[0] == said[1]
    assert len(said[0]) == 40
    assert [(block["label"], block["value"], block["limit"]) for block in first["blocks"]] == [
        (block["label"], block["value"], block["limit"]) for block in second["blocks"]
    ]
    assert {tool["name"] for tool in first["tools"]} == {tool["name"] for tool in second["tools"]}
    assert all(tool["source_code"] is None for tool in first["tools"])


async def test_what_cannot_be_imported_makes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with Local(tmp_path, embedder="hash") as fleet:
        with pytest.raises(ConfigError, match=r"--map: found 'nothing for get_weather, run_code', allowed: TOOL="):
            await fleet.import_agent(read_agent_file(filed()), settings=SETTINGS)
        left_out = {"get_weather": "", "run_code": ""}
        with pytest.raises(ConfigError, match="--map: found 'paint'"):
            await fleet.import_agent(read_agent_file(filed()), mapped={**left_out, "paint": "x"}, settings=SETTINGS)
        with pytest.raises(UnknownName, match="nowhere"):
            await fleet.import_agent(
                read_agent_file(filed()), mapped={**left_out, "run_code": "nowhere"}, settings=SETTINGS
            )
        assert await fleet.agents() == []
        await fleet.import_agent(read_agent_file(filed()), name="ada", mapped=left_out, settings=SETTINGS)
        with pytest.raises(AgentExists):
            await fleet.import_agent(read_agent_file(filed()), name="ada", mapped=left_out, settings=SETTINGS)
        exported = json.dumps(await fleet.export_agent("ada"))
        await fleet.agent("ada").ask("hello")
    assert "TOOL WAS RUN" not in "".join(capfd.readouterr())
    kept = b"".join(each.read_bytes() for each in sorted(tmp_path.rglob("*")) if each.is_file())  # noqa: ASYNC240  all is closed
    assert TOOL_CODE.encode() not in kept
    assert TOOL_CODE not in exported
    for secret in ("https://evil.example", "sk-this-is-a-secret-key-1234567890"):
        assert secret.encode() not in kept
