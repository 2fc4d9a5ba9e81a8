import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.contract import Capability, EvictionPolicy, PageFacts, PolicyError
from pagefault.policies.eviction.lru import Lru
from pagefault.policies.offline.belady import Belady, BeladySize
from pagefault.policies.offline.exact import optimum
from pagefault.policies.offline.intervals import intervals


def uses_of(pages: Sequence[int]) -> dict[str, list[int]]:
    return {str(page): [event for event, each in enumerate(pages) if each == page] for page in pages}


def replayed(policy: EvictionPolicy, sizes: Sequence[int], pages: Sequence[int], capacity: int) -> int:
    """Hits of a policy with forced admission, every event a turn of its own."""
    resident: set[str] = set()
    hits = 0
    for turn, index in enumerate(pages):
        page = PageFacts(str(index), "message", sizes[index], ordinal=index)
        if page.id in resident:
            hits += 1
            policy.on_hit(page.id, turn)
            continue
        resident.add(page.id)
        policy.on_insert(page, turn)
        excess = sum(sizes[int(each)] for each in resident) - capacity
        for victim in policy.victims(excess, {page.id}, turn):
            assert victim != page.id
            resident.discard(victim)
            policy.on_remove(victim, evicted=True)
    return hits


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 5), max_size=25), st.integers(1, 4))
def test_belady_is_the_optimum_for_pages_of_one_size(pages: list[int], capacity: int) -> None:
    sizes = [1] * 6
    flags = [page in pages[:event] for event, page in enumerate(pages)]
    best = optimum(intervals(sizes, pages, flags, capacity)).hits
    assert replayed(Belady(uses=uses_of(pages)), sizes, pages, capacity) == best
    assert replayed(BeladySize(uses=uses_of(pages)), sizes, pages, capacity) == best
    assert replayed(Lru(), sizes, pages, capacity) <= best


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(1, 9), min_size=6, max_size=6),
    st.lists(st.integers(0, 5), max_size=25),
    st.integers(9, 30),
)
def test_with_sizes_the_optimum_is_above_both(sizes: list[int], pages: list[int], capacity: int) -> None:
    flags = [page in pages[:event] for event, page in enumerate(pages)]
    best = optimum(intervals(sizes, pages, flags, capacity)).hits
    for policy in (Belady(uses=uses_of(pages)), BeladySize(uses=uses_of(pages))):
        assert replayed(policy, sizes, pages, capacity) <= best


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=400), st.integers(1, 9), st.integers(0, 3))
def test_the_order_is_always_that_of_the_definition(pages: list[int], capacity: int, held: int) -> None:
    uses = uses_of(pages)
    policy = Belady(uses=uses)
    resident: list[str] = []  # in order of coming in
    for turn, page in enumerate(map(str, pages)):
        if page in resident:
            policy.on_hit(page, turn)
        else:
            policy.on_insert(PageFacts(page, "message", 1), turn)
            resident.append(page)

        def next_use(page_id: str, turn: int = turn) -> float:
            return next((event for event in uses[page_id] if event > turn), float("inf"))

        order = sorted(resident, key=lambda page_id: -next_use(page_id))
        assert policy.victims(10**9, (), turn) == order
        protected = {page, *resident[:held]}
        leaving = policy.victims(len(resident) - capacity, protected, turn)
        assert leaving == [each for each in order if each not in protected][: max(0, len(resident) - capacity)]
        for each in leaving:
            policy.on_remove(each, evicted=True)
            resident.remove(each)


def test_size_counts_only_for_belady_size() -> None:
    uses = {"small": [0, 9], "large": [1, 8], "gone": [2], "gone large": [3]}
    belady, by_size = Belady(uses=uses), BeladySize(uses=uses)
    for policy in (belady, by_size):
        for turn, (page_id, tokens) in enumerate([("small", 1), ("large", 50), ("gone", 2), ("gone large", 90)]):
            policy.on_insert(PageFacts(page_id, "message", tokens), turn)
    assert belady.victims(1_000, (), 3) == ["gone", "gone large", "small", "large"]
    assert by_size.victims(1_000, (), 3) == ["gone large", "gone", "large", "small"]
    assert belady.victims(1, {"gone"}, 3) == ["gone large"]
    assert belady.explain("small", 3) == "used again in 6 events: number 3 of 4 to leave"
    assert belady.explain("gone", 3) == "never used again: number 1 of 4 to leave"
    assert Capability.NEEDS_FUTURE in belady.capabilities
    assert isinstance(by_size, EvictionPolicy)


def test_the_future_survives_a_dump() -> None:
    uses = {"a": [0, 2, 5], "b": [1, 4]}
    asleep = Belady(uses=uses)
    asleep.on_insert(PageFacts("a", "message", 1), 0)
    asleep.on_insert(PageFacts("b", "message", 1), 0)
    asleep.on_hit("a", 0)
    awake = Belady(uses=uses)
    awake.load(json.loads(json.dumps(asleep.dump())))
    for policy in (asleep, awake):
        assert policy.victims(1, (), 0) == ["a"]
        policy.on_hit("b", 0)
        assert policy.victims(1, (), 0) == ["b"]
        assert policy.explain("a", 0) == "used again in 1 events: number 2 of 2 to leave"


def test_a_future_that_cannot_be_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"belady\.uses\.a: found \[3, 3\]"):
        Belady(uses={"a": [3, 3]})
    policy = BeladySize(uses={"a": [0]})
    policy.on_insert(PageFacts("a", "message", 1), 0)
    with pytest.raises(PolicyError, match=r"belady_size\.page: found 'a'"):
        policy.on_hit("a", 1)
    with pytest.raises(PolicyError, match=r"state\.passed\.a"):
        BeladySize(uses={"a": [0]}).load({"policy": "belady_size", "pages": [], "passed": [["a", 2]]})
