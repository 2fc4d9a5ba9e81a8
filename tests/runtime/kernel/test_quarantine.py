from __future__ import annotations

from dataclasses import replace

from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.settings import ChainSettings
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.values import AgentId, InterruptKind
from tests.runtime.kernel.harness import Desk, call, definition, message


def crash(desk: Desk, times: int = 1, *, crashed: bool = True) -> list[fx.AnyEffect]:
    for _ in range(times):
        desk.feed(ev.Recovered(desk.tick(), desk.agent.epoch + 1, crashed))
    return desk.last


def test_the_fifth_death_in_one_piece_of_work_ends_its_chain_and_the_next_interrupt_is_handled() -> None:
    desk = Desk()
    desk.send(message(1, "poison"))
    desk.send(message(2, "harmless"))
    crash(desk, 4)
    assert desk.phase() is Phase.THINKING
    assert desk.ended() == []
    effects = crash(desk)
    assert desk.ended() == [("i1", "quarantined")]
    (quarantine,) = desk.of(fx.Quarantine, effects)
    assert quarantine.cause == "i1"
    assert (quarantine.interrupt.id, quarantine.interrupt.text) == ("i1/again", "poison")
    assert quarantine.why == "its host died 5 times while its model was asked"
    assert desk.of(fx.TakeSnapshot, effects)
    assert desk.agent.cause == "i2", "the agent goes on"
    desk.replies(call("send_message", message="here"))
    assert desk.ended()[-1] == ("i2", "yielded")


def test_a_caller_that_waits_is_told_by_a_failed_reply() -> None:
    desk = Desk()
    desk.send(message(1, "poison", sender="b", wants_reply=True, callers=(AgentId("b"),), hops=1))
    effects = crash(desk, 5)
    (send,) = desk.of(fx.Send, effects)
    assert (send.to, send.interrupt.failed, send.interrupt.in_reply_to) == ("b", True, "i1")
    assert "quarantined" in send.interrupt.text
    (quarantine,) = desk.of(fx.Quarantine, effects)
    assert not quarantine.interrupt.wants_reply, "who sends it again waits for nothing"


def test_an_end_of_what_was_suspected_proves_innocence() -> None:
    desk = Desk()
    desk.send(message(1))
    for _ in range(5):
        crash(desk, 4)
        desk.replies(call("weigh", True, thing="iron"))
        desk.returns("3")
    assert desk.ended() == []
    assert desk.agent.chain is not None
    assert desk.agent.chain.crashes == 0


def test_other_steps_between_two_deaths_prove_nothing() -> None:
    desk = Desk()
    desk.send(message(1))
    for _ in range(5):
        desk.replies(call("launch", True, target="moon"))  # once: after each death its outcome is unknown
        crash(desk)
    assert desk.ended() == [("i1", "quarantined")]
    assert desk.of(fx.Quarantine)[0].why == "its host died 5 times while launch was run"


def test_the_same_function_with_other_arguments_proves_nothing_either() -> None:
    desk = Desk()
    desk.send(message(1))
    for number in range(4):
        desk.replies(call("launch", True, target="moon"))
        crash(desk)
        desk.replies(call("launch", True, target=f"mars {number}"))
        desk.returns()
    assert desk.agent.chain is not None
    assert desk.agent.chain.crashes == 4


def test_three_steps_without_a_death_prove_innocence_too() -> None:
    desk = Desk()
    desk.send(message(1))
    for _ in range(2):
        desk.replies(call("launch", True, target="moon"))
        crash(desk)
        for step in range(4):
            desk.replies(call("weigh", True, thing=f"iron {step}"))
            desk.returns()
        assert desk.agent.chain is not None
        assert desk.agent.chain.crashes == 0


def test_activations_that_ended_in_order_are_not_counted() -> None:
    desk = Desk()
    desk.send(message(1))
    crash(desk, 20, crashed=False)
    assert desk.ended() == []
    desk.settle()
    assert desk.ended() == [("i1", "yielded")]


def test_nothing_is_counted_for_an_agent_that_rests_or_waits_for_another() -> None:
    desk = Desk()
    crash(desk, 7)
    assert desk.phase() is Phase.IDLE
    desk.send(message(1))
    desk.replies(call("call_agent", agent="b", message="well?"))
    crash(desk, 7)
    assert desk.phase() is Phase.AWAITING_REPLY
    assert desk.ended() == []


def test_how_often_is_a_setting() -> None:
    desk = Desk(definition(chain=replace(ChainSettings(), attempts_max=2)))
    desk.send(message(1))
    crash(desk)
    assert desk.ended() == []
    crash(desk)
    assert desk.ended() == [("i1", "quarantined")]
    assert desk.agent.statistics.quarantined == 1


def test_what_was_called_off_is_not_quarantined() -> None:
    desk = Desk()
    desk.send(message(1))
    crash(desk, 4)
    desk.send(message(2, kind=InterruptKind.CANCEL, target="i1"))
    crash(desk)
    assert ("i1", "cancelled") in desk.ended()
    assert not desk.of(fx.Quarantine)
