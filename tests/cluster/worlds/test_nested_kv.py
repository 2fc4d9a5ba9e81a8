"""Nested key-value: chains as the released task has them, solved with the searches that they need and no more."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster.worlds.nested_kv import HOPS_MAX, NestedKv, Task, link, load_tasks, made_up
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.local import Local

TEMPLATE: dict[str, Any] = {
    "model": "scripted:pagefault.cluster.worlds.nested_kv_mind:follower",
    "functions": ("send_message", "archival_memory_insert", "archival_memory_search"),
    "context_tokens": 8192,
    "policy": "lru",
}
PAIRS = tuple((f"k{number}", f"v{number}") for number in range(5))


class Silence:
    def begin(self, what: str, total: int) -> None: ...
    def advance(self, count: int = 1) -> None: ...


def test_an_ordering_links_its_pairs_and_leaves_the_others() -> None:
    assert link(PAIRS, [3, 0, 4]) == (("k0", "k4"), ("k1", "v1"), ("k2", "v2"), ("k3", "k0"), ("k4", "v4"))
    assert link(PAIRS, [2]) == PAIRS
    for wrong in ([0, 0], [5], [-1]):
        with pytest.raises(ConfigError, match="orderings"):
            link(PAIRS, wrong)


def test_a_seed_makes_the_same_tasks() -> None:
    tasks = made_up(2, 20, 3, seed=5)
    assert tasks == made_up(2, 20, 3, seed=5) != made_up(2, 20, 3, seed=6)
    assert len(tasks) == 2 * 3 * (HOPS_MAX + 1)
    for task in tasks:
        table, at = dict(task.pairs), task.key
        for _ in range(task.hops + 1):
            at = table[at]
        assert at == task.answer
        assert at not in table


def test_the_released_files_are_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "kv3.jsonl.gz", "wt") as file:
        file.write(json.dumps({"ordered_kv_records": [list(pair) for pair in PAIRS]}) + "\n")
    (tmp_path / "orderings.json").write_text(json.dumps({"one": [[2], [3]], "two": [[3, 0], [1, 2]]}))
    tasks = load_tasks(tmp_path, records=1, orderings=2)
    assert [(task.hops, task.key, task.answer) for task in tasks] == [
        (0, "k2", "v2"),
        (0, "k3", "v3"),
        (1, "k3", "v0"),
        (1, "k1", "v2"),
    ]
    for records, orderings in ((2, 2), (1, 3)):
        with pytest.raises(ConfigError, match="--data"):
            load_tasks(tmp_path, records, orderings)
    (tmp_path / "orderings.json").write_text("{")
    with pytest.raises(ConfigError, match="--data"):
        load_tasks(tmp_path, 1, 1)
    with pytest.raises(ConfigError, match="--data"):
        load_tasks(tmp_path / "nowhere", 1, 1)


async def test_every_chain_is_followed_with_exactly_the_searches_it_needs() -> None:
    world = NestedKv(made_up(1, 60, 1, seed=4))
    async with Local() as fleet:
        refs = await fleet.spawn_many(world.agents(TEMPLATE))
        report = await world.run(fleet, refs, Silence())
    assert report.failed == ""
    assert report.results["by_hops"] == {str(hops): 1.0 for hops in range(HOPS_MAX + 1)}
    assert report.results["searches"] == {str(hops): hops + 2 for hops in range(HOPS_MAX + 1)}
    assert report.results["evictions"] > 0, "the pairs are more than the context holds"


async def test_what_is_not_in_memory_is_not_solved() -> None:
    task = Task("lost", 1, PAIRS, "k9", "v9")
    world = NestedKv([task])
    async with Local(embedder="hash") as fleet:
        refs = await fleet.spawn_many(world.agents(TEMPLATE))
        report = await world.run(fleet, refs, Silence())
    assert report.results["by_hops"] == {"1": 0.0}
    assert report.results["exact_searches"] == {"1": 0.0}
