from hypothesis import given

from pagefault.policies.eviction.sieve import Sieve
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveSieve(NaiveCache):
    """Algorithm 1 of the paper: a list with the newest page first, and a hand that is a page or nothing."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.newest_first: list[str] = []
        self.visited: dict[str, bool] = {}
        self.hand: str | None = None

    def hit(self, page: str) -> None:
        self.visited[page] = True

    def newer(self, page: str) -> str | None:
        place = self.newest_first.index(page)
        return self.newest_first[place - 1] if place else None

    def evict(self, incoming: int) -> str:
        page = self.hand or self.newest_first[-1]
        while self.visited[page]:
            self.visited[page] = False
            page = self.newer(page) or self.newest_first[-1]
        self.hand = self.newer(page)
        self.newest_first.remove(page)
        return page

    def admit(self, page: str, size: int) -> None:
        self.newest_first.insert(0, page)
        self.visited[page] = False


@given(traces())
def test_is_its_definition(trace: Trace) -> None:
    assert evictions(Sieve(), trace) == naive_evictions(NaiveSieve(trace.capacity), trace)


def filled() -> Sieve:
    policy = Sieve()
    for page_id in "abcd":
        policy.on_insert(facts(page_id), 0)
    return policy


def test_the_hand_stays_where_it_evicted() -> None:
    policy = filled()
    policy.on_hit("a", 1)
    policy.on_hit("c", 1)
    assert policy.victims(10, (), 1) == ["b"]
    policy.on_remove("b", evicted=True)
    policy.on_hit("a", 2)
    assert policy.victims(10, (), 2) == ["d"], "not 'a', which the hand has passed, nor 'c', which was used"


def test_what_comes_in_while_the_hand_is_at_the_end_is_not_next() -> None:
    policy = filled()
    for page_id in "abc":
        policy.on_hit(page_id, 1)
    assert policy.victims(10, (), 1) == ["d"]
    policy.on_remove("d", evicted=True)
    policy.on_insert(facts("e"), 2)
    policy.on_insert(facts("f"), 2)
    assert policy.victims(10, {"f"}, 2) == ["a"]


def test_the_page_under_the_hand_may_leave_by_itself() -> None:
    policy = filled()
    policy.on_hit("a", 1)
    assert policy.victims(10, (), 1) == ["b"]
    policy.on_remove("b", evicted=True)
    policy.on_remove("c", evicted=False)
    assert policy.victims(20, (), 2) == ["d", "a"]


def test_explains_by_bit_and_hand() -> None:
    policy = filled()
    policy.on_hit("b", 1)
    assert policy.explain("b", 1) == "was used since the hand passed it; the hand meets it after 1 others"
