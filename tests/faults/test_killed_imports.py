"""An import that is killed, at whatever point, has made a whole agent or none."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks._crashes import Tell, in_child, killed_at
from pagefault.runtime.errors import AgentExists
from pagefault.runtime.host import exchange
from pagefault.runtime.host.agent_file import FiledAgent, read_agent_file
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

MESSAGES = 60
AT_HAND = 4
NOTHING_YET = ("journal.register.before_commit",)
WHOLE = (
    "journal.activate.before_commit",
    "archive.write.before",
    "journal.append.before_commit",
    "host.append.settled",
)


def searcher(request: ModelRequest) -> Reply:
    """Says what it finds of what it is asked for."""
    view = View(request)
    if view.result is not None:
        return say(view.result.text)
    assert view.incoming is not None
    return call("conversation_search", True, query=view.incoming.text)


def filed() -> FiledAgent:
    messages = [
        {
            "id": f"m{number}",
            "role": "user",
            "content": f"bed {number} holds leeks",
            "created_at": "2024-05-01T10:00:00Z",
        }
        for number in range(MESSAGES)
    ]
    agent = {
        "name": "ada",
        "messages": messages,
        "in_context_message_ids": [f"m{number}" for number in range(MESSAGES - AT_HAND, MESSAGES)],
        "tools": ["conversation_search"],
    }
    return read_agent_file(json.dumps({"agents": [agent]}).encode())


async def import_it(folder: Path) -> None:
    async with Local(folder, embedder="hash") as fleet:
        settings = {"model": f"scripted:{__name__}:searcher", "model_options": {}}
        await fleet.import_agent(filed(), trusted=True, settings=settings)


async def look(folder: Path) -> dict[str, Any]:
    async with Local(folder, embedder="hash") as fleet:
        if not await fleet.agents():
            return {"agents": 0}
        (exported,) = (await fleet.export_agent("ada"))["agents"]
        found = {
            "agents": 1,
            "messages": len(exported["messages"]) - 1,  # without the system's
            "at hand": len(exported["in_context_message_ids"]) - 1,
            "said": await fleet.agent("ada").ask("bed 3 holds leeks"),
            "exact": (await fleet.replay_run()).is_exact,
        }
        try:
            await fleet.import_agent(filed(), settings={"model": "scripted:nothing"})
        except AgentExists:
            found["again"] = "refused"
        return found


def looked(folder: Path) -> dict[str, Any]:
    """What another process finds there."""
    told, _ = in_child(lambda tell: tell(asyncio.run(look(folder))))
    ((found,),) = told
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", [*NOTHING_YET, *WHOLE])
def test_a_killed_import_made_a_whole_agent_or_none(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PAGES_A_CHANGE", 10)  # so that there are many records

    def work(_: Tell) -> None:
        asyncio.run(import_it(tmp_path))

    _, ended_by = in_child(killed_at(name, 1, work))
    assert ended_by == signal.SIGKILL, f"{name} was not reached"
    if name in NOTHING_YET:
        assert looked(tmp_path) == {"agents": 0}
        in_child(work)
    found = looked(tmp_path)
    assert "bed 3 holds leeks" in found.pop("said")
    assert found == {"agents": 1, "messages": MESSAGES, "at hand": AT_HAND, "exact": True, "again": "refused"}
