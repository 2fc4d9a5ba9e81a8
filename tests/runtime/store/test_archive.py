"""What every archive promises, whichever engine keeps it: the same tests over Qdrant's engine in the process and
its client, in memory, and on a real server where ``PAGEFAULT_QDRANT_URL`` names one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pagefault.runtime.errors import ConfigError, EmbeddingMismatch, UnknownName
from pagefault.runtime.store.archive import PointArchive
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.embed import HashEmbedder, WordLlamaEmbedder
from pagefault.runtime.store.points import KIND_CODES
from pagefault.runtime.store.protocols import Embedder, StoredPage, Vectors
from pagefault.runtime.store.server import ServerArchive
from pagefault.runtime.store.server_points import ServerPoints
from pagefault.runtime.values import AgentId, FunctionCall, PageId, PageKind
from tests.runtime.store.helpers import ANN, BOB, TENANT, at_ms, empty, ids, query, stored, talk

MODES = ("hybrid", "dense", "words", "substring")
SERVER = os.environ.get("PAGEFAULT_QDRANT_URL")
ENGINES = ("edge", "client", *(("server",) if SERVER else ()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def opened(engine: str, folder: Path, embedder: Embedder) -> PointArchive:
    if engine == "edge":
        return EdgeArchive(folder, embedder)
    if engine == "client":
        return ServerArchive(":memory:", embedder)
    return ServerArchive(f"{SERVER}?collection=test-{uuid4().hex}", embedder)


def close(archive: PointArchive) -> None:
    if isinstance(archive._points, ServerPoints):
        archive._points._client.delete_collection(archive._points._name)
    archive.close()


@pytest.fixture(scope="module", params=ENGINES)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PointArchive]:
    archive = opened(request.param, tmp_path_factory.mktemp("shared") / "archive", HashEmbedder())
    yield archive
    close(archive)


@pytest.fixture
def archive(shared: PointArchive) -> Iterator[PointArchive]:
    yield shared
    empty(shared)


@pytest.fixture(scope="module", params=ENGINES)
def village(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PointArchive]:
    """Two agents with the same talk, Bob with one page more; with the default embedder."""
    archive = opened(request.param, tmp_path_factory.mktemp("village") / "archive", WordLlamaEmbedder())
    archive.upsert(talk(ANN) + talk(BOB) + [stored(90, "Bob keeps an oboe in the cellar.", agent=BOB)])
    yield archive
    close(archive)


# --- writing and reading back --------------------------------------------------------------------------


def test_pages_come_back_whole_and_in_the_order_asked_for(archive: PointArchive) -> None:
    whole = stored(
        3,
        "żółty \ud83d jar",
        seq=9,
        author="Mira",
        session="s1",
        kind=PageKind.RESULT,
        importance=0.5,
        calls=(FunctionCall("c1", "look", '{"in": "jar"}'),),
        refs=(PageId("p1"),),
        tags=("kitchen",),
        space="archival",
    )
    other = stored(4, "")
    archive.upsert([whole, other])
    assert archive.get(TENANT, ANN, [PageId("p4"), PageId("p99"), PageId("p3")]) == [other, whole]
    assert archive.get(TENANT, ANN, []) == []
    assert archive.get(TENANT, BOB, [PageId("p3")]) == []
    assert archive.get("hills", ANN, [PageId("p3")]) == []


def test_what_is_there_already_is_not_written_again(archive: PointArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    upsert = archive._points.upsert

    def counted(points: list[Any]) -> None:
        written.append(len(points))
        upsert(points)

    monkeypatch.setattr(archive._points, "upsert", counted)
    pages = [stored(number, f"page {number}", seq=3, author="Mira", importance=0.1) for number in range(10)]
    archive.upsert(pages)
    archive.upsert(pages)
    archive.upsert([*pages[:9], stored(9, "page 9", seq=3, author="Mira", importance=0.2)])
    assert written == [10, 1]


def test_writing_again_changes_nothing_and_a_stale_write_loses(archive: PointArchive) -> None:
    first = stored(1, "the door is red", seq=5)
    archive.upsert([first, first])
    archive.upsert([first])
    assert archive.count(TENANT) == 1
    archive.upsert([stored(1, "the door is blue", seq=4)])
    assert archive.get(TENANT, ANN, [PageId("p1")]) == [first]
    newer = stored(1, "the door is green", seq=6)
    archive.upsert([stored(1, "the door is black", seq=5), newer, stored(1, "the door is white", seq=5)])
    assert archive.get(TENANT, ANN, [PageId("p1")]) == [newer]
    for mode in MODES:
        assert ids(archive.search(TENANT, ANN, query("green", mode=mode))) == ["p1"]
        found = archive.search(TENANT, ANN, query("red", mode=mode))
        assert all(hit.stored == newer for hit in found.found)


@pytest.mark.parametrize("mode", MODES)
def test_what_was_just_written_is_found_and_what_was_deleted_is_not(archive: PointArchive, mode: str) -> None:
    for number in range(5):
        archive.upsert([stored(number, f"basket {number} of pears")])
        assert f"p{number}" in ids(archive.search(TENANT, ANN, query("pears", mode=mode)))
    archive.delete(TENANT, ANN, [PageId("p2"), PageId("p77")])
    archive.delete(TENANT, BOB, [PageId("p3")])
    result = archive.search(TENANT, ANN, query("pears", mode=mode))
    assert sorted(ids(result)) == ["p0", "p1", "p3", "p4"]
    assert result.total == 4


def test_nothing_to_write_or_delete(archive: PointArchive) -> None:
    archive.upsert([])
    archive.delete(TENANT, ANN, [])
    assert archive.count(TENANT) == 0
    for mode in MODES:
        assert archive.search(TENANT, ANN, query("anything", mode=mode)).total == 0
    assert archive.search(TENANT, ANN, query("")).found == ()


class BrokenEmbedder(HashEmbedder):
    """Made vectors once; now it makes these."""

    def __init__(self, rows: Vectors) -> None:
        super().__init__()
        self._rows = rows

    def embed(self, texts: object) -> Vectors:
        return self._rows


@pytest.mark.parametrize("rows", [np.zeros((1, 9)), np.zeros((2, 64)), np.full((1, 64), np.nan)])
def test_vectors_that_do_not_fit_are_refused_and_nothing_is_written(folder: Path, rows: Vectors) -> None:
    broken = EdgeArchive(folder, BrokenEmbedder(rows.astype(np.float32)))
    with pytest.raises(EmbeddingMismatch, match="hash-64: 1 vectors of 64 finite numbers were needed"):
        broken.upsert([stored(1, "pears")])
    assert broken.count(TENANT) == 0
    broken.close()


# --- searching -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("Which instrument does Oskar own?", "p3"),
        ("Who is Mira's sister?", "p12"),
        ("What colour is the boathouse?", "p9"),
    ],
)
def test_hybrid_answers_questions(village: PointArchive, asked: str, first: str) -> None:
    assert first in ids(village.search(TENANT, ANN, query(asked, limit=3)))


def test_words_finds_inflections_and_authors_and_counts_what_matches(village: PointArchive) -> None:
    result = village.search(TENANT, ANN, query("pear", mode="words"))
    assert sorted(ids(result)) == ["p1", "p8"]
    assert result.total == 2
    result = village.search(TENANT, ANN, query("Oskar", mode="words", limit=100))
    assert result.total == len(result.found) == 10  # nine of his own, one that greets him
    assert village.search(TENANT, ANN, query("zeppelin", mode="words")).total == 0
    assert village.search(TENANT, ANN, query("?!", mode="words")).total == 0


def test_words_weighs_by_the_owners_own_pages(archive: PointArchive) -> None:
    """A word that is rare for this agent decides, however common it is for others."""
    archive.upsert([stored(number, f"oboe {number}", agent=BOB) for number in range(200)])
    archive.upsert([stored(number, f"lake {number} calm") for number in range(30)])
    archive.upsert([stored(50, "oboe calm"), stored(51, "lake oar")])
    assert ids(archive.search(TENANT, ANN, query("oboe lake", mode="words", limit=1))) == ["p50"]


def test_substring_is_literal_in_any_case_and_oldest_first(archive: PointArchive) -> None:
    texts = ["The RED door", "a red-brick wall", "hundred", "rod", "STRASSE", "Straße 50%", "c:\\red_"]
    archive.upsert([stored(number, text) for number, text in enumerate(texts)])
    for asked, found in {
        "red": "p0 p1 p2 p6",
        "RED-": "p1",
        "straße": "p4 p5",
        "0%": "p5",
        "\\red_": "p6",
        ".": "",
    }.items():
        result = archive.search(TENANT, ANN, query(asked, mode="substring"))
        assert " ".join(ids(result)) == found
        assert result.total == len(found.split())
    result = archive.search(TENANT, ANN, query("red", mode="substring", offset=1, limit=2))
    assert (ids(result), result.total) == (["p1", "p2"], 4)


def test_dense_finds_what_is_alike(village: PointArchive) -> None:
    result = village.search(TENANT, ANN, query("a boat on the water", mode="dense", limit=1))
    assert ids(result) == ["p6"]
    assert result.total == len(talk())


@pytest.mark.parametrize("mode", MODES)
def test_paging_reaches_every_result_once(village: PointArchive, mode: str) -> None:
    asked = {"words": "Oskar Mira", "substring": "e"}.get(mode, "the ferry")
    whole = ids(village.search(TENANT, ANN, query(asked, mode=mode, limit=100)))
    pages = [village.search(TENANT, ANN, query(asked, mode=mode, offset=at, limit=4)) for at in range(0, 24, 4)]
    assert [number for part in pages for number in ids(part)] == whole
    assert {part.total for part in pages} == {len(whole)}
    assert len(set(whole)) == len(whole)


@pytest.mark.parametrize("mode", MODES)
def test_paging_reaches_equals_once_too(archive: PointArchive, mode: str) -> None:
    archive.upsert([stored(number, "wool and wax", session=f"s{number}") for number in range(300)])
    pages = [archive.search(TENANT, ANN, query("wool", mode=mode, offset=at, limit=29)) for at in range(0, 301, 29)]
    found = [number for part in pages for number in ids(part)]
    assert len(found) == len(set(found)) == 300


def test_an_empty_text_lists_oldest_first(village: PointArchive) -> None:
    result = village.search(TENANT, ANN, query(" ", offset=2, limit=3))
    assert (ids(result), result.total) == (["p2", "p3", "p4"], len(talk()))


def test_lists_over_shared_spaces_go_by_time(archive: PointArchive) -> None:
    archive.upsert([stored(5, "second", space="market", created_ms=at_ms(2024, 2, 2))])
    archive.upsert([stored(9, "first", agent=BOB, space="market", created_ms=at_ms(2024, 2, 1))])
    archive.upsert([stored(1, "third", created_ms=at_ms(2024, 2, 3))])
    result = archive.search(TENANT, ANN, query("", spaces=("market", "recall")))
    assert [hit.stored.page.text for hit in result.found] == ["first", "second", "third"]


@pytest.mark.parametrize("mode", MODES)
def test_filters(archive: PointArchive, mode: str) -> None:
    archive.upsert(
        [
            stored(1, "wool", author="Mira", kind=PageKind.MESSAGE, created_ms=100),
            stored(2, "wool", author="Oskar", kind=PageKind.RESULT, created_ms=200, tags=("market", "spring")),
            stored(3, "wool", author="", kind=PageKind.PASSAGE, created_ms=300, space="archival", tags=("market",)),
            stored(4, "wool", author="Mira", kind=PageKind.REPLY, created_ms=400, space="archival"),
        ]
    )

    def found(**filters: object) -> str:
        given = {"spaces": ("recall", "archival"), **filters}
        result = archive.search(TENANT, ANN, query("wool", mode=mode, **given))
        assert result.total == len(result.found)
        return " ".join(sorted(ids(result)))

    assert found() == "p1 p2 p3 p4"
    assert found(spaces=("archival",)) == "p3 p4"
    assert found(spaces=()) == ""
    assert found(kinds=(PageKind.RESULT, PageKind.REPLY)) == "p2 p4"
    assert found(authors=("Mira",)) == "p1 p4"
    assert found(authors=("Mira", "Oskar"), kinds=(PageKind.RESULT,)) == "p2"
    assert found(tags=("market",)) == "p2 p3"
    assert found(tags=("spring", "absent")) == "p2"
    assert found(after_ms=200, before_ms=300) == "p2 p3"
    assert found(after_ms=401) == ""


def test_every_kind_can_be_asked_for(archive: PointArchive) -> None:
    archive.upsert([stored(code, "wool", kind=kind) for kind, code in KIND_CODES.items()])
    for kind, code in KIND_CODES.items():
        assert ids(archive.search(TENANT, ANN, query("wool", kinds=(kind,)))) == [f"p{code}"]


def test_questions_that_cannot_be(archive: PointArchive) -> None:
    with pytest.raises(
        UnknownName, match="no search mode is called 'psychic'; there are: hybrid, dense, words, substring"
    ):
        archive.search(TENANT, ANN, query("x", mode="psychic"))
    for wrong in ({"limit": 0}, {"offset": -1}):
        with pytest.raises(ConfigError, match="offset from 0, limit from 1"):
            archive.search(TENANT, ANN, query("x", **wrong))
    with pytest.raises(ConfigError, match=r"spaces: .* allowed: shared spaces"):
        archive.count(TENANT, None, ["recall"])


# --- owners --------------------------------------------------------------------------------------------


def test_the_same_talk_of_two_agents_stays_apart(village: PointArchive) -> None:
    for mode in MODES:
        result = village.search(TENANT, ANN, query("oboe", mode=mode, limit=100))
        assert {hit.stored.agent for hit in result.found} == {ANN}
        assert "p90" not in ids(result)
    assert "p90" in ids(village.search(TENANT, BOB, query("oboe", limit=3)))


def test_shared_spaces_are_the_tenants(archive: PointArchive) -> None:
    archive.upsert([stored(1, "wool for sale", agent=BOB, space="market")])
    archive.upsert([stored(1, "wool for sale", tenant="hills", space="market")])
    found = archive.search(TENANT, ANN, query("wool", spaces=("market",)))
    assert [(hit.stored.tenant, hit.stored.agent) for hit in found.found] == [(TENANT, BOB)]
    assert archive.search("hills", BOB, query("wool", spaces=("market",))).total == 1
    assert archive.search(TENANT, BOB, query("wool")).total == 0
    assert archive.get(TENANT, BOB, [PageId("p1")]) == []  # only private pages are read by id


def test_counts(archive: PointArchive) -> None:
    archive.upsert([stored(number, "wool") for number in range(3)])
    archive.upsert([stored(5, "wool", space="archival"), stored(6, "wool", space="market")])
    archive.upsert([stored(7, "wool", agent=BOB, space="market"), stored(1, "wool", tenant="valley2")])
    assert archive.count(TENANT) == 6
    assert archive.count("valley2") == 1
    assert archive.count("val") == 0
    assert archive.count(TENANT, ANN) == 4
    assert archive.count(TENANT, ANN, ["recall"]) == 3
    assert archive.count(TENANT, None, ["market"]) == archive.count(TENANT, BOB, ["market"]) == 2


names = st.sampled_from(["a", "b", "a/b", "%"])
spaces_drawn = st.sampled_from(["recall", "archival", "market", "a"])


@given(
    pages=st.lists(st.tuples(names, names, spaces_drawn, st.integers(0, 3)), max_size=12),
    asker=st.tuples(names, names),
    spaces=st.lists(spaces_drawn, max_size=3),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_owners_of_any_names_against_a_list(
    archive: PointArchive,
    pages: list[tuple[str, str, str, int]],
    asker: tuple[str, str],
    spaces: list[str],
) -> None:
    held: dict[tuple[str, str, int], StoredPage] = {}
    for tenant, agent, space, number in pages:
        item = stored(number, "wool", tenant=tenant, agent=AgentId(agent), space=space)
        archive.upsert([item])
        held[tenant, agent, number] = item
    tenant, agent = asker
    expected = {
        (item.tenant, item.agent, item.page.id)
        for item in held.values()
        if item.tenant == tenant
        and item.page.space in spaces
        and (item.agent == agent or item.page.space not in {"recall", "archival"})
    }
    for mode in MODES:
        found = archive.search(tenant, AgentId(agent), query("wool", mode=mode, spaces=tuple(spaces), limit=99))
        assert {(hit.stored.tenant, hit.stored.agent, hit.stored.page.id) for hit in found.found} == expected
        assert found.total == len(found.found) == len(expected)
    for (owner_tenant, owner_agent, _), item in held.items():
        archive.delete(owner_tenant, AgentId(owner_agent), [item.page.id])
    assert archive.count(tenant) == 0


# --- threads


def test_threads_share_one_archive(archive: PointArchive) -> None:
    failures: list[Exception] = []

    def live(agent: AgentId) -> None:
        try:
            for number in range(20):
                archive.upsert([stored(number, f"lot {number} of wool", agent=agent)])
                assert archive.search(TENANT, agent, query("wool")).total == number + 1
        except Exception as error:  # noqa: BLE001 - handed to the test, which fails with it
            failures.append(error)

    threads = [threading.Thread(target=live, args=(AgentId(f"agent-{number}"),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert archive.count(TENANT) == 80


def test_all_pages_of_all_owners_can_be_read(archive: PointArchive) -> None:
    written = [*talk(ANN), *talk(BOB), stored(1, "of another tenant", tenant="other")]
    archive.upsert(written)
    assert sorted(map(repr, archive.pages())) == sorted(map(repr, written))
