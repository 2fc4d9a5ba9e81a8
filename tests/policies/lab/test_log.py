"""Which stay a page was in at an event."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.policies.contract import PageFacts
from pagefault.policies.eviction.fifo import Fifo
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.log import Entered, Left, Stays, history_of_cache
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.trace import Budget, Source


def test_the_logs_of_a_cache_become_stays() -> None:
    builder = TraceBuilder("t", Source.SYNTHETIC)
    builder.insert(PageFacts("a", "message", 10), 0)
    builder.insert(PageFacts("b", "message", 30), 1)
    builder.reference("a", 2)
    builder.reference("b", 3)
    history = history_of_cache(builder.build(), Budget(20), [1, 2, 3], [0, 1, 0])
    stays = history.stays
    assert stays.page.tolist() == [0, 1, 0, 1]
    assert stays.since.tolist() == [0, 1, 2, 3]
    assert stays.until.tolist() == [1, 2, 3, 4]
    assert stays.entered.tolist() == [Entered.INSERTED, Entered.INSERTED, Entered.FAULTED, Entered.FAULTED]
    assert stays.left.tolist() == [Left.NOTHING, Left.NOTHING, Left.NOTHING, Left.STAYED]
    assert history.evicted.tolist() == [0, 1, 2]
    assert not history.hit.any()
    assert history.overfull_at.tolist() == [1, 3]


@given(st.lists(st.integers(0, 4), max_size=30), st.integers(1, 4))
@settings(max_examples=60)
def test_a_page_is_looked_up_in_its_latest_stay(keys: list[int], capacity: int) -> None:
    builder = TraceBuilder("t", Source.SYNTHETIC)
    for turn, key in enumerate(keys):
        if f"{key}" in builder:
            builder.reference(f"{key}", turn)
        else:
            builder.insert(PageFacts(f"{key}", "message", 1), turn)
    trace = builder.build()
    stays = replay(trace, Fifo(), Budget(capacity)).stays
    for page in range(len(trace.pages)):
        for event in range(len(trace) + 1):
            place = np.array([page]), np.array([event])
            begun = [stay for stay in range(len(stays)) if stays.page[stay] == page and stays.since[stay] < event]
            assert stays.latest_before(*place, len(trace)).tolist() == ([begun[-1]] if begun else [-1])
            resident = bool(begun) and bool(stays.until[begun[-1]] >= event)
            assert stays.resident_before(*place, len(trace)).tolist() == [resident]


def test_nothing_was_there_when_nothing_came() -> None:
    none = np.empty(0, dtype=np.int64)
    stays = Stays(none, none, none, none, none)
    assert stays.resident_before(np.array([0]), np.array([3]), 5).tolist() == [False]
