"""What is told of a host, of stores and of a budget, as samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pagefault.runtime.host.host import Host
from pagefault.runtime.host.telemetry.meters import Sample
from pagefault.runtime.models.budget.settings import RUN

_ENDPOINT = {
    "requests_in_minute": "pagefault_budget_requests_in_minute",
    "tokens_in_minute": "pagefault_budget_tokens_in_minute",
    "under_way": "pagefault_budget_under_way",
    "factor": "pagefault_budget_factor",
    "times_busy": "pagefault_endpoint_busy_total",
}
_RUN = {
    "tokens": "pagefault_budget_spent_tokens",
    "money": "pagefault_budget_spent_money",
    "waiting": "pagefault_budget_waiting_calls",
}


def host_samples(host: Host) -> list[Sample]:
    """What a host has counted, and how it is now; nothing where metrics are off."""
    meter = host.meter
    if meter is None:
        return []
    gauges = {
        "pagefault_activating_agents": len(host.activating),
        "pagefault_unsettled_messages": sum(len(frame.unsent) for frame in host.frames.values()),
        "pagefault_hibernations_total": host.residency.hibernations,
        "pagefault_journal_commits_total": host.committer.groups,
        "pagefault_journal_records_total": host.committer.records,
        "pagefault_archive_pages_total": host.pages.written,
    }
    waiting: Sample = _sample("pagefault_pages_waiting", host.pages.waiting, at="host")
    return [*meter.samples(gauges), waiting]


def store_samples(statistics: Mapping[str, Any]) -> list[Sample]:
    """What a store says of itself; see :meth:`~pagefault.runtime.host.thread_stores.ThreadStores.statistics`."""
    return [
        _sample("pagefault_agents", statistics["agents"]),
        _sample("pagefault_pages_waiting", statistics["pages_waiting"], at="store"),
    ]


def budget_samples(statistics: Mapping[str, Mapping[str, float]]) -> list[Sample]:
    """What was sent to endpoints and spent; see
    :func:`~pagefault.runtime.models.budget.spend.run_statistics`."""
    told = []
    for endpoint, row in statistics.items():
        if endpoint == RUN:
            told += [_sample(name, row[key]) for key, name in _RUN.items() if key in row]
        else:
            told += [_sample(name, row[key], endpoint=endpoint) for key, name in _ENDPOINT.items() if key in row]
    return told


def _sample(name: str, value: float, **labels: str) -> Sample:
    return {"name": name, "labels": labels, "value": value}
