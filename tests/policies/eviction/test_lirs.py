from hypothesis import given

from pagefault.policies.eviction.lirs import Lirs
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveLirs(NaiveCache):
    """Section 3.3 of the paper: S with all pages since the lowest LIR page, and Q of resident HIR pages."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.s: list[str] = []  # bottom first
        self.lir: set[str] = set()
        self.q: list[str] = []
        self.back = False
        self.largest = 0

    def low_share(self) -> int:
        return self.capacity - max(int(self.capacity * 0.01), self.largest)

    def prune(self) -> None:
        while self.s and self.s[0] not in self.lir:
            self.s.pop(0)

    def top(self, page: str) -> None:
        self.s = [each for each in self.s if each != page] + [page]

    def arrive(self, page: str, size: int) -> None:
        self.largest = max(self.largest, size)
        self.back = page in self.s

    def promote(self, page: str) -> None:
        self.top(page)
        self.lir.add(page)
        while self.total(sorted(self.lir)) > self.low_share() and len(self.lir) > 1:
            self.prune()
            lowest = self.s.pop(0)
            self.lir.remove(lowest)
            self.q.append(lowest)
        self.prune()

    def hit(self, page: str) -> None:
        if page in self.lir:
            self.top(page)
            self.prune()
        elif page in self.s:
            self.q.remove(page)
            self.promote(page)
        else:
            self.q.remove(page)
            self.q.append(page)
            self.top(page)

    def evict(self, incoming: int) -> str:
        if self.q:
            return self.q.pop(0)
        page = next(each for each in self.s if each in self.lir)
        self.s.remove(page)
        self.lir.remove(page)
        self.prune()
        return page

    def admit(self, page: str, size: int) -> None:
        self.resident[page] = size
        # What was a ghost when it arrived, but was pruned while room was made, has a short distance all the same.
        if self.back or self.total(sorted(self.lir)) + size <= self.low_share():
            self.promote(page)
        else:
            self.top(page)
            self.q.append(page)


@given(traces())
def test_is_its_definition(trace: Trace) -> None:
    policy = Lirs(ghost_fraction=16.0, capacity_tokens=trace.capacity)
    assert evictions(policy, trace) == naive_evictions(NaiveLirs(trace.capacity), trace)


def test_a_short_distance_beats_a_recent_use() -> None:
    policy = Lirs(high_fraction=0.25, capacity_tokens=40)
    for page_id in "abcd":
        policy.on_insert(facts(page_id), 0)
    policy.on_hit("a", 1)
    assert policy.explain("a", 1) == "LIR: used at short distances; 2 LIR pages become HIR before it"
    policy.on_insert(facts("e"), 2)
    assert policy.victims(10, {"e"}, 2) == ["d"], "the one that came in when the LIR share was full"
    policy.on_remove("d", evicted=True)
    policy.on_insert(facts("d"), 3)
    assert policy.victims(10, {"d"}, 3) == ["e"]
    policy.on_remove("e", evicted=True)
    policy.on_hit("d", 4)
    assert policy.explain("d", 4).startswith("LIR"), "it came back sooner than the lowest LIR page was used"
    assert policy.explain("b", 4) == "HIR: number 1 of 1 to leave; must be used twice to become LIR"


def test_remembers_no_more_than_its_share() -> None:
    policy = Lirs(ghost_fraction=0.5, high_fraction=0.25, capacity_tokens=40)
    for number in range(50):
        policy.on_insert(facts(f"p{number}"), number)
        for victim in policy.victims(10 if number >= 4 else 0, {f"p{number}"}, number):
            policy.on_remove(victim, evicted=True)
    state = policy.dump()
    assert len(state["ghosts"]) == 2
    assert len(state["stack"]) <= 2 + 4
