"""The system calls: each as the kernel calls it, through a grant's table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.runtime.functions import BUILTINS, GRANTS, Registry, SystemSettings
from pagefault.runtime.kernel.functions import (
    Block,
    CallAgent,
    CallProblem,
    Done,
    FetchPages,
    Insert,
    MemoryView,
    MergePassages,
    Outcome,
    PageLine,
    PageOut,
    PauseHeartbeats,
    Pin,
    Say,
    Search,
    SendTo,
    SetBlock,
    StartTimer,
)
from pagefault.runtime.values import ArchiveQuery, PageId, PageKind

NOW_MS = 1_700_000_000_000


@dataclass
class View:
    """An agent with a few blocks and pages."""

    now_ms: int = NOW_MS
    review_since_ms: int = 0
    agent_id: str = "ana"
    sender: str = "user"
    free_tokens: int = 100
    results_tokens_max: int = 1_000
    spaces: Sequence[str] = ("library",)
    search_results: int = 10
    blocks: Mapping[str, Block] = field(
        default_factory=lambda: {
            "human": Block("human", "Name: Bo. Bo likes tea.", 60),
            "persona": Block("persona", "", 20),
            "rules": Block("rules", "Be kind.", 60, read_only=True),
        }
    )
    lines: tuple[PageLine, ...] = (
        PageLine(PageId("p1"), "message", 40, pinned=False, fidelity="full"),
        PageLine(PageId("p2"), "message", 5, pinned=False, fidelity="handle"),
        PageLine(PageId("p3"), "result", 60, pinned=True, fidelity="full"),
    )

    def page(self, page_id: PageId) -> PageLine | None:
        return next((each for each in self.lines if each.id == page_id), None)

    def resident(self) -> Sequence[PageLine]:
        return self.lines


TABLE = Registry().table("all")


def call(name: str, view: MemoryView | None = None, table: Any = TABLE, **arguments: Any) -> Outcome:
    checked, _ = table.check(name, json.dumps(arguments))
    outcome: Outcome = table.get(name).system_call(view or View(), checked)
    return outcome


def problem(name: str, view: MemoryView | None = None, **arguments: Any) -> str:
    with pytest.raises(CallProblem) as caught:
        call(name, view, **arguments)
    return str(caught.value)


def query(name: str, view: MemoryView | None = None, table: Any = TABLE, **arguments: Any) -> ArchiveQuery:
    outcome = call(name, view, table, **arguments)
    assert isinstance(outcome, Search)
    return outcome.query


def changes(outcome: Outcome) -> tuple[object, ...]:
    assert isinstance(outcome, Done)
    assert outcome.text
    return outcome.changes


def test_sets() -> None:
    assert GRANTS["memgpt"] == (
        "send_message", "core_memory_append", "core_memory_replace", "conversation_search",
        "conversation_search_date", "archival_memory_insert", "archival_memory_search", "pause_heartbeats",
    )  # fmt: skip
    assert (*GRANTS["all"], *GRANTS["consolidation"]) == tuple(BUILTINS)
    assert GRANTS["consolidation"] == ("archival_memory_review", "archival_memory_merge")
    never = {name for name, each in BUILTINS.items() if each.chains == "never"}
    assert never == {"send_message", "pause_heartbeats", "yield_control"}
    for name, each in BUILTINS.items():
        assert ("request_heartbeat" in each.schema.parameters) == (each.chains == "requested"), name
        assert each.is_system_call
        assert each.schema.strict


def test_talking() -> None:
    assert changes(call("send_message", message="Hello")) == (Say("Hello"),)
    assert "empty" in problem("send_message", message="  ")
    assert changes(call("send_to_agent", agent="bo", message="Hi")) == (SendTo("bo", "Hi"),)
    assert call("call_agent", agent="bo", message="Hi?") == CallAgent("bo", "Hi?", NOW_MS + 60_000)
    assert call("call_agent", agent="bo", message="Hi?", timeout_seconds=5) == CallAgent("bo", "Hi?", NOW_MS + 5_000)


@pytest.mark.parametrize("name", ["send_to_agent", "call_agent"])
def test_talking_to_nobody_or_oneself(name: str) -> None:
    assert "set_timer" in problem(name, agent="ana", message="x")
    assert "empty" in problem(name, agent=" ", message="x")
    assert "empty" in problem(name, agent="bo", message="")


@pytest.mark.parametrize("seconds", [0, -1, 3_601])
def test_a_call_waits_within_bounds(seconds: int) -> None:
    assert "timeout_seconds" in problem("call_agent", agent="bo", message="x", timeout_seconds=seconds)


def test_appending() -> None:
    appended = changes(call("core_memory_append", label="human", content="Has a dog."))
    assert appended == (SetBlock("human", "Name: Bo. Bo likes tea.\nHas a dog."),)
    assert changes(call("core_memory_append", label="persona", content="Calm.")) == (SetBlock("persona", "Calm."),)


def test_replacing_takes_every_occurrence() -> None:
    replaced = changes(call("core_memory_replace", label="human", old_content="Bo", new_content="Bea"))
    assert replaced == (SetBlock("human", "Name: Bea. Bea likes tea."),)
    deleted = changes(call("core_memory_replace", label="human", old_content=" Bo likes tea.", new_content=""))
    assert deleted == (SetBlock("human", "Name: Bo."),)


def test_edits_that_cannot_be() -> None:
    assert "empty" in problem("core_memory_replace", label="human", old_content="", new_content="x")
    assert "empty" in problem("core_memory_append", label="human", content="")
    text = problem("core_memory_replace", label="human", old_content="bo", new_content="x")
    assert "exactly" in text
    assert "Name: Bo." in text
    assert "read-only" in problem("core_memory_append", label="rules", content="x")
    assert "'human', 'persona', 'rules'" in problem("core_memory_append", label="humans", content="x")
    text = problem("core_memory_append", label="persona", content="x" * 21)
    assert "21 characters" in text
    assert "limit is 20" in text
    assert "Summarise" in text
    assert "archival_memory_insert" in text
    # The limit itself fits.
    assert changes(call("core_memory_append", label="persona", content="x" * 20)) == (SetBlock("persona", "x" * 20),)


def test_searching_the_conversation() -> None:
    found = query("conversation_search", query="tea", page=2)
    assert (found.text, found.spaces, found.offset, found.limit) == ("tea", ("recall",), 20, 10)
    assert found.mode == "hybrid"
    assert PageKind.RESULT not in found.kinds
    assert PageKind.MESSAGE in found.kinds
    assert call("conversation_search", query="tea") == Search(query("conversation_search", query="tea"), 0)
    assert "at least 0" in problem("conversation_search", query="x", page=-1)


def test_a_page_number_past_everything_is_harmless() -> None:
    assert query("conversation_search", query="x", page=10**30).offset <= 10**8


def test_a_review_lists_what_is_new_and_merging_names_passages() -> None:
    table = Registry().table("consolidation")
    found = query("archival_memory_review", View(search_results=5, review_since_ms=77), table, page=2)
    assert (found.text, found.spaces, found.after_ms, found.offset) == ("", ("archival",), 77, 10)
    merged = call("archival_memory_merge", View(), table, passages=["[p3]", "p7", "p3"], content="so", tags=[" a "])
    assert merged == MergePassages((PageId("p3"), PageId("p7")), "so", ("a",))


def test_searching_archival_memory() -> None:
    table = Registry().table("all", SystemSettings(archival_mode="substring"))
    found = query("archival_memory_search", View(search_results=5), table, query=" key ", page=1)
    assert (found.text, found.spaces) == ("key", ("archival", "library"))
    assert (found.offset, found.limit, found.mode) == (5, 5, "substring")
    assert query("archival_memory_search", query="").text == ""


def test_searching_by_date() -> None:
    found = query("conversation_search_date", start_date="2024-05-07", end_date="2024-05-07")
    assert (found.after_ms, found.before_ms) == (1_715_040_000_000, 1_715_126_399_999)
    found = query("conversation_search_date", start_date="2024-05-07T02:00+02:00", end_date="2024-05-08T00:00:01Z")
    assert (found.after_ms, found.before_ms) == (1_715_040_000_000, 1_715_126_401_000)
    text = problem("conversation_search_date", start_date="2024-05-08", end_date="2024-05-07")
    assert "exchange" in text
    for wrong in ("yesterday", "07.05.2024", "2024-13-01", "2024-02-30", "", "٢٠٢٤-05-07x"):
        text = problem("conversation_search_date", start_date=wrong, end_date="2024-05-07")
        assert "start_date" in text
        assert "2024-05-07" in text


@settings(max_examples=200, deadline=None)
@given(first=st.dates(), second=st.dates())
def test_a_date_covers_its_whole_day(first: Any, second: Any) -> None:
    start, end = sorted((first, second))
    found = query("conversation_search_date", start_date=start.isoformat(), end_date=end.isoformat())
    assert found.after_ms is not None
    assert found.before_ms is not None
    assert found.before_ms - found.after_ms == ((end - start).days + 1) * 86_400_000 - 1
    midnight = datetime.combine(start, datetime.min.time(), UTC)
    assert found.after_ms == round((midnight - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000)


@settings(max_examples=200, deadline=None)
@given(start=st.text(max_size=30), end=st.text(max_size=30))
def test_any_text_as_a_date_is_a_problem_or_a_search(start: str, end: str) -> None:
    try:
        assert isinstance(call("conversation_search_date", start_date=start, end_date=end), Search)
    except CallProblem as caught:
        told = str(caught)
    else:
        told = "date"
    assert "date" in told


@pytest.mark.parametrize("edge", ["0001-01-01T00:00+14:00", "9999-12-31T23:59:59.999999-14:00"])
def test_the_ends_of_time(edge: str) -> None:
    try:
        call("conversation_search_date", start_date=edge, end_date=edge)
    except CallProblem as told:
        pytest.fail(str(told))


def test_storing_a_passage() -> None:
    assert changes(call("archival_memory_insert", content="Bo likes tea")) == (Insert("Bo likes tea"),)
    tagged = changes(call("archival_memory_insert", content="x", tags=[" a ", "b", "a", ""]))
    assert tagged == (Insert("x", tags=("a", "b")),)
    shared = changes(call("archival_memory_insert", content="x", space="library"))
    assert shared == (Insert("x", "library"),)
    assert "'archival', 'library'" in problem("archival_memory_insert", content="x", space="attic")
    assert "empty" in problem("archival_memory_insert", content="\n")
    assert "allowed: 64" in problem("archival_memory_insert", content="x", tags=["t" * 65])
    assert "tags" in problem("archival_memory_insert", content="x", tags=["t"] * 17)


def test_paging_in() -> None:
    assert call("page_in", page_id="p9") == FetchPages((PageId("p9"),))
    assert call("page_in", page_id=" [p9] ") == FetchPages((PageId("p9"),))
    assert call("page_in", page_id="p2") == FetchPages((PageId("p2"),))
    # Whether it is there already is the kernel's to see: it counts as a use of the page.
    assert call("page_in", page_id="p1") == FetchPages((PageId("p1"),))
    assert "empty" in problem("page_in", page_id=" ")


def test_paging_out() -> None:
    assert changes(call("page_out", page_id="p1")) == (PageOut(PageId("p1")),)
    assert changes(call("page_out", page_id="p2")) == ()
    assert "unpin" in problem("page_out", page_id="p3")
    assert "p1, p2, p3" in problem("page_out", page_id="zzz")


def test_pinning() -> None:
    assert changes(call("pin", page_id="p1")) == (Pin(PageId("p1"), True),)
    assert changes(call("pin", page_id="p3")) == ()
    assert changes(call("unpin", page_id="p3")) == (Pin(PageId("p3"), False),)
    assert changes(call("unpin", page_id="p1")) == ()
    assert "There is no page 'p7'" in problem("pin", page_id="p7")


def test_timers() -> None:
    (timer,) = changes(call("set_timer", minutes=0.5, message="tea"))
    assert isinstance(timer, StartTimer)
    assert (timer.at_ms, timer.text, timer.every_ms) == (NOW_MS + 30_000, "tea", None)
    (again,) = changes(call("set_timer", minutes=0.5, message="tea"))
    (other,) = changes(call("set_timer", minutes=0.5, message="coffee"))
    (every,) = changes(call("set_timer", minutes=2, message="tea", repeat=True))
    assert isinstance(other, StartTimer)
    assert isinstance(every, StartTimer)
    assert timer == again
    assert timer.timer_id != other.timer_id
    assert every.every_ms == 120_000
    # A repeated timer that is set again later replaces the first one.
    (later,) = changes(call("set_timer", View(now_ms=NOW_MS + 5), minutes=2, message="tea", repeat=True))
    assert isinstance(later, StartTimer)
    assert later.timer_id == every.timer_id
    for minutes in (0, -1, 10**9):
        assert "minutes" in problem("set_timer", minutes=minutes, message="x")
    assert "repeated" in problem("set_timer", minutes=0.001, message="x", repeat=True)
    assert "empty" in problem("set_timer", minutes=1, message="")


def test_pausing() -> None:
    assert changes(call("pause_heartbeats", minutes=360)) == (PauseHeartbeats(NOW_MS + 360 * 60_000),)
    assert changes(call("pause_heartbeats", minutes=0)) == (PauseHeartbeats(NOW_MS),)
    assert "at most 360" in problem("pause_heartbeats", minutes=361)


def test_yielding() -> None:
    outcome = call("yield_control")
    assert isinstance(outcome, Done)
    assert outcome.yields
    assert outcome.changes == ()


def test_a_call_is_pure() -> None:
    examples: dict[str, dict[str, Any]] = {
        "core_memory_append": {"label": "human", "content": "x"},
        "set_timer": {"minutes": 1, "message": "x"},
        "conversation_search": {"query": "x"},
        "pin": {"page_id": "p1"},
    }
    for name, arguments in examples.items():
        view = View()
        assert call(name, view, **arguments) == call(name, view, **arguments)
        assert view == View()
