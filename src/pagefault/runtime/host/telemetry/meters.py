"""Counters, gauges and histograms of one process, and what others are told of them.

A sample is plain data, so that it crosses between processes and becomes JSON as it is: ``name``, ``labels``, and
``value``; for histograms instead ``counts`` and ``sums`` of seconds by bucket (see
:data:`~pagefault.runtime.host.telemetry.table.BOUNDS_S`, and one more for what is longer).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from pagefault.runtime.host.telemetry.table import BOUNDS_S, BY_NAME, METRICS, Metric

EXPOSITION_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Sample: TypeAlias = dict[str, Any]
Labels: TypeAlias = tuple[str, ...]


class Meters:
    """Numbers by metric and values of its labels.  Used by one thread."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, Labels], float] = {}
        self._buckets: dict[tuple[str, Labels], tuple[list[int], list[float]]] = {}

    def add(self, name: str, *labels: str, by: float = 1) -> None:
        """Count, in a counter; or add to a gauge."""
        key = (name, labels)
        self._values[key] = self._values.get(key, 0) + by

    def put(self, name: str, *labels: str, value: float) -> None:
        """What a gauge shows now, or a counter that somebody else keeps."""
        self._values[name, labels] = value

    def observe(self, name: str, *labels: str, seconds: float) -> None:
        """Something took so long."""
        found = self._buckets.get((name, labels))
        if found is None:
            found = self._buckets[name, labels] = ([0] * (len(BOUNDS_S) + 1), [0.0] * (len(BOUNDS_S) + 1))
        place = bisect_left(BOUNDS_S, seconds)
        found[0][place] += 1
        found[1][place] += seconds

    def samples(self) -> list[Sample]:
        """Everything, in no order."""
        told: list[Sample] = [
            {"name": name, "labels": _named(name, labels), "value": value}
            for (name, labels), value in self._values.items()
        ]
        return told + [
            {"name": name, "labels": _named(name, labels), "counts": list(counts), "sums": list(sums)}
            for (name, labels), (counts, sums) in self._buckets.items()
        ]


def _named(name: str, values: Labels) -> dict[str, str]:
    return dict(zip(BY_NAME[name].labels, values, strict=True))


def labelled(samples: Iterable[Sample], **labels: str) -> list[Sample]:
    """The samples with more labels: whose they are."""
    return [{**sample, "labels": {**sample["labels"], **labels}} for sample in samples]


def totals(samples: Iterable[Sample], *without: str) -> list[Sample]:
    """Samples added up over all values of the labels named, in the order of the table."""
    found: dict[tuple[str, Labels], Sample] = {}
    for sample in samples:
        labels = {key: value for key, value in sample["labels"].items() if key not in without}
        key = (sample["name"], tuple(f"{name}={value}" for name, value in sorted(labels.items())))
        present = found.get(key)
        found[key] = {**sample, "labels": labels} if present is None else _sum(present, sample)
    places = {metric.name: place for place, metric in enumerate(METRICS)}
    return [found[key] for key in sorted(found, key=lambda key: (places[key[0]], key[1]))]


def _sum(first: Sample, second: Sample) -> Sample:
    if "value" in first:
        return {**first, "value": first["value"] + second["value"]}
    parts = ("counts", "sums")
    return first | {part: [a + b for a, b in zip(first[part], second[part], strict=True)] for part in parts}


def quantile_s(counts: Sequence[int], share: float) -> float:
    """The length, in seconds, that ``share`` of what was observed stayed under: the line through its bucket, as
    Prometheus' ``histogram_quantile`` draws it; 0 if nothing was observed."""
    wanted, below = share * sum(counts), 0
    if not wanted:
        return 0.0
    for place, count in enumerate(counts[:-1]):
        if count and below + count >= wanted:
            low = BOUNDS_S[place - 1] if place else 0.0
            return low + (BOUNDS_S[place] - low) * (wanted - below) / count
        below += count
    return BOUNDS_S[-1]


def exposition(samples: Iterable[Sample]) -> str:
    """The samples as Prometheus reads them: https://prometheus.io/docs/instrumenting/exposition_formats/, version
    0.0.4 of the text format."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample["name"], []).append(sample)
    lines: list[str] = []
    for metric in METRICS:
        if metric.name in groups:
            lines += (f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}")
            for sample in groups[metric.name]:
                lines += _lines(metric, sample)
    return "\n".join(lines) + "\n"


def _lines(metric: Metric, sample: Sample) -> list[str]:
    if metric.kind != "histogram":
        return [f"{metric.name}{_braces(sample['labels'])} {float(sample['value'])!r}"]
    lines, running = [], 0
    for bound, count in zip((*map(repr, BOUNDS_S), "+Inf"), sample["counts"], strict=True):
        running += count
        lines.append(f"{metric.name}_bucket{_braces({**sample['labels'], 'le': bound})} {running}")
    braces = _braces(sample["labels"])
    return [*lines, f"{metric.name}_sum{braces} {sum(sample['sums'])!r}", f"{metric.name}_count{braces} {running}"]


def _braces(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
