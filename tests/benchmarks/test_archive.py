"""The archive's benchmark, small: pages are found, each by its owner."""

from __future__ import annotations

from benchmarks.archive import measure


def test_pages_are_found_among_those_of_many() -> None:
    found = measure(1, 600, 20, local_pages=100)
    assert found["recalled"] == 1.0
    assert found["query_ms_p50"] <= found["query_ms_p99"]
    assert min(found["upserts_per_s"], found["local_mode_ms_p50"], found["disk_gib"]) > 0
