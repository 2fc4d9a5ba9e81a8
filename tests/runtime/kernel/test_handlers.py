"""Faults that were found by reading, each with the events that showed it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from pagefault.policies.contract import Capability
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
        capabilities: frozenset[Capability] = frozenset()

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


def test_a_killed_agent_holds_no_timers_and_no_parked_chains() -> None:
    desk = Desk()
    desk.send(message("asks"))
    desk.replies(
        call("set_timer", minutes=5, message="ring"), call("call_agent", agent="b", message="?", timeout_seconds=60)
    )
    assert desk.agent.timers
    assert desk.agent.parked
    desk.send(message("kill", priority=Priority.KILL, kind=InterruptKind.KILL))
    assert desk.phase() is Phase.STOPPED
    assert not desk.agent.timers
    assert ("iasks", "killed") in desk.ended()


def test_only_the_first_answer_counts() -> None:
    desk = Desk()
    desk.send(message("asks"))
    desk.replies(call("call_agent", agent="b", message="?", timeout_seconds=60))
    asked = desk.of(fx.Send)[-1].interrupt
    desk.send(message("busy", priority=Priority.OPERATOR))
    for number, text in enumerate(("the first", "the second")):
        answer = {"kind": InterruptKind.REPLY, "in_reply_to": asked.id, "sender": "b"}
        desk.send(message(f"r{number}", text, Priority.REPLY, **answer))
    desk.settle()
    texts = [shown.page.text for shown in desk.agent.context.pages()]
    assert any("the first" in text for text in texts)
    assert not any("the second" in text for text in texts)
    assert [effect.cause for effect in desk.notices("late")] == ["ir1"]


def test_who_asked_is_told_that_the_answer_failed_and_how_far_it_has_come() -> None:
    desk = Desk()
    desk.send(message("asked", wants_reply=True, hops=3, sender="b"))
    desk.feed(ev.ModelFailed(desk.tick(), desk.call_id, "unavailable", "the server is down"))
    (sent,) = desk.of(fx.Send)
    assert (sent.to, sent.interrupt.failed, sent.interrupt.hops) == ("b", True, 4)
    assert "the server is down" in sent.interrupt.text
    desk.send(message("again", wants_reply=True, sender="b"))
    desk.replies(call("send_message", message="well"))
    desk.settle()
    assert not desk.of(fx.Send)[-1].interrupt.failed


def test_a_cancelled_flush_leaves_nothing_under_way() -> None:
    desk = Desk(definition(write_back="summarize"))
    for number in range(100):
        desk.send(message(number, "words and more words " * 8))
        if desk.agent.outstanding is not None and desk.agent.outstanding.kind == "summary":
            break
        desk.settle()
    desk.send(message("stop", priority=Priority.OPERATOR, kind=InterruptKind.CANCEL))
    desk.feed(ev.SummaryReady(desk.tick(), desk.call_id, "too late"))
    assert desk.agent.flush is None
    assert desk.agent.context.summary == ""
    desk.send(message("next"))
    desk.settle()
    assert desk.ended()[-1] == ("inext", "yielded")
    assert desk.agent.context.summary == "Things were said."
    first = desk.agent.context.summary_pages
    for number in range(200, 300):
        desk.send(message(number, "words and more words " * 8))
        desk.settle()
    assert desk.agent.context.summary_pages > first
    assert desk.agent.context.summary_pages <= desk.agent.statistics.evictions
    assert desk.agent.statistics.summaries >= 3
    evicted = desk.agent.statistics.evictions
    assert desk.agent.context.summary_pages > evicted // 2


def test_a_flush_takes_more_when_too_much_was_to_be_left_alone() -> None:
    desk = Desk(definition(keep_last_pages=500))
    for number in range(80):
        desk.send(message(number, "words and more words " * 8))
        desk.settle()
    assert desk.agent.statistics.flushes >= 1
    assert {outcome for _, outcome in desk.ended()} == {"yielded"}


def test_the_message_that_a_long_chain_is_about_stays() -> None:
    desk = Desk(definition(chain=ChainSettings(steps_max=60)))
    desk.send(message("task", "the task at hand"))
    for _ in range(40):
        desk.replies(call("weigh", True, thing="x"))
        desk.returns("heavy " * 60)
    assert desk.agent.statistics.flushes >= 1
    assert any("the task at hand" in shown.page.text for shown in desk.agent.context.pages())


def test_a_page_that_is_smaller_than_its_handle_leaves_none() -> None:
    desk = Desk()
    desk.send(message("short", "x"))
    desk.settle()
    (page_id,) = desk.agent.context.entries
    desk.send(message("out", "go on"))
    desk.replies(call("page_out", page_id=page_id))
    assert page_id not in desk.agent.context.entries
    assert page_id in desk.agent.evicted


def with_timer(at_ms: int, **fields: Any) -> Desk:
    desk = Desk(**fields)
    desk.agent.timers = {"t": Timer(at_ms, "ring")}
    return desk


def test_a_timer_goes_off_when_it_is_due_and_not_while_paused() -> None:
    desk = with_timer(2_000_000)
    desk.feed(ev.ClockAdvanced(1_999_999))
    assert desk.phase() is Phase.IDLE
    desk.agent.paused_until_ms = 2_000_500
    desk.feed(ev.ClockAdvanced(2_000_000))
    assert desk.phase() is Phase.IDLE
    assert len(desk.agent.mailbox) == 0
    desk.feed(ev.ClockAdvanced(2_000_500))
    assert desk.phase() is Phase.THINKING
    punctual = with_timer(2_000_000)
    punctual.feed(ev.ClockAdvanced(2_000_000))
    assert punctual.phase() is Phase.THINKING
    assert not punctual.agent.timers


def test_a_timer_that_finds_the_mailbox_full_tries_again_later() -> None:
    desk = with_timer(2_000_000, made=definition(mailbox=MailboxSettings(interrupts_max=1, retry_after_ms=700)))
    desk.send(message("runs"))
    desk.send(message("waits"))
    desk.feed(ev.ClockAdvanced(2_000_000))
    assert desk.of(fx.SetTimer)[-1].at_ms == 2_000_700
    desk.now_ms = 2_000_000
    desk.settle()
    desk.feed(ev.ClockAdvanced(2_000_700))
    assert desk.phase() is Phase.THINKING


def test_an_answer_that_does_not_come_in_time_fails_at_its_deadline() -> None:
    desk = Desk()
    desk.send(message("asks"))
    desk.replies(call("call_agent", agent="b", message="?", timeout_seconds=60))
    deadline_ms = desk.of(fx.SetTimer)[-1].at_ms
    desk.feed(ev.ClockAdvanced(deadline_ms - 1))
    assert desk.phase() is Phase.AWAITING_REPLY
    desk.feed(ev.ClockAdvanced(deadline_ms))
    assert desk.phase() is Phase.THINKING


def test_whoever_was_replaced_is_told_and_what_is_too_large_is_not_asked_for_again() -> None:
    desk = Desk()
    desk.send(message("runs"))
    desk.send(message("old", coalesce="k"))
    desk.send(message("new", coalesce="k"))
    assert ("iold", "coalesced") in desk.ended()
    desk.send(message("large", "x" * 13_000))
    assert desk.of(fx.Reject)[-1].retry_after_ms == 0
    assert revived(desk).agent.epoch == 2
