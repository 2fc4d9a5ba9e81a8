"""Faults that were found by reading, each with the events that showed it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.context import CORRECTION_CEILING
from pagefault.runtime.kernel.settings import ChainSettings, MailboxSettings
from pagefault.runtime.kernel.state import Phase, Timer
from pagefault.runtime.values import InterruptId, InterruptKind, Priority
from tests.runtime.kernel.harness import Desk, call, definition, message, new_agent


def revived(desk: Desk) -> Desk:
    """The agent after its process died, from a snapshot."""
    agent = new_agent(desk.definition)
    agent.load(desk.agent.dump())
    again = Desk(desk.definition, agent)
    again.archive, again.now_ms = desk.archive, desk.now_ms
    again.feed(ev.Recovered(again.tick(), 2))
    return again


def test_a_killed_agent_comes_back_killed() -> None:
    desk = Desk()
    desk.send(message("kill", priority=Priority.KILL, kind=InterruptKind.KILL))
    again = revived(desk)
    assert again.phase() is Phase.STOPPED
    (refusal,) = again.send(message(1))
    assert isinstance(refusal, fx.Reject)
    assert "killed" in refusal.reason


def test_every_timer_is_set_again_after_a_recovery() -> None:
    desk = Desk()
    desk.agent.now_ms = desk.now_ms
    desk.agent.timers = {"late": Timer(9_000_000, "b"), "soon": Timer(5_000_000, "a")}
    desk.agent.paused_until_ms = 7_000_000
    assert [effect.at_ms for effect in revived(desk).of(fx.SetTimer)] == [5_000_000, 7_000_000, 9_000_000]


def evicted_page(desk: Desk) -> str:
    desk.send(message("old", "the old page"))
    desk.settle()
    page_id = next(iter(desk.agent.context.entries))
    desk.send(message("out", "go on"))
    desk.replies(call("page_out", page_id=page_id))
    desk.settle()
    return page_id


def test_a_page_may_arrive_while_the_chain_that_asked_for_it_first_is_parked() -> None:
    desk = Desk()
    page_id = evicted_page(desk)
    desk.send(message("first", "x"))
    desk.replies(call("page_in", page_id=page_id), call("call_agent", agent="b", message="?", timeout_seconds=60))
    desk.answer()
    asked = desk.of(fx.Send)[-1].interrupt
    desk.send(message("second", "y"))
    desk.replies(call("page_in", page_id=page_id))
    desk.settle()
    desk.send(message("reply", "well", Priority.REPLY, kind=InterruptKind.REPLY, in_reply_to=asked.id, sender="b"))
    desk.settle()
    assert ("ifirst", "yielded") in desk.ended()
    assert list(desk.agent.context.entries).count(page_id) == 1  # type: ignore[arg-type]  # ids are strings


@pytest.mark.parametrize("name", ["model", "function", "search", "load", "summary"])
def test_a_call_that_was_broken_off_unasked_ends(name: str) -> None:
    """A library may cancel a task of ours by itself: the chain must not wait for ever."""
    desk = Desk(definition(write_back="summarize") if name == "summary" else None)
    if name == "summary":
        for number in range(100):
            desk.send(message(number, "words and more words " * 8))
            if desk.agent.outstanding is not None and desk.agent.outstanding.kind == "summary":
                break
            desk.settle()
    else:
        page_id = evicted_page(desk)
        desk.send(message(1))
        calls = {
            "function": call("launch", target="moon"),
            "search": call("conversation_search", True, query="old"),
            "load": call("page_in", page_id=page_id),
        }
        if name in calls:
            desk.replies(calls[name])
    assert desk.agent.outstanding is not None
    assert desk.agent.outstanding.kind == name
    before = desk.call_id
    desk.feed(ev.Cancelled(desk.tick(), before))
    assert getattr(desk.agent.outstanding, "call_id", None) != before
    desk.settle()
    if name == "function":
        assert any("outcome unknown" in shown.page.text for shown in desk.agent.context.pages())
    if name == "model":
        assert desk.ended()[-1] == ("i1", "model_failed")


def test_a_once_function_that_was_being_cancelled_when_its_host_died_stays_in_memory() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("launch", target="moon"))
    desk.send(message("stop", priority=Priority.OPERATOR, kind=InterruptKind.CANCEL, target=InterruptId("i1")))
    again = revived(desk)
    assert again.ended() == [("i1", "cancelled")]
    assert any("outcome unknown" in shown.page.text for shown in again.agent.context.pages())


def test_an_answer_is_taken_however_many_agents_it_has_passed() -> None:
    desk = Desk()
    desk.send(message(1, hops=15))
    desk.replies(call("call_agent", agent="b", message="?", timeout_seconds=60))
    asked = desk.of(fx.Send)[-1].interrupt
    desk.send(
        message(
            "r", "well", Priority.REPLY, kind=InterruptKind.REPLY, in_reply_to=asked.id, sender="b", hops=asked.hops + 1
        )
    )
    assert not desk.of(fx.Reject)
    assert any("b answers: well" in shown.page.text for shown in desk.agent.context.pages())


def test_a_duplicate_of_what_still_waits_is_known_though_its_id_was_forgotten() -> None:
    desk = Desk(definition(mailbox=MailboxSettings(interrupts_max=20, remembered_ids=3)))
    for number in range(8):
        desk.send(message(number))
    assert InterruptId("i1") not in desk.agent.remembered
    (again,) = desk.send(message(1))
    assert isinstance(again, fx.Accept)
    assert again.duplicate
    assert again.under_way
    (running,) = desk.send(message(0))
    assert isinstance(running, fx.Accept)
    assert running.under_way


def test_coalescing_keeps_to_the_bound_of_bytes() -> None:
    desk = Desk(definition(mailbox=MailboxSettings(interrupts_max=20, bytes_max=2000, interrupt_bytes_max=1500)))
    desk.send(message("run"))
    desk.send(message("a", "x", coalesce="a"))
    desk.send(message("b", "y" * 1000, coalesce="b"))
    desk.send(message("c", "x" * 1000, coalesce="a"))
    assert "bytes wait" in desk.of(fx.Reject)[-1].reason
    assert InterruptId("ia") in desk.agent.mailbox, "what was accepted stays"


def test_a_server_that_always_says_overflow_does_not_shrink_the_context_to_nothing() -> None:
    desk = Desk(definition(functions=(), budget_tokens=40_000, chain=ChainSettings(overflow_retries=50)))
    desk.send(message(1))
    for _ in range(30):
        if desk.agent.outstanding is None:
            break
        desk.feed(ev.ModelFailed(desk.tick(), desk.call_id, "overflow", "too long"))
    assert desk.agent.context.correction_permille <= CORRECTION_CEILING


def test_a_fetch_policy_that_raises_does_not_stop_a_page_from_coming() -> None:
    class Broken:
        name = "broken"

        def companions(self, page_id: str, ordinal: int, room_tokens: int) -> list[int]:
            raise RuntimeError("on purpose")

    desk = Desk()
    page_id = evicted_page(desk)
    desk.agent.fetch = Broken()
    desk.send(message(1))
    desk.replies(call("page_in", page_id=page_id))
    desk.settle()
    assert desk.agent.statistics.policy_failures == 1
    assert "on purpose" in desk.notices("policy_failed")[0].text


def test_policies_see_protected_pages_in_an_order_that_does_not_depend_on_the_process() -> None:
    seen: list[list[str]] = []
    desk = Desk(definition(keep_last_pages=12))
    guarded = desk.agent.eviction
    victims = guarded.victims

    class Spy:
        def __getattr__(self, name: str) -> object:
            return getattr(guarded, name)

        def victims(self, needed: int, protected: Collection[str], turn: int) -> list[str]:
            seen.append(list(protected))
            return victims(needed, protected, turn)

    desk.agent.eviction = Spy()  # type: ignore[assignment]  # a spy
    for number in range(120):
        desk.send(message(number, "words and more words " * 8))
        desk.settle()
    assert seen
    places = {page_id: int(page_id[1:]) for protected in seen for page_id in protected}
    for protected in seen:
        newest = protected[:12]
        assert newest == sorted(newest, key=places.__getitem__)


def test_a_call_whose_schemas_have_grown_meanwhile_is_put_anew_within_the_budget() -> None:
    desk = Desk(definition(functions=("send_message",)))
    desk.send(message(1, "hello"))
    wider = definition()
    agent = new_agent(wider)
    agent.load(desk.agent.dump())
    again = Desk(wider, agent)
    again.feed(ev.Recovered(again.tick(), 2))
    (asked,) = again.of(fx.CallModel)
    assert asked.request.prompt_tokens == agent.context.corrected(agent.context.assemble().tokens)
    assert again.agent.outstanding is not None
    assert again.agent.outstanding.counted_tokens == agent.context.assemble().tokens


def test_at_equal_priority_what_has_begun_goes_first() -> None:
    desk = Desk()
    desk.send(message("aside"))
    desk.send(message("urgent", priority=Priority.OPERATOR))
    desk.replies(call("weigh", True, thing="x"))
    desk.returns()  # the next step is the urgent chain's
    desk.send(message("newer"))
    desk.settle()
    assert [cause for cause, _ in desk.ended()] == ["iurgent", "iaside", "inewer"]


def test_a_parked_chain_that_was_answered_goes_before_an_equal_newcomer() -> None:
    desk = Desk()
    desk.send(message("asks"))
    desk.replies(call("call_agent", agent="b", message="?", timeout_seconds=60))
    asked = desk.of(fx.Send)[-1].interrupt
    desk.send(message("between"))
    desk.send(message("newer"))
    desk.send(message("r", "well", Priority.REPLY, kind=InterruptKind.REPLY, in_reply_to=asked.id, sender="b"))
    desk.settle()
    assert [cause for cause, _ in desk.ended()] == ["ibetween", "iasks", "inewer"]


def test_a_masked_answer_waits_until_the_mask_is_lifted() -> None:
    desk = Desk()
    desk.send(message("asks"))
    desk.replies(call("call_agent", agent="b", message="?", timeout_seconds=60))
    asked = desk.of(fx.Send)[-1].interrupt
    mask: dict[str, Any] = {"priority": Priority.OPERATOR, "kind": InterruptKind.MASK}
    desk.send(message("hold", mask=(Priority.REPLY,), **mask))
    desk.send(message("r", "well", Priority.REPLY, kind=InterruptKind.REPLY, in_reply_to=asked.id, sender="b"))
    assert desk.phase() is Phase.AWAITING_REPLY
    desk.send(message("lift", mask=(), **mask))
    desk.settle()
    assert ("iasks", "yielded") in desk.ended()


def test_a_duplicate_is_answered_with_the_page_that_it_became() -> None:
    desk = Desk()
    desk.send(message("once"))
    desk.settle()
    (again,) = desk.send(message("once"))
    assert isinstance(again, fx.Accept)
    assert again.page_id == "p1"
    assert not again.under_way
