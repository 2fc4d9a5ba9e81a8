"""What an agent has filed for others is found by them, though it was killed before the archive had it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from benchmarks._crashes import Tell, in_child, killed_at
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

SPACE = "town"
FACT = "the bridge is closed until spring"


def writer(_request: ModelRequest) -> Reply:
    """Files what is to be known by all, and is done."""
    return [call("archival_memory_insert", content=FACT, space=SPACE), say("filed")]


def reader(request: ModelRequest) -> Reply:
    """Says what it finds."""
    view = View(request)
    if view.result is not None:
        return say(view.result.text)
    return call("archival_memory_search", True, query="bridge") if view.incoming is not None else nothing()


def agent(name: str, does: str) -> Agent:
    return Agent(name, model=f"scripted:{__name__}:{does}", spaces=(SPACE,), snapshot_steps=1000)


async def file_it(folder: Path) -> None:
    async with Local(folder, embedder="hash") as fleet:
        ada = await fleet.spawn(agent("ada", "writer"))
        await fleet.spawn(agent("bob", "reader"))
        await ada.ask("Tell all.")


async def look(folder: Path) -> str:
    async with Local(folder, embedder="hash") as fleet:
        await asyncio.wait_for(fleet.idle(), 30)
        return await fleet.agent("bob").ask("What about the bridge?")


def test_others_find_it_without_its_being_spoken_to(tmp_path: Path) -> None:
    def work(_: Tell) -> None:
        asyncio.run(file_it(tmp_path))

    # Its one commit has all that it does: it rests after it, and nobody else knows that something is left to do.
    _, ended_by = in_child(killed_at("host.append.settled", 1, work))
    assert ended_by == signal.SIGKILL
    told, _ = in_child(lambda tell: tell(asyncio.run(look(tmp_path))))
    ((said,),) = told
    assert FACT in said
