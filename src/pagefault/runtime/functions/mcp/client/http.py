"""Streamable HTTP with a bound on what a server may answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

ANSWER_BYTES_MAX = 16 * 2**20
STREAM_BYTES_MAX = 256 * 2**20
READ_S = 300.0


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, bytes_max: int) -> None:
        self._stream = stream
        self._left_bytes = bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._left_bytes -= len(chunk)
            if self._left_bytes < 0:
                raise httpx2.ReadError("the answer is too large")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Bounded(httpx2.AsyncHTTPTransport):
    """Counts what comes over the wire; nothing is asked for compressed, so that this is all there is."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["accept-encoding"] = "identity"
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.ReadError("the answer is compressed though that was not asked for")
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Counted(response.stream, STREAM_BYTES_MAX if is_stream else ANSWER_BYTES_MAX)
        return response


@asynccontextmanager
async def http_transport(url: str, headers: Mapping[str, str], connect_s: float) -> AsyncIterator[TransportStreams]:
    """Streams to and from a server; redirects are followed within its origin only."""
    timeout = httpx2.Timeout(connect_s, read=READ_S)
    async with (
        httpx2.AsyncClient(transport=_Bounded(), headers=dict(headers), timeout=timeout) as client,
        streamable_http_client(url, http_client=client, terminate_on_close=False) as streams,
    ):
        yield streams
