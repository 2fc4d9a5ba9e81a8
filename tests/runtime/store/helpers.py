"""Pages and a small talk to store and search, written for these tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pagefault.runtime.store.archive import PointArchive
from pagefault.runtime.store.hybrid import HybridSearch
from pagefault.runtime.store.points import point_id
from pagefault.runtime.store.protocols import FoundPages, StoredPage
from pagefault.runtime.values import AgentId, ArchiveQuery, Page, PageId, PageKind

ANN, BOB = AgentId("ann"), AgentId("bob")
TENANT = "valley"


def at_ms(year: int, month: int, day: int, hour: int = 12) -> int:
    return round(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


def page(number: int, text: str, **fields: Any) -> Page:
    """Page ``p<number>`` of an agent, by default a message of the year 2024."""
    given = {"kind": PageKind.MESSAGE, "created_ms": at_ms(2024, 1, 1) + number, "ordinal": number, **fields}
    return Page(id=PageId(f"p{number}"), text=text, tokens=len(text) // 4 + 4, **given)


def stored(
    number: int, text: str, *, agent: AgentId = ANN, tenant: str = TENANT, seq: int = 0, **fields: Any
) -> StoredPage:
    return StoredPage(tenant, agent, page(number, text, **fields), seq)


def query(text: str, **fields: Any) -> ArchiveQuery:
    return ArchiveQuery(text, **{"spaces": ("recall",), **fields})


def ids(result: FoundPages) -> list[str]:
    return [found.stored.page.id for found in result.found]


TALK: list[tuple[str, tuple[int, int], str, str]] = [
    ("s1", (3, 2), "Mira", "Good morning, Oskar! The frost has finally left the orchard."),
    ("s1", (3, 2), "Oskar", "Morning, Mira. Then we can prune the pear trees this week."),
    ("s1", (3, 2), "Mira", "What instrument is that in the long case?"),
    ("s1", (3, 2), "Oskar", "An oboe. I have had it since I was nine."),
    ("s1", (3, 2), "Mira", "Will you bring it to the spring fair?"),
    ("s1", (3, 2), "Oskar", "If my lip heals in time, gladly."),
    ("s2", (5, 17), "Oskar", "The ferry is out of order again, so I rowed across the lake."),
    ("s2", (5, 17), "Mira", "In that wind? You must be soaked."),
    ("s2", (5, 17), "Oskar", "To the bone. But I sold eleven baskets of pears in town."),
    ("s2", (5, 17), "Mira", "I painted the boathouse door green while you were away."),
    ("s2", (5, 17), "Oskar", "Green suits it. Who lent you the ladder?"),
    ("s2", (5, 17), "Mira", "Old Pavel did, the blacksmith."),
    ("s3", (8, 30), "Mira", "My sister Ilse arrives on the evening train from Trieste."),
    ("s3", (8, 30), "Oskar", "The one who repairs violins?"),
    ("s3", (8, 30), "Mira", "The very same. She will stay until the harvest."),
    ("s3", (8, 30), "Oskar", "Then we shall play duets, she and I."),
    ("s3", (8, 30), "Mira", "I adopted a kitten, by the way. She sleeps in the flour bin."),
    ("s3", (8, 30), "Oskar", "I will check my bread for whiskers."),
]


def talk(agent: AgentId = ANN) -> list[StoredPage]:
    return [
        stored(
            number,
            text,
            agent=agent,
            author=author,
            session=session,
            created_ms=at_ms(2023, month, day),
            source="user",
        )
        for number, (session, (month, day), author, text) in enumerate(TALK)
    ]


def empty(archive: PointArchive) -> None:
    """Take everything out, so that the next test can have the archive: making one takes a second on a busy disk."""
    gone = list(archive.pages())
    if gone:
        archive._points.delete([point_id(each.tenant, each.agent, each.page.id) for each in gone])
    archive._hybrid = HybridSearch(archive._points, archive._embedder)  # the old one remembers what it read
