"""A life with something of everything that an inspector shows."""

from __future__ import annotations

import asyncio
import json

from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import (
    FunctionCall,
    Interrupt,
    InterruptId,
    InterruptKind,
    ModelReply,
    ModelRequest,
    Priority,
)

TOLD = 36
HOSTILE = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe <script>alert(1)</script>\r\nsecond line"
LONG = "Entry {0}: the harbour was quiet and the ferry came in late with letters for the whole town, "


STARTED: list[asyncio.Event] = []
"""Set when ``test-never`` is asked."""


@mind("test-never")
async def never(request: ModelRequest) -> Reply:
    """Thinks until it is told to stop."""
    for event in STARTED:
        event.set()
    await asyncio.Event().wait()
    return nothing()


@mind("test-chronicler")
def chronicler(request: ModelRequest) -> Reply | ModelReply:
    """Does what it is told: remembers a line, pages in, pins; else it keeps silent."""
    if request.purpose == "summarize":
        return ModelReply(text="The ferry was late, again and again.\nLetters came.")
    view = View(request)
    text = view.incoming.text if view.incoming is not None and view.result is None else ""
    order, _, rest = text.partition(" ")
    if order == "Remember":
        arguments = json.dumps({"label": "human", "content": rest, "request_heartbeat": True})
        return ModelReply(calls=(FunctionCall("c1", "core_memory_append", arguments),), finish="calls")
    if order == "Page":
        return call("page_in", True, page_id=rest)
    if order == "Pin":
        return call("pin", True, page_id=rest)
    return say("so it is") if text.endswith("?") else nothing()


def chronicle(name: str, **fields: object) -> Agent:
    return Agent(
        name,
        **{
            "model": "scripted:test-chronicler",
            "persona": "I keep the chronicle.",
            "blocks": {"human": "A townsman."},
            "functions": ("send_message", "core_memory_append", "page_in", "pin"),
            "context_tokens": 2000,
            "reply_tokens": 256,
            "policy": "lru",
            "write_back": "summarize",
            "snapshot_steps": 5,
            **fields,
        },
    )


async def live(fleet: Local, name: str = "ada") -> None:
    """Some forty steps, with flushes; the last thing said is hostile."""
    ref = await fleet.spawn(chronicle(name))
    await fleet.spawn(chronicle("sleeper"))
    for number in range(TOLD):
        await ref.ask(LONG.format(number))
    await ref.ask("Remember he likes trains.")
    await ref.ask("Page p1")
    await ref.ask("Pin p1")
    hostile = Interrupt(InterruptId("h"), InterruptKind.MESSAGE, Priority.AGENT, "mallory\x1b[31m", HOSTILE)
    await ref.ask(hostile)
