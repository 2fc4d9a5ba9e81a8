"""Which fleet is shown: one that runs, or the stores of one that does not; and they change places."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pagefault.cluster.console.reach import Which
from pagefault.cluster.console.views.look import look
from pagefault.cluster.console.web import fleets
from pagefault.cluster.console.web.fleets import LIVE, NOTHING, STORES, FoundFleet
from pagefault.runtime.errors import ConfigError, StoreUnavailable
from pagefault.runtime.host.local import Local
from tests.cluster.console.conftest import Living
from tests.cluster.console.lived import chronicle, live


async def test_stores_are_read_anew_when_somebody_ran_with_them_and_are_free_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "LINGER_S", 0.05)
    async with Local(tmp_path, embedder="hash") as fleet:
        await live(fleet)
    shown = FoundFleet(Which(tmp_path, None, None, "hash"))
    seen = await shown.survey()
    assert (seen.mode, [row.agent for row in seen.rows], seen.problem) == (STORES, ["ada", "sleeper"], "")
    async with shown.reading() as read:
        assert (await look(read, "ada", 7)).step == 7
        assert (await shown.survey()).rows == seen.rows, "no second opener disturbs who reads"
    with pytest.raises(ConfigError, match="a fleet that runs"):
        shown.controlled()
    async with asyncio.timeout(20):
        while shown._local is not None:  # noqa: ASYNC110 - a timer closes the stores
            await asyncio.sleep(0.02)
    assert (await shown.survey()).rows is seen.rows, "to look was no run"
    async with Local(tmp_path, embedder="hash") as fleet:
        await fleet.spawn(chronicle("third"))
        await fleet.ask("third", "hello?")
        seen = await shown.survey()
        assert [row.agent for row in seen.rows] == ["ada", "sleeper"], "how it was before"
        assert "is open in process" in seen.problem
        with pytest.raises(StoreUnavailable):
            async with shown.reading():
                pass
    seen = await shown.survey()
    assert (seen.mode, [row.agent for row in seen.rows]) == (STORES, ["ada", "sleeper", "third"])
    await shown.close()


async def test_a_folder_with_nothing_in_it_is_a_problem_that_is_said(tmp_path: Path) -> None:
    shown = FoundFleet(Which(tmp_path, None, None))
    seen = await shown.survey()
    assert (seen.mode, seen.rows) == (NOTHING, ())
    assert "holds no journal" in seen.problem
    await shown.close()


async def test_a_fleet_that_runs_is_joined_left_and_not_ended(living: Living) -> None:
    shown = FoundFleet(Which(living.folder, None, None))
    seen = await shown.survey()
    assert (seen.mode, seen.title) == (LIVE, "living")
    assert {row.agent: row.phase for row in seen.rows}["ada"] == "idle"  # type: ignore[index]  # plain names
    async with shown.reading() as read:
        assert (await look(read, "ada")).source == "awake"
        assert await shown.controlled().hibernate("ada")
        assert (await look(read, "ada")).source == "journal"
        assert [each.text for each in await read.arrivals("ada", 5)] == ["hello"]
    await shown.close()
    again = FoundFleet(Which(None, "living", None))
    assert len((await again.survey()).rows) == len(seen.rows)
    await again.close()
