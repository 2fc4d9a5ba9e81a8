"""What simulated agents do: each message says it, in a word.

The mind is a function of its request alone.  The model around it is late and fails as a simulation's chance has it;
the two functions tell the witness that they ran.
"""

from __future__ import annotations

import asyncio
import zlib
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random
from typing import Protocol

from pagefault.runtime.errors import ModelBusy, ModelError, ModelMalformed, ModelOverflow
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.functions.definition import CallContext
from pagefault.runtime.models.scripted import Reply, call, make_reply, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelReply, ModelRequest

WORDS = ("say", "bell", "tally", "tell", "tell_many", "ask", "timer", "look", "long", "bells")
"""What a message may ask for: its first word, then whom, then a number that tells it from all others."""
LONG_WORDS = 120


class RunsSeen(Protocol):
    """Is told of every run of a function."""

    def ran(self, context: CallContext, *, once: bool) -> None: ...


WITNESS: ContextVar[RunsSeen] = ContextVar("simulation_witness")


@function
def bell(note: str, context: CallContext) -> str:
    """Ring a bell, which may be done once.

    Args:
        note: What for.
    """
    WITNESS.get().ran(context, once=True)
    return f"rang for {note}"


@function(effect="idempotent")
async def tally(note: str, context: CallContext) -> str:
    """Count something, which takes a while and may be done again.

    Args:
        note: What.
    """
    WITNESS.get().ran(context, once=False)
    await asyncio.sleep(0.05)
    return f"counted {note}"


def obedient(request: ModelRequest) -> Reply:
    """Do what the newest message says; after its result, say so."""
    view = View(request)
    incoming = view.incoming
    if incoming is None:
        return nothing()
    if view.result is not None:
        return say("done") if view.steps < 4 else nothing()
    if incoming.author == "timer":
        return say("it rang")
    word, _, rest = incoming.text.strip().partition(" ")
    whom, _, number = rest.partition(" ")
    number = number[:20] or "nothing"
    if not whom or whom == request.agent:
        return say(f"heard {number}")
    replies: dict[str, Reply] = {
        "bell": call("bell", True, note=number),
        "bells": [call("bell", False, note=number), call("bell", True, note=f"{number} again")],
        "tally": call("tally", True, note=number),
        "tell": call("send_to_agent", False, agent=whom, message=f"say {whom} {number}"),
        "tell_many": [
            call("send_to_agent", False, agent=whom, message=f"say {whom} {number}.{place}") for place in range(3)
        ],
        "ask": call("call_agent", True, agent=whom, message=f"say {whom} {number}", timeout_seconds=20),
        "timer": call(
            "set_timer", True, minutes=(len(number) + zlib.crc32(number.encode()) % 40) / 60, message=f"ring {number}"
        ),
        "look": call("conversation_search", True, query=number),
    }
    return replies.get(word, say(f"heard {number}"))


@dataclass(frozen=True, slots=True)
class ModelFaults:
    """How late replies come, and the share of calls that fail."""

    latency_ms_max: float = 200.0
    failing: float = 0.0


class SimulatedModel:
    """A processor: :func:`obedient`, late, and sometimes failing."""

    def __init__(self, chance: Random, faults: ModelFaults) -> None:
        self.name = "simulated"
        self.window_tokens = 0
        self._chance = chance
        self.faults = faults

    async def reply(self, request: ModelRequest) -> ModelReply:
        """See :class:`~pagefault.runtime.models.protocols.Processor`."""
        chance, faults = self._chance, self.faults
        latency_ms = chance.random() ** 4 * faults.latency_ms_max
        fails = chance.random() < faults.failing
        kind: type[ModelError] = chance.choice((ModelBusy, ModelMalformed, ModelOverflow, ModelError))
        await asyncio.sleep(latency_ms / 1000)
        if fails:
            raise kind("on purpose")
        if request.purpose != "step":
            return ModelReply(text="in short" if request.purpose == "summarize" else "5")
        return make_reply(request, obedient(request))

    async def close(self) -> None:
        """Nothing is held open."""
