"""The public API as users write it: checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

import pagefault as pf
from pagefault.runtime.host.records import Inspection
from pagefault.runtime.values import AgentId, InterruptId


@pf.mind("keeper")
def keeper(request: pf.ModelRequest) -> pf.Reply:
    view = pf.View(request)
    if view.result is not None:
        return pf.say(view.hits().lines[0].text if view.hits().lines else "I do not know.")
    text = view.incoming.text if view.incoming else ""
    return pf.call("conversation_search", True, query=text) if text.endswith("?") else pf.nothing()


@pf.function(effect="pure")
def add(first: int, second: int) -> int:
    """Add.

    Args:
        first: One.
        second: The other.
    """
    return first + second


async def use(fleet: pf.Local | pf.Cluster) -> None:
    ada = await fleet.spawn(pf.Agent("ada", model="scripted:keeper"))
    assert_type(await ada.send("The key is under the third flowerpot."), InterruptId)
    assert_type(await ada.ask("Where is the key?"), str)
    assert_type(await ada.ask("Where is the key?", timeout_s=5.0), str)
    assert_type(await ada.inspect(), Inspection)
    assert_type(await fleet.agents("a"), list[AgentId])
    for ref in await fleet.spawn_many(pf.Agent(f"agent-{number}") for number in range(3)):
        assert_type(ref.id, AgentId)
    async for step in fleet.stream():
        assert_type(step.kind, str)
    async for step in ada.stream():
        assert_type(step.text, str)
    await fleet.idle()
    await fleet.stop()


async def local_and_cluster(own: Callable[..., Any]) -> None:
    async with pf.Local() as one:
        assert_type(one, pf.Local)
        await use(one)
    async with pf.Local("folder", functions=[add, own], durability="async", embedder="hash") as two:
        await use(two)
    async with pf.Cluster("folder", hosts=2, shards=2, placement="packed", minds={"keeper": keeper}) as three:
        assert_type(three, pf.Cluster)
        ref = await three.spawn(pf.Agent("bob"), placement="dedicated")
        assert_type(await three.ask(ref.id, "hello"), str)


def agents() -> list[pf.Agent]:
    return [
        pf.Agent("ada", model="openai:gpt-5-mini", functions=("memgpt",), policy="lru", context_tokens=8192),
        pf.Agent("bob", model_options={"base_url": "http://127.0.0.1:8000/v1"}, chaining="calls"),
    ]
