"""What is said to leave next is what does leave when a flush comes; and looking changes nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pagefault.policies.registry import policy_names
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.outlook import Outlook, outlook
from pagefault.runtime.values import Fidelity
from tests.runtime.kernel.harness import Desk, call, definition, message

LONG = "something was said here that takes some room in the context, number {0} of many. " * 2


def seen(agent: AgentState) -> Outlook:
    return outlook(agent, agent.context.corrected(agent.context.assemble().tokens))


@pytest.mark.parametrize("eviction", ["fifo", "lru", "sieve", "importance"])
def test_what_is_said_to_leave_next_leaves_next(eviction: str) -> None:
    desk = Desk(definition(eviction=eviction, write_back="archive"))
    flushes = 0
    for number in range(80):
        before = seen(desk.agent)
        desk.last = []
        desk.send(message(number, LONG.format(number)))
        for notice in [each for each in desk.notices("flushed") if each in desk.last]:
            flushes += 1
            went = [page_id for page_id in notice.page_ids if page_id in before.order]
            assert went == list(before.order[: len(went)])
            assert len(notice.page_ids) - before.flushed in range(3), "the page that came takes some room, too"
        desk.settle()
    assert flushes >= 2


@pytest.mark.parametrize("eviction", policy_names())
def test_looking_changes_nothing(eviction: str) -> None:
    watched, alone = (Desk(definition(eviction=eviction)) for _ in range(2))
    for number in range(60):
        for desk in (watched, alone):
            desk.send(message(number, LONG.format(number)))
            if desk is watched:
                looked = seen(desk.agent)
                assert {*looked.kept, *looked.order} == set(desk.agent.context.entries)
                assert not looked.problem
            desk.settle()
    assert watched.agent.statistics.flushes >= 1
    assert watched.agent.dump() == alone.agent.dump()


def test_why_a_page_stays() -> None:
    desk = Desk(definition(write_back="handle", keep_last_pages=2))
    for number in range(60):
        desk.send(message(number, LONG.format(number)))
        desk.settle()
    resident = [shown.page.id for shown in desk.agent.context.pages()]
    desk.send(message("pin", "Pin it."))
    desk.replies(call("pin", True, page_id=resident[0]))
    looked = seen(desk.agent)
    assert looked.kept[resident[0]] == "pinned"
    assert desk.agent.chain is not None
    assert looked.kept[desk.agent.chain.page_id] == "in hand"
    newest = [shown.page.id for shown in desk.agent.context.pages()][-1]
    assert looked.kept[newest] == "newest"
    handles = [page_id for page_id, why in looked.kept.items() if why == "handle"]
    assert handles
    assert all(desk.agent.context.entries[page_id].page.fidelity is Fidelity.HANDLE for page_id in handles)
    assert set(looked.leaves.values()) <= {"handle", "nothing"}
    assert looked.leaves[looked.order[0]] == "handle"


def test_what_cannot_be_copied_is_said_and_left_alone() -> None:
    desk = Desk(definition())
    desk.send(message(1, "hello"))
    policy: Any = desk.agent.eviction._policy
    policy.lock = threading.Lock()
    looked = seen(desk.agent)
    assert "fifo cannot be copied" in looked.problem
    assert looked.order == ()


def test_a_write_back_that_fails_says_nothing_and_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(definition())
    for number in range(5):
        desk.send(message(number, "hello"))
        desk.settle()

    def broken(*_: object) -> str:
        raise ValueError("no")

    monkeypatch.setattr(desk.agent.write_back, "choose", broken, raising=False)
    assert set(seen(desk.agent).leaves.values()) == {""}
    assert desk.agent.statistics.policy_failures == 0
