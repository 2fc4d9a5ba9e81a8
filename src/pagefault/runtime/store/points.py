"""How a page is a point of the archive: its id, its payload, and who may see it.  The same for every driver."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import jiter

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.store.codec import Codec
from pagefault.runtime.store.protocols import StoredPage
from pagefault.runtime.values import AgentId, ArchiveQuery, FunctionCall, Page, PageId, PageKind, Space

__all__ = [
    "KIND_CODES",
    "PRIVATE_SPACES",
    "Scope",
    "fields_of",
    "owner_key",
    "payload_of",
    "point_id",
    "storable",
    "stored_from",
    "tenant_prefix",
]

PRIVATE_SPACES: Final = frozenset(space.value for space in Space)
"""Spaces that every agent has for itself; any other name is a space shared within the tenant."""

KIND_CODES: Final[Mapping[PageKind, int]] = {
    PageKind.MESSAGE: 1,
    PageKind.OBSERVATION: 2,
    PageKind.REPLY: 3,
    PageKind.RESULT: 4,
    PageKind.PASSAGE: 5,
    PageKind.SUMMARY: 6,
    PageKind.NOTICE: 7,
}
"""Kinds as the payload has them: the engine takes a number in a third of the time of a string."""

NAMESPACE: Final = UUID("6f6e3f0a-7c7b-5d0e-9a53-0d9f6c1d2b47").bytes
UUID_FREE: Final = ~(0xF000 << 64 | 0xC000 << 48)
UUID_VERSION_5: Final = 0x5000 << 64 | 0x8000 << 48
"""The bits that say which version and variant a UUID is of."""
CODEC: Final = Codec({"stored": StoredPage, "page": Page, "call": FunctionCall})


def point_id(tenant: str, agent: AgentId, page_id: PageId) -> int:
    """The number of a page's UUID (version 5, RFC 9562), so that writing it again writes the same point.

    A number rather than the UUID or its text, because a search handles hundreds and compares them.
    """
    # Lengths first: ("a", "bc") and ("ab", "c") are different pages.
    name = f"{len(tenant)}:{tenant}{len(agent)}:{agent}{page_id}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha1(NAMESPACE + name, usedforsecurity=False).digest()  # SHA-1 is what version 5 says
    return int.from_bytes(digest[:16], "big") & UUID_FREE | UUID_VERSION_5


@lru_cache(maxsize=16_384)
def owner_key(tenant: str, agent: AgentId, space: str) -> str:
    """Whose a page is, as one string that can be filtered by: ``tenant/agent/space``, or ``tenant//space``."""
    whose = agent if space in PRIVATE_SPACES else ""
    return "/".join(quote(part, safe="", errors="surrogatepass") for part in (tenant, whose, space))


def tenant_prefix(tenant: str) -> str:
    """What all owner keys of a tenant begin with."""
    return quote(tenant, safe="", errors="surrogatepass") + "/"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search may see: pages of these owners that pass these filters (an empty one lets all pass), but
    for the points that are excluded."""

    owners: tuple[str, ...]
    kinds: tuple[PageKind, ...] = ()
    authors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    after_ms: int | None = None
    before_ms: int | None = None
    excluded: tuple[int, ...] = ()

    @classmethod
    def of(cls, tenant: str, agent: AgentId, query: ArchiveQuery) -> Scope:
        """The scope of one agent's query."""
        owners = tuple(owner_key(tenant, agent, space) for space in dict.fromkeys(query.spaces))
        excluded = tuple(point_id(tenant, agent, page_id) for page_id in query.exclude)
        return cls(owners, query.kinds, query.authors, query.tags, query.after_ms, query.before_ms, excluded)

    def between(self, after_ms: int, before_ms: int) -> Scope:
        """The same within a stretch of time, ends included."""
        after = after_ms if self.after_ms is None else max(after_ms, self.after_ms)
        before = before_ms if self.before_ms is None else min(before_ms, self.before_ms)
        return replace(self, after_ms=after, before_ms=before)

    @property
    def is_one_history(self) -> bool:
        """Whether all its pages are one agent's, so that their ordinals are one order."""
        return all("//" not in owner for owner in self.owners)


def payload_of(stored: StoredPage) -> dict[str, Any]:
    """What the engine keeps with a vector: the fields it filters by, and the page whole, as JSON.

    Few fields, because the engine takes microseconds for each.
    """
    page = stored.page
    payload: dict[str, Any] = {
        "owner": owner_key(stored.tenant, stored.agent, page.space),
        "kind": KIND_CODES[page.kind],
        "created_ms": page.created_ms,
        "ordinal": page.ordinal,
        "page": CODEC.encode_json(stored),
    }
    if page.author:
        payload["author"] = storable(page.author)
    if page.tags:
        payload["tags"] = [storable(tag) for tag in page.tags]
    return payload


def stored_from(text: str) -> StoredPage:
    """The page of a payload's ``page``.  Raises :class:`~pagefault.runtime.errors.StoreCorrupt`."""
    stored = CODEC.decode_json(text)
    if not isinstance(stored, StoredPage):
        raise StoreCorrupt(f"archive: found {type(stored).__name__} where a page should be")
    return stored


def fields_of(text: str) -> dict[str, Any]:
    """The fields of a payload's ``page`` unchecked, eight times faster than :func:`stored_from`.

    Raises :class:`~pagefault.runtime.errors.StoreCorrupt` for what is no JSON of a page at all.
    """
    try:
        stored: dict[str, Any] = _parsed(text)[1]
        page: dict[str, Any] = stored["page"]
        page["agent"] = stored["agent"]
        return page
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise StoreCorrupt(f"archive: a page cannot be read: {error!r:.200}") from error


def _parsed(text: str) -> Any:
    try:
        return jiter.from_json(text.encode())
    except ValueError:
        # It may only be a lone surrogate, written as an escape, which jiter takes for a mistake.
        return json.loads(text)


def storable(text: str) -> str:
    """As the engine can keep it: lone surrogates, which are no text, become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
