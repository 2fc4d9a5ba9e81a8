"""Who may ask the page's server for what; everything else is refused before anything is read.

A browser lets any site send requests to this machine, and a site can have its own name point here (DNS rebinding).  So
the name that was asked for must be one of ours, what changes something must come from our own page, and beyond this
machine everybody needs the token.  The page may load nothing from elsewhere and run nothing but its own files, whatever
agents write: https://www.w3.org/TR/CSP3/.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_BYTES = 24
BODY_MAX_BYTES = 64 * 1024
TARGET_MAX_CHARS = 2_000
COOKIE_MAX_CHARS = 8_192
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
"""Of a report: it brings its pictures and its style, and has no script."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
"""On every answer; one that sets its own is left as it is."""


def is_loopback(host: str) -> bool:
    """Whether what is bound to this address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class Rules:
    """Who is let in.  ``token``: empty if none is needed.  ``names``: host names by which the server may be asked for,
    besides addresses and ``localhost``.  ``may_control``: whether anything may be changed."""

    port: int
    token: str = ""
    names: frozenset[str] = field(default_factory=lambda: frozenset({socket.gethostname().lower()}))
    may_control: bool = False

    @property
    def cookie(self) -> str:
        """Cookies know no ports, so two pages of one machine need two names."""
        return f"pagefault_{self.port}"

    def is_ours(self, host: str) -> bool:
        """Whether a ``Host`` header is one that only somebody who means this server can send: no site can have the
        browser believe that it comes from an address."""
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost" or name in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def is_known(self, given: str) -> bool:
        return not self.token or hmac.compare_digest(given.encode(), self.token.encode())


class Guard:
    """The outermost layer of the server; see the module."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers) or self._at_the_door(scope, headers)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    sent.setdefault(name, value)
            await send(message)

        if refusal is not None:
            await refusal(scope, receive, send_guarded)
        else:
            await self._app(scope, _bounded(receive), send_guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        method = scope["method"]
        if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > TARGET_MAX_CHARS:
            return PlainTextResponse("the address is too long", 414)
        try:
            is_ours = self._rules.is_ours(headers.get("host", ""))
        except ValueError:  # no address at all
            is_ours = False
        if not is_ours:
            return PlainTextResponse("this server is not known by that name; see --allow-name", 421)
        if method in {"GET", "HEAD"}:
            return None
        if method != "POST":
            return PlainTextResponse("GET, HEAD and POST are understood", 405)
        if not self._rules.may_control:
            return PlainTextResponse("this page only shows; start it with --allow-control", 403)
        if not _is_from_own_page(headers):
            return PlainTextResponse("only the page itself may do that", 403)
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return PlainTextResponse("send application/json", 415)
        length = headers.get("content-length", "")
        if not length.isascii() or not length.isdigit() or int(length) > BODY_MAX_BYTES:
            return PlainTextResponse(f"send {BODY_MAX_BYTES} bytes at most, and say how many", 413)
        return None

    def _at_the_door(self, scope: Scope, headers: Headers) -> Response | None:
        """What whoever has not shown the token is told; nothing for those who have."""
        rules = self._rules
        if not rules.token:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = next((value for name, value in query if name == "token"), None)
        if shown is not None and scope["method"] == "GET" and rules.is_known(shown):
            return self._let_in(scope["path"], [pair for pair in query if pair[0] != "token"])
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if rules.is_known(_cookie(headers, rules.cookie)) or rules.is_known(bearer):
            return None
        return PlainTextResponse("open the address that `pagefault ui` printed: it has the token\n", 401)

    def _let_in(self, path: str, query: list[tuple[str, str]]) -> Response:
        """The token goes into a cookie, and out of the address, which is seen, kept and passed on."""
        clean = "/" + path.lstrip("/")  # two slashes would lead to another host
        target = clean + (f"?{urlencode(query)}" if query else "")
        response = Response(status_code=303, headers={"location": target})
        response.set_cookie(self._rules.cookie, self._rules.token, httponly=True, samesite="strict", path="/")
        return response


def _is_from_own_page(headers: Headers) -> bool:
    """Browsers say where a request comes from; without that, it is none of a page."""
    origin = urlsplit(headers.get("origin", ""))
    if origin.scheme not in {"http", "https"} or origin.netloc != headers.get("host", ""):
        return False
    return headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _cookie(headers: Headers, name: str) -> str:
    text = headers.get("cookie", "")
    if len(text) > COOKIE_MAX_CHARS:
        return ""
    pairs = (pair.strip().partition("=") for pair in text.split(";"))
    return next((value for found, _, value in pairs if found == name), "")


def _bounded(receive: Receive) -> Receive:
    """A body may not be longer than was said, whatever was said: the server counts, and so do we."""
    taken = 0

    async def receive_bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_MAX_BYTES:
            return {"type": "http.disconnect"}
        return message

    return receive_bounded
