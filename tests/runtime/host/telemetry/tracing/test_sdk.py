"""Spans over a wire, as a collector gets them."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.telemetry.tracing.export import open_spans
from pagefault.runtime.host.telemetry.tracing.settings import Traces


class Collector:
    """A server on this machine that takes what is sent to ``/v1/traces``."""

    def __init__(self) -> None:
        self.got: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    data = gzip.decompress(data)
                assert self.path == "/v1/traces"
                collector.got.append(ExportTraceServiceRequest.FromString(data))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name in the base class
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


async def test_a_collector_gets_every_span_before_the_fleet_is_gone(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "town")
    async with Local(embedder="hash", traces="otlp") as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:nothing"))
        await ada.ask("Hello.")
    (resource,) = [each for request in collector.got for each in request.resource_spans]
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "town"
    (scope,) = resource.scope_spans
    assert scope.scope.name == "pagefault"
    chat, chain = scope.spans
    assert (chat.name, chain.name) == ("chat nothing", "invoke_agent ada")
    assert (chat.trace_id, chat.parent_span_id) == (chain.trace_id, chain.span_id)
    assert 0 < chain.start_time_unix_nano <= chat.start_time_unix_nano <= chain.end_time_unix_nano


async def test_a_collector_that_is_not_there_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    async with Local(embedder="hash", traces="otlp") as fleet:
        ada = await fleet.spawn(Agent("ada", model="scripted:nothing"))
        assert await ada.ask("Hello.", timeout_s=20) == ""


def test_where_opentelemetry_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "pagefault.runtime.host.telemetry.tracing.sdk", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match=r"pip install 'pagefault\[otel\]'"):
        open_spans(Traces())
    assert open_spans(None) == (None, None), "who traces nothing needs nothing"
