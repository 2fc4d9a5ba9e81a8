"""The table of metrics: names as Prometheus wants them, and kernel counters that exist."""

from __future__ import annotations

import re
from dataclasses import fields

from pagefault.runtime.host.telemetry.table import BOUNDS_S, BY_NAME, KERNEL_COUNTERS, METRICS
from pagefault.runtime.kernel.statistics import Statistics

SUFFIXES = {"counter": "_total", "histogram": "_seconds"}


def test_names_are_unique_and_end_as_their_kind_wants() -> None:
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"pagefault_[a-z_]+", metric.name), metric
        assert metric.name.endswith(SUFFIXES.get(metric.kind, "")), metric
        assert metric.kind != "gauge" or not metric.name.endswith(("_total", "_bucket", "_sum", "_count")), metric
        assert metric.help, metric
        assert not {"agent", "cause", "text", "le"} & set(metric.labels), "labels must stay few"


def test_kernel_counters_are_there_on_both_sides() -> None:
    assert set(KERNEL_COUNTERS) <= {field.name for field in fields(Statistics)}
    assert set(KERNEL_COUNTERS.values()) <= set(BY_NAME)


def test_bounds_rise() -> None:
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))
