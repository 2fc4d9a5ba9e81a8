import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.fidelity import COMPARED, compare, fault_rates, neural_paging, real_traces, shifting, zipf_traces


def test_the_published_fault_rates_are_within_the_intervals() -> None:
    rows = neural_paging(1)
    assert set(rows) == {"belady", "lru", "fifo", "random", "lfu"}
    assert all(row["within"] for row in rows.values()), rows
    assert all(row["margin"] < 0.006 for name, row in rows.items() if name != "lfu"), "tight enough to mean something"


def test_a_seed_is_a_run_of_the_study() -> None:
    assert shifting(3) == shifting(3) != shifting(4)
    assert len(set(shifting(3)[:500])) <= 16 < len(set(shifting(3)))
    assert fault_rates("lru", 1) == fault_rates("lru", 1)


def test_a_chat_log_is_a_trace_of_what_comes_in_and_is_referred_to(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "open", "arguments": '{"key": "QX-7741"}'}}
    messages = [
        {"role": "user", "content": "The locker of the choir is number QX-7741, please remember it for me."},
        {"role": "assistant", "content": "I shall."},
        *({"role": "user", "content": f"Something else, the {number}th, at some length."} for number in range(20)),
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    file = tmp_path / "locker.json"
    file.write_text(json.dumps([{"messages": messages}]))
    (trace,) = real_traces(file)
    assert trace.name == "locker"
    assert list(trace.requests) == [*range(22), 0, 22]
    assert max(trace.tokens) <= trace.capacity_tokens <= sum(trace.tokens) / 10 + 20


@pytest.mark.skipif(find_spec("libcachesim") is None, reason="libcachesim comes with the extra 'bench'")
def test_the_misses_are_those_of_libcachesim_but_for_segments_of_pages_of_many_sizes() -> None:
    for trace in zipf_traces(10_000, 5):
        rows = compare(trace)
        assert set(rows) == set(COMPARED)
        differing = {name for name, row in rows.items() if not row["equal"]}
        assert differing <= ({"slru", "two_q"} if len(set(trace.tokens)) > 1 else set()), (trace.name, rows)
