"""Counters and histograms, held against Prometheus' own reader."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pagefault.runtime.host.telemetry.meters import Meters, Sample, exposition, labelled, quantile_s, totals
from pagefault.runtime.host.telemetry.table import BOUNDS_S, BY_NAME

SECONDS = st.floats(0, 1_000)
SEARCH = "pagefault_archive_search_seconds"
CHAINS = "pagefault_chains_total"
BUSY = "pagefault_endpoint_busy_total"


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus would have after reading this."""
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@given(st.lists(SECONDS, max_size=50), st.text(max_size=20), st.integers(0, 10**12))
def test_prometheus_reads_what_was_counted_whatever_labels_say(lengths: list[float], label: str, count: int) -> None:
    meters = Meters()
    for length in lengths:
        meters.observe(SEARCH, seconds=length)
    meters.add(BUSY, label, by=count)
    found = read(exposition(labelled(meters.samples(), host="host-1")))
    host = ("host", "host-1")
    assert found[BUSY, (("endpoint", label), host)] == count
    if lengths:
        assert found[SEARCH + "_count", (host,)] == len(lengths)
        assert abs(found[SEARCH + "_sum", (host,)] - sum(lengths)) < 1e-6
        for bound in BOUNDS_S:
            under = found[SEARCH + "_bucket", (host, ("le", repr(bound)))]
            assert under == sum(length <= bound for length in lengths)
        assert found[SEARCH + "_bucket", (host, ("le", "+Inf"))] == len(lengths)


@given(st.lists(SECONDS, min_size=1), st.lists(SECONDS, min_size=1))
def test_totals_are_what_one_meter_would_have_counted(first: list[float], second: list[float]) -> None:
    apart: list[Sample] = []
    together = Meters()
    for host, lengths in (("a", first), ("b", second)):
        meters = Meters()
        for each in (meters, together):
            each.add(CHAINS, "yielded", by=len(lengths))
            for length in lengths:
                each.observe(SEARCH, seconds=length)
        apart += labelled(meters.samples(), host=host)
    merged, wanted = totals(apart, "host"), totals(together.samples())
    assert [sample["name"] for sample in merged] == [CHAINS, SEARCH]
    assert merged[0] == wanted[0]
    assert merged[1]["counts"] == wanted[1]["counts"]
    assert abs(sum(merged[1]["sums"]) - sum(first + second)) < 1e-6
    assert len(totals(apart)) == 4


@given(st.lists(st.floats(0.001, 120), min_size=1), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_where_it_is(lengths: list[float], share: float) -> None:
    meters = Meters()
    for length in lengths:
        meters.observe(SEARCH, seconds=length)
    (sample,) = meters.samples()
    found = quantile_s(sample["counts"], share)
    place = next(
        place for place, bound in enumerate(BOUNDS_S) if sum(x <= bound for x in lengths) >= share * len(lengths)
    )
    assert (BOUNDS_S[place - 1] if place else 0) <= found <= BOUNDS_S[place]


def test_nothing_observed_has_no_quantile_and_samples_are_plain() -> None:
    assert quantile_s([0] * (len(BOUNDS_S) + 1), 0.5) == 0
    assert quantile_s([0] * len(BOUNDS_S) + [3], 0.5) == BOUNDS_S[-1]
    meters = Meters()
    meters.put("pagefault_hosts", value=2)
    meters.observe(SEARCH, seconds=0.2)
    assert json.loads(json.dumps(meters.samples())) == meters.samples()
    assert BY_NAME[SEARCH].kind == "histogram"
