"""No memory crosses a tenant, an agent or a space, whatever is asked: through the gateway, over the real engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pagefault.runtime.errors import InternalError, UnknownName
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.embed import HashEmbedder
from pagefault.runtime.store.gateway import MemoryGateway
from pagefault.runtime.values import AgentId, ArchiveQuery, Page, PageId, PageKind

TENANTS = ("north", "south", "north/ann", "n*")
AGENTS = ("ann", "bob", "ann/recall", "")
SPACES = ("recall", "archival", "team", "board")
GIVEN = {"ann": ("team",), "bob": ("team", "board"), "ann/recall": ()}
WORDS = ("harbour", "lantern", "pear", "violin", "north", "south", "ann", "bob", "team", "board", "recall")
PAGES = 6


def label(tenant: str, agent: str, space: str) -> str:
    return f"<{tenant}|{agent}|{space}>"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryGateway]:
    archive = EdgeArchive(tmp_path_factory.mktemp("isolation") / "archive", HashEmbedder())
    opened = MemoryGateway(archive)
    for tenant in TENANTS:
        for agent, given_spaces in GIVEN.items():
            memory = opened.memory(tenant, AgentId(agent), given_spaces)
            spaces = ("recall", "archival", *given_spaces)
            numbered = ((number, spaces[number % len(spaces)]) for number in range(1, PAGES * len(spaces) + 1))
            memory.store([_page(number, tenant, agent, space) for number, space in numbered])
    opened.flush()
    yield opened
    archive.close()


def _page(number: int, tenant: str, agent: str, space: str) -> Page:
    text = f"{WORDS[number % 4]} {WORDS[number % 3]} of {tenant} {agent} {space} {label(tenant, agent, space)}"
    kind = tuple(PageKind)[number % len(PageKind)]
    return Page(
        PageId(f"p{number}"), kind, text, 20, 1000 * number, number, author=WORDS[number % 11], space=space,
        tags=(WORDS[number % 5],),
    )  # fmt: skip


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=3, unique=True).map(tuple)


queries = st.builds(
    ArchiveQuery,
    text=st.one_of(
        st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
        st.sampled_from([label(tenant, agent, space) for tenant in TENANTS for agent in GIVEN for space in SPACES]),
        st.sampled_from(["", "*", "%", "' OR 1=1 --", "\x00", "tenant:south", '{"should": []}', "\ud800"]),
        st.text(max_size=12),
    ),
    spaces=st.one_of(some(SPACES), st.lists(st.text(max_size=6), max_size=2).map(tuple)),
    mode=st.sampled_from(["hybrid", "dense", "words", "substring"]),
    kinds=st.lists(st.sampled_from(PageKind), max_size=3, unique=True).map(tuple),
    authors=some(WORDS),
    tags=some(WORDS),
    after_ms=st.none() | st.integers(-(2**40), 2**40),
    before_ms=st.none() | st.integers(-(2**40), 2**40),
    offset=st.integers(0, 40),
    limit=st.integers(1, 60),
    exclude=some(("p1", "p2", "p3")).map(lambda names: tuple(PageId(name) for name in names)),
)
owners = st.tuples(st.sampled_from(TENANTS), st.sampled_from(sorted(GIVEN)))


def check_one(gateway: MemoryGateway, owner: tuple[str, str], query: ArchiveQuery, page_ids: list[str]) -> None:
    tenant, agent = owner
    memory = gateway.memory(tenant, AgentId(agent), GIVEN[agent])
    spaces = {"recall", "archival", *GIVEN[agent]}
    try:
        hits = [hit.page for hit in memory.search(query).hits]
    except UnknownName:
        assert not set(query.spaces) <= spaces, "a space of its own was refused"
        hits = []
    except InternalError as error:
        raise AssertionError(f"the engine answered with a page of somebody else: {error}") from error
    for page in [*hits, *memory.get([PageId(each) for each in page_ids])]:
        found_tenant, found_agent, found_space = page.text.rpartition("<")[2].rstrip(">").split("|")
        assert found_tenant == tenant, "another tenant's page"
        assert found_space in spaces, "a space that was not given"
        assert found_agent == agent or found_space in {"team", "board"}, "another agent's private page"


page_ids = st.lists(st.sampled_from(["p1", "p2", "p7", "p18", "p24", "p99", "", "north/ann/p1"]), max_size=4)
QUICK = settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(owners, queries, page_ids)
def test_two_thousand_random_questions_find_no_foreign_page(
    gateway: MemoryGateway, owner: tuple[str, str], query: ArchiveQuery, page_ids: list[str]
) -> None:
    check_one(gateway, owner, query, page_ids)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(QUICK, max_examples=100_000)
@given(owners, queries, page_ids)
def test_a_hundred_thousand_random_questions_find_no_foreign_page(
    gateway: MemoryGateway, owner: tuple[str, str], query: ArchiveQuery, page_ids: list[str]
) -> None:
    check_one(gateway, owner, query, page_ids)


def test_everybody_finds_their_own(gateway: MemoryGateway) -> None:
    """Or the tests above would pass over an empty archive."""
    for tenant in TENANTS:
        for agent, given_spaces in GIVEN.items():
            memory = gateway.memory(tenant, AgentId(agent), given_spaces)
            for space in ("recall", "archival", *given_spaces):
                writers = [each for each in GIVEN if space not in {"team", "board"} and each == agent] or [
                    each for each in GIVEN if space in GIVEN[each]
                ]
                found = memory.search(ArchiveQuery("", (space,), limit=100))
                assert found.total == PAGES * len(writers), (tenant, agent, space)
