"""What the benchmarks of many agents share: a mind of no latency, and filling contexts with real text."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import random

import psutil

from benchmarks._texts import message
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, mind, nothing
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelRequest, Priority

CONTEXT_TOKENS = 10_240
"""Prompt and reply: 9,216 tokens of prompt, so that a context of 8,000 has not been flushed yet."""
FILL_TOKENS = 8_000
PERSONA = (
    "You are one of many residents of a harbour town. You speak plainly, keep your word, and write down what people "
    "ask you to remember. You know the ferries, the tides and the market days, and you never invent a price."
)
_NUMBERS = itertools.count(1)


@mind("benchmark-listener")
def listen(_: ModelRequest) -> Reply:
    """A model of no latency that takes note and says nothing."""
    return nothing()


def resident(number: int, model: str = "scripted:benchmark-listener") -> Agent:
    """One of many agents made alike."""
    return Agent(
        f"agent-{number:06d}",
        system="You have a memory of your own; what is said to you stays in it. Speak with send_message.",
        persona=PERSONA,
        model=model,
        functions=("send_message", "core_memory_append", "conversation_search", "archival_memory_insert"),
        context_tokens=CONTEXT_TOKENS,
        policy="lru",
    )


def interrupt(text: str) -> Interrupt:
    """A user's message with an id of its own."""
    key = InterruptId(f"b{os.getpid()}-{next(_NUMBERS)}")  # of this process: another may fill and this one measure
    return Interrupt(key, InterruptKind.MESSAGE, Priority.USER, "user", text)


async def fill(fleet: Local, agent: AgentId, chance: random.Random) -> int:
    """Speak to an agent until its context has :data:`FILL_TOKENS` tokens; returns how many it has then."""
    while True:
        await asyncio.gather(*(fleet.send(agent, interrupt(message(chance, 8))) for _ in range(6)))
        tokens = (await fleet.inspect(agent)).tokens
        if tokens >= FILL_TOKENS:
            return tokens


def unique_bytes(pid: int | None = None) -> int:
    """Memory that only this process has (USS), after a collection if it is our own."""
    if pid is None:
        gc.collect()
    return int(psutil.Process(pid).memory_full_info().uss)
