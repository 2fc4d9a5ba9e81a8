"""What evicted pages leave in a context, what is fetched along, pins, checks and the pager's order."""

from collections.abc import Collection, Sequence
from typing import Any

import pytest

from pagefault.policies.contract import Capability, Leave, PageFacts
from pagefault.policies.eviction.fifo import Fifo
from pagefault.policies.fetch.neighbours import Neighbours
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.context import PolicyBreach
from pagefault.policies.lab.leavings import Leavings
from pagefault.policies.lab.log import Entered, Left
from pagefault.policies.lab.replay import Replay, replay
from pagefault.policies.lab.trace import Budget, Source, Trace
from pagefault.policies.writeback.drop import Drop
from pagefault.policies.writeback.handle import Handle
from pagefault.policies.writeback.summarize import Summarize


def entering(pages: int, tokens: int = 50, *, text: str = "", kind: str = "message") -> TraceBuilder:
    builder = TraceBuilder("made", Source.SYNTHETIC)
    for turn in range(pages):
        builder.insert(PageFacts(f"p{turn}", kind, tokens, turn, text=text or f"Page {turn} is of room {turn}"), turn)
    return builder


def left(found: Replay) -> list[tuple[str, Left]]:
    pages = found.trace.pages
    return [
        (pages[page].id, Left(how))
        for page, how in zip(found.stays.page.tolist(), found.stays.left.tolist(), strict=True)
    ]


def story(trace: Trace, policy: Any, budget: Budget, **more: Any) -> list[str]:
    return [page_id for _, page_id in replay(trace, policy, budget, **more).evictions]


def test_handles_take_room_and_lead_back() -> None:
    builder = entering(4)
    builder.reference("p0", 9)
    # Two pages and two handles of 10 fit; the handle of p0 goes when p0 is back.
    found = replay(builder.build(), Fifo(), Budget(120), write_back=Handle(), leavings=Leavings(handle_tokens=10))
    assert left(found) == [
        ("p0", Left.HANDLE),
        ("p1", Left.HANDLE),
        ("p2", Left.HANDLE),
        ("p3", Left.STAYED),
        ("p0", Left.STAYED),
    ]
    edits = found.edits
    assert list(zip(edits.event.tolist(), edits.stay.tolist(), edits.tokens.tolist(), strict=True)) == [
        (2, 0, 10),
        (3, 1, 10),
        (4, 0, 0),
        (4, 2, 10),
    ]


def test_a_handle_must_be_smaller_than_its_page() -> None:
    found = replay(entering(3).build(), Fifo(), Budget(100), write_back=Handle(), leavings=Leavings(handle_tokens=50))
    assert left(found)[0] == ("p0", Left.NOTHING)


def test_the_oldest_handles_go_when_there_are_too_many() -> None:
    leavings = Leavings(handle_tokens=4, handle_tokens_max=8)
    found = replay(entering(6).build(), Fifo(), Budget(110), write_back=Handle(), leavings=leavings)
    assert (5, 1, 0) in list(
        zip(found.edits.event.tolist(), found.edits.stay.tolist(), found.edits.tokens.tolist(), strict=True)
    )
    assert [page for page, how in left(found) if how is Left.HANDLE] == ["p0", "p1", "p2", "p3"]


def test_what_is_left_behind_makes_more_pages_leave() -> None:
    # Handles of 40 for pages of 50: two pages and a handle do not fit, nor do a page and two handles.
    leavings = Leavings(handle_tokens=40)
    found = replay(entering(3).build(), Fifo(), Budget(100), write_back=Handle(), leavings=leavings)
    assert left(found) == [("p0", Left.HANDLE), ("p1", Left.HANDLE), ("p2", Left.STAYED)]
    assert found.edits.tokens.tolist() == [40, 40, 0, 0]
    assert not len(found.overfull_at)
    # With handles of 10, one page has to go for each that comes, and one more for their handles.
    more = replay(entering(4).build(), Fifo(), Budget(100), write_back=Handle(), leavings=Leavings(handle_tokens=10))
    assert [how for _, how in left(more)] == [Left.HANDLE, Left.HANDLE, Left.HANDLE, Left.STAYED]


def test_the_pager_flushes_once_and_then_harder() -> None:
    builder = entering(3)
    builder.check(3)
    found = replay(builder.build(), Fifo(), Budget(100), write_back=Handle(), leavings=Leavings(handle_tokens=40))
    assert left(found) == [("p0", Left.HANDLE), ("p1", Left.NOTHING), ("p2", Left.STAYED)]
    assert not len(found.overfull_at)


def test_a_summary_is_a_soft_hit_and_still_a_fault() -> None:
    builder = entering(1, text="Marta sold 40 boats. Later she and Okoye met in 2021 in Lisbon.")
    for turn in range(1, 4):
        builder.insert(PageFacts(f"q{turn}", "message", 50, turn, text="nothing"), turn)
    builder.reference("p0", 9)
    leavings = Leavings(summary_tokens_max=40, gist_tokens=5, instruction_tokens=7)
    found = replay(builder.build(), Fifo(), Budget(120), write_back=Summarize(), leavings=leavings)
    assert found.faults == 1
    assert found.soft_at.tolist() == [4]
    assert found.soft_retention.tolist() == [1 / 4]  # 40 of 40, Okoye, 2021, Lisbon
    assert found.summariser_at.tolist() == [2, 3, 4]
    assert found.summariser_input.tolist() == [57, 7 + 5 + 50, 7 + 10 + 50]
    assert found.summariser_output.tolist() == [5, 10, 15]
    assert (found.summary_at.tolist(), found.summary_tokens.tolist()) == ([2, 3, 4], [5, 10, 15])


def test_notices_leave_nothing() -> None:
    found = replay(entering(3, kind="notice").build(), Fifo(), Budget(100), write_back=Handle())
    assert left(found)[0] == ("p0", Left.NOTHING)


def test_what_is_forgotten_cannot_come_back() -> None:
    builder = entering(3)
    builder.reference("p0", 9)
    found = replay(builder.build(), Fifo(), Budget(100), write_back=Drop())
    assert left(found) == [("p0", Left.FORGOTTEN), ("p1", Left.STAYED), ("p2", Left.STAYED)]
    assert found.lost_at.tolist() == [3]
    assert found.faults == 1


def test_companions_come_along_if_they_were_there_once() -> None:
    builder = entering(6)
    builder.reference("p1", 9)
    found = replay(builder.build(), Fifo(), Budget(200), fetch=Neighbours(before=1, after=1, tokens_expected=50))
    entered = [
        (found.trace.pages[page].id, how) for page, how in zip(found.stays.page, found.stays.entered, strict=True)
    ]
    # p2 is resident; p0 comes along.
    assert entered[6:] == [("p1", Entered.FAULTED), ("p0", Entered.FETCHED)]


def test_checks_count_what_is_not_pages() -> None:
    builder = TraceBuilder("made", Source.RECORDED)
    for turn, other in enumerate((0, 0, 30, 30)):
        builder.insert(PageFacts(f"p{turn}", "message", 40, turn), turn)
        builder.check(turn, other)
    # Only checks look: 2 pages fit beside nothing, and 1 beside 30.
    assert replay(builder.build(), Fifo(), Budget(100, 100, 100)).evictions == [(2, "p0"), (2, "p1"), (3, "p2")]
    assert replay(builder.build(), Fifo(), Budget(100, 100, 100, 3)).evictions == [(2, "p0"), (2, "p1"), (3, "p2")]


def test_protected_pages_are_named_in_the_pagers_order() -> None:
    seen: list[list[str]] = []

    class Watching(Fifo):
        def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> Sequence[str]:
            seen.append(list(protected))
            return super().victims(tokens_needed, protected, turn)

    builder = TraceBuilder("made", Source.RECORDED)
    for page_id in ("b", "a", "c", "d", "e"):
        builder.insert(PageFacts(page_id, "message", 10), 0)
    builder.pin("b", 1)
    builder.pin("a", 1)
    builder.check(1)
    replay(builder.build(), Watching(), Budget(40, 40, 40, 2))
    assert seen == [["a", "b", "d", "e"]]


def test_pinned_pages_stay_even_if_nothing_fits() -> None:
    builder = entering(2)
    builder.pin("p0", 2)
    builder.pin("p1", 2)
    builder.check(3, 60)
    builder.unpin("p0", 4)
    builder.check(4, 60)
    found = replay(builder.build(), Fifo(), Budget(110))
    assert found.overfull_at.tolist() == [4]
    assert found.evictions == [(4, "p0")]


class Answers:
    """A write-back or fetch policy that answers what it was made with."""

    name = "answers"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def choose(self, page: PageFacts, turn: int) -> Leave:
        return self._answer()  # type: ignore[no-any-return]  # whatever a plug-in answers

    def companions(self, page_id: str, ordinal: int, room_tokens: int) -> Sequence[int]:
        return self._answer()  # type: ignore[no-any-return]  # whatever a plug-in answers


def test_breaches_of_write_back_and_fetch_are_named() -> None:
    with pytest.raises(PolicyBreach, match=r"answers\.choose at event 2: .*ashes.*one of nothing, summary"):
        replay(entering(3).build(), Fifo(), Budget(100), write_back=Answers(lambda: "ashes"))
    builder = entering(3)
    builder.reference("p0", 4)
    with pytest.raises(PolicyBreach, match=r"answers\.companions at event 3: .*ZeroDivisionError"):
        replay(builder.build(), Fifo(), Budget(100), fetch=Answers(lambda: 1 / 0))
    assert story(builder.build(), Fifo(), Budget(100), fetch=Answers(lambda: [99, 0, 2])) == ["p0", "p1"]
