"""The one way in which functions of a pack go out to the web: every hop checked, everything bounded.

Nothing of a request comes from elsewhere than here: no proxies of the environment, no cookies, no redirects that the
library follows, no connection that is used twice.  What can be refused is refused before a connection is opened.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final
from weakref import WeakKeyDictionary

import httpcore2

from pagefault.runtime.errors import UsageError
from pagefault.runtime.functions.definition import OutcomeUnknown
from pagefault.runtime.functions.packs.http_addresses import CheckedBackend, Network, Resolver
from pagefault.runtime.functions.packs.http_rules import (
    URL_CHARS_MAX,
    Rule,
    Target,
    check_allowed,
    read_redirect,
    read_url,
)
from pagefault.runtime.functions.packs.http_text import ALLOWED, ENCODINGS, GZIP, Unpacker, is_text, read_type

GET: Final = "GET"
POST: Final = "POST"
REDIRECTS: Final = (301, 302, 303, 307, 308)
REDIRECTS_MAX: Final = 5
MINUTE_S: Final = 60.0
HIDDEN: Final = "[secret]"
SECRET_CHARS_MIN: Final = 8
AGENT: Final = b"pagefault"
ACCEPTED: Final = b"text/*, application/json, application/xml;q=0.9, */*;q=0.1"
ERROR_CHARS: Final = 300
CONNECT_S: Final = 5.0
"""So long one address of a name is tried; the time for the whole fetch is limited around all of it."""
SECRET_NAMES: Final = re.compile("authorization|cookie|key|password|secret|token", re.IGNORECASE)
"""Headers whose values nobody is shown, even where they are written into a file."""
VARIABLE: Final = re.compile(r"(?:([A-Za-z]+) )?env:([A-Za-z_][A-Za-z0-9_]*)")
"""A header's value that is in the environment, perhaps after a word such as ``Bearer``."""
_LIBRARY: Final = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a fetch may take; ``requests_per_minute`` counts redirects, too."""

    response_bytes_max: int
    timeout_ms: int
    concurrent_max: int
    requests_per_minute: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back.  ``redirect``: where it leads, when it was not followed; ``is_cut``: there is more."""

    status: int
    url: str
    kind: str = ""
    charset: str = "utf-8"
    body: bytes = b""
    is_cut: bool = False
    redirect: str = ""


class Traffic:
    """How much is going on in this process.  A copy, such as Ray sends to another process, begins at nothing."""

    def __init__(self, concurrent_max: int, requests_per_minute: int) -> None:
        self._concurrent_max = concurrent_max
        self._requests_per_minute = requests_per_minute
        self._rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._begun_s: deque[float] = deque()

    def __reduce__(self) -> tuple[type[Traffic], tuple[int, int]]:
        return type(self), (self._concurrent_max, self._requests_per_minute)

    def room(self) -> asyncio.Semaphore:
        """Where fetches wait for each other."""
        return self._rooms.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._concurrent_max))

    def count(self) -> None:
        """Count a request.  Raises :class:`~pagefault.runtime.errors.UsageError` when there were too many."""
        now_s = time.monotonic()
        while self._begun_s and now_s - self._begun_s[0] >= MINUTE_S:
            self._begun_s.popleft()
        if len(self._begun_s) >= self._requests_per_minute:
            wait_s = MINUTE_S - (now_s - self._begun_s[0])
            raise UsageError(
                f"found more requests than {self._requests_per_minute} a minute, which are allowed; "
                f"try again in {wait_s:.0f} seconds"
            )
        self._begun_s.append(now_s)


@dataclass(slots=True)
class _Call:
    """One fetch while it goes on."""

    method: str
    content: bytes
    content_type: str
    secrets: list[str] = field(default_factory=list)
    is_sent: bool = False

    async def notice(self, event: str, _: Mapping[str, object]) -> None:
        """The library tells what it does: from here on a server may have acted on the request."""
        if event.endswith("send_request_headers.started"):
            self.is_sent = True

    def redacted(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches what its rules allow.  ``headers`` are by origin, each with values as :data:`VARIABLE` has them."""

    rules: tuple[Rule, ...]
    networks: tuple[Network, ...]
    headers: Mapping[str, Mapping[str, str]] = field(repr=False)
    bounds: Bounds
    traffic: Traffic
    resolver: Resolver
    ca_file: str | None

    async def fetch(self, method: str, url: str, content: bytes = b"", content_type: str = "") -> Fetched:
        """Ask for a URL, and follow redirects of a GET.

        Raises:
            UsageError: it may not be asked for, or too much was.
            ConnectionError: it cannot be had.
            TimeoutError: not in time.
            OutcomeUnknown: a POST was sent, and nobody knows what came of it.
        """
        target = read_url(url)
        check_allowed(target, self.rules)
        call = _Call(method, content, content_type)
        try:
            async with asyncio.timeout(self.bounds.timeout_ms / 1000), self.traffic.room():
                return await self._follow(call, target)
        except TimeoutError:
            problem: OSError = TimeoutError(f"{target.origin} took longer than {self.bounds.timeout_ms} ms")
        except (*_LIBRARY, zlib.error) as error:
            reason = call.redacted(str(error) or type(error).__name__)
            problem = ConnectionError(f"{target.origin} gave no answer: {reason[:ERROR_CHARS]}")
        if method != GET and call.is_sent:
            raise OutcomeUnknown(f"{problem}. The request was sent; whether it was carried out is not known.")
        raise problem

    async def _follow(self, call: _Call, start: Target) -> Fetched:
        target, has_left = start, False
        for _ in range(REDIRECTS_MAX + 1):
            self.traffic.count()
            async with self._answer(call, target, with_secrets=not has_left) as response:
                location = _header(response, b"location") if response.status in REDIRECTS else ""
                if not location:
                    return await self._read(call, response, target)
            if call.method != GET:
                return Fetched(response.status, call.redacted(target.url), redirect=call.redacted(_shown(location)))
            following = self._following(target, location)
            has_left = has_left or following.origin != start.origin
            target = following
        raise UsageError(f"{start.url} redirects more than {REDIRECTS_MAX} times")

    def _following(self, target: Target, location: str) -> Target:
        """Where a redirect leads, which has to be allowed as if it had been asked for."""
        try:
            following = read_redirect(target, location)
            check_allowed(following, self.rules)
        except UsageError as error:
            raise UsageError(f"{target.url} redirects to where it may not: {error}") from None
        if (target.scheme, following.scheme) == ("https", "http"):
            raise UsageError(f"{target.url} redirects to {following.origin}, allowed: only https from https")
        return following

    @asynccontextmanager
    async def _answer(self, call: _Call, target: Target, *, with_secrets: bool) -> AsyncIterator[httpcore2.Response]:
        headers = [
            (b"host", target.authority.encode()),
            (b"user-agent", AGENT),
            (b"accept", ACCEPTED),
            (b"accept-encoding", GZIP.encode()),
        ]
        if call.method != GET:
            headers += [(b"content-type", call.content_type.encode()), (b"content-length", b"%d" % len(call.content))]
        if with_secrets:
            headers = _with(headers, self._own_headers(call, target.origin))
        async with (
            httpcore2.AsyncConnectionPool(
                _tls(self.ca_file) if target.scheme == "https" else None,
                max_connections=1,
                max_keepalive_connections=0,
                network_backend=CheckedBackend(self.resolver, self.networks),
            ) as pool,
            pool.stream(
                call.method,
                httpcore2.URL(
                    scheme=target.scheme.encode(),
                    host=target.host.encode(),
                    port=target.port,
                    target=target.sent_path.encode(),
                ),
                headers=headers,
                content=call.content or None,
                extensions={"timeout": {"connect": CONNECT_S}, "trace": call.notice},
            ) as response,
        ):
            yield response

    def _own_headers(self, call: _Call, origin: str) -> list[tuple[bytes, bytes]]:
        """The headers for an origin, their secrets from this process's environment.

        Raises :class:`~pagefault.runtime.errors.UsageError` when there is no such variable, or nothing to send in it.
        """
        found: list[tuple[bytes, bytes]] = []
        for name, value in self.headers.get(origin, {}).items():
            parts = VARIABLE.fullmatch(value)
            sent = value
            if parts is not None:
                secret = os.environ.get(parts[2], "").strip()
                if not secret or not secret.isascii() or not secret.isprintable():
                    raise UsageError(
                        f"the header {name} of {origin} needs the variable {parts[2]}, with printable text"
                    )
                if len(secret) >= SECRET_CHARS_MIN:
                    call.secrets.append(secret)
                sent = f"{parts[1]} {secret}" if parts[1] else secret
            elif SECRET_NAMES.search(name) and len(value) >= SECRET_CHARS_MIN:
                call.secrets += [value, *(word for word in value.split() if len(word) >= SECRET_CHARS_MIN)]
            found.append((name.lower().encode(), sent.encode()))
        return found

    async def _read(self, call: _Call, response: httpcore2.Response, target: Target) -> Fetched:
        kind, charset = read_type(_header(response, b"content-type"))
        answer = Fetched(response.status, call.redacted(target.url), kind, charset)
        body, is_cut = await self._body(response, is_wanted=is_text(kind))
        if (body or is_cut) and not is_text(kind):
            if call.method == GET and response.status < 400:
                raise UsageError(f"{answer.url} is of the type {kind!r}, allowed: {ALLOWED}")
            return answer
        secrets = [each.encode() for each in call.secrets]
        for secret in secrets:
            body = body.replace(secret, HIDDEN.encode())
        return replace(answer, body=body, is_cut=is_cut)

    async def _body(self, response: httpcore2.Response, *, is_wanted: bool) -> tuple[bytes, bool]:
        """What is in a body, as far as it is allowed, and whether there is more; a byte of one that is not wanted."""
        encoding = _header(response, b"content-encoding").lower()
        if encoding not in ENCODINGS:
            raise ConnectionError(f"the answer is packed as {encoding[:40]!r}, allowed: gzip")
        bytes_max = self.bounds.response_bytes_max if is_wanted else 0
        unpacker, body, received_bytes = Unpacker(encoding), bytearray(), 0
        async for piece in response.aiter_stream():
            received_bytes += len(piece)
            body += unpacker.feed(piece, bytes_max + 1 - len(body))
            if len(body) > bytes_max or received_bytes > bytes_max:
                return bytes(body[: max(1, bytes_max)]), True
        return bytes(body), not unpacker.is_whole


def _with(headers: list[tuple[bytes, bytes]], own: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in own}
    return [each for each in headers if each[0] not in names] + own


def _shown(text: str) -> str:
    return "".join(filter(str.isprintable, text[:URL_CHARS_MAX]))


def _header(response: httpcore2.Response, name: bytes) -> str:
    return next((value.decode("utf-8", "replace") for key, value in response.headers if key.lower() == name), "")


@lru_cache(maxsize=16)
def _tls(ca_file: str | None) -> ssl.SSLContext:
    """The system's authorities, or those of a file; certificates and names are always verified."""
    return httpcore2.default_ssl_context() if ca_file is None else ssl.create_default_context(cafile=ca_file)
