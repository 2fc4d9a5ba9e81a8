"""A fleet at a glance: counts, rates, filters and orders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pagefault.cluster.console.views.fleet import ASLEEP, SORTS, Pulse, chosen, hosts, ordered
from pagefault.runtime.host.records import AgentRow
from pagefault.runtime.values import AgentId


def row(name: str, phase: str = "idle", place: str = "host-1", **counts: int) -> AgentRow:
    return replace(AgentRow(AgentId(name), phase, place), **counts)  # type: ignore[arg-type]  # a test's own counts


ADA = row("ada", "thinking", "host-1", waiting=2, steps=10, faults=1, tokens=50, prompt_limit=100)
BOB = row("Bob", "idle", "host-2", waiting=0, steps=3, faults=0, tokens=10, prompt_limit=100)
EVE = AgentRow(AgentId("eve"), "asleep")
ROWS = [EVE, BOB, ADA]


def names(rows: list[AgentRow]) -> list[str]:
    return [each.agent for each in rows]


def test_counts_and_rates() -> None:
    pulse = Pulse()
    first = pulse.take(ROWS, 1_000)
    assert (first.agents, first.awake, first.waiting, first.held) == (3, 2, 2, 0)
    assert first.phases == {"asleep": 1, "idle": 1, "thinking": 1}
    assert (first.steps_per_s, first.faults_per_s) == (0.0, 0.0)
    later = [replace(ADA, steps=30, faults=2), AgentRow(BOB.agent, "asleep"), replace(EVE, steps=500, faults=9)]
    second = pulse.take(later, 3_000)
    assert (second.steps_per_s, second.faults_per_s) == (10.0, 0.5), "who was not awake at both counts for nothing"
    third = pulse.take([replace(ADA, steps=4, faults=0, held=True)], 4_000)
    assert (third.steps_per_s, third.held) == (0.0, 1), "a rate is never below nothing"
    assert pulse.take([ADA], 4_000).steps_per_s == 0.0, "no time has passed"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", ["eve", "Bob", "ada"]),
        ("A", ["ada"]),
        ("b", ["Bob"]),
        ("phase:think", ["ada"]),
        ("host:host-2", ["Bob"]),
        ("host:host", ["Bob", "ada"]),
        (f"host:{ASLEEP}", ["eve"]),
        ("is:waiting", ["ada"]),
        ("is:awake o", ["Bob"]),
        ("is:held", []),
        ("is:nonsense", []),
        ("a phase:idle", []),
    ],
)
def test_filters(words: str, found: list[str]) -> None:
    assert names(chosen(ROWS, words)) == found


def test_orders() -> None:
    assert names(ordered(ROWS, "steps")) == ["ada", "Bob", "eve"]
    assert names(ordered(ROWS, "steps", backwards=True)) == ["Bob", "ada", "eve"], "who has no figure is last"
    assert names(ordered(ROWS, "place")) == ["ada", "Bob", "eve"]
    for by in SORTS:
        assert sorted(names(ordered(ROWS, by))) == sorted(names(ROWS))


def test_hosts() -> None:
    found = hosts([*ROWS, replace(ADA, agent=AgentId("abe"), phase="idle", tokens=100)])
    assert [(host.place, host.agents, host.busy, host.waiting) for host in found] == [
        ("host-1", 2, 1, 4),
        ("host-2", 1, 0, 0),
        (ASLEEP, 1, 0, 0),
    ]
    assert [host.fullness for host in found] == [0.75, 0.1, 0.0]
