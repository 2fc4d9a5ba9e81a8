import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.arc import Arc
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveArc(NaiveCache):
    """Figure 4 of the paper, sizes in place of counts."""

    def __init__(self, capacity: int, *, scaled: bool) -> None:
        super().__init__(capacity)
        self.scaled = scaled
        self.t1: list[str] = []
        self.t2: list[str] = []
        self.b1: list[tuple[str, int]] = []
        self.b2: list[tuple[str, int]] = []
        self.p = 0.0
        self.back = 0

    def arrive(self, page: str, size: int) -> None:
        b1, b2 = (sum(each for _, each in ghosts) for ghosts in (self.b1, self.b2))
        step = size if self.scaled else 1
        self.back = 0
        if page in dict(self.b1):
            self.back = 1
            self.p = min(float(self.capacity), self.p + step * max(b2 / b1, 1))
        elif page in dict(self.b2):
            self.back = 2
            self.p = max(0.0, self.p - step * max(b1 / b2, 1))
        self.b1 = [ghost for ghost in self.b1 if ghost[0] != page]
        self.b2 = [ghost for ghost in self.b2 if ghost[0] != page]

    def hit(self, page: str) -> None:
        (self.t1 if page in self.t1 else self.t2).remove(page)
        self.t2.append(page)

    def evict(self, incoming: int) -> str:
        b1, b2 = (sum(each for _, each in ghosts) for ghosts in (self.b1, self.b2))
        l1, l2 = self.total(self.t1) + b1, self.total(self.t2) + b2
        if not self.back:
            if l1 + incoming > self.capacity:
                if not self.b1:
                    return self.t1.pop(0)
                self.b1.pop(0)
            elif l1 + l2 >= 2 * self.capacity and self.b2:
                self.b2.pop(0)
        return self.replace()

    def replace(self) -> str:
        t1 = self.total(self.t1)
        if self.t1 and (t1 > self.p or (t1 == self.p and self.back == 2) or not self.t2):
            page = self.t1.pop(0)
            self.b1.append((page, self.resident[page]))
        else:
            page = self.t2.pop(0)
            self.b2.append((page, self.resident[page]))
        return page

    def admit(self, page: str, size: int) -> None:
        (self.t2 if self.back else self.t1).append(page)


@given(traces(), st.booleans())
def test_is_its_definition(trace: Trace, scaled: bool) -> None:
    # Where B1 is empty and T1 too, the paper's case IV has nothing to evict from T1: sizes make that possible.
    policy = Arc(delta="tokens" if scaled else "units", capacity_tokens=trace.capacity)
    try:
        expected = naive_evictions(NaiveArc(trace.capacity, scaled=scaled), trace)
    except IndexError:
        return
    assert evictions(policy, trace) == expected


@given(traces(sizes_max=1))
def test_is_its_definition_for_pages_of_one_size(trace: Trace) -> None:
    policy = Arc(capacity_tokens=trace.capacity)
    assert evictions(policy, trace) == naive_evictions(NaiveArc(trace.capacity, scaled=True), trace)


def test_what_comes_back_shifts_the_border_by_its_tokens() -> None:
    for delta, target in (("tokens", 10), ("units", 1)):
        policy = Arc(delta=delta, capacity_tokens=40)
        for page_id in "abcd":
            policy.on_insert(facts(page_id), 0)
        policy.on_hit("d", 0)
        policy.on_insert(facts("e"), 1)
        assert policy.victims(10, {"e"}, 1) == ["a"]
        policy.on_remove("a", evicted=True)
        policy.on_insert(facts("a"), 2)
        assert policy.dump()["target"] == target


def test_explains_by_list_and_target() -> None:
    policy = Arc(capacity_tokens=40)
    for page_id in "ab":
        policy.on_insert(facts(page_id), 0)
    policy.on_hit("b", 1)
    assert policy.explain("a", 1) == "in T1, used once: number 1 of 1 by last use; T1 has 10 tokens, its target is 0"


def test_refuses_an_unknown_delta() -> None:
    with pytest.raises(PolicyError, match=r"^arc\.delta: found 'bytes', allowed: one of tokens, units$"):
        Arc(delta="bytes")
