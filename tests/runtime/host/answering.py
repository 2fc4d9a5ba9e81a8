"""A process that answers until it is killed: ``python -m tests.runtime.host.answering FOLDER``."""

from __future__ import annotations

import asyncio
import sys

from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.models.scripted import Reply, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest

MIND = "scripted:tests.runtime.host.answering:echo"


def echo(request: ModelRequest) -> Reply:
    incoming = View(request).incoming
    return say(f"heard {incoming.text}") if incoming is not None else nothing()


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
    asyncio.run(main(sys.argv[1]))
