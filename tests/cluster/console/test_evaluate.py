"""``pagefault eval nested-kv``: a scripted mind solves it; what cannot be is one line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.console.conftest import Pagefault


def test_every_chain_is_solved(pagefault: Pagefault) -> None:
    ended = pagefault("eval", "nested-kv", "--orderings", "1", "--json")
    assert ended.code == 0
    found = json.loads(ended.out)
    assert set(found["by_hops"].values()) == {1.0}
    assert found["searches"] == {str(hops): hops + 2 for hops in range(6)}


def test_what_is_wrong_is_one_line(pagefault: Pagefault, tmp_path: Path) -> None:
    assert "--data: found" in pagefault("eval", "nested-kv", "--data", str(tmp_path)).error
    assert "context" in pagefault("eval", "nested-kv", "--context-tokens", "300").error
