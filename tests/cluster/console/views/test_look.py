"""An agent is looked at where it is: awake, asleep or dead; and nobody is woken."""

from __future__ import annotations

from pathlib import Path

import pytest

from pagefault.cluster.console.views.look import look
from pagefault.runtime.errors import UnknownAgent, UnknownName, UsageError
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.local import Local
from tests.cluster.console.lived import chronicle


async def test_one_that_is_awake_is_asked(fleet: Local) -> None:
    seen = await look(fleet, "ada")
    assert (seen.source, seen.were_sent) == ("awake", False)
    assert seen.messages == (await fleet.inspect("ada")).messages
    then = await look(fleet, "ada", 7)
    assert (then.source, then.were_sent, then.step) == ("journal", True, 7)
    assert "Entry 6" in then.messages[-1].text
    assert then.map.step == 7
    with pytest.raises(UsageError, match="step: found 999"):
        await look(fleet, "ada", 999)
    with pytest.raises(UnknownAgent):
        await look(fleet, "nobody")


async def test_one_that_sleeps_is_not_woken(fleet: Local) -> None:
    seen = await look(fleet, "sleeper")
    assert (seen.source, seen.step, seen.map.pages) == ("journal", 0, ())
    assert {row.agent for row in await fleet.survey() if row.place} == {"ada"}


async def test_a_dead_agent_is_as_it_was(fleet: Local) -> None:
    alive = await look(fleet, "ada")
    folder = fleet.folder
    await fleet.stop()
    async with Local(folder, embedder="hash", watch=False) as opened:
        dead = await look(opened, "ada")
        assert (dead.source, dead.digest) == ("journal", alive.digest)
        assert dead.map.pages == alive.map.pages
        assert dead.map.regions == alive.map.regions
        assert not any(row.place for row in await opened.survey())


async def test_functions_that_this_process_lacks_are_named(tmp_path: Path) -> None:
    @function(effect="pure")
    def own(thing: str) -> str:
        """Do a thing.

        Args:
            thing: Which.
        """
        return thing

    async with Local(tmp_path, embedder="hash", functions=[own]) as fleet:
        await fleet.spawn(chronicle("ada", functions=("send_message", "own")))
    async with Local(tmp_path, embedder="hash", watch=False) as fleet:
        with pytest.raises(UnknownName, match="own"):
            await look(fleet, "ada")
