"""Other agents, seen from one kernel: calls that wait, calls that are taken back, functions that are exported."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.intake import CALL_RESULT_CHARS, CALL_TOKENS
from pagefault.runtime.kernel.settings import AgentDefinition
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.values import AgentId, CallId, Interrupt, InterruptId, InterruptKind, PageKind, Priority
from tests.runtime.kernel.harness import Desk, call, definition, message, new_agent

GROUPS = ("publish", "subscribe", "unsubscribe", "weigh")


def exporting(*names: str, **fields: object) -> AgentDefinition:
    made = definition(**fields)  # type: ignore[arg-type]  # a test's fields
    return replace(made, functions=(*made.functions, *GROUPS[:3]), exports=names)


def called(function: str, arguments: str = "{}", sender: str = "b", number: int = 1, **fields: object) -> Interrupt:
    return Interrupt(
        InterruptId(f"{sender}/{number}"),
        InterruptKind.CALL,
        Priority.AGENT,
        sender,
        arguments,
        function=function,
        wants_reply=True,
        hops=1,
        callers=(AgentId(sender),),
        **fields,  # type: ignore[arg-type]  # a test's fields
    )


def taking_back(target: str, sender: str = "b") -> Interrupt:
    return Interrupt(
        InterruptId(f"{target}/cancel"),
        InterruptKind.CANCEL,
        Priority.OPERATOR,
        sender,
        hops=1,
        target=InterruptId(target),
    )


def replies(desk: Desk) -> list[Interrupt]:
    return [send.interrupt for send in desk.of(fx.Send) if send.interrupt.kind is InterruptKind.REPLY]


def cancels(desk: Desk) -> list[tuple[str, str]]:
    """``(to, target)`` of every cancel that was sent."""
    sends = [send for send in desk.of(fx.Send) if send.interrupt.kind is InterruptKind.CANCEL]
    return [(send.to, send.interrupt.target) for send in sends]


def parked(desk: Desk, number: int | str = 1, **fields: object) -> InterruptId:
    """A chain that waits for agent ``b``; the id of the message."""
    desk.send(message(number, **fields))  # type: ignore[arg-type]  # a test's fields
    desk.replies(call("call_agent", None, agent="b", message="well?", timeout_seconds=30))
    assert desk.phase() is Phase.AWAITING_REPLY
    sent = desk.of(fx.Send)[-1]
    assert sent.to == "b"
    key: InterruptId = sent.interrupt.id
    return key


# --- exported functions


def test_an_exported_function_runs_without_the_model_and_its_result_is_the_reply() -> None:
    desk = Desk(exporting("weigh"))
    desk.send(called("weigh", '{"thing": "a goose"}'))
    (run,) = desk.of(fx.RunFunction)
    assert (run.name, json.loads(run.arguments)) == ("weigh", {"thing": "a goose"})
    desk.returns("a goose weighs 3")
    (reply,) = replies(desk)
    assert (reply.text, reply.failed, reply.in_reply_to) == ("a goose weighs 3", False, "b/1")
    assert not desk.of(fx.CallModel)
    assert desk.ended() == [("b/1", "yielded")]
    assert desk.phase() is Phase.IDLE
    (page,) = [shown.page for shown in desk.agent.context.pages()]
    assert page.kind is PageKind.OBSERVATION
    assert page.text == 'called weigh({"thing": "a goose"}); OK: a goose weighs 3'
    assert page.id in desk.archive


def test_a_search_of_memory_can_be_exported() -> None:
    desk = Desk(exporting("conversation_search"))
    desk.send(message(1, "the password is swordfish"))
    desk.settle()
    desk.send(called("conversation_search", '{"query": "swordfish"}'))
    desk.settle()
    assert "swordfish" in replies(desk)[0].text


@pytest.mark.parametrize(
    ("exports", "function", "arguments", "told"),
    [
        ((), "weigh", "{}", "a exports no function 'weigh'; it exports none"),
        (("weigh",), "launch", "{}", "a exports no function 'launch'; it exports: weigh"),
        (("weigh",), "*", "{}", "a exports no function '*'"),
        (("weigh",), "weigh", '{"thing": 3}', "thing: found 3"),
        (("weigh",), "weigh", "thing", "not valid JSON"),
        (("send_message",), "send_message", '{"message": "hm"}', "acts on what its agent is doing"),
        (("page_in",), "page_in", '{"page_id": "p1"}', "acts on what its agent is doing"),
        (("call_agent",), "call_agent", '{"agent": "c", "message": "hm"}', "acts on what its agent is doing"),
    ],
)
def test_what_cannot_be_called_is_said_to_the_caller(
    exports: tuple[str, ...], function: str, arguments: str, told: str
) -> None:
    desk = Desk(exporting(*exports))
    desk.send(called(function, arguments))
    (reply,) = replies(desk)
    assert reply.failed
    assert told in reply.text
    assert desk.phase() is Phase.IDLE
    assert not desk.of(fx.RunFunction)
    assert not desk.of(fx.Deliver)
    assert not desk.of(fx.CallModel)


def test_exports_name_functions_that_the_agent_has() -> None:
    for name in ("nonsense", "all", "*"):
        with pytest.raises(
            ConfigError, match=r"exports: found .*allowed: names of the agent's own functions: send_mes"
        ):
            new_agent(exporting(name))


def test_what_is_remembered_of_a_call_is_short_and_its_result_bounded() -> None:
    desk = Desk(exporting("weigh"))
    desk.send(called("weigh", json.dumps({"thing": "x" * 30_000}), number=1))
    assert "mailbox_full" in [notice.name for notice in desk.of(fx.Notice)], "too large for the mailbox"
    desk.send(called("weigh", json.dumps({"thing": "x" * 9_000}), number=2))
    desk.returns("y" * 2 * CALL_RESULT_CHARS)
    (page,) = [shown.page for shown in desk.agent.context.pages()]
    assert page.tokens < CALL_TOKENS + 32
    assert page.text.startswith("called weigh")
    assert "OK: yyy" in page.text
    (reply,) = replies(desk)
    assert len(reply.text) < CALL_RESULT_CHARS + 100
    assert reply.text.endswith("characters]")


def test_calls_without_end_do_not_fill_the_context_past_its_budget() -> None:
    desk = Desk(exporting("weigh", budget_tokens=3400))
    settings = desk.definition.context
    for number in range(150):
        desk.send(called("weigh", json.dumps({"thing": "goose " * 40}), number=number))
        desk.returns("heavy " * 60)
        desk.settle()
        assert desk.agent.context.assemble().tokens <= settings.high_tokens
    assert desk.agent.statistics.flushes > 0
    assert len(replies(desk)) == 150


def test_once_functions_that_were_under_way_are_unknown_to_the_caller_after_a_crash() -> None:
    desk = Desk(exporting("launch", "weigh"))
    desk.send(called("launch", '{"target": "moon"}'))
    desk.feed(ev.Recovered(desk.tick(), 2))
    (reply,) = replies(desk)
    assert reply.failed
    assert reply.text.startswith("outcome unknown")
    desk.send(called("weigh", '{"thing": "moon"}', number=2))
    desk.feed(ev.Recovered(desk.tick(), 3))
    assert len(desk.of(fx.RunFunction)) == 3, "what is pure is run again"


def test_a_call_that_the_program_makes_is_answered_to_the_program() -> None:
    desk = Desk(exporting("weigh"))
    desk.send(replace(called("weigh", '{"thing": "it"}', sender="user"), wants_reply=False, callers=()))
    desk.returns("3")
    assert [(each.to, each.text) for each in desk.of(fx.Deliver)] == [("user", "3")]


def test_calls_wait_their_turn_among_other_interrupts() -> None:
    desk = Desk(exporting("weigh"))
    desk.send(message(1))
    desk.send(called("weigh", '{"thing": "it"}'))
    desk.send(message(2))
    assert not desk.of(fx.RunFunction)
    desk.replies()
    assert not desk.of(fx.RunFunction), "the user goes first"
    desk.replies()
    assert len(desk.of(fx.RunFunction)) == 1


def test_the_caller_asks_for_a_function_and_gets_its_result() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("call_agent", None, agent="b", function="lookup", arguments='{"key": 1}', timeout_seconds=9))
    (send,) = desk.of(fx.Send)
    made = send.interrupt
    assert (made.kind, made.function, made.text) == (InterruptKind.CALL, "lookup", '{"key": 1}')
    assert made.wants_reply
    assert made.deadline_ms == desk.now_ms + 9_000
    desk.send(
        Interrupt(InterruptId(f"{made.id}/reply"), InterruptKind.REPLY, Priority.REPLY, "b", "42", in_reply_to=made.id)
    )
    assert "b answers: 42" in desk.of(fx.CallModel)[-1].request.messages[-1].text


# --- taking back


@pytest.mark.parametrize("how", ["cancel", "kill", "deadline"])
def test_whoever_waits_no_more_says_so_to_whom_it_waits_for(how: str) -> None:
    desk = Desk()
    key = parked(desk)
    if how == "deadline":
        desk.now_ms += 31_000
        desk.feed(ev.ClockAdvanced(desk.now_ms))
    else:
        kind = InterruptKind(how)
        desk.send(message("c", kind=kind, priority=Priority.OPERATOR, sender="operator", target=InterruptId("i1")))
    assert cancels(desk) == [("b", key)]
    assert [send.interrupt.id for send in desk.of(fx.Send, desk.last)] == [f"{key}/cancel"]


def test_an_answer_that_is_there_is_not_taken_back() -> None:
    desk = Desk()
    key = parked(desk)
    desk.send(message("m", kind=InterruptKind.MASK, priority=Priority.OPERATOR, mask=(Priority.REPLY,)))
    answer = Interrupt(InterruptId(f"{key}/reply"), InterruptKind.REPLY, Priority.REPLY, "b", "yes", in_reply_to=key)
    desk.send(answer)
    desk.send(message("c", kind=InterruptKind.CANCEL, priority=Priority.OPERATOR, target=InterruptId("i1")))
    assert cancels(desk) == []


def test_what_is_taken_back_leaves_the_mailbox_or_stops_and_is_passed_on() -> None:
    desk = Desk()
    asked = {"sender": "c", "wants_reply": True, "priority": Priority.AGENT, "hops": 1}
    desk.send(replace(message(1, **asked), id=InterruptId("c/1"), callers=(AgentId("c"),)))  # type: ignore[arg-type]  # fields
    desk.send(replace(message(2, **asked), id=InterruptId("c/2")))  # type: ignore[arg-type]  # a test's fields
    desk.send(taking_back("c/2", "c"))
    assert desk.ended()[:1] == [("c/2", "withdrawn")], "it waited in the mailbox"
    desk.replies(call("call_agent", None, agent="b", message="well?", timeout_seconds=30))
    (key,) = desk.agent.parked
    desk.send(taking_back("c/1", "c"))
    assert cancels(desk) == [("b", key)]
    assert ("c/1", "withdrawn") in desk.ended()
    desk.send(replace(message(3, **asked), id=InterruptId("c/3")))  # type: ignore[arg-type]  # a test's fields
    desk.send(taking_back("c/3", "c"))
    assert desk.phase() is Phase.CANCELLING
    assert len(desk.of(fx.CancelCall)) == 1
    desk.feed(ev.Cancelled(desk.tick(), desk.call_id))
    assert ("c/3", "withdrawn") in desk.ended()
    assert replies(desk) == [], "nobody waits for them"
    late = Interrupt(InterruptId(f"{key}/reply"), InterruptKind.REPLY, Priority.REPLY, "b", "yes", in_reply_to=key)
    desk.send(late)
    assert desk.notices("late")
    assert desk.phase() is Phase.IDLE


def test_a_cancel_that_overtakes_its_target_keeps_it_from_beginning() -> None:
    desk = Desk()
    desk.send(taking_back("b/7"))
    (accept,) = [
        each
        for each in desk.send(replace(message(1, sender="b", wants_reply=True, hops=1), id=InterruptId("b/7")))
        if isinstance(each, fx.Accept)
    ]
    assert accept.duplicate, "its sender need not try again"
    assert desk.phase() is Phase.IDLE
    assert not desk.of(fx.CallModel)


def test_an_agent_cancels_only_what_it_sent() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.send(taking_back("i1"))
    desk.send(replace(taking_back("b/1", "b"), id=InterruptId("empty"), target=InterruptId("")))
    desk.send(taking_back("b/1", "c"))
    assert [each.reason for each in desk.of(fx.Reject)] == ["an agent may cancel only what it sent"] * 3
    assert len(desk.notices("cancel_refused")) == 3
    assert desk.phase() is Phase.THINKING
    desk.send(message("c", kind=InterruptKind.CANCEL, priority=Priority.OPERATOR, target=InterruptId("i1")))
    assert desk.phase() is Phase.CANCELLING, "the program may cancel everything"


def test_what_a_cancelled_call_did_all_the_same_is_remembered() -> None:
    desk = Desk(exporting("launch"))
    desk.send(called("launch", '{"target": "moon"}'))
    desk.send(taking_back("b/1"))
    desk.returns("launched at moon")
    assert desk.ended() == [("b/1", "withdrawn"), ("b/1/cancel", "yielded")][::-1]
    (page,) = [shown.page for shown in desk.agent.context.pages()]
    assert "launched at moon" in page.text


# --- groups


def test_groups_are_asked_of_the_host_and_their_result_is_told() -> None:
    desk = Desk(exporting())
    desk.send(message(1, hops=2))
    desk.replies(call("subscribe", True, topic="team/red"))
    (subscribed,) = desk.of(fx.Subscribe)
    assert (subscribed.topic, subscribed.subscribed) == ("team/red", True)
    desk.returns("Subscribed to team/red.")
    desk.replies(call("publish", True, topic="team/red", message="go"))
    (asked,) = desk.of(fx.FindSubscribers)
    assert asked.topic == "team/red"
    desk.feed(ev.Recovered(desk.tick(), 2))
    assert desk.of(fx.FindSubscribers) == [asked, asked], "the same after a crash"
    assert not desk.of(fx.Publish)
    agents = (AgentId("a"), AgentId("b"), AgentId("c"))
    found = ev.SubscribersFound(desk.tick(), asked.call_id, agents)
    desk.feed(found)
    desk.feed(found)
    (published,) = desk.of(fx.Publish)
    assert published.agents == ("b", "c"), "who publishes does not hear itself"
    sent = published.interrupt
    assert (sent.id, sent.sender, sent.text, sent.session, sent.hops) == (asked.call_id, "a", "go", "team/red", 3)
    assert "Published to 2 agents." in desk.of(fx.CallModel)[-1].request.messages[-1].text
    desk.replies(call("unsubscribe", False, topic="team/red"))
    assert not desk.of(fx.Subscribe)[-1].subscribed


@pytest.mark.parametrize("topic", ["", " ", "two words", "-begins", "x" * 101, "a\nb", "*"])
def test_a_topic_has_a_name(topic: str) -> None:
    desk = Desk(exporting())
    desk.send(message(1))
    desk.replies(call("publish", False, topic=topic, message="go"))
    (failed,) = desk.notices("function_failed")
    assert "allowed: 1 to 100 letters, digits" in failed.text
    assert not desk.of(fx.FindSubscribers)


def test_publishing_goes_no_further_than_messages_do() -> None:
    desk = Desk(exporting())
    desk.send(message(1, hops=desk.definition.chain.hops_max))
    desk.replies(call("publish", False, topic="x", message="go"))
    assert desk.notices("hop_limit")
    assert not desk.of(fx.FindSubscribers)


def test_late_results_of_groups_are_late_like_others() -> None:
    desk = Desk(exporting())
    desk.send(message(1))
    desk.replies(call("subscribe", False, topic="x"))
    call_id: CallId = desk.call_id
    desk.returns("Subscribed to x.")
    desk.settle()
    desk.feed(ev.FunctionReturned(desk.tick(), call_id, "ok", "Subscribed to x."))
    assert [notice.text for notice in desk.notices("late")] == [call_id]
