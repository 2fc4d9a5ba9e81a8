"""Exporters that traced fleets of the tests make by name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

memory = InMemorySpanExporter()


def in_memory() -> SpanExporter:
    """The one above, ready for another fleet."""
    memory._stopped = False
    return memory


def folder_of(fleet: str) -> Path:
    """Where the hosts of a fleet write their spans: they are told of a fleet's name, and of no test's folder."""
    return Path(tempfile.gettempdir(), f"pagefault-spans-{fleet}")


class ToFile(SpanExporter):
    """A line of JSON a span, in a file of this process."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            folder = folder_of(str(span.resource.attributes["pagefault.fleet"]))
            with (folder / f"{os.getpid()}.jsonl").open("a") as file:
                file.write(f"{span.to_json(indent=None)}\n")
        return SpanExportResult.SUCCESS
