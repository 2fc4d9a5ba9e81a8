"""A life step by step: what is told of each adds up to what the agent has counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pagefault.runtime.errors import UnknownAgent, UsageError
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.timeline import StepRow
from pagefault.runtime.store import checkpoints
from tests.cluster.console.lived import TOLD, live


@pytest.fixture
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Local]:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_RECORDS", 20)
    async with Local(tmp_path, embedder="hash") as opened:
        await live(opened)
        yield opened


async def rows(fleet: Local, first: int = 1, last: int | None = None) -> list[StepRow]:
    return [row async for row in fleet.timeline("ada", first, last)]


async def test_it_adds_up(fleet: Local) -> None:
    found = await rows(fleet)
    counts = (await fleet.inspect("ada")).statistics
    assert [row.step for row in found if row.is_taken] == list(range(1, counts["steps"] + 1))
    for name, part in {
        "page_faults": "faults",
        "refaults": "refaults",
        "page_hits": "hits",
        "evictions": "evictions",
        "flushes": "flushes",
        "summaries": "summaries",
        "warnings": "warnings",
        "tokens_paged_in": "tokens_in",
        "tokens_paged_out": "tokens_out",
    }.items():
        assert sum(getattr(row, part) for row in found) == counts[name], name
    assert counts["page_faults"] >= 1
    assert counts["summaries"] >= 1
    resident: set[str] = set()
    for row in found:
        assert not resident & set(row.pages_in)
        assert set(row.pages_out) <= resident
        resident = resident - set(row.pages_out) | set(row.pages_in)
        if row.step in {1, 20, TOLD}:
            then = (await fleet.replay("ada", step=row.step)).inspection
            assert {page.id for page in then.pages if page.fidelity == "full"} == resident


async def test_what_each_step_did_and_for_whom(fleet: Local) -> None:
    found = {row.step: row for row in await rows(fleet)}
    assert (found[1].kind, found[1].sender, found[1].said[:8]) == ("message", "user", "Entry 0:")
    assert found[TOLD + 1].calls == ("core_memory_append",)
    assert found[TOLD + 3].calls == ("page_in",)
    assert "p1" in found[TOLD + 4].pages_in
    assert (found[TOLD + 4].faults, found[TOLD + 4].refaults) == (1, 1)
    assert found[1].arrived == 1
    assert all(row.at_ms for row in found.values())


async def test_a_part_begins_at_the_nearest_snapshot_and_says_the_same(fleet: Local) -> None:
    whole = await rows(fleet)
    assert await rows(fleet, 30, 33) == whole[29:33]
    assert (await rows(fleet, 30))[0] == whole[29]
    assert await rows(fleet, 9_999) == []
    with pytest.raises(UsageError, match="steps: found 4 to 3"):
        await rows(fleet, 4, 3)
    with pytest.raises(UsageError, match="steps: found 0 to None"):
        await rows(fleet, 0)
    with pytest.raises(UnknownAgent):
        [row async for row in fleet.timeline("nobody")]


async def test_another_activation_is_seen(fleet: Local) -> None:
    folder = fleet.folder
    before = await fleet.inspect("ada")
    await fleet.stop()
    async with Local(folder, embedder="hash") as opened:
        await opened.ask("ada", "and now?")
        last = next(row for row in await rows(opened, before.statistics["steps"] + 1) if row.is_taken)
        assert last.epoch == before.epoch + 1


async def test_milestones_are_an_overview(fleet: Local) -> None:
    found = await fleet.milestones("ada")
    counts = (await fleet.inspect("ada")).statistics
    assert found[-1].statistics == counts
    assert found[0].step == 0
    assert len(found) >= 3
    assert [stone.record for stone in found] == sorted({stone.record for stone in found})
    assert [stone.step for stone in found] == sorted(stone.step for stone in found)
