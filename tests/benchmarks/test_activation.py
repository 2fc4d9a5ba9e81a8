"""The benchmark of waking in small: who is woken slept, and has its whole context."""

from __future__ import annotations

from pathlib import Path

from benchmarks._fleet import FILL_TOKENS
from benchmarks.activation import measure_ours


async def test_sleepers_wake_with_their_contexts(tmp_path: Path) -> None:
    found = await measure_ours(tmp_path, agents=3, rounds=2, seed=3)
    assert found["wakes"] == 4
    assert found["tokens_p50"] >= FILL_TOKENS
    assert 0 < found["wake_ms_p50"] < found["answer_ms_p50"]
