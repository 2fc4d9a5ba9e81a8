"""Agents that call each other over a network that delays, repeats and reorders: no chain waits for ever, and
cancelling one takes down all that was done for it, wherever that is by then."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.settings import ChainSettings, MailboxSettings
from pagefault.runtime.kernel.state import Chain, Phase
from pagefault.runtime.values import AgentId, FunctionCall, Interrupt, InterruptId, InterruptKind, Priority
from tests.runtime.kernel.harness import Desk, call, definition, message, reply

NAMES = tuple(map(AgentId, "abcd"))
ROUNDS_MAX = 300


@dataclass(frozen=True)
class Letter:
    """An interrupt on its way."""

    sender: AgentId
    to: AgentId
    interrupt: Interrupt


class CallingMachine(RuleBasedStateMachine):
    """Four agents; what is on its way is a bag from which anything may be taken next."""

    @initialize(interrupts_max=st.sampled_from([2, 8]))
    def begin(self, interrupts_max: int) -> None:
        made = replace(
            definition(
                budget_tokens=8_000,
                chain=ChainSettings(steps_max=6, depth_max=2, parked_max=3, hops_max=5, snapshot_steps=50),
                mailbox=MailboxSettings(interrupts_max=interrupts_max, remembered_ids=4_096),
            ),
            exports=("weigh",),
        )
        self.now_ms = 1_000_000
        self.desks = {name: Desk(replace(made, id=name)) for name in NAMES}
        self.bag: list[Letter] = []
        self.sent: dict[AgentId, list[Letter]] = {name: [] for name in NAMES}
        self.root: dict[str, InterruptId] = {}  # of every message that somebody waits for, what began it all
        self.begun: list[tuple[AgentId, InterruptId]] = []
        self.cancelled: set[InterruptId] = set()

    # --- the network

    def feed(self, name: AgentId, event: ev.Event) -> list[fx.AnyEffect]:
        effects = self.desks[name].feed(event)
        for effect in effects:
            if isinstance(effect, fx.Send):
                self.bag.append(letter := Letter(name, effect.to, effect.interrupt))
                self.sent[name].append(letter)
                if effect.interrupt.wants_reply and effect.cause in self.root:
                    self.root[effect.interrupt.id] = self.root[effect.cause]
        return effects

    def deliver(self, letter: Letter) -> bool:
        """Whether it is settled: taken, or refused for good, which its sender is told."""
        interrupt = letter.interrupt
        effects = self.feed(letter.to, ev.InterruptArrived(self.tick(), interrupt))
        for effect in effects:
            if isinstance(effect, fx.Accept) and effect.cause == interrupt.id:
                return True
            if isinstance(effect, fx.Reject) and effect.cause == interrupt.id:
                if effect.retry_after_ms:
                    return False
                if interrupt.wants_reply:
                    self.bag.append(Letter(letter.to, letter.sender, undeliverable(interrupt)))
                return True
        raise AssertionError(f"{letter} was neither taken nor refused")

    def tick(self) -> int:
        self.now_ms += 1
        return self.now_ms

    # --- what happens

    @rule(name=st.sampled_from(NAMES), priority=st.sampled_from([Priority.USER, Priority.WORLD, Priority.BACKGROUND]))
    def ask(self, name: AgentId, priority: Priority) -> None:
        made = message(f"{name}-{len(self.begun)}", priority=priority)
        if any(isinstance(each, fx.Accept) for each in self.feed(name, ev.InterruptArrived(self.tick(), made))):
            self.begun.append((name, made.id))
            self.root[made.id] = made.id

    @precondition(lambda self: self.bag)
    @rule(data=st.data(), twice=st.booleans())
    def arrives(self, data: st.DataObject, twice: bool) -> None:
        letter = self.bag[data.draw(st.integers(0, len(self.bag) - 1))]
        if self.deliver(letter) and not twice:
            self.bag.remove(letter)

    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        self.end(data)

    @rule(data=st.data())
    def ends_also(self, data: st.DataObject) -> None:
        self.end(data)

    def end(self, data: st.DataObject) -> None:
        busy = [name for name in NAMES if self.desks[name].agent.outstanding is not None]
        if not busy:
            return
        name = data.draw(st.sampled_from(busy))
        desk = self.desks[name]
        if desk.phase() is Phase.CANCELLING and data.draw(st.booleans()):
            self.feed(name, ev.Cancelled(self.tick(), desk.call_id))
        elif desk.phase() in (Phase.THINKING, Phase.CANCELLING) and is_thinking(desk):
            calls = data.draw(st.lists(calls_of(name), max_size=2))
            self.feed(name, ev.ModelReplied(self.tick(), desk.call_id, reply(*calls)))
        else:
            self.finish(name)

    @rule(by_ms=st.sampled_from([1_000, 20_000, 61_000]))
    def time_passes(self, by_ms: int) -> None:
        self.now_ms += by_ms
        for name in NAMES:
            self.feed(name, ev.ClockAdvanced(self.now_ms))

    @rule(name=st.sampled_from(NAMES))
    def crashes(self, name: AgentId) -> None:
        """A new activation: everything that it sent may be sent again."""
        if self.desks[name].phase() is not Phase.STOPPED:
            self.bag += self.sent[name][-6:]
            self.feed(name, ev.Recovered(self.tick(), self.desks[name].agent.epoch + 1))

    @precondition(lambda self: len(self.begun) > 4)
    @rule(name=st.sampled_from(NAMES))
    def dies(self, name: AgentId) -> None:
        if all(self.desks[other].phase() is not Phase.STOPPED for other in NAMES):
            killing = message("kill", kind=InterruptKind.KILL, priority=Priority.KILL, sender="operator")
            self.feed(name, ev.InterruptArrived(self.tick(), killing))

    @precondition(lambda self: self.begun)
    @rule(data=st.data())
    def is_cancelled(self, data: st.DataObject) -> None:
        name, root = data.draw(st.sampled_from(self.begun))
        cancelling = message(
            f"cancel-{len(self.cancelled)}-{root}", kind=InterruptKind.CANCEL, priority=Priority.OPERATOR, target=root
        )
        self.feed(name, ev.InterruptArrived(self.tick(), cancelling))
        self.cancelled.add(root)
        for _ in range(ROUNDS_MAX):
            left = [letter for letter in self.take_bag() if not self.deliver(letter)]
            has_news = bool(self.bag)
            self.bag += left
            stopping = [each for each in NAMES if self.desks[each].phase() is Phase.CANCELLING]
            for each in stopping:
                self.feed(each, ev.Cancelled(self.tick(), self.desks[each].call_id))
            if not stopping and not has_news:
                break
        else:
            raise AssertionError("the news of a cancel goes round for ever")
        for each in NAMES:
            for chain in chains(self.desks[each]):
                assert self.root.get(chain.cause) != root, f"{each} still works for {root}"
            for waiting in self.desks[each].agent.mailbox:
                assert self.root.get(waiting.id) != root, f"{waiting.id} waits at {each} for {root}"

    def take_bag(self) -> list[Letter]:
        bag, self.bag = self.bag, []
        return bag

    def finish(self, name: AgentId) -> None:
        """End what is outstanding without beginning anything."""
        desk = self.desks[name]
        kind = desk.agent.outstanding.kind if desk.agent.outstanding is not None else ""
        at_ms = self.tick()
        if kind == "model":
            self.feed(name, ev.ModelReplied(at_ms, desk.call_id, reply()))
        elif kind == "function":
            self.feed(name, ev.FunctionReturned(at_ms, desk.call_id, "ok", "3"))
        elif kind == "summary":
            self.feed(name, ev.SummaryFailed(at_ms, desk.call_id, "no"))
        else:
            raise AssertionError(f"nobody asked for a {kind}")

    def teardown(self) -> None:
        """Without any deadline passing, everything comes to rest once all is delivered and answered."""
        if not hasattr(self, "desks"):
            return
        for _ in range(ROUNDS_MAX):
            left = [letter for letter in self.take_bag() if not self.deliver(letter)]
            self.bag += left
            busy = [name for name in NAMES if self.desks[name].agent.outstanding is not None]
            for name in busy:
                self.finish(name)
            if not busy and not self.bag:
                break
        else:
            raise AssertionError("the agents do not come to rest")
        for name, desk in self.desks.items():
            assert desk.phase() in (Phase.IDLE, Phase.STOPPED), f"{name} is {desk.phase()}"
        for name, root in self.begun:
            ends = [effect for effect in self.desks[name].of(fx.ChainEnded) if effect.cause == root]
            assert len(ends) == 1, f"{root} ended {len(ends)} times"


def undeliverable(interrupt: Interrupt) -> Interrupt:
    """What a host tells a sender that waits; see ``runtime/host/routing.py``."""
    return Interrupt(
        InterruptId(f"{interrupt.id}/undeliverable"), InterruptKind.REPLY, Priority.REPLY, "system", "no",
        in_reply_to=interrupt.id, failed=True,
    )  # fmt: skip


def is_thinking(desk: Desk) -> bool:
    return desk.agent.outstanding is not None and desk.agent.outstanding.kind == "model"


def chains(desk: Desk) -> list[Chain]:
    agent = desk.agent
    return [*agent.suspended, *agent.parked.values(), *([agent.chain] if agent.chain is not None else [])]


def calls_of(name: AgentId) -> st.SearchStrategy[FunctionCall]:
    others = st.sampled_from([each for each in NAMES if each != name])
    return st.one_of(
        st.builds(lambda to: call("call_agent", None, agent=to, message="well?", timeout_seconds=30), others),
        st.builds(lambda to: call("call_agent", None, agent=to, message="well?", timeout_seconds=90), others),
        st.builds(lambda to: call("call_agent", None, agent=to, function="weigh", arguments='{"thing": "it"}'), others),
        st.builds(lambda to: call("send_to_agent", False, agent=to, message="hm"), others),
        st.builds(lambda: call("weigh", True, thing="it")),
        st.builds(lambda: call("send_message", message="so")),
    )


CallingMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestCallingMachine = CallingMachine.TestCase
