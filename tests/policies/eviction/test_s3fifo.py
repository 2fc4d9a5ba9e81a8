import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.s3fifo import S3Fifo
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveS3Fifo(NaiveCache):
    def __init__(self, capacity: int, threshold: int, small: float) -> None:
        super().__init__(capacity)
        self.threshold = threshold
        self.small_share = int(capacity * small)
        self.small: list[str] = []
        self.main: list[str] = []
        self.ghosts: list[tuple[str, int]] = []
        self.freq: dict[str, int] = {}
        self.was_ghost = False
        self.evicted_before = False
        self.largest = 0

    def arrive(self, page: str, size: int) -> None:
        self.largest = max(self.largest, size)
        self.was_ghost = page in dict(self.ghosts)
        self.ghosts = [ghost for ghost in self.ghosts if ghost[0] != page]

    def hit(self, page: str) -> None:
        self.freq[page] += 1

    def evict(self, incoming: int) -> str:
        self.evicted_before = True
        if self.total(self.main) <= self.capacity - self.small_share:
            while self.small:
                page = self.small.pop(0)
                if self.freq[page] < self.threshold:
                    self.remember(page, self.resident[page])
                    return page
                self.freq[page] = 0
                self.main.append(page)
        while self.freq[self.main[0]]:
            page = self.main.pop(0)
            self.freq[page] = min(self.freq[page], 3) - 1
            self.main.append(page)
        return self.main.pop(0)

    def remember(self, page: str, size: int) -> None:
        limit = int(self.capacity * 0.9)
        if size <= limit:
            while sum(each for _, each in self.ghosts) + size > limit:
                self.ghosts.pop(0)
            self.ghosts.append((page, size))

    def admit(self, page: str, size: int) -> None:
        full = self.total(self.small) >= max(self.small_share, self.largest)
        (self.main if self.was_ghost or (full and not self.evicted_before) else self.small).append(page)
        self.freq[page] = 0


@given(traces(), st.integers(1, 3), st.sampled_from([0.1, 0.25, 0.5]))
def test_is_its_definition(trace: Trace, threshold: int, small: float) -> None:
    policy = S3Fifo(threshold=threshold, small_fraction=small, capacity_tokens=trace.capacity)
    assert evictions(policy, trace) == naive_evictions(NaiveS3Fifo(trace.capacity, threshold, small), trace)


def test_a_page_that_comes_back_goes_to_the_main_queue() -> None:
    policy = S3Fifo(capacity_tokens=40)
    for page_id in "abcde":
        policy.on_insert(facts(page_id), 0)
    first = policy.victims(10, {"e"}, 0)[0]
    policy.on_remove(first, evicted=True)
    policy.on_insert(facts(first), 1)
    policy.on_hit(first, 1)
    assert policy.explain(first, 1).startswith("in the main queue")


def test_what_left_by_itself_is_no_ghost() -> None:
    policy = S3Fifo(capacity_tokens=40)
    for page_id in "abcde":
        policy.on_insert(facts(page_id), 0)
    first = policy.victims(10, {"e"}, 0)[0]
    policy.on_remove(first, evicted=False)
    policy.on_insert(facts(first), 1)
    policy.on_hit(first, 1)
    assert policy.explain(first, 1).startswith("in the small queue")


def test_a_page_larger_than_the_small_queue_is_taken_in() -> None:
    policy = S3Fifo(capacity_tokens=100)
    policy.on_insert(facts("small", 5), 0)
    policy.on_insert(facts("large", 90), 1)
    policy.on_insert(facts("next", 20), 2)
    assert policy.victims(15, {"next"}, 2) == ["small", "large"]


@pytest.mark.parametrize("threshold", [0, 4])
def test_refuses_a_threshold_that_cannot_be(threshold: int) -> None:
    with pytest.raises(PolicyError, match=r"^s3fifo\.threshold: .* from 1 to 3$"):
        S3Fifo(threshold=threshold)
