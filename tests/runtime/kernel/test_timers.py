"""Timers keep their phase, and what was missed comes as one tick that says how many there were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.host.records import CODEC
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.state import Phase
from tests.runtime.kernel.harness import Desk, call, message, new_agent

MINUTE = 60_000


def ticking(minutes: float = 1) -> tuple[Desk, int]:
    """An agent with a periodic timer, and when that was set."""
    desk = Desk()
    desk.send(message(1))
    desk.replies(call("set_timer", False, minutes=minutes, message="tick", repeat=True))
    desk.settle()
    (timer,) = desk.agent.timers.values()
    return desk, timer.at_ms - timer.every_ms


def rest(desk: Desk) -> list[str]:
    """Let the agent serve everything; what it was asked by timers."""
    before = len(desk.of(fx.CallModel))
    while desk.agent.outstanding is not None:
        desk.answer()
    return asked_since(desk, before)


def asked_since(desk: Desk, before: int) -> list[str]:
    """The last message of every model call but the first ``before``."""
    return [effect.request.messages[-1].text for effect in desk.of(fx.CallModel)[before:]]


def counted(texts: list[str]) -> int:
    """How many ticks these texts tell of."""
    told = [text.partition("(")[2].partition(" tick")[0] for text in texts if "] tick" in text]
    return sum(1 + int(number or 0) for number in told)


def ring(desk: Desk, at_ms: int) -> list[str]:
    """Let time pass; the texts of the ticks that are handled then."""
    desk.now_ms = at_ms
    desk.feed(ev.ClockAdvanced(at_ms))
    calls = [effect.request.messages[-1].text for effect in desk.of(fx.CallModel, desk.last)]
    return calls + rest(desk)


def test_after_an_hour_one_tick_comes_and_says_how_many_were_missed() -> None:
    desk, start = ticking()
    desk.feed(ev.Recovered(start + 60 * MINUTE + 500, 2))
    assert start + MINUTE in [effect.at_ms for effect in desk.of(fx.SetTimer, desk.last)], "the host is told again"
    (tick,) = ring(desk, start + 60 * MINUTE + 600)
    assert "59 ticks of this timer went by unseen" in tick
    (timer,) = desk.agent.timers.values()
    assert timer.at_ms == start + 61 * MINUTE, "in phase"
    (tick,) = ring(desk, start + 61 * MINUTE)
    assert "unseen" not in tick


def test_ticks_that_find_the_agent_busy_become_one() -> None:
    desk, start = ticking()
    desk.send(message(2))
    for minute in range(1, 6):
        desk.now_ms = start + minute * MINUTE
        desk.feed(ev.ClockAdvanced(desk.now_ms))
    assert desk.phase() is Phase.THINKING
    desk.replies()
    (tick,) = [desk.of(fx.CallModel)[-1].request.messages[-1].text]
    assert "4 ticks of this timer went by unseen" in tick
    assert rest(desk) == []


def test_a_full_mailbox_moves_no_phase_and_forgets_no_tick() -> None:
    desk, start = ticking()
    desk.send(message("busy"))
    for number in range(desk.definition.mailbox.interrupts_max):
        desk.send(message(f"m{number}"))
    for minute in (1, 2):
        desk.now_ms = start + minute * MINUTE
        desk.feed(ev.ClockAdvanced(desk.now_ms))
    assert len(desk.notices("mailbox_full")) == 2
    rest(desk)
    (tick,) = ring(desk, start + 3 * MINUTE)
    assert "2 ticks of this timer went by unseen" in tick


def test_a_pause_holds_ticks_back_and_outlives_a_restart() -> None:
    desk, start = ticking()
    desk.send(message(2))
    desk.replies(call("pause_heartbeats", minutes=10))
    desk.settle()
    assert ring(desk, start + 5 * MINUTE) == []
    data = CODEC.encode(desk.agent.dump())
    state = CODEC.decode(data)
    assert isinstance(state, dict)
    desk.agent = new_agent(desk.definition)
    desk.agent.load(state)
    desk.feed(ev.Recovered(start + 6 * MINUTE, 2))
    assert ring(desk, start + 9 * MINUTE) == []
    (tick,) = ring(desk, desk.agent.paused_until_ms)
    assert "9 ticks of this timer went by unseen" in tick
    (timer,) = desk.agent.timers.values()
    assert (timer.at_ms - start) % MINUTE == 0


def test_timers_that_are_due_together_go_off_in_the_order_of_their_times() -> None:
    desk = Desk()
    desk.send(message(1))
    desk.replies(
        call("set_timer", True, minutes=3, message="third"),
        call("set_timer", True, minutes=1, message="first"),
        call("set_timer", False, minutes=2, message="second"),
    )
    desk.settle()
    rung = ring(desk, desk.now_ms + 5 * MINUTE)
    assert [text.split("] ")[1] for text in rung] == ["first", "second", "third"]


@given(steps=st.lists(st.integers(1, 5 * MINUTE), min_size=1, max_size=40), busy=st.lists(st.booleans(), min_size=40))
def test_every_tick_is_seen_or_told_of_and_there_is_never_a_storm(steps: list[int], busy: list[bool]) -> None:
    desk, start = ticking()
    seen = 0
    for index, step in enumerate(steps):
        before = len(desk.of(fx.CallModel))
        desk.now_ms += step
        desk.feed(ev.ClockAdvanced(desk.now_ms))
        if not busy[index]:
            while desk.agent.outstanding is not None:
                desk.answer()
        asked = asked_since(desk, before)
        assert len(asked) <= 2, "one that waited, and one that was due"
        seen += counted(asked)
        (timer,) = desk.agent.timers.values()
        assert (timer.at_ms - start) % MINUTE == 0
        assert desk.now_ms < timer.at_ms <= desk.now_ms + MINUTE
    seen += counted(rest(desk))
    assert seen == (timer.at_ms - start) // MINUTE - 1
