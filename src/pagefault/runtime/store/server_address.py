"""Addresses of stores in servers; who only asks what they mean need not load the clients, which takes half a second."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pagefault.runtime.errors import ConfigError

KEY_VARIABLE: Final = "QDRANT_API_KEY"
POSTGRES_SCHEMES: Final = ("postgres://", "postgresql://")
COLLECTION: Final = "pagefault"
COLLECTION_ALLOWED: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")


def is_postgres(address: str) -> bool:
    """Whether an address is one of a PostgreSQL server."""
    return address.startswith(POSTGRES_SCHEMES)


def is_server(address: str) -> bool:
    """Whether an address is one of a Qdrant server."""
    return address.startswith(("http://", "https://"))


def server_parts(address: str) -> tuple[str, str]:
    """The engine's own address, and the collection.  Raises ``ConfigError`` which repeats no secret."""
    if not is_server(address):
        return address, COLLECTION
    parts = urlsplit(address)
    allowed = "an address such as https://host:6333?collection=my_fleet, the key in QDRANT_API_KEY"
    if parts.username is not None or parts.password is not None or not parts.hostname:
        raise ConfigError("archive", "an address with a user or without a host", allowed)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    collection = options.pop("collection", COLLECTION)
    if options:
        raise ConfigError("archive", f"the options {', '.join(sorted(options))}", allowed)
    if not COLLECTION_ALLOWED.fullmatch(collection):
        raise ConfigError("archive (collection)", collection, "letters, digits, _ and -, 200 at most")
    return urlunsplit(parts._replace(query=urlencode(options))), collection
