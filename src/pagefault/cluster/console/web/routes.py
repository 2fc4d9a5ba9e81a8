"""What the page's server answers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pagefault.cluster.console.web.control import Controls
from pagefault.cluster.console.web.feed import Feed
from pagefault.cluster.console.web.guard import REPORT_POLICY, Guard, Rules
from pagefault.cluster.console.web.looks import Looks
from pagefault.cluster.console.web.reports import Reports
from pagefault.runtime.errors import (
    InternalError,
    Overloaded,
    PagefaultError,
    StoreUnavailable,
    UnknownAgent,
    UsageError,
)
from pagefault.runtime.host.telemetry.meters import EXPOSITION_TYPE

ASSETS = {
    path.name: path.read_bytes()
    for path in (files("pagefault.cluster.console.web") / "assets").iterdir()
    if path.is_file()
}
MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnknownAgent, 404),
    (UsageError, 400),
    (Overloaded, 503),
    (StoreUnavailable, 503),
)
Handler = Callable[[Request], Awaitable[Response]]


class Pages:
    """The handlers, with what they answer from."""

    def __init__(self, feed: Feed, looks: Looks, controls: Controls, reports: Reports | None, rules: Rules) -> None:
        self._feed = feed
        self._looks = looks
        self._controls = controls
        self._reports = reports
        self._rules = rules

    def app(self) -> Guard:
        """The server's application, guarded."""
        routes = [
            Route("/", self._index),
            Route("/assets/{name}", self._asset),
            Route("/api/about", self._about),
            Route("/api/events", self._events),
            Route("/api/agent", told(self._agent)),
            Route("/api/page", told(self._page)),
            Route("/api/messages", told(self._messages)),
            Route("/api/timeline", told(self._timeline)),
            Route("/api/difference", told(self._difference)),
            Route("/api/graph", told(self._graph)),
            Route("/api/budget", told(self._budget)),
            Route("/metrics", self._metrics),
            Route("/api/lab", self._lab),
            Route("/lab/{path:path}", self._report),
            Route("/api/{what:str}", told(self._control), methods=["POST"]),
        ]
        return Guard(Starlette(routes=routes), self._rules)

    async def _index(self, _request: Request) -> Response:
        return _asset("index.html")

    async def _asset(self, request: Request) -> Response:
        return _asset(request.path_params["name"])

    async def _about(self, _request: Request) -> Response:
        about = {"control": self._rules.may_control, "lab": self._reports is not None}
        return JSONResponse(about)

    async def _events(self, _request: Request) -> Response:
        events = self._feed.events()
        try:
            first = await anext(events)
        except Overloaded as error:
            return _problem(error)
        return StreamingResponse(_after(first, events), media_type="text/event-stream")

    async def _agent(self, request: Request) -> Any:
        return await self._looks.memory(_text(request, "name"), _number(request, "step"))

    async def _page(self, request: Request) -> Any:
        return await self._looks.page(_text(request, "name"), _number(request, "step"), _text(request, "page"))

    async def _messages(self, request: Request) -> Any:
        return await self._looks.messages(_text(request, "name"), _number(request, "step"))

    async def _timeline(self, request: Request) -> Any:
        first, last = _number(request, "first"), _number(request, "last")
        return await self._looks.timeline(_text(request, "name"), first, last)

    async def _difference(self, request: Request) -> Any:
        return await self._looks.difference(_text(request, "name"), _number(request, "from"), _number(request, "to"))

    async def _graph(self, _request: Request) -> Any:
        return await self._looks.graph()

    async def _budget(self, _request: Request) -> Any:
        return await self._looks.budget()

    async def _metrics(self, _request: Request) -> Response:
        try:
            return PlainTextResponse(await self._looks.metrics(), media_type=EXPOSITION_TYPE)
        except (PagefaultError, TimeoutError) as error:
            return _problem(error)

    async def _lab(self, _request: Request) -> Response:
        return JSONResponse([] if self._reports is None else [asdict(each) for each in self._reports.found()])

    async def _report(self, request: Request) -> Response:
        found = None if self._reports is None else self._reports.read(request.path_params["path"])
        if found is None:
            return PlainTextResponse("there is no such report", 404)
        content, media_type = found
        own = {"content-security-policy": REPORT_POLICY, "x-frame-options": "SAMEORIGIN"}
        return Response(content, media_type=media_type, headers=own)

    async def _control(self, request: Request) -> Any:
        try:
            given = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise UsageError("body: found no JSON, allowed: a JSON object") from None
        return await self._controls.do(request.path_params["what"], given)


def told(handler: Callable[[Request], Awaitable[Any]]) -> Handler:
    """What a handler finds, as JSON; an error of ours in one sentence, with a status that fits."""

    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await handler(request))
        except (PagefaultError, TimeoutError) as error:
            return _problem(error)
        except ClientDisconnect:  # a longer body than was announced, or nobody there any more
            return PlainTextResponse("the request was broken off", 400)

    return answer


def _problem(error: Exception) -> Response:
    status = next((number for kind, number in STATUS if isinstance(error, kind)), 500)
    text = str(error) or type(error).__name__
    if isinstance(error, InternalError):  # its story is long, and has an agent's words
        text = text.partition("; story:")[0]
    return JSONResponse({"error": text}, status)


async def _after(first: bytes, events: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


def _asset(name: str) -> Response:
    content = ASSETS.get(name)
    if content is None:
        return PlainTextResponse("there is no such file", 404)
    return Response(content, media_type=MEDIA_TYPES[name.rpartition(".")[2]], headers={"cache-control": "no-cache"})


def _text(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value:
        raise UsageError(f"{name}: found nothing, allowed: a name")
    return value


def _number(request: Request, name: str) -> int | None:
    value = request.query_params.get(name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 12:
        raise UsageError(f"{name}: found {value!r}, allowed: a whole number from 0 up")
    return int(value)
