"""Metrics through Ray, like :mod:`._ray` one of the few places that import it: each node's agent, where Ray has one
(its extra ``default``), shows them to Prometheus with ``ray_`` before their names.  Without an agent they go nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

import structlog
from ray.util.metrics import Counter, Gauge, Histogram

from pagefault.runtime.errors import PagefaultError
from pagefault.runtime.host.telemetry.meters import Sample
from pagefault.runtime.host.telemetry.table import BOUNDS_S, BY_NAME

FLUSH_S = 10.0
SECONDS_MIN = 1e-9
"""Ray refuses to observe nothing at all."""

log = structlog.get_logger(__name__)


class RayMeters:
    """Hands on to Ray what has changed since the last time.  ``tags``: whose the numbers are."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._tags = dict(tags)
        self._meters: dict[str, Any] = {}
        self._before: dict[tuple[str, tuple[str, ...]], Sample] = {}

    def flush(self, samples: Iterable[Sample]) -> None:
        """Counters as their growth, gauges as they are, histograms as so many observations of their buckets' means."""
        for sample in samples:
            metric = BY_NAME[sample["name"]]
            tags = {**self._tags, **sample["labels"]}
            meter = self._meters.get(metric.name) or self._made(metric.name, tuple(tags))
            key = (metric.name, tuple(sample["labels"].values()))
            before = self._before.get(key)
            self._before[key] = sample
            if metric.kind == "gauge":
                meter.set(sample["value"], tags=tags)
            elif metric.kind == "counter":
                growth = sample["value"] - (0 if before is None else before["value"])
                if growth > 0:
                    meter.inc(growth, tags=tags)
            else:
                for count, mean_s in _growth(sample, before):
                    for _ in range(count):
                        meter.observe(mean_s, tags=tags)

    def _made(self, name: str, tag_keys: tuple[str, ...]) -> Any:
        metric = BY_NAME[name]
        if metric.kind == "histogram":
            made = cast("Any", Histogram)(name, description=metric.help, boundaries=list(BOUNDS_S), tag_keys=tag_keys)
        else:
            cls: Any = Counter if metric.kind == "counter" else Gauge
            made = cls(name, description=metric.help, tag_keys=tag_keys)
        self._meters[name] = made
        return made


def _growth(sample: Sample, before: Sample | None) -> list[tuple[int, float]]:
    """By bucket that has grown: by how many observations, and their mean in seconds."""
    zero: Sample = {"counts": [0] * len(sample["counts"]), "sums": [0.0] * len(sample["sums"])}
    old = before or zero
    rows = zip(sample["counts"], old["counts"], sample["sums"], old["sums"], strict=True)
    return [
        (count - count_before, max(SECONDS_MIN, (sum_s - sum_before_s) / (count - count_before)))
        for count, count_before, sum_s, sum_before_s in rows
        if count > count_before
    ]


async def keep_flushing(read: Callable[[], Awaitable[list[Sample]]], **tags: str) -> None:
    """Hand on what ``read`` finds, again and again, until this is cancelled."""
    meters = RayMeters(tags)
    while True:
        await asyncio.sleep(FLUSH_S)
        try:
            samples = await read()
            await asyncio.to_thread(meters.flush, samples)  # many observations must not keep the loop's other work
        except (PagefaultError, OSError, RuntimeError, ValueError) as error:  # what Ray raises while it ends
            log.warning("metrics_not_flushed", problem=f"{type(error).__name__}: {error}")
