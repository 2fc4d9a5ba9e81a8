"""Chains: order, preemption, continuations, limits, cancelling."""

from __future__ import annotations

import pytest

from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.settings import ChainSettings
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.values import AgentId, InterruptId, InterruptKind, Priority
from tests.runtime.kernel.harness import Desk, call, definition, message


def operator(desk: Desk, kind: InterruptKind, number: str = "op", **fields: object) -> list[fx.AnyEffect]:
    priority = Priority.KILL if kind is InterruptKind.KILL else Priority.OPERATOR
    return desk.send(message(number, "", priority, kind=kind, sender="operator", **fields))


def test_a_message_is_answered_and_the_agent_rests() -> None:
    desk = Desk()
    effects = desk.send(message(1, "hello"))
    assert desk.of(fx.Accept, effects) == [fx.Accept(InterruptId("i1"))]
    assert desk.phase() is Phase.THINKING
    request = desk.of(fx.CallModel, effects)[0].request
    assert request.messages[0].role == "system"
    assert request.messages[-1].text.endswith("user] hello")
    effects = desk.replies(call("send_message", message="hi"))
    assert desk.of(fx.Deliver, effects) == [fx.Deliver(InterruptId("i1"), "user", "hi")]
    assert desk.ended() == [("i1", "yielded")]
    assert desk.phase() is Phase.IDLE


def test_a_heartbeat_goes_on_and_none_yields() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("core_memory_append", True, label="human", content=" likes tea"))
    assert desk.phase() is Phase.THINKING
    desk.replies(call("core_memory_append", False, label="human", content=" and rain"))
    assert desk.phase() is Phase.IDLE
    assert desk.agent.context.blocks["human"].text.count("rain") == 1


def test_a_reply_without_calls_is_delivered() -> None:
    desk = Desk()
    desk.send(message(1))
    effects = desk.replies(text="plain words")
    assert [effect.text for effect in desk.of(fx.Deliver, effects)] == ["plain words"]
    assert desk.ended() == [("i1", "yielded")]


def test_a_users_message_preempts_a_background_chain_between_steps_and_the_chain_resumes() -> None:
    desk = Desk()
    desk.send(message(1, "tidy up", Priority.BACKGROUND))
    desk.send(message(2, "urgent!", Priority.USER))
    assert desk.agent.cause == "i1", "a step under way is not broken off"
    effects = desk.replies(call("weigh", True, thing="dust"))
    assert desk.of(fx.RunFunction, effects)
    effects = desk.returns("it weighs 3")
    assert desk.agent.cause == "i2", "the user goes first, and the result is kept"
    assert [chain.cause for chain in desk.agent.suspended] == ["i1"]
    assert "urgent!" in desk.of(fx.CallModel, effects)[0].request.messages[-1].text
    effects = desk.replies(call("send_message", message="done"))
    assert desk.agent.cause == "i1", "the chain that was put aside goes on"
    assert any("it weighs 3" in part.text for part in desk.of(fx.CallModel, effects)[0].request.messages)
    desk.replies()
    assert desk.ended() == [("i2", "yielded"), ("i1", "yielded")]
    assert desk.agent.statistics.preemptions == 1


def test_continuations_nest() -> None:
    desk = Desk()
    for number, priority in enumerate((Priority.BACKGROUND, Priority.WORLD, Priority.USER)):
        desk.send(message(number, priority=priority))
        desk.send(message(f"next{number}", priority=Priority(max(1, priority - 1))))
        desk.replies(call("weigh", True, thing="x"))
        desk.returns()
    assert [chain.cause for chain in desk.agent.suspended] == ["i0", "inext0", "inext1"]
    desk.settle()
    assert not desk.agent.suspended
    assert desk.phase() is Phase.IDLE


def test_what_waits_at_the_same_priority_waits_for_its_turn() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.send(message(2))
    desk.replies(call("weigh", True, thing="x"))
    desk.returns()
    assert desk.agent.cause == "i1"
    desk.settle()
    assert desk.ended() == [("i1", "yielded"), ("i2", "yielded")]


def test_too_many_chains_are_not_put_aside() -> None:
    desk = Desk(definition(chain=ChainSettings(depth_max=1)))
    for number, priority in enumerate((Priority.BACKGROUND, Priority.WORLD, Priority.USER)):
        desk.send(message(number, priority=priority))
        if number:
            desk.replies(call("weigh", True, thing="x"))
            desk.returns()
    assert len(desk.agent.suspended) == 1
    assert desk.notices("depth_limit")
    desk.settle()
    assert len(desk.ended()) == 3


def test_a_chain_ends_at_its_limit_of_steps() -> None:
    desk = Desk(definition(chain=ChainSettings(steps_max=3)))
    desk.send(message(1))
    for _ in range(3):
        desk.replies(call("core_memory_append", True, label="human", content="."))
    assert desk.ended() == [("i1", "step_limit")]
    assert desk.notices("step_limit")[0].value == 3


def test_calls_that_cannot_be_run_are_told_to_the_model_and_then_end_the_chain() -> None:
    desk = Desk(definition(chain=ChainSettings(malformed_max=3)))
    desk.send(message(1))
    before = desk.agent.context.blocks["human"].text
    for _ in range(3):
        effects = desk.replies(call("core_memory_append", False, label="human", content=7, extra=1))
    assert desk.agent.context.blocks["human"].text == before, "a call that fails leaves no trace"
    assert desk.ended() == [("i1", "malformed")]
    told = [part.text for part in desk.of(fx.CallModel)[-1].request.messages if part.role == "tool"]
    assert "Failed" in told[-1]
    assert "content" in told[-1]
    assert not desk.of(fx.CallModel, effects)


def test_cancel_stops_a_model_call_in_flight_and_a_late_reply_changes_nothing() -> None:
    desk = Desk()
    desk.send(message(1))
    call_id = desk.call_id
    effects = operator(desk, InterruptKind.CANCEL, target=InterruptId("i1"))
    assert desk.of(fx.CancelCall, effects) == [fx.CancelCall(InterruptId("i1"), call_id)]
    assert desk.phase() is Phase.CANCELLING
    digest = desk.agent.digest()
    desk.replies(call("send_message", message="too late"))
    assert desk.ended()[-1] == ("i1", "cancelled")
    assert not desk.of(fx.Deliver)
    assert desk.agent.digest() == digest
    desk.feed(ev.Cancelled(desk.tick(), call_id))
    assert desk.notices("late")


def test_a_cancelled_function_that_did_run_stays_in_memory() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("launch", True, target="moon"))
    operator(desk, InterruptKind.CANCEL)
    desk.returns("launched at moon")
    assert desk.ended()[-1] == ("i1", "cancelled")
    assert any("launched at moon" in shown.page.text for shown in desk.agent.context.pages())


def test_cancel_reaches_what_waits_and_what_is_put_aside() -> None:
    desk = Desk()
    desk.send(message(1, priority=Priority.BACKGROUND))
    desk.send(message(2))
    desk.replies(call("weigh", True, thing="x"))
    desk.returns()
    desk.send(message(3))
    operator(desk, InterruptKind.CANCEL, "c1", target=InterruptId("i3"))
    operator(desk, InterruptKind.CANCEL, "c2", target=InterruptId("i1"))
    assert ("i3", "cancelled") in desk.ended()
    assert ("i1", "cancelled") in desk.ended()
    assert desk.agent.cause == "i2", "the chain that runs goes on"


def test_kill_ends_everything_for_good() -> None:
    desk = Desk()
    desk.send(message(1, priority=Priority.BACKGROUND))
    desk.send(message(2))
    operator(desk, InterruptKind.KILL)
    assert desk.phase() is Phase.CANCELLING
    refused = desk.send(message(4))
    assert desk.of(fx.Reject, refused)[0].retry_after_ms == 0
    desk.feed(ev.Cancelled(desk.tick(), desk.call_id))
    assert desk.phase() is Phase.STOPPED
    assert {("i1", "killed"), ("i2", "killed")} <= set(desk.ended())
    assert desk.of(fx.Reject, desk.send(message(5)))


def test_an_expired_interrupt_is_not_handled() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.send(message(2, deadline_ms=desk.now_ms + 5))
    desk.now_ms += 100
    desk.replies()
    assert ("i2", "expired") in desk.ended()
    assert desk.phase() is Phase.IDLE


def test_a_failed_model_call_ends_the_chain_and_says_why() -> None:
    desk = Desk()
    desk.send(message(1))
    effects = desk.feed(ev.ModelFailed(desk.tick(), desk.call_id, "unavailable", "connection refused"))
    ended = desk.of(fx.ChainEnded, effects)[0]
    assert (ended.outcome, ended.message) == ("model_failed", "connection refused")
    assert desk.phase() is Phase.IDLE


def test_a_call_that_the_budget_refuses_ends_the_chain_with_that_outcome() -> None:
    desk = Desk()
    desk.send(message(1))
    effects = desk.feed(ev.ModelFailed(desk.tick(), desk.call_id, "budget", "budget: the run has 0 tokens left"))
    ended = desk.of(fx.ChainEnded, effects)[0]
    assert (ended.outcome, ended.message) == ("budget", "budget: the run has 0 tokens left")


def test_a_model_call_has_the_priority_of_its_chain() -> None:
    desk = Desk()
    desk.send(message(1, priority=Priority.BACKGROUND))
    desk.send(message(2, priority=Priority.OPERATOR))
    desk.replies(call("weigh", True, thing="a stone"))
    desk.settle()
    priorities = [effect.request.priority for effect in desk.of(fx.CallModel)]
    assert priorities[:2] == [Priority.BACKGROUND, Priority.OPERATOR], "the second preempted the first"
    assert set(priorities[2:]) == {Priority.BACKGROUND}


@pytest.mark.parametrize("words", [("yes",), ()])
def test_an_agent_that_waits_for_an_answer_gets_one(words: tuple[str, ...]) -> None:
    desk = Desk()
    desk.send(message(1, sender="bob", wants_reply=True, priority=Priority.AGENT))
    desk.replies(*(call("send_message", message=word) for word in words))
    sent = desk.of(fx.Send)[-1]
    assert (sent.to, sent.interrupt.kind, sent.interrupt.in_reply_to) == ("bob", InterruptKind.REPLY, "i1")
    assert sent.interrupt.text == "".join(words)
    assert not sent.interrupt.failed


def test_a_chain_parks_while_another_agent_is_called_and_others_are_served_meanwhile() -> None:
    desk = Desk()
    desk.send(message(1))
    effects = desk.replies(call("call_agent", True, agent="bob", message="well?", timeout_seconds=60))
    sent = desk.of(fx.Send, effects)[0]
    assert desk.phase() is Phase.AWAITING_REPLY
    desk.send(message(2, "meanwhile"))
    desk.replies(call("send_message", message="one moment"))
    assert desk.ended() == [("i2", "yielded")]
    answer = message(
        "r", "all is well", Priority.REPLY, kind=InterruptKind.REPLY, sender="bob", in_reply_to=sent.interrupt.id
    )
    effects = desk.send(answer)
    assert "bob answers: all is well" in desk.of(fx.CallModel, effects)[0].request.messages[-1].text
    desk.replies(call("send_message", message="bob is well"))
    assert desk.ended()[-1] == ("i1", "yielded")


def test_who_would_wait_for_one_that_waits_for_it_is_told_of_the_circle() -> None:
    desk = Desk()
    callers = (AgentId("zoe"), AgentId("bob"))
    desk.send(message(1, sender="bob", wants_reply=True, priority=Priority.AGENT, callers=callers))
    effects = desk.replies(call("call_agent", True, agent="zoe", message="well?", timeout_seconds=60))
    told = desk.of(fx.CallModel, effects)[0].request.messages[-1].text
    assert "zoe waits for your answer itself (zoe > bob > a > zoe)" in told
    assert desk.notices("call_cycle")[0].text == "zoe > bob > a > zoe"
    effects = desk.replies(call("call_agent", True, agent="cid", message="well?", timeout_seconds=60))
    assert desk.of(fx.Send, effects)[0].interrupt.callers == ("zoe", "bob", "a"), "others may be asked"
    desk.send(message(2, sender="bob", priority=Priority.AGENT))
    effects = desk.replies(call("send_to_agent", True, agent="zoe", message="just so you know"))
    assert desk.of(fx.Send, effects)[0].interrupt.callers == (), "nobody waits for what is only sent"


def test_an_answer_that_does_not_come_in_time_is_told_to_the_model() -> None:
    desk = Desk()
    desk.send(message(1))
    effects = desk.replies(call("call_agent", True, agent="bob", message="well?", timeout_seconds=60))
    due_ms = desk.of(fx.SetTimer, effects)[0].at_ms
    desk.now_ms = due_ms
    effects = desk.feed(ev.ClockAdvanced(desk.tick()))
    assert "no answer came in time" in desk.of(fx.CallModel, effects)[0].request.messages[-1].text


def test_messages_that_have_passed_through_too_many_agents_go_no_further() -> None:
    desk = Desk(definition(chain=ChainSettings(hops_max=3)))
    assert desk.of(fx.Reject, desk.send(message(1, hops=4, sender="bob", priority=Priority.AGENT)))
    desk.send(message(2, hops=3, sender="bob", priority=Priority.AGENT))
    desk.replies(call("send_to_agent", agent="cid", message="pass it on"))
    assert not desk.of(fx.Send)
    assert desk.notices("hop_limit")
