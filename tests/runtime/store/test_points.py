"""A page as a point: one id each, owners apart, everything read back."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.errors import StoreCorrupt
from pagefault.runtime.store.points import (
    KIND_CODES,
    NAMESPACE,
    PRIVATE_SPACES,
    Scope,
    fields_of,
    owner_key,
    payload_of,
    point_id,
    stored_from,
    tenant_prefix,
)
from pagefault.runtime.values import AgentId, FunctionCall, PageId, PageKind
from tests.runtime.store.helpers import ANN, TENANT, query, stored

names = st.text(st.characters(exclude_categories=()), min_size=1, max_size=5) | st.text(
    "a/:%\x1f12", min_size=1, max_size=5
)


@given(names, names, names)
def test_ids_are_version_5_uuids(tenant: str, agent: str, page: str) -> None:
    number = point_id(tenant, AgentId(agent), PageId(page))
    assert uuid.UUID(int=number).version == 5
    assert uuid.UUID(int=number).variant == uuid.RFC_4122
    assert number == point_id(tenant, AgentId(agent), PageId(page))


def test_ids_are_those_of_the_standard_library() -> None:
    expected = uuid.uuid5(uuid.UUID(bytes=NAMESPACE), "6:valley3:annp7")
    assert point_id("valley", ANN, PageId("p7")) == expected.int


@given(st.tuples(names, names, names), st.tuples(names, names, names))
def test_different_pages_have_different_ids(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    def number(place: tuple[str, str, str]) -> int:
        return point_id(place[0], AgentId(place[1]), PageId(place[2]))

    assert (number(one) == number(other)) == (one == other)


@given(st.tuples(names, names, names), st.tuples(names, names, names))
def test_owners_have_different_keys(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    def owner(tenant: str, agent: str, space: str) -> tuple[str, str, str]:
        return tenant, agent if space in PRIVATE_SPACES else "", space

    def key(tenant: str, agent: str, space: str) -> str:
        return owner_key(tenant, AgentId(agent), space)

    for spaces in ((one[2], other[2]), ("recall", "recall"), ("recall", other[2])):
        first, second = (*one[:2], spaces[0]), (*other[:2], spaces[1])
        assert (key(*first) == key(*second)) == (owner(*first) == owner(*second))
        assert key(*first).startswith(tenant_prefix(first[0]))
        assert key(*first).startswith(tenant_prefix(second[0])) == (first[0] == second[0])


def test_private_spaces_are_an_agents_and_others_the_tenants() -> None:
    assert owner_key("valley", ANN, "recall") == "valley/ann/recall"
    assert owner_key("valley", ANN, "market square") == "valley//market%20square"


def test_every_kind_has_a_code_of_its_own() -> None:
    assert set(KIND_CODES) == set(PageKind)
    assert len(set(KIND_CODES.values())) == len(KIND_CODES)


def test_a_page_reads_back_whole() -> None:
    whole = stored(
        7,
        "lone \ud83d surrogate, żółw",
        seq=12,
        author="Mira \ud800",
        session="s1",
        kind=PageKind.RESULT,
        calls=(FunctionCall("c", "f", "{}"),),
        refs=(PageId("p1"),),
        tags=("a", "\udfff"),
        importance=0.25,
        space="market",
    )
    payload = payload_of(whole)
    assert stored_from(payload["page"]) == whole
    assert payload["owner"] == owner_key(TENANT, ANN, "market")
    assert (payload["kind"], payload["ordinal"], payload["created_ms"]) == (4, 7, whole.page.created_ms)
    assert payload["author"] == "Mira ?"
    assert payload["tags"] == ["a", "?"]
    assert fields_of(payload["page"])["text"] == whole.page.text
    assert fields_of(payload["page"])["agent"] == ANN
    plain = payload_of(stored(1, "no author, no tags"))
    assert plain.keys() == {"owner", "kind", "ordinal", "created_ms", "page"}


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[1,{"~":"page"}]', '[1,"x"]', "[1,{}]", '[9,{"~":"stored"}]'])
def test_what_is_no_page_is_refused(text: str) -> None:
    with pytest.raises(StoreCorrupt):
        stored_from(text)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "[1,{}]", '[1,{"page":1}]', '[1,{"page":{}}]', "[1," + "[" * 100_000]
)
def test_what_is_no_page_at_all_has_no_fields(text: str) -> None:
    with pytest.raises(StoreCorrupt, match="a page cannot be read"):
        fields_of(text)


def test_scopes_narrow_and_know_whose_they_are() -> None:
    scope = Scope.of(TENANT, ANN, query("x", spaces=("recall", "archival", "recall"), after_ms=10))
    assert scope.owners == ("valley/ann/recall", "valley/ann/archival")
    assert scope.is_one_history
    narrow = scope.between(5, 20).between(0, 30)
    assert (narrow.after_ms, narrow.before_ms, narrow.owners) == (10, 20, scope.owners)
    assert not Scope.of(TENANT, ANN, query("x", spaces=("recall", "market"))).is_one_history
