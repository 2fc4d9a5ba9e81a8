"""Which addresses of the web may be asked for: URLs read in one strict way, and the list of what is allowed.

A URL is read once, here, and goes on in its parts: nobody after this reads it a second time and differently.  What some
readers take for something else (user names, backslashes, numbers for hosts, hidden dots in paths) is refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urljoin

import idna

from pagefault.runtime.errors import ConfigError, UsageError

URL_CHARS_MAX: Final = 4_000
HOST_CHARS_MAX: Final = 253
PORTS: Final = {"https": 443, "http": 80}
SHOWN_CHARS: Final = 200
UNQUOTED_TIMES: Final = 4
ANY: Final = "*"
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(/[^?#]*)?(?:\?([^#]*))?(?:#.*)?")
_AUTHORITY: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PARTS_OF_PATHS: Final = re.compile(r"[/\\;]")
_OVERLONG: Final = re.compile(r"%(?:c[01]|e0%[89])", re.IGNORECASE)
"""The beginning of a character in more bytes than it has: no UTF-8, but some servers read it as one."""
_PRINTABLE: Final = "".join(chr(code) for code in range(0x21, 0x7F))


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for.  ``host`` is a name in ASCII or an address without brackets; ``path`` begins with ``/``, and
    it and ``query`` are ASCII, as they are sent."""

    scheme: str
    host: str
    port: int
    path: str = "/"
    query: str | None = None

    @property
    def is_literal(self) -> bool:
        """Whether the host is an address, not a name."""
        return ":" in self.host or _NUMBER.fullmatch(self.host.rpartition(".")[2]) is not None

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if PORTS[self.scheme] == self.port else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def sent_path(self) -> str:
        """Path and query."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def url(self) -> str:
        return f"{self.origin}{self.sent_path}"


def read_url(text: str) -> Target:
    """Read a URL.  Raises :class:`~pagefault.runtime.errors.UsageError`, which says what is wrong with it."""
    if len(text) > URL_CHARS_MAX:
        raise UsageError(f"url: found {len(text)} characters, allowed: at most {URL_CHARS_MAX}")
    if not text.isprintable() or any(each.isspace() or each == "\\" for each in text):
        raise _refused(text, "no spaces, control characters or backslashes; write a space as %20")
    found = _URL.fullmatch(text)
    if found is None:
        raise _refused(text, "a whole address, such as https://example.com/page")
    scheme, authority, path, query = found.groups()
    scheme = scheme.lower()
    if scheme not in PORTS:
        raise _refused(text, "an address that begins with https://")
    if "@" in authority:
        raise _refused(text, "an address without a user name or password")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise _refused(text, "a host, and perhaps a port from 1 to 65535")
    port = int(parts[2] or PORTS[scheme])
    if not 1 <= port <= 65535:
        raise _refused(text, "a port from 1 to 65535")
    target = Target(scheme, _host(parts[1], text), port, _sent(path or "/"), None if query is None else _sent(query))
    if has_dots(target.path):
        raise _refused(text, "a path without . and .. in it, however they are written")
    return target


def read_redirect(base: Target, location: str) -> Target:
    """Where a redirect leads.  Raises :class:`~pagefault.runtime.errors.UsageError`."""
    try:
        return read_url(urljoin(base.url, location))
    except ValueError:
        raise _refused(location, "a whole address, such as https://example.com/page") from None


def _sent(text: str) -> str:
    return quote(text, safe=_PRINTABLE)


def has_dots(path: str) -> bool:
    """Whether a path has ``.`` or ``..`` among its names, as some server may read it: encoded, or encoded twice."""
    for _ in range(UNQUOTED_TIMES):
        if _OVERLONG.search(path) or any(part in (".", "..") for part in _PARTS_OF_PATHS.split(path)):
            return True
        path, before = unquote(path), path
        if path == before:
            return False
    return True  # nobody encodes a path that often with a good purpose


def _host(text: str, url: str) -> str:
    """A host in one spelling.  Raises :class:`~pagefault.runtime.errors.UsageError`."""
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text[1:-1] if "%" not in text else ""))
        except ValueError:
            raise _refused(url, "an IPv6 address in the brackets, without a zone") from None
    host = text.lower()
    if len(host) <= HOST_CHARS_MAX and not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode().lower()
        except (idna.IDNAError, UnicodeError):
            raise _refused(url, "a host's name that is allowed in the domain name system") from None
    host = host.removesuffix(".")
    labels = host.split(".")
    if len(host) > HOST_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(url, "a host's name of letters, digits, - and dots")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _refused(url, "a host's name, or four numbers from 0 to 255 without leading zeros") from None
    return host


def _refused(url: str, allowed: str) -> UsageError:
    return UsageError(f"url: found {url[:SHOWN_CHARS]!r}, allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of an allow-list.  ``host`` is empty for any name; ``below``: names below it, not itself."""

    scheme: str
    host: str
    port: int
    path: str
    below: bool
    text: str

    def admits_host(self, target: Target) -> bool:
        """Whether it is for that scheme, host and port."""
        if (target.scheme, target.port) != (self.scheme, self.port):
            return False
        if not self.below:
            return target.host == self.host
        return not target.is_literal and (not self.host or target.host.endswith(f".{self.host}"))

    def admits(self, target: Target) -> bool:
        return self.admits_host(target) and (
            not self.path or target.path == self.path or target.path.startswith(f"{self.path}/")
        )


def read_rules(allow: Iterable[str], field: str) -> tuple[Rule, ...]:
    """Read an allow-list.

    An entry is ``[http://]HOST[:PORT][/PATH]``; HOST may be ``*.example.com``, for all names below that one, or ``*``.

    Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """
    if isinstance(allow, str):
        raise ConfigError(field, allow, "a list of hosts")
    return tuple(_rule(entry, f"{field}[{number}]") for number, entry in enumerate(allow))


def _rule(entry: object, field: str) -> Rule:
    allowed = (
        "a host such as example.com or *.example.com, perhaps with a port and the beginning of a path; http:// first"
    )
    allowed += " where it shall not be https"
    if not isinstance(entry, str) or not entry:
        raise ConfigError(field, entry, allowed)
    whole = entry if "://" in entry else f"https://{entry}"
    scheme, _, rest = whole.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    is_any = re.fullmatch(r"\*(?::[0-9]+)?", authority) is not None
    below = is_any or authority.startswith("*.")
    plain = rest[1:] if is_any else rest.removeprefix("*.")
    try:
        target = read_url(f"{scheme}://{'any' if is_any else ''}{plain}")
    except UsageError as error:
        raise ConfigError(field, entry, f"{allowed} ({error})") from None
    if target.query is not None or "#" in entry or (below and target.is_literal):
        raise ConfigError(field, entry, allowed)
    host = "" if is_any else target.host
    return Rule(target.scheme, host, target.port, target.path.rstrip("/"), below, entry)


def check_allowed(target: Target, rules: Iterable[Rule]) -> None:
    """Raises :class:`~pagefault.runtime.errors.UsageError` when no entry of the list has it."""
    known = tuple(rules)
    if any(rule.admits(target) for rule in known):
        return
    if target.scheme == "http" and not any(rule.scheme == "http" for rule in known):
        raise _refused(target.url, "an address that begins with https://")
    listed = ", ".join(rule.text for rule in known[:10]) + (", …" if len(known) > 10 else "")
    raise _refused(target.url, f"only {listed}")
