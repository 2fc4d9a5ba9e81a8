from importlib.util import find_spec

import pytest

from benchmarks.fidelity import COMPARED, compare, fault_rates, neural_paging, shifting, zipf_traces


def test_the_published_fault_rates_are_within_the_intervals() -> None:
    rows = neural_paging(1)
    assert set(rows) == {"belady", "lru", "fifo", "random", "lfu"}
    assert all(row["within"] for row in rows.values()), rows
    assert all(row["margin"] < 0.006 for name, row in rows.items() if name != "lfu"), "tight enough to mean something"


def test_a_seed_is_a_run_of_the_study() -> None:
    assert shifting(3) == shifting(3) != shifting(4)
    assert len(set(shifting(3)[:500])) <= 16 < len(set(shifting(3)))
    assert fault_rates("lru", 1) == fault_rates("lru", 1)


@pytest.mark.skipif(find_spec("libcachesim") is None, reason="libcachesim comes with the extra 'bench'")
def test_the_misses_are_those_of_libcachesim_but_for_segments_of_pages_of_many_sizes() -> None:
    for trace in zipf_traces(10_000, 5):
        rows = compare(trace)
        assert set(rows) == set(COMPARED)
        differing = {name for name, row in rows.items() if not row["equal"]}
        assert differing <= ({"slru", "two_q"} if len(set(trace.tokens)) > 1 else set()), (trace.name, rows)
