from hypothesis import given
from hypothesis import strategies as st

from pagefault.policies.eviction.wtinylfu import Frequencies, WTinyLfu
from tests.policies.eviction.naive import NaiveCache, Trace, evictions, naive_evictions, traces
from tests.policies.facts import facts


class NaiveWTinyLfu(NaiveCache):
    def __init__(self, capacity: int, window: float) -> None:
        super().__init__(capacity)
        self.window_share = window
        self.window: list[str] = []
        self.probation: list[str] = []
        self.protected: list[str] = []
        self.freq: dict[str, int] = {}
        self.largest = 0

    def limits(self) -> tuple[int, int]:
        window = min(self.capacity, max(int(self.capacity * self.window_share), self.largest))
        return window, self.capacity - window

    def count(self, page: str) -> None:
        self.freq[page] = min(15, self.freq.get(page, 0) + 1)

    def arrive(self, page: str, size: int) -> None:
        self.largest = max(self.largest, size)
        self.count(page)

    def hit(self, page: str) -> None:
        self.count(page)
        if page in self.probation:
            self.probation.remove(page)
            self.protected.append(page)
            while self.total(self.protected) > int(self.limits()[1] * 0.8) and len(self.protected) > 1:
                self.probation.append(self.protected.pop(0))
            return
        queue = self.window if page in self.window else self.protected
        queue.remove(page)
        queue.append(page)

    def evict(self, incoming: int) -> str:
        window, main = self.limits()
        while self.window and self.total(self.window) + incoming > window:
            candidate = self.window[0]
            if self.total(self.probation + self.protected) + self.resident[candidate] <= main:
                self.probation.append(self.window.pop(0))
                continue
            rivals = self.probation or self.protected
            if not rivals or self.freq[candidate] <= self.freq[rivals[0]]:
                return self.window.pop(0)
            victim = rivals.pop(0)
            self.probation.append(self.window.pop(0))
            return victim
        return (self.probation or self.protected or self.window).pop(0)

    def admit(self, page: str, size: int) -> None:
        self.resident[page] = size
        self.window.append(page)
        window, main = self.limits()
        while self.total(self.window) > window:
            if self.total(self.probation + self.protected) + self.resident[self.window[0]] > main:
                return
            self.probation.append(self.window.pop(0))


@given(traces(), st.sampled_from([0.01, 0.2, 0.5]))
def test_is_its_definition(trace: Trace, window: float) -> None:
    policy = WTinyLfu(window_fraction=window, sample_factor=1000, capacity_tokens=trace.capacity)
    assert evictions(policy, trace) == naive_evictions(NaiveWTinyLfu(trace.capacity, window), trace)


def test_what_was_seen_once_does_not_displace_what_is_used() -> None:
    policy = WTinyLfu(capacity_tokens=40)
    for page_id in "abcd":
        policy.on_insert(facts(page_id), 0)
        policy.on_hit(page_id, 0)
    for number in range(20):
        policy.on_insert(facts(f"scan{number}"), number)
        for victim in policy.victims(10, {f"scan{number}"}, number):
            policy.on_remove(victim, evicted=True)
    left = {row[0] for row in policy.dump()["pages"]}
    assert len(left & set("abcd")) == 3, "all but the room of the window"


def test_frequencies_are_halved_and_those_at_zero_forgotten() -> None:
    frequencies = Frequencies()
    for page_id in "aaaab":
        frequencies.record(page_id, 6)
    frequencies.record("a", 6)
    assert frequencies.counts == {"a": 2}
    assert frequencies.recorded == 3
    assert frequencies.of("b") == 0


def test_counts_go_to_fifteen() -> None:
    frequencies = Frequencies()
    for _ in range(40):
        frequencies.record("a", 1000)
    assert frequencies.of("a") == 15


def test_explains_by_part_and_frequency() -> None:
    policy = WTinyLfu(window_fraction=0.5, capacity_tokens=40)
    policy.on_insert(facts("a"), 0)
    policy.on_hit("a", 1)
    assert policy.explain("a", 1) == "in the window: number 1 of 1 there by last use, used 2 times lately"
