"""The one door, snapshots, and the context as bytes."""

from __future__ import annotations

import json

import pytest

from pagefault.runtime.errors import ConfigError, InvalidTransition, StoreCorrupt
from pagefault.runtime.host.records import CODEC
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.functions import Block
from pagefault.runtime.values import CallId, PageId, Priority
from tests.runtime.kernel.harness import Desk, call, definition, message, new_agent


def busy() -> Desk:
    """An agent with something of everything: pages, handles, a chain put aside, a timer, a queue, a call."""
    desk = Desk(definition(write_back="handle"))
    for number in range(60):
        desk.send(message(number, f"number {number} " * 12))
        desk.settle()
    desk.send(message("low", priority=Priority.BACKGROUND))
    desk.send(message("high"))
    desk.replies(call("set_timer", True, minutes=9, message="x"), call("weigh", True, thing="y"))
    desk.returns()
    desk.replies(call("launch", True, target="z"), call("send_message", message="later"))
    desk.send(message("queued", priority=Priority.WORLD, coalesce="tick"))
    return desk


def test_a_snapshot_is_the_agent() -> None:
    desk = busy()
    again = new_agent(desk.definition)
    state = CODEC.decode(CODEC.encode(desk.agent.dump()))
    assert isinstance(state, dict)
    again.load(state)
    assert again.context_bytes() == desk.agent.context_bytes()
    assert again.dump() == desk.agent.dump()
    event = ev.FunctionReturned(desk.tick(), desk.call_id, "ok", "done")
    assert again.handle(event) == desk.agent.handle(event)
    assert again.dump() == desk.agent.dump()


def test_replay_of_the_events_gives_the_same_effects_and_bytes() -> None:
    desk = busy()
    again = new_agent(desk.definition)
    assert [effect for event in desk.events for effect in again.handle(event)] == desk.effects
    assert again.context_bytes() == desk.agent.context_bytes()
    assert again.digest() == desk.agent.digest()


def test_the_context_is_legal_chat() -> None:
    desk = busy()
    messages = json.loads(desk.agent.context_bytes())
    open_calls: list[str] = []
    for part in messages:
        if part["role"] == "tool":
            assert part["answers"] in open_calls, "a tool message without its call"
            open_calls.remove(part["answers"])
        else:
            assert not open_calls, "a call without its result"
        open_calls += [each["id"] for each in part["calls"]]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("entries"),
        lambda state: state.update(version=99),
        lambda state: state.update(phase="dreaming"),
        lambda state: state.update(mailbox={"interrupts": [1], "mask": []}),
        lambda state: state.update(parked=[1]),
    ],
)
def test_a_spoilt_snapshot_is_corrupt_and_says_so(spoil: object) -> None:
    desk = busy()
    state = desk.agent.dump()
    spoil(state)  # type: ignore[operator]  # a function of the parameters above
    with pytest.raises(StoreCorrupt):
        new_agent(desk.definition).load(state)


def test_an_end_of_something_never_asked_for_is_a_bug_with_a_story() -> None:
    desk = Desk()
    desk.send(message(1))
    with pytest.raises(InvalidTransition, match=r"never asked for; story:\n.*InterruptArrived message i1"):
        desk.agent.handle(ev.FunctionReturned(desk.tick(), CallId("a/99"), "ok", ""))


def test_an_end_of_another_kind_is_a_bug() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("weigh", True, thing="x"))
    with pytest.raises(InvalidTransition, match="which is a function call"):
        desk.agent.handle(ev.SearchReturned(desk.tick(), desk.call_id, None))


def test_what_is_no_event_is_refused_with_the_story() -> None:
    desk = Desk()
    desk.send(message("k", "", Priority.KILL, kind=message(0).kind.KILL))
    with pytest.raises(InvalidTransition, match="object cannot be handled while stopped"):
        desk.agent.handle(object())  # type: ignore[arg-type]  # wrong on purpose


def test_explain_says_where_a_page_is() -> None:
    desk = busy()
    handle = desk.agent.context.handles()[0].page.id
    assert "left a handle" in desk.agent.explain(handle)
    assert "not in the context" in desk.agent.explain(PageId("p1"))
    resident = next(desk.agent.context.pages()).page.id
    assert desk.agent.explain(resident)
    assert "\n" not in desk.agent.explain(resident)


def test_snapshots_are_asked_for_every_so_many_steps() -> None:
    desk = Desk()
    for number in range(20):
        desk.send(message(number))
        desk.settle()
    assert len(desk.of(fx.TakeSnapshot)) == 20 // desk.definition.chain.snapshot_steps


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"low_share": 1.0}, "context.low_share"),
        ({"warn_share": 0.1}, "context.warn_share"),
        ({"reply_tokens": 3000}, "context.reply_tokens"),
        ({"budget_tokens": 10}, "context.budget_tokens"),
        ({"page_share": 0.9}, "context.page_share"),
        ({"blocks": (Block("human", "x" * 300, 200),)}, "blocks.human.text"),
        ({"blocks": (Block("human", "", 200), Block("human", "", 200))}, "blocks"),
    ],
)
def test_definitions_that_cannot_work_are_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Desk(definition(**fields))  # type: ignore[arg-type]  # wrong on purpose
