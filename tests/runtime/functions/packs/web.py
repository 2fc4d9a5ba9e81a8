"""A web of servers on the loopback interface, and names that lead there or elsewhere."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from pagefault.runtime.functions.executor import run_function
from pagefault.runtime.functions.packs.http import http
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.kernel.functions import CallProblem

HERE = "127.0.0.1"
NAME = "docs.example.com"
Writer = asyncio.StreamWriter
Answer = bytes | Callable[[Writer], Awaitable[None]]


def answer(body: bytes | str = b"", kind: str = "text/plain", status: str = "200 OK", **headers: str) -> bytes:
    """An answer as it is sent."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(data)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", status=status, location=location)


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Web:
    """A server; ``answers`` are by path, ``seen`` is what it was asked for."""

    answers: Mapping[str, Answer]
    host: str = HERE
    port: int = 0
    tls: ssl.SSLContext | None = None
    seen: list[Request] = field(default_factory=list)
    most_at_once: int = 0
    _serving: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for each in self._serving:
            each.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def url(self, path: str = "/", name: str = NAME) -> str:
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.most_at_once = max(self.most_at_once, len(self._serving))
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone
        except asyncio.CancelledError:
            pass  # the test is over; Python 3.11 logs an error for a handler that ends so
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.seen.append(Request(method, target, headers, body))
        found = self.answers.get(target.partition("?")[0], answer("nothing", status="404 Not Found"))
        if isinstance(found, bytes):
            writer.write(found)
        else:
            await found(writer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


class Names:
    """A name server of one's own: what each name's addresses are, one answer after the other; the last one stays."""

    def __init__(self, answers: Mapping[str, list[list[str]]] | None = None) -> None:
        self.answers = {name: list(each) for name, each in (answers or {NAME: [[HERE]]}).items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Iterable[str]:
        self.asked.append(host)
        answers = self.answers.get(host, [[]])
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Pack:
    """The functions of a pack, called as a host calls them."""

    def __init__(self, allow: Iterable[str], **settings: Any) -> None:
        self.registry = Registry()
        for each in http(allow, **{"resolver": Names(), **settings}):
            self.registry.add(each)
        self.table = self.registry.table([name for name in self.registry.names() if name.startswith("http_")])

    async def __call__(self, name: str, url: str, **arguments: object) -> tuple[str, str]:
        try:
            checked, _ = self.table.check(name, json.dumps({"url": url, **arguments}))
        except CallProblem as problem:
            return "failed", str(problem)
        return await run_function(self.table.definition(name), json.dumps(checked))

    async def get(self, url: str, **arguments: object) -> tuple[str, str]:
        return await self("http_get", url, **arguments)

    async def post(self, url: str, **arguments: object) -> tuple[str, str]:
        return await self("http_post", url, **arguments)


def pack_of(web: Web, **settings: Any) -> Pack:
    """A pack that may go to a web by its name, and to the loopback interface."""
    scheme = "https" if web.tls else "http"
    return Pack([f"{scheme}://{NAME}:{web.port}"], **{"networks": [f"{HERE}/32"], **settings})
