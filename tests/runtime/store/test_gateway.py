"""The one door: no path to a page of somebody else, and nothing stored goes unfound."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pagefault.runtime.errors import (
    ConfigError,
    InternalError,
    ModelUnavailable,
    Overloaded,
    StoreError,
    StoreUnavailable,
    UnknownName,
)
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.embed import HashEmbedder
from pagefault.runtime.store.gateway import AgentMemory, MemoryGateway
from pagefault.runtime.store.points import PRIVATE_SPACES
from pagefault.runtime.store.protocols import Found, FoundPages, StoredPage
from pagefault.runtime.values import AgentId, ArchiveQuery, Page, PageId, SearchResult
from tests.runtime.store.helpers import ANN, BOB, TENANT, empty, page, query, stored


class Watched(EdgeArchive):
    """The real archive; counts writes, and fails or lies on command."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, HashEmbedder())
        self.writes: list[int] = []
        self.failure: Exception | None = None
        self.lie: StoredPage | None = None

    def upsert(self, pages: Sequence[StoredPage]) -> None:
        if self.failure is not None:
            raise self.failure
        self.writes.append(len(pages))
        super().upsert(pages)

    def search(self, tenant: str, agent: AgentId, query: ArchiveQuery) -> FoundPages:
        if self.lie is not None:
            return FoundPages((Found(self.lie, 1.0),), 1)
        return super().search(tenant, agent, query)

    def get(self, tenant: str, agent: AgentId, page_ids: Sequence[PageId]) -> list[StoredPage]:
        return super().get(tenant, agent, page_ids) if self.lie is None else [self.lie]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    opened = Watched(tmp_path_factory.mktemp("shared") / "archive")
    yield opened
    opened.close()


@pytest.fixture
def archive(shared: Watched) -> Iterator[Watched]:
    yield shared
    empty(shared)
    shared.writes, shared.failure, shared.lie = [], None, None


@pytest.fixture
def gateway(archive: Watched) -> MemoryGateway:
    return MemoryGateway(archive, batch_pages=10, pending_pages_max=25)


@pytest.fixture
def ann(gateway: MemoryGateway) -> AgentMemory:
    return gateway.memory(TENANT, ANN, {"market"})


def texts(result: SearchResult) -> list[str]:
    return sorted(hit.page.text for hit in result.hits)


# --- finding what was stored ---------------------------------------------------------------------------


def test_what_was_stored_is_found_at_once_and_written_in_batches(
    gateway: MemoryGateway, ann: AgentMemory, archive: Watched
) -> None:
    bob = gateway.memory(TENANT, BOB)
    for number in range(4):
        ann.store([page(number, f"lot {number} of wool")], seq=number)
        bob.store([page(number, f"lot {number} of wax")], seq=number)
    assert (archive.writes, gateway.pending_pages) == ([], 8)
    assert ann.search(query("wool")).total == 4
    assert (archive.writes, gateway.pending_pages) == ([4], 4)  # only what the asker stored
    assert ann.get([PageId("p3"), PageId("p9")]) == [page(3, "lot 3 of wool")]
    assert bob.get([PageId("p0"), PageId("p1")]) == [page(0, "lot 0 of wax"), page(1, "lot 1 of wax")]
    assert (archive.writes, gateway.pending_pages) == ([4], 4)  # reading by id waits for nothing
    bob.store([page(number, "more wax") for number in range(10, 16)])
    assert (archive.writes, gateway.pending_pages) == ([4, 10], 0)


def test_counts_include_what_waits(gateway: MemoryGateway, ann: AgentMemory) -> None:
    ann.store([page(1, "wool"), page(2, "wool", space="archival"), page(3, "wool", space="market")])
    assert (ann.count(), ann.count(["recall"]), ann.count(["market"])) == (2, 1, 1)
    assert gateway.memory(TENANT, BOB).count() == 0


def test_flush_writes_all_in_batches(gateway: MemoryGateway, archive: Watched) -> None:
    for number in range(3):
        gateway.memory(TENANT, AgentId(f"agent-{number}")).store([page(n, "wool") for n in range(3)])
    gateway.flush()
    assert (archive.writes, gateway.pending_pages) == ([9], 0)
    gateway.flush()
    assert archive.writes == [9]


def test_the_newest_version_of_a_page_wins_before_and_after_it_is_written(ann: AgentMemory) -> None:
    ann.store([page(1, "red")], seq=5)
    ann.store([page(1, "blue")], seq=4)
    assert ann.get([PageId("p1")]) == [page(1, "red")]
    assert texts(ann.search(query("red"))) == ["red"]
    ann.store([page(1, "grey")], seq=3)
    ann.store([page(1, "green")], seq=6)
    assert texts(ann.search(query(""))) == ["green"]


def test_what_is_forgotten_is_not_found(gateway: MemoryGateway, ann: AgentMemory) -> None:
    ann.store([page(1, "wool")])
    gateway.flush()
    ann.store([page(2, "wool")])
    gateway.memory(TENANT, BOB).forget([PageId("p1"), PageId("p2")])
    assert ann.search(query("wool")).total == 2
    ann.store([page(3, "wool")])
    ann.forget([PageId("p1"), PageId("p3"), PageId("p9")])
    assert texts(ann.search(query("wool"))) == ["wool"]
    assert ann.get([PageId("p1"), PageId("p2"), PageId("p3")]) == [page(2, "wool")]


def test_results_carry_where_they_are_in_the_whole(ann: AgentMemory) -> None:
    ann.store([page(number, "wool") for number in range(9)])
    result = ann.search(query("wool", offset=6, limit=5))
    assert (len(result.hits), result.total, result.offset, result.limit) == (3, 9, 6, 5)


# --- who may see what ----------------------------------------------------------------------------------


def test_spaces_that_were_not_given_are_refused_by_name(ann: AgentMemory, archive: Watched) -> None:
    said = "agent 'ann' was given no space 'vault'; it has: archival, market, recall"
    with pytest.raises(UnknownName, match=said):
        ann.search(query("wool", spaces=("recall", "vault")))
    with pytest.raises(UnknownName, match=said):
        ann.store([page(1, "wool"), page(2, "wool", space="vault")])
    with pytest.raises(UnknownName, match=said):
        ann.count(["vault"])
    assert ann.count() == 0


def test_shared_spaces_are_seen_by_those_who_were_given_them(gateway: MemoryGateway, ann: AgentMemory) -> None:
    ann.store([page(1, "wool for sale", space="market"), page(2, "my own wool")])
    gateway.flush()
    bob = gateway.memory(TENANT, BOB, ["market"])
    assert texts(bob.search(query("wool", spaces=("market", "recall")))) == ["wool for sale"]
    assert bob.get([PageId("p1"), PageId("p2")]) == []
    stranger = gateway.memory("hills", ANN, ["market"])
    assert stranger.search(query("wool", spaces=("market", "recall"))).total == 0


def test_what_somebody_files_for_all_is_found_by_all_at_once(
    gateway: MemoryGateway, ann: AgentMemory, archive: Watched
) -> None:
    bob = gateway.memory(TENANT, BOB, ["market"])
    ann.store([page(1, "my own wool")])
    assert texts(bob.search(query("wool", spaces=("market",)))) == []
    assert archive.writes == [], "nothing that concerns bob"
    ann.store([page(2, "wool for sale", space="market")])
    assert texts(bob.search(query("wool", spaces=("recall",)))) == []
    assert archive.writes == []
    assert bob.count(["market"]) == 1
    ann.store([page(3, "more wool for sale", space="market")])
    assert sorted(texts(bob.search(query("wool", spaces=("market",))))) == ["more wool for sale", "wool for sale"]


FOREIGN = [
    stored(1, "secret", agent=BOB),
    stored(1, "secret", tenant="hills"),
    stored(1, "secret", space="market", tenant="hills"),
    stored(1, "secret", space="vault"),
]


@pytest.mark.parametrize("lie", FOREIGN, ids=range(len(FOREIGN)))
def test_a_foreign_page_from_the_engine_is_never_handed_on(ann: AgentMemory, archive: Watched, lie: StoredPage) -> None:
    archive.lie = lie
    with pytest.raises(InternalError, match="a page that is not for it") as caught:
        ann.search(query("wool", spaces=("recall", "market")))
    assert "secret" not in str(caught.value)
    if lie.page.space in PRIVATE_SPACES:
        with pytest.raises(InternalError, match="a page that is not for it"):
            ann.get([PageId("p1")])
    else:
        assert ann.get([PageId("p1")]) == []


def test_a_page_of_a_space_that_was_not_asked_for_is_foreign_too(ann: AgentMemory, archive: Watched) -> None:
    archive.lie = stored(1, "secret", space="archival")
    with pytest.raises(InternalError):
        ann.search(query("wool"))


def test_identities_are_not_empty(gateway: MemoryGateway, archive: Watched) -> None:
    for wrong in (("", ANN, ()), (TENANT, AgentId(""), ()), (TENANT, ANN, ("",))):
        with pytest.raises(ConfigError, match="a name that is not empty"):
            gateway.memory(*wrong)
    with pytest.raises(ConfigError, match=r"archive\.batch_pages: found 0"):
        MemoryGateway(archive, batch_pages=0)
    with pytest.raises(ConfigError, match=r"archive\.pending_pages_max: found 5"):
        MemoryGateway(archive, batch_pages=10, pending_pages_max=5)


# --- an archive that fails -----------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [StoreUnavailable("disk full"), ModelUnavailable("embedder down")])
def test_an_archive_that_is_down_is_waited_for_within_bounds(
    gateway: MemoryGateway, ann: AgentMemory, archive: Watched, failure: StoreError | ModelUnavailable
) -> None:
    archive.failure = failure
    for number in range(25):
        ann.store([page(number, f"lot {number}")])
    with pytest.raises(Overloaded, match="25 pages wait for the archive, 25 may"):
        ann.store([page(25, "one too many")])
    with pytest.raises(type(failure)):
        ann.search(query("lot"))
    with pytest.raises(type(failure)):
        gateway.flush()
    assert not gateway.flush_if_possible()
    assert ann.get([PageId("p24")]) == [page(24, "lot 24")]
    assert gateway.pending_pages == 25
    archive.failure = None
    ann.store([page(25, "lot 25")])
    assert gateway.flush_if_possible()
    assert ann.search(query("lot", limit=30)).total == 26


# --- against a naive model -----------------------------------------------------------------------------

WORDS = ["wool", "wax", "oboe", "ferry"]
AGENTS = [
    ("valley", AgentId("a"), ("market",)),
    ("valley", AgentId("b"), ("market", "vault")),
    ("valley", AgentId("a/recall"), ()),
    ("hills", AgentId("a"), ("market",)),
]


class Memories(RuleBasedStateMachine):
    """Agents of two tenants store, forget and search as they like; a dictionary says what they may see.

    All runs share one archive, each with tenants of its own: what one leaves behind must not show in another.
    """

    archive: EdgeArchive
    runs = itertools.count()

    @initialize()
    def open(self) -> None:
        run = next(self.runs)
        self.agents = [(f"{tenant} {run}", agent, shared) for tenant, agent, shared in AGENTS]
        self.gateway = MemoryGateway(self.archive, batch_pages=7)
        self.memories = [self.gateway.memory(*who) for who in self.agents]
        self.model: dict[tuple[int, PageId], StoredPage] = {}
        self.seq = 0

    @rule(
        who=st.integers(0, 3),
        number=st.integers(0, 5),
        space=st.sampled_from(["recall", "archival", "market", "vault"]),
        text=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
        stale=st.booleans(),
    )
    def store(self, who: int, number: int, space: str, text: list[str], stale: bool) -> None:
        tenant, agent, shared = self.agents[who]
        new = page(number, " ".join(text), space=space)
        self.seq += 1
        seq = self.seq - 3 if stale else self.seq
        if space not in {"recall", "archival", *shared}:
            with pytest.raises(UnknownName):
                self.memories[who].store([new], seq)
            return
        self.memories[who].store([new], seq)
        before = self.model.get((who, new.id))
        if before is None or seq >= before.seq:
            self.model[who, new.id] = StoredPage(tenant, agent, new, seq)

    @rule(who=st.integers(0, 3), number=st.integers(0, 5))
    def forget(self, who: int, number: int) -> None:
        self.memories[who].forget([page(number, "").id])
        self.model.pop((who, page(number, "").id), None)

    @rule()
    def flush(self) -> None:
        self.gateway.flush()

    @rule(
        who=st.integers(0, 3),
        asked=st.sampled_from(["", *WORDS, "wool oboe"]),
        mode=st.sampled_from(["hybrid", "dense", "words", "substring"]),
        spaces=st.sets(st.sampled_from(["recall", "archival", "market", "vault"]), min_size=1),
        after_ms=st.none() | st.just(page(3, "").created_ms),
    )
    def search(self, who: int, asked: str, mode: str, spaces: set[str], after_ms: int | None) -> None:
        tenant, agent, shared = self.agents[who]
        wanted = query(asked, mode=mode, spaces=tuple(sorted(spaces)), limit=100, after_ms=after_ms)
        if not spaces <= {"recall", "archival", *shared}:
            with pytest.raises(UnknownName):
                self.memories[who].search(wanted)
            return
        if "market" in spaces or "vault" in spaces:
            self.gateway.flush()  # others' pages are promised a moment later only
        found = self.memories[who].search(wanted)

        def matches(text: str) -> bool:
            if mode == "words" and asked:
                return not set(asked.split()).isdisjoint(text.split())
            return mode != "substring" or asked in text

        expected = [
            dataclasses.asdict(stored.page)
            for stored in self.model.values()
            if stored.tenant == tenant
            and stored.page.space in spaces
            and (stored.agent == agent or stored.page.space not in PRIVATE_SPACES)
            and (after_ms is None or stored.page.created_ms >= after_ms)
            and matches(stored.page.text)
        ]
        key = repr
        assert sorted((dataclasses.asdict(hit.page) for hit in found.hits), key=key) == sorted(expected, key=key)
        assert found.total == len(expected)

    @rule(who=st.integers(0, 3))
    def get(self, who: int) -> None:
        asked = [page(number, "").id for number in (5, 0, 3, 1)]
        expected: list[Page] = [
            self.model[who, number].page
            for number in asked
            if (who, number) in self.model and self.model[who, number].page.space in PRIVATE_SPACES
        ]
        assert self.memories[who].get(asked) == expected

    @invariant()
    def the_queue_is_bounded(self) -> None:
        assert 0 <= self.gateway.pending_pages < 7


def test_agents_against_a_naive_model(archive: Watched) -> None:
    class Here(Memories):
        pass

    Here.archive = archive
    Here.TestCase.settings = settings(max_examples=25, stateful_step_count=40)
    Here.TestCase().runTest()
