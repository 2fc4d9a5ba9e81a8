"""Who may go on after a death, and when; with real kernels and frames, in virtual time."""

from __future__ import annotations

import asyncio

from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.suspects import TRIAL_MS_MAX, Suspects, deaths_of
from pagefault.runtime.host.virtual import VirtualClock
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, ModelReply, Priority


class Ward:
    """Frames of agents that died, and in which order they go on."""

    def __init__(self, deaths: list[int]) -> None:
        self.clock = VirtualClock()
        self.workshop = Workshop(Registry(), BpeTokenCounter(), make_processor)
        self.frames: dict[AgentId, Frame] = {}
        self.went: list[list[str]] = []
        self.others_wake = False
        for number, count in enumerate(deaths):
            self.frames[AgentId(f"a{number}")] = self._frame(f"a{number}", count)

    def _frame(self, name: str, deaths: int) -> Frame:
        definition = Agent(name, functions=("send_message",)).definition()
        state = self.workshop.make(definition)
        message = Interrupt(InterruptId("m"), InterruptKind.MESSAGE, Priority.USER, "user", "hello")
        state.handle(ev.InterruptArrived(1, message))
        for epoch in range(1, deaths):
            state.handle(ev.Recovered(1, epoch, crashed=True))
        frame = Frame(state, self.workshop.functions(definition), deaths, 1)
        assert deaths_of(state) == max(1, deaths)
        return frame

    def go_on(self, frame: Frame) -> None:
        now_ms = self.clock.now_ms()
        if not self.went or self.went[-1][0] != str(now_ms):
            self.went.append([str(now_ms)])
        self.went[-1].append(frame.id)
        frame.state.handle(ev.Recovered(now_ms, frame.epoch, crashed=True))

    def end(self, name: str) -> None:
        state = self.frames[AgentId(name)].state
        assert state.outstanding is not None
        state.handle(ev.ModelReplied(1, state.outstanding.call_id, ModelReply("done")))

    def run(self, life: object = None) -> None:
        async def lives() -> None:
            self.suspects = Suspects(self.clock, self.frames, self.go_on, lambda: self.others_wake)
            for frame in list(self.frames.values()):
                self.suspects.recover(frame)
            while self.suspects.is_busy:
                await asyncio.sleep(0.01)
                if callable(life):
                    life()
            await self.suspects.close()

        self.clock.run(lives())

    @property
    def order(self) -> list[list[str]]:
        return [names for _, *names in self.went]

    def finish_all(self) -> None:
        """Whoever went on comes to its end a little later."""
        for names in self.order:
            for name in names:
                if self.frames[AgentId(name)].state.outstanding is not None:
                    self.end(name)


def test_first_deaths_go_on_at_once_then_suspects_together_then_each_alone() -> None:
    ward = Ward([1, 4, 2, 1, 3, 4, 2])
    ward.run(ward.finish_all)
    assert ward.order == [["a0", "a3"], ["a2", "a4", "a6"], ["a1"], ["a5"]]


def test_whoever_has_died_often_enough_is_not_kept_waiting_for_quarantine() -> None:
    ward = Ward([5])
    ward.run()
    assert ward.order == [["a0"]]
    assert ward.frames[AgentId("a0")].state.statistics.quarantined == 1


def test_suspects_wait_until_the_others_rest_but_not_for_ever() -> None:
    ward = Ward([2])
    ward.others_wake = True
    ward.run(ward.finish_all)
    waited_ms = int(ward.went[0][0]) - VirtualClock().now_ms()
    assert 5_000 <= waited_ms <= 6_000


def test_one_that_takes_its_time_lets_the_next_begin_in_the_end() -> None:
    ward = Ward([4, 4])
    ward.run(lambda: ward.end("a1") if len(ward.order) == 2 and ward.frames[AgentId("a1")].state.outstanding else None)
    assert ward.order == [["a0"], ["a1"]]
    assert int(ward.went[1][0]) - int(ward.went[0][0]) >= TRIAL_MS_MAX
