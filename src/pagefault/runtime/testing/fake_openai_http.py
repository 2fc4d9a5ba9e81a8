"""Just enough HTTP/1.1 for a server that has to be able to break it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HEADERS_BYTES_MAX = 65_536
BODY_BYTES_MAX = 64 * 1024 * 1024
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class BadRequest(Exception):
    """A request that is not HTTP, or too large."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in; header names are in lower case, ``body`` is the parsed JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request on a connection; ``None`` when the client has closed it.

    Raises:
        BadRequest: it cannot be read.
    """
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequest("the headers are too long") from error
    first, *lines = head.rstrip("\r\n").split("\r\n")
    try:
        method, target, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        size = int(headers.get("content-length", "0"))
    except ValueError as error:
        raise BadRequest(f"not an HTTP request: {first[:80]!r}") from error
    if "transfer-encoding" in headers or not 0 <= size <= BODY_BYTES_MAX:
        raise BadRequest(f"a body of at most {BODY_BYTES_MAX} bytes and a Content-Length are needed")
    try:
        body = json.loads(await reader.readexactly(size)) if size else {}
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not JSON") from error
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    return Request(method, target.split("?")[0], headers, body)


class Exchange:
    """A request, and the ways to answer it, good and bad.

    ``closed`` is set by anything after which the connection cannot be used again.
    """

    def __init__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.closed = False
        self._writer = writer
        self._chunked = False

    async def send(
        self,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """A whole response."""
        await self.begin(status, content_type, {**(headers or {}), "Content-Length": str(len(body))})
        await self.write(body)

    async def begin(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        """The status line and headers; without a ``Content-Length`` the body is chunked."""
        self._chunked = not any(name.lower() == "content-length" for name in headers)
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}", f"Content-Type: {content_type}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self._chunked:
            lines.append("Transfer-Encoding: chunked")
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        await self._writer.drain()

    async def write(self, piece: bytes) -> None:
        """Part of the body."""
        if not piece:
            return
        self._writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if self._chunked else piece)
        await self._writer.drain()

    async def end(self) -> None:
        """The proper end of a chunked body."""
        if self._chunked:
            self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()

    def close(self) -> None:
        """Close the connection, wherever the response is."""
        self.closed = True
        self._writer.close()

    def reset(self) -> None:
        """Break the connection off: the client gets a reset, not an end."""
        self.closed = True
        connection = self._writer.get_extra_info("socket")
        if isinstance(connection, socket.socket) or hasattr(connection, "setsockopt"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
