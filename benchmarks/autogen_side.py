"""AutoGen core's side of ``interrupts``: messages a second through its runtime, in one process, nothing stored.

Its package and Ray's pin different majors of protobuf, so it has an environment of its own, ``.venv-autogen`` (``make
bench`` makes it), and this file imports nothing else.  Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version

from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler

AGENTS = 100
BODY = "x" * 300


@dataclass
class Note:
    """What is sent."""

    body: str


class Sink(RoutedAgent):  # type: ignore[misc]  # that environment has no type checker, this one no AutoGen
    """Takes a message and does nothing with it."""

    @message_handler  # type: ignore[untyped-decorator]  # as above
    async def take(self, message: Note, ctx: MessageContext) -> None:
        """Acknowledge."""


async def measure(rounds: int, count: int) -> float:
    """The median of messages acknowledged a second, all handed over at once."""
    runtime = SingleThreadedAgentRuntime()
    await Sink.register(runtime, "sink", lambda: Sink("takes messages"))
    runtime.start()
    rates = []
    for _ in range(rounds + 1):  # the first makes the agents
        began = time.perf_counter()
        await asyncio.gather(
            *(runtime.send_message(Note(BODY), AgentId("sink", str(number % AGENTS))) for number in range(count))
        )
        rates.append(count / (time.perf_counter() - began))
    await runtime.stop()
    return statistics.median(rates[1:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=5_000)
    given = parser.parse_args()
    rate = asyncio.run(measure(given.rounds, given.count))
    sys.stdout.write(json.dumps({"per_s": round(rate, 1), "autogen-core": version("autogen-core")}) + "\n")


if __name__ == "__main__":
    main()
