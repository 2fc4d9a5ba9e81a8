"""Every metric there is: name, kind, labels, meaning.  What is not in this table cannot be counted.

Names follow Prometheus: base units (seconds, tokens), ``_total`` for counters
(https://prometheus.io/docs/practices/naming/).  The values of labels are few and known beforehand: never the name of an
agent, and no word that one wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the buckets of every histogram, in seconds; what is longer has a bucket of its own."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.  ``labels`` are in the order in which their values are given."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


def _counters(*rows: tuple[str, str, *tuple[str, ...]]) -> list[Metric]:
    return [Metric(f"pagefault_{name}_total", "counter", text, tuple(labels)) for name, text, *labels in rows]


def _gauges(*rows: tuple[str, str, *tuple[str, ...]]) -> list[Metric]:
    return [Metric(f"pagefault_{name}", "gauge", text, tuple(labels)) for name, text, *labels in rows]


def _histograms(*rows: tuple[str, str, *tuple[str, ...]]) -> list[Metric]:
    return [Metric(f"pagefault_{name}_seconds", "histogram", text, tuple(labels)) for name, text, *labels in rows]


KERNEL_COUNTERS: Final = {
    "steps": "pagefault_steps_total",
    "page_hits": "pagefault_page_hits_total",
    "page_faults": "pagefault_page_faults_total",
    "refaults": "pagefault_refaults_total",
    "evictions": "pagefault_evictions_total",
    "flushes": "pagefault_flushes_total",
    "summaries": "pagefault_summaries_total",
    "tokens_paged_in": "pagefault_tokens_paged_in_total",
    "tokens_paged_out": "pagefault_tokens_paged_out_total",
    "prompt_tokens": "pagefault_prompt_tokens_total",
    "reply_tokens": "pagefault_reply_tokens_total",
    "cached_tokens": "pagefault_cached_tokens_total",
    "preemptions": "pagefault_preemptions_total",
    "malformed_calls": "pagefault_malformed_calls_total",
    "overflows": "pagefault_overflows_total",
    "quarantined": "pagefault_quarantined_total",
    "policy_failures": "pagefault_policy_failures_total",
}
"""Counters that are sums of the kernels' own, by their names in
:class:`~pagefault.runtime.kernel.statistics.Statistics`."""

METRICS: Final = (
    *_counters(
        ("interrupts", "interrupts that came in; outcome: accepted, duplicate, rejected", "priority", "outcome"),
        ("chains", "chains that ended", "outcome"),
        ("steps", "model replies that agents took"),
        ("model_calls", "calls of models that ended; outcome: ok, or why there was no reply", "purpose", "outcome"),
        ("model_retries", "requests to models that had to be sent again"),
        ("function_calls", "function runs that ended; status: ok, failed, unknown", "status"),
        ("prompt_tokens", "tokens sent to models"),
        ("reply_tokens", "tokens that models replied"),
        ("cached_tokens", "tokens sent that the server had in its cache"),
        ("page_hits", "times that a page was needed and was resident"),
        ("page_faults", "times that a page was needed and was not resident"),
        ("refaults", "page faults for pages that had been evicted not long before"),
        ("evictions", "pages evicted from contexts"),
        ("flushes", "times that a context was brought under its low mark"),
        ("summaries", "recursive summaries made"),
        ("tokens_paged_in", "tokens that came back into contexts"),
        ("tokens_paged_out", "tokens that left contexts"),
        ("preemptions", "chains put aside for a higher interrupt"),
        ("malformed_calls", "calls by models that could not be run"),
        ("overflows", "times that a model's server found a prompt too long"),
        ("quarantined", "interrupts put away because the host died too often in them"),
        ("policy_failures", "times that a policy broke its contract"),
        ("activations", "agents that got a frame, for the first time or again"),
        ("hibernations", "agents that were saved and gave up their frame"),
        ("journal_commits", "groups of records written to the journal"),
        ("journal_records", "records written to the journal"),
        ("archive_pages", "pages handed to the archive"),
        ("endpoint_busy", "times that a model's endpoint said that it was busy", "endpoint"),
    ),
    *_gauges(
        ("agents", "agents of the fleet, resident or not"),
        ("resident_agents", "agents that have a frame", "phase"),
        ("activating_agents", "agents that are getting a frame"),
        ("mailbox_interrupts", "interrupts that wait in mailboxes of resident agents"),
        ("context_tokens", "tokens in the contexts of resident agents"),
        ("frames_bytes", "memory that frames take, estimated"),
        ("unsettled_messages", "messages of resident agents that have not arrived yet"),
        ("pages_waiting", "pages on their way to the archive; at: host, store", "at"),
        ("hosts", "hosts of the fleet that answered"),
        ("budget_requests_in_minute", "requests to an endpoint in the last minute", "endpoint"),
        ("budget_tokens_in_minute", "tokens sent to an endpoint in the last minute", "endpoint"),
        ("budget_under_way", "requests to an endpoint that are under way", "endpoint"),
        ("budget_factor", "by how much an endpoint's limits are shrunk: 1 is not at all", "endpoint"),
        ("budget_spent_tokens", "tokens that the run has spent"),
        ("budget_spent_money", "money that the run has spent, in the currency of its prices"),
        ("budget_waiting_calls", "calls of models that wait for their turn"),
    ),
    *_histograms(
        ("first_step", "from an interrupt's arrival to the first reply of its chain"),
        ("model_call", "a call of a model, with its wait for the budget and its retries", "purpose"),
        ("function", "a function's run, in the host or as a task"),
        ("journal_commit", "writing a group of records to the journal"),
        ("archive_search", "a search of an agent's archive"),
        ("archive_load", "loading pages from the archive"),
        ("archive_write", "handing a batch of pages to the archive"),
    ),
)

BY_NAME: Final = {metric.name: metric for metric in METRICS}
