"""An interrupt that kills every host it comes to, in a fleet on Ray: put away after five deaths, and nobody else is."""

from __future__ import annotations

import asyncio
import os

import pytest

from pagefault.cluster.api import Cluster
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.soak]
OBEDIENT = "scripted:tests.cluster.minds:obedient"
NAMES = [f"agent-{number}" for number in range(4)]


@function(effect="idempotent")
def obey(order: str) -> str:
    """Do what is said.

    Args:
        order: What.
    """
    if order == "die":
        os._exit(1)
    return f"did {order}"


async def test_poison_is_put_away_and_the_others_of_its_hosts_live_on() -> None:
    async with Cluster(embedder="hash", hosts=2, functions=[obey]) as fleet:
        await fleet.spawn_many([Agent(name, model=OBEDIENT, functions=("send_message", "obey")) for name in NAMES])
        poison = asyncio.ensure_future(fleet.answer(NAMES[0], "die", timeout_s=100))
        others = [
            asyncio.ensure_future(fleet.ask(name, f"work {turn}", 100)) for turn in range(5) for name in NAMES[1:]
        ]
        answer = await poison
        assert answer.outcome == "quarantined", answer
        assert await asyncio.gather(*others) == [f"did work {turn}" for turn in range(5) for _ in NAMES[1:]]
        assert await fleet.ask(NAMES[0], "work again", 100) == "did work again"
        letters = await fleet.dead_letters()
        assert [(letter.to, letter.interrupt.text) for letter in letters] == [(NAMES[0], "die")]
        assert "its host died 5 times" in letters[0].why
