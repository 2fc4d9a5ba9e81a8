"""The benchmark of density in small: agents come back full, and what they take is near the host's estimate."""

from __future__ import annotations

from pathlib import Path

from benchmarks._fleet import FILL_TOKENS
from benchmarks.density import fill_all, hold_all
from pagefault.runtime.host.local import Local


async def test_contexts_are_full_when_they_come_back(tmp_path: Path) -> None:
    assert await fill_all(tmp_path, agents=3, seed=3) >= FILL_TOKENS
    found = await hold_all(tmp_path, seed=3)
    assert found["estimated_bytes"] > 50_000
    async with Local(tmp_path) as fleet:
        tokens = [(await fleet.inspect(agent)).tokens for agent in await fleet.agents()]
    assert min(tokens) >= FILL_TOKENS
