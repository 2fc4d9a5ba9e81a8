"""What agents send each other across hosts and shards: topics, dead letters, functions of others, calls taken back."""

from __future__ import annotations

import asyncio
import json

import pytest

from pagefault.cluster.api import Cluster
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.agent_file import read_agent_file
from pagefault.runtime.host.config import Agent
from pagefault.runtime.models.scripted import Reply, call, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

pytestmark = pytest.mark.usefixtures("ray_session")


def doing(request: ModelRequest) -> Reply:
    """Does the call that it is told as JSON, and says what came of it."""
    view = View(request)
    if view.result is not None:
        return say(view.result.text)
    text = view.incoming.text if view.incoming is not None else ""
    if view.incoming is None or view.incoming.author != "user" or not text.startswith("{"):
        return nothing()
    wanted = json.loads(text.splitlines()[0])
    return call(wanted.pop("do"), wanted.pop("beat", True), **wanted)


def holding(request: ModelRequest) -> Reply:
    """Calls a function that takes longer than any test."""
    return call("hold")


@function(effect="pure")
async def hold() -> str:
    """Wait."""
    await asyncio.sleep(600)
    return ""


@function(effect="pure")
def lookup(key: str) -> str:
    """Look something up.

    Args:
        key: What.
    """
    return f"{key} is 42"


def do(name: str, **arguments: object) -> str:
    return json.dumps({"do": name, **arguments})


async def test_topics_dead_letters_and_calls_reach_over_hosts_and_shards() -> None:
    minds = {"doing": doing, "holding": holding}
    async with Cluster(embedder="hash", hosts=2, shards=2, functions=[hold, lookup], minds=minds) as fleet:
        names = [f"a{number}" for number in range(8)]
        await fleet.spawn_many(
            Agent(name, model="scripted:doing", functions=("all", "lookup"), exports=("lookup",)) for name in names
        )
        await fleet.spawn(Agent("busy", model="scripted:holding", functions=("hold",)))
        assert len(await fleet.hosts()) <= 2
        for name in names[:5]:
            await fleet.subscribe(name, "team")
        assert await fleet.topics() == {"team": 5}
        assert await fleet.topics("a7") == {}
        assert await fleet.subscribers("team") == names[:5]
        assert await fleet.ask("a0", do("publish", topic="team", message="go")) == "Published to 4 agents."
        assert await fleet.publish("team", "all of you") == 5
        assert await fleet.broadcast("good night", prefix="a") == 8
        asked = do("call_agent", beat=None, agent="a5", function="lookup", arguments='{"key": "x"}')
        assert await fleet.ask("a0", asked) == "a5 answers: x is 42"

        for number in range(3):
            await fleet.ask("a1", do("send_to_agent", agent=f"nobody-{number}", message=f"anyone? {number}"))
        await fleet.idle()
        letters = await fleet.dead_letters()
        assert sorted(letter.to for letter in letters) == ["nobody-0", "nobody-1", "nobody-2"]
        await fleet.spawn(Agent("nobody-1", model="scripted:doing"))
        (sent,) = await fleet.resend([letter.id for letter in letters])
        assert [letter.to for letter in letters if letter.id == sent] == ["nobody-1"]
        assert await fleet.discard([letter.id for letter in letters]) == 2
        assert await fleet.dead_letters() == []

        waiting = Interrupt(InterruptId("q1"), InterruptKind.MESSAGE, Priority.USER, "user",
                            do("call_agent", beat=None, agent="busy", message="well?"))  # fmt: skip
        await fleet.send("a2", waiting)
        while (await fleet.inspect("busy")).phase != "acting":  # noqa: ASYNC110 - it is another process that we wait for
            await asyncio.sleep(0.02)
        await fleet.send(
            "a2", Interrupt(InterruptId("c1"), InterruptKind.CANCEL, Priority.OPERATOR, "user", target=waiting.id)
        )
        async with asyncio.timeout(20):
            await fleet.idle()
        assert (await fleet.inspect("busy")).phase == "idle", "whoever it worked for waits no more"


@pytest.mark.soak
async def test_an_agent_from_a_file_is_planted_in_its_shard_with_its_past() -> None:
    messages = [
        {"id": f"m{number}", "role": "user", "content": f"bed {number}", "created_at": "2024-05-01T10:00:00Z"}
        for number in range(3)
    ]
    data = json.dumps({"agents": [{"name": "ada", "messages": messages, "in_context_message_ids": ["m2"]}]})
    async with Cluster(embedder="hash", hosts=1, shards=2) as fleet:
        made = await fleet.import_agent(read_agent_file(data.encode()), settings={"model": "scripted:nothing"})
        seen = await fleet.inspect("ada")
        exported = await fleet.export_agent("ada")
    assert (made.messages, made.in_context, len(seen.pages)) == (3, 1, 1)
    assert len(exported["agents"][0]["messages"]) == 1 + 3
