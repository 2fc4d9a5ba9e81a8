"""Ids of traces and spans."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pagefault.runtime.host.telemetry.tracing.trace_context import (
    TraceContext,
    chain_span_id,
    current_traceparent,
    read_traceparent,
    root,
)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_a_traceparent_is_read_as_it_was_written(trace_id: int, span_id: int, is_sampled: bool) -> None:
    context = TraceContext(trace_id, span_id, is_sampled)
    assert read_traceparent(context.traceparent()) == context


@given(st.text() | st.from_regex(r"00-[0-9a-f]{30,34}-[0-9a-f]{15,17}-[0-9a-f]{1,3}"))
def test_what_is_none_is_not_read_as_one(text: str) -> None:
    found = read_traceparent(text)
    assert found is None or (len(text) == 55 and text[:52] == found.traceparent()[:52])


def test_zeros_are_no_ids() -> None:
    assert read_traceparent(f"00-{'0' * 32}-{'1' * 16}-01") is None
    assert read_traceparent(f"00-{'1' * 32}-{'0' * 16}-01") is None


def test_a_chain_has_the_same_ids_everywhere_and_another_has_others() -> None:
    assert root("ada", "i1", 1.0) == root("ada", "i1", 1.0)
    assert chain_span_id("ada", "i1") == chain_span_id("ada", "i1")
    ids = {root(agent, cause, 1.0).trace_id for agent in ("ada", "ad", "bob") for cause in ("i1", "ai1", "i2")}
    assert len(ids) == 9, "names are not merely put together"


def test_the_share_of_traces_kept_is_the_one_wanted() -> None:
    kept = sum(root("ada", str(number), 0.25).is_sampled for number in range(4_000))
    assert 900 < kept < 1_100
    assert not root("ada", "i1", 0.0).is_sampled
    assert all(root("ada", str(number), 1.0).is_sampled for number in range(100))


def test_the_span_that_a_program_is_in() -> None:
    assert current_traceparent() == ""
    with TracerProvider().get_tracer("a program").start_as_current_span("its work"):
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        found = read_traceparent(current_traceparent())
        assert found is not None
        assert found == read_traceparent(f"{carrier['traceparent'][:53]}01")
