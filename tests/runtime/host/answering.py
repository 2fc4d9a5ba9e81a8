"""A process to kill: ``python -m tests.runtime.host.answering FOLDER [hang]``.

It answers without end, or (``hang``) accepts work that it never does, and sets a timer that it will not see.
"""

from __future__ import annotations

import asyncio
import sys

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

GRACE_MINUTES = 5
MIND = "scripted:tests.runtime.host.answering:echo"


def echo(request: ModelRequest) -> Reply:
    incoming = View(request).incoming
    return say(f"heard {incoming.text}") if incoming is not None else nothing()


def hanger(request: ModelRequest) -> Reply:
    """Holds a function without end where the folder's first process runs it; in the next it ends at once."""
    view = View(request)
    if view.result is None:
        return call("hold", True)
    return say(f"done: {view.result.text}")


def sleeper(request: ModelRequest) -> Reply:
    incoming = View(request).incoming
    if incoming is not None and incoming.author == "timer":
        return say("ding")
    return call("set_timer", minutes=GRACE_MINUTES, message="ring")


@function(effect="pure", name="hold")
async def hold_for_ever() -> str:
    """Hold."""
    sys.stdout.write("hanging\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
    return ""


@function(effect="pure", name="hold")
def hold_no_more() -> str:
    """Hold."""
    return "accepted, not handled"


async def hang(folder: str) -> None:
    async with Local(folder, embedder="hash", functions=[hold_for_ever]) as fleet:
        place = "scripted:tests.runtime.host.answering"
        worker = Agent("worker", model=f"{place}:hanger", functions=("send_message", "hold"))
        refs = await fleet.spawn_many([Agent("sleeper", model=f"{place}:sleeper", functions=("all",)), worker])
        await refs[0].ask("wake me")
        await refs[1].send("do something")
        await asyncio.Event().wait()


async def main(folder: str) -> None:
    async with Local(folder, embedder="hash") as fleet:
        ada = await fleet.spawn(Agent("ada", model=MIND, snapshot_steps=7))
        number = 0
        while True:
            number += 1
            answer = await ada.ask(f"number {number}")
            sys.stdout.write(answer + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(hang(sys.argv[1]) if "hang" in sys.argv[2:] else main(sys.argv[1]))
