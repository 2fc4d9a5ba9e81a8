"""Changes, applied one after the other, are the whole; and nothing is told twice."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pagefault.cluster.console.web.roster import Roster
from pagefault.runtime.host.records import AgentRow
from pagefault.runtime.values import AgentId

COUNTS = st.one_of(st.none(), st.integers(0, 3))
ROWS = st.builds(
    AgentRow,
    agent=st.sampled_from([AgentId(f"agent-{number}") for number in range(8)]),
    phase=st.sampled_from(["idle", "thinking", "asleep"]),
    place=st.sampled_from(["", "host-1"]),
    waiting=COUNTS,
    steps=COUNTS,
)
SURVEYS = st.lists(st.lists(ROWS, max_size=8, unique_by=lambda row: row.agent), max_size=6)


class Browser:
    """What ``assets/fleet.js`` does with what it is told."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.names: dict[int, str] = {}
        self.cells: dict[int, list[Any]] = {}

    def take(self, told: dict[str, Any]) -> None:
        self.words += told["words"]
        for number in told["gone"]:
            del self.names[number], self.cells[number]
        self.names.update((number, name) for number, name in told["new"])
        self.cells.update((number, cells) for number, *cells in told["rows"])

    def seen(self) -> dict[str, tuple[Any, ...]]:
        return {
            self.names[number]: (self.words[cells[0]], self.words[cells[1]], *cells[2:])
            for number, cells in self.cells.items()
        }


def plain(row: AgentRow) -> tuple[Any, ...]:
    figures = (row.waiting, row.oldest_ms, row.tokens, row.prompt_limit, row.steps, row.faults, row.timer_ms)
    return (row.phase, row.place, *figures)


@given(SURVEYS)
def test_who_was_there_from_the_start_and_who_comes_now_see_the_same(surveys: list[list[AgentRow]]) -> None:
    roster, early = Roster(), Browser()
    for rows in surveys:
        told = roster.take(rows)
        early.take(told)
        late = Browser()
        late.take(roster.whole())
        assert early.seen() == late.seen() == {row.agent: plain(row) for row in rows}
        assert told["total"] == len(rows)
        again = roster.take(rows)
        assert (again["words"], again["new"], again["gone"], again["rows"]) == ([], [], [], [])


def test_who_does_again_what_it_did_before_is_told_again() -> None:
    roster, browser = Roster(), Browser()
    idle, thinking = (AgentRow(AgentId("ada"), phase) for phase in ("idle", "thinking"))
    for row in (idle, thinking, idle, idle):
        browser.take(roster.take([row]))
        assert browser.seen() == {"ada": plain(row)}


def test_of_too_many_those_that_do_something_are_told_and_all_are_counted() -> None:
    roster = Roster(agents_max=2)
    rows = [AgentRow(AgentId(name), phase) for name, phase in [("a", "asleep"), ("b", "idle"), ("c", "thinking")]]
    told = roster.take(rows)
    assert [name for _, name in told["new"]] == ["b", "c"]
    assert (told["total"], told["phases"]) == (3, {"asleep": 1, "idle": 1, "thinking": 1})
    told = roster.take([AgentRow(AgentId("a"), "acting"), *rows[1:]])
    assert [name for _, name in told["new"]] == ["a"]
    assert len(told["gone"]) == 1
