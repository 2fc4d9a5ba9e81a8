"""Where spans go.  OpenTelemetry is imported when a fleet is traced, and not before."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.telemetry.tracing.record import SpanRecord
from pagefault.runtime.host.telemetry.tracing.settings import Given, Traces, read_traces
from pagefault.runtime.host.telemetry.tracing.spans import Spans

_SDK = "pagefault.runtime.host.telemetry.tracing.sdk"


class TraceExport(Protocol):
    """A process's way out, in :mod:`.sdk`."""

    def __call__(self, record: SpanRecord) -> None:
        """Queue a span; see :data:`~pagefault.runtime.host.telemetry.tracing.record.Sink`."""

    def close(self) -> None:
        """Send what is queued, and stop.  Blocks until then, or until ``OTEL_BSP_EXPORT_TIMEOUT`` has passed."""


def checked_traces(given: Given) -> Traces | None:
    """What a program gives as ``traces``, as settings; what those need is there.

    Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """
    traces = read_traces(given)
    if traces is not None:
        _ = _sdk(traces).exporter_maker(traces)
    return traces


def open_spans(
    traces: Traces | None, *, host: str = "", fleet: str = ""
) -> tuple[TraceExport, Spans] | tuple[None, None]:
    """What makes a host's spans, and where they go, to be closed after the host; nothing without settings.

    Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """
    if traces is None:
        return None, None
    export: TraceExport = _sdk(traces).SdkExport(traces, host=host, fleet=fleet)
    return export, Spans(export, share=traces.share, content=traces.content, host=host)


def _sdk(traces: Traces) -> Any:
    try:
        return import_module(_SDK)
    except ImportError as problem:
        allowed = f"pip install 'pagefault[otel]', which traces need (no package {problem.name})"
        raise ConfigError("traces.exporter", traces.exporter, allowed) from problem
