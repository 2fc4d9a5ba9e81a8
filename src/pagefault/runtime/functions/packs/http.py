"""Functions on addresses of the web that an operator allows, and on no others: not what is behind them, either.

An allowed name that leads into a private network, a redirect to one, and a name whose address changes between looking
and connecting gain nothing: see :mod:`~pagefault.runtime.functions.packs.http_addresses`.  The rules of URLs are in
:mod:`~pagefault.runtime.functions.packs.http_rules`, the one fetch in
:mod:`~pagefault.runtime.functions.packs.http_fetch`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pagefault.runtime.errors import ConfigError, UsageError
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.functions.packs.http_addresses import Resolver, read_networks, system_resolver
from pagefault.runtime.functions.packs.http_fetch import GET, POST, VARIABLE, Bounds, Fetched, Fetcher, Traffic
from pagefault.runtime.functions.packs.http_page import HTML_TYPES, page_text
from pagefault.runtime.functions.packs.http_rules import Rule, read_rules, read_url
from pagefault.runtime.functions.packs.http_text import decoded

READ_CHARS: Final = 16_000
METHODS: Final = (GET, POST)
CALL_MARGIN_MS: Final = 5_000
"""What a call may take beyond its fetch, so that it says itself what took too long."""
OURS: Final = frozenset(
    "accept-encoding connection content-length expect host keep-alive proxy-authorization proxy-connection te trailer "
    "transfer-encoding upgrade".split()
)
"""Headers that belong to the connection."""
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,100}")
BodyType = Literal["application/json", "application/x-www-form-urlencoded", "text/plain"]


def http(
    allow: Iterable[str],
    *,
    methods: Iterable[str] = (GET,),
    networks: Iterable[str] = (),
    headers: Mapping[str, Mapping[str, str]] | None = None,
    response_bytes_max: int = 1_000_000,
    timeout_ms: int = 20_000,
    concurrent_max: int = 8,
    requests_per_minute: int = 120,
    ca_file: str | None = None,
    resolver: Resolver = system_resolver,
) -> tuple[Callable[..., Any], ...]:
    """Functions on addresses of the web, to be given to a fleet: ``Local(functions=http(["docs.example.com"]))``.

    They are ``http_get``, and ``http_post`` if ``methods`` has POST.  Both see untrusted text, and send out: a URL has
    in it what a model puts there.

    Args:
        allow: ``[http://]HOST[:PORT][/PATH]``; HOST may be ``*.example.com``, for the names below that one, or ``*``.
            Without ``http://`` only https is spoken, without a port only the usual one; PATH is a beginning.
        methods: of ``GET`` and ``POST``.
        networks: private networks that may be reached, such as ``10.1.0.0/16``.
        headers: what is sent besides, by origin: ``{"https://api.example.com": {"authorization": "Bearer env:NAME"}}``
            takes it from a variable of the process that runs the call.  It follows no redirect to another origin.
        response_bytes_max: of a body, also once it is unpacked; the rest is not read.
        timeout_ms: for a whole fetch, redirects and waiting for others included.
        concurrent_max: fetches at a time.  Like the next, of each process that runs agents.
        requests_per_minute: redirects count, too.
        ca_file: the authorities that certificates may be from, instead of the system's.
        resolver: what looks names up.

    Raises:
        ConfigError: a setting cannot work.
    """
    limits = {
        "response_bytes_max": response_bytes_max,
        "timeout_ms": timeout_ms,
        "concurrent_max": concurrent_max,
        "requests_per_minute": requests_per_minute,
    }
    for name, limit in limits.items():
        if type(limit) is not int or limit < 1:
            raise ConfigError(f"http.{name}", limit, "a whole number above 0")
    rules = read_rules(allow, "http.allow")
    if not rules:
        raise ConfigError("http.allow", [], "one host or more")
    if ca_file is not None and not Path(ca_file).is_file():
        raise ConfigError("http.ca_file", ca_file, "a file that is there")
    fetcher = Fetcher(
        rules,
        read_networks(networks, "http.networks"),
        _headers(headers or {}, rules),
        Bounds(**limits),
        Traffic(concurrent_max, requests_per_minute),
        resolver,
        ca_file,
    )
    makers = {GET: _getting, POST: _posting}
    return tuple(makers[method](fetcher) for method in _methods(methods))


def _methods(methods: Iterable[str]) -> list[str]:
    given = list(methods)
    for number, each in enumerate(given):
        if each not in METHODS:
            raise ConfigError(f"http.methods[{number}]", each, " or ".join(METHODS))
    if not given:
        raise ConfigError("http.methods", given, " or ".join(METHODS))
    return [each for each in METHODS if each in given]


def _headers(headers: Mapping[str, Mapping[str, str]], rules: tuple[Rule, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for origin, values in headers.items():
        field = f"http.headers.{origin}"
        try:
            target = read_url(origin)
        except UsageError:
            raise ConfigError(field, origin, "an origin, such as https://api.example.com") from None
        if target.sent_path != "/" or "#" in origin:
            raise ConfigError(field, origin, "an origin without a path, such as https://api.example.com")
        if not any(rule.admits_host(target) for rule in rules):
            raise ConfigError(field, origin, "an origin that allow has")
        for name, value in values.items():
            if not _HEADER.fullmatch(name) or name.lower() in OURS:
                raise ConfigError(field, name, "a header's name, but of none that belongs to the connection")
            if not value.isascii() or not value.isprintable():
                raise ConfigError(f"{field}.{name}", "something else", "printable ASCII text, or env:NAME")
            if "env:" in value and not VARIABLE.fullmatch(value):
                raise ConfigError(f"{field}.{name}", "something else", "env:NAME, perhaps after a word such as Bearer")
        found[target.origin] = dict(values)
    return found


def _getting(fetcher: Fetcher) -> Callable[..., Any]:
    @function(
        effect="idempotent",
        capabilities=("sees_untrusted", "sends_out"),
        timeout_ms=fetcher.bounds.timeout_ms + CALL_MARGIN_MS,
    )
    async def http_get(url: str, start: int = 0) -> str:
        """Read a page or a document of the web, a part at a time.

        Args:
            url: Its whole address, such as https://example.com/page.
            start: The character to begin with.
        """
        found = await fetcher.fetch(GET, url)
        return await _told(found, max(0, start), f"; read on with start={max(0, start) + READ_CHARS}")

    return http_get


def _posting(fetcher: Fetcher) -> Callable[..., Any]:
    @function(
        effect="once",
        capabilities=("sees_untrusted", "sends_out"),
        timeout_ms=fetcher.bounds.timeout_ms + CALL_MARGIN_MS,
    )
    async def http_post(url: str, body: str, body_type: BodyType = "application/json") -> str:
        """Send something to an address of the web.

        Args:
            url: The whole address, such as https://example.com/orders.
            body: What to send.
            body_type: What kind of text that is.
        """
        return await _told(await fetcher.fetch(POST, url, body.encode(errors="replace"), body_type), 0, "")

    return http_post


async def _told(found: Fetched, start: int, how_to_go_on: str) -> str:
    """An answer as a model reads it: what it is, a part of its text, and how to have the rest."""
    if found.redirect:
        return f"[{found.status} {found.url} redirects to {found.redirect}, which was not followed]"
    # A page may have a megabyte of marks to be taken out, which would hold up the other agents.
    text, form = await asyncio.to_thread(_text, found)
    part = text[start : start + READ_CHARS]
    left = len(text) - start - len(part)
    lines = [f"[{found.status} {found.url}{form}]", part]
    if left > 0:
        lines.append(f"[{left} more characters{how_to_go_on}]")
    elif found.is_cut:
        lines.append("[the answer goes on; no more of it is read]")
    return "\n".join(line for line in lines if line)


def _text(found: Fetched) -> tuple[str, str]:
    text = decoded(found.body, found.charset)
    if found.kind in HTML_TYPES:
        return page_text(text), f" {found.kind}, its words"
    return text, f" {found.kind}" if found.kind else ""
