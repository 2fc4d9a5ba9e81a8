"""Hands spans to OpenTelemetry's SDK.  The only module that knows it; needs the extra ``otel``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.telemetry.tracing.record import SpanRecord
from pagefault.runtime.host.telemetry.tracing.settings import CONSOLE, OTLP, Traces

NAME: Final = "pagefault"
_SCOPE: Final = InstrumentationScope(NAME)
_KEPT: Final = TraceFlags(TraceFlags.SAMPLED)
_KINDS: Final = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}


class SdkExport:
    """One process's way out: a queue and a thread of OpenTelemetry's, set up by its ``OTEL_BSP_*`` variables.

    When the queue is full, spans are dropped: agents never wait for whoever looks at them.
    """

    def __init__(self, traces: Traces, *, host: str, fleet: str) -> None:
        """Raises :class:`~pagefault.runtime.errors.ConfigError`."""
        self._resource = _resource(host, fleet)
        self._processor = BatchSpanProcessor(exporter_maker(traces)())

    def __call__(self, record: SpanRecord) -> None:
        self._processor.on_end(span_of(record, self._resource))

    def close(self) -> None:
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK does not say that it returns nothing


def span_of(record: SpanRecord, resource: Resource) -> ReadableSpan:
    """A span as exporters take it."""
    return ReadableSpan(
        name=record.name,
        context=SpanContext(record.trace_id, record.span_id, is_remote=False, trace_flags=_KEPT),
        parent=(
            SpanContext(record.trace_id, record.parent_id, is_remote=True, trace_flags=_KEPT)
            if record.parent_id
            else None
        ),
        resource=resource,
        attributes=record.attributes,
        events=[Event(each.name, each.attributes, each.at_ns) for each in record.events],
        kind=_KINDS[record.kind],
        status=Status(StatusCode.ERROR, record.error) if record.error else Status(StatusCode.UNSET),
        start_time=record.began_ns,
        end_time=record.ended_ns,
        instrumentation_scope=_SCOPE,
    )


def exporter_maker(traces: Traces) -> Callable[[], SpanExporter]:
    """What makes the exporter.  Raises :class:`~pagefault.runtime.errors.ConfigError`."""
    if traces.exporter == OTLP:
        return OTLPSpanExporter
    if traces.exporter == CONSOLE:
        return lambda: ConsoleSpanExporter(out=sys.stderr)
    module_name, _, name = traces.exporter.partition(":")
    try:
        maker: Callable[[], SpanExporter] = getattr(import_module(module_name), name)
    except (ImportError, AttributeError) as problem:
        allowed = f"'module:function' that is there: {problem}"
        raise ConfigError("traces.exporter", traces.exporter, allowed) from problem
    return maker


def _resource(host: str, fleet: str) -> Resource:
    """What all spans of a process come from; ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` count for more."""
    own: dict[str, Any] = {"service.name": NAME}
    if fleet:
        own["pagefault.fleet"] = fleet
    if host:
        own["service.instance.id"] = host
    said = Resource.create()
    named = dict(said.attributes)
    if str(named.get("service.name", "")).startswith("unknown_service"):
        del named["service.name"]
    return Resource(own).merge(Resource(named))
