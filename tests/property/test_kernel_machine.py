"""Random events at every phase: invariants hold after each, replay is exact, and a snapshot is the agent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pagefault.runtime.host.records import CODEC
from pagefault.runtime.kernel import effects as fx
from pagefault.runtime.kernel import events as ev
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.guard import GuardedEviction
from pagefault.runtime.kernel.settings import AgentDefinition, ChainSettings, MailboxSettings
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.values import (
    CallId,
    FunctionCall,
    Hit,
    Interrupt,
    InterruptId,
    InterruptKind,
    ModelReply,
    Page,
    PageId,
    PageKind,
    Priority,
    SearchResult,
    Usage,
)
from tests.runtime.kernel.harness import Desk, call, definition, message, new_agent

TEXTS = st.one_of(
    st.text(max_size=60),
    st.integers(0, 9000).map(lambda size: "word " * (size // 5)),
)
PAGE_IDS = st.integers(1, 120).map(lambda number: f"p{number}")
CALLS = st.one_of(
    st.builds(lambda text: call("send_message", message=text or "."), TEXTS),
    st.builds(lambda text, beat: call("core_memory_append", beat, label="human", content=text), TEXTS, st.booleans()),
    st.builds(lambda page, beat: call("page_in", beat, page_id=page), PAGE_IDS, st.booleans()),
    st.builds(lambda page, beat: call("page_out", beat, page_id=page), PAGE_IDS, st.booleans()),
    st.builds(lambda page, beat: call("pin", beat, page_id=page), PAGE_IDS, st.booleans()),
    st.builds(lambda page, beat: call("unpin", beat, page_id=page), PAGE_IDS, st.booleans()),
    st.builds(lambda beat: call("launch", beat, target="x"), st.booleans()),
    st.builds(lambda beat: call("weigh", beat, thing="x"), st.booleans()),
    st.builds(lambda beat: call("conversation_search", beat, query="word"), st.booleans()),
    st.builds(lambda beat: call("call_agent", beat, agent="b", message="well?", timeout_seconds=30), st.booleans()),
    st.builds(lambda beat: call("send_to_agent", beat, agent="b", message="hm"), st.booleans()),
    st.builds(lambda beat: call("set_timer", beat, minutes=1, message="wake"), st.booleans()),
    st.builds(lambda: call("set_timer", minutes=2, message="tick", repeat=True)),
    st.builds(lambda beat: call("subscribe", beat, topic="news"), st.booleans()),
    st.builds(lambda beat: call("publish", beat, topic="news", message="hm"), st.booleans()),
    st.builds(lambda beat: call("call_agent", beat, agent="b", function="weigh"), st.booleans()),
    st.builds(lambda: call("pause_heartbeats", minutes=3)),
    st.builds(lambda text, beat: call("archival_memory_insert", beat, content=text or "."), TEXTS, st.booleans()),
    st.builds(lambda beat: call("archival_memory_review", beat), st.booleans()),
    st.builds(
        lambda pages, beat: call("archival_memory_merge", beat, passages=pages, content="one"),
        st.lists(PAGE_IDS, min_size=1, max_size=3),
        st.booleans(),
    ),
    st.builds(
        FunctionCall, st.just("x"), st.sampled_from(["nonsense", "launch", "send_message"]), st.text(max_size=20)
    ),
)


EXPORTS = ("weigh", "launch", "conversation_search", "core_memory_append")
EXPORTED = st.sampled_from([*EXPORTS, "pin", "nonsense"])
ARGUMENTS = st.sampled_from(
    ['{"thing": "it"}', '{"target": "moon"}', '{"query": "word"}', '{"label": "human", "content": "so"}', "no json"]
)


class Unfaithful:
    """A policy that breaks its contract in every way there is, sooner or later."""

    name = "unfaithful"
    capabilities: frozenset[Any] = frozenset()

    def __init__(self, breach: str) -> None:
        self.breach = breach
        self.pages: list[str] = []

    def on_insert(self, page: Any, turn: int) -> None:
        self.pages.append(page.id)
        if self.breach == "insert" and turn > 3:
            raise RuntimeError("no")

    def on_hit(self, page_id: str, turn: int) -> None:
        if self.breach == "hit":
            raise KeyError(page_id)

    def on_remove(self, page_id: str, evicted: bool) -> None:
        self.pages.remove(page_id)

    def victims(self, tokens_needed: int, protected: Any, turn: int) -> list[str]:
        if self.breach == "protected":
            return self.pages[-1:]
        return {"few": self.pages[:1], "twice": self.pages[:1] * 2, "foreign": ["p9999"]}.get(self.breach, self.pages)

    def explain(self, page_id: str, turn: int) -> str:
        return ""

    def dump(self) -> dict[str, Any]:
        return {"pages": self.pages}

    def load(self, state: Any) -> None:
        self.pages = list(state["pages"])


def make(made: AgentDefinition, breach: str) -> AgentState:
    agent = new_agent(made)
    if breach:
        agent.eviction = GuardedEviction(Unfaithful(breach))
    return agent


class KernelMachine(RuleBasedStateMachine):
    """One agent that is reloaded from snapshots now and then, and a twin that never is."""

    @initialize(
        eviction=st.sampled_from(["fifo", "lru", "importance"]),
        write_back=st.sampled_from(["handle", "summarize", "archive", "drop"]),
        budget_tokens=st.integers(4000, 7000),
        chaining=st.sampled_from(["heartbeat", "calls"]),
        breach=st.sampled_from(["", "", "", "insert", "hit", "protected", "few", "twice", "foreign"]),
    )
    def begin(self, eviction: str, write_back: str, budget_tokens: int, chaining: str, breach: str) -> None:
        self.breach = breach
        made = definition(
            eviction=eviction,
            write_back=write_back,
            budget_tokens=budget_tokens,
            chain=ChainSettings(steps_max=6, depth_max=2, parked_max=2, calls_max=4, snapshot_steps=3, timers_max=2),
            mailbox=MailboxSettings(interrupts_max=4, bytes_max=30_000, interrupt_bytes_max=12_000, remembered_ids=16),
        )
        functions = (*made.functions, "subscribe", "publish", "archival_memory_insert", "consolidation")
        review = (("pages", 2), ("idle_s", 30))
        policies = replace(made.policies, consolidation="review", consolidation_parameters=review)
        self.definition = replace(
            made,
            chaining=chaining,
            functions=functions,
            exports=EXPORTS,
            policies=policies,
        )
        self.desk = Desk(self.definition, make(self.definition, breach))
        self.twin = make(self.definition, breach)
        self.sent = 0
        self.results: list[Any] = []
        for number in range(12):  # enough to begin with, so that flushes are near
            self.feed(ev.InterruptArrived(self.desk.tick(), message(f"b{number}", f"before {number} " * 20)))
            self.feed(ev.ModelReplied(self.desk.tick(), self.desk.call_id, ModelReply("noted " * 20)))

    def feed(self, event: ev.Event) -> list[fx.AnyEffect]:
        effects = self.desk.feed(event)
        assert self.twin.handle(event) == effects, "the reloaded agent and its twin differ"
        return effects

    def end(self, event: Any) -> None:
        self.results.append(event)
        self.feed(event)

    @property
    def kind(self) -> str:
        return self.desk.agent.outstanding.kind if self.desk.agent.outstanding is not None else ""

    # --- interrupts

    @rule(
        text=TEXTS,
        priority=st.sampled_from(list(Priority)[1:]),
        kind=st.sampled_from(["message", "message", "observation", "heartbeat", "document", "timer"]),
        wants_reply=st.booleans(),
        coalesce=st.sampled_from(["", "", "", "tick"]),
        deadline=st.sampled_from([None, None, None, None, 0, 10_000]),
        hops=st.sampled_from([0, 0, 0, 0, 0, 15, 16, 17]),
    )
    def interrupt(self, **fields: Any) -> None:
        self.sent += 1
        deadline = fields.pop("deadline")
        interrupt = Interrupt(
            InterruptId(f"b/{self.sent}" if fields["wants_reply"] else f"i{self.sent}"),
            InterruptKind(fields.pop("kind")),
            fields.pop("priority"),
            "b" if fields["wants_reply"] else "user",
            deadline_ms=None if deadline is None else self.desk.now_ms + deadline,
            **fields,
        )
        effects = self.feed(ev.InterruptArrived(self.desk.tick(), interrupt))
        told = [each for each in effects if isinstance(each, fx.Accept | fx.Reject) and each.cause == interrupt.id]
        assert len(told) == 1, "a sender is told exactly once"

    @rule(function=EXPORTED, arguments=ARGUMENTS)
    def called(self, function: str, arguments: str) -> None:
        """Another agent calls an exported function: it is answered in the end, and no model is asked for it."""
        self.sent += 1
        interrupt = Interrupt(
            InterruptId(f"b/{self.sent}"), InterruptKind.CALL, Priority.AGENT, "b", arguments,
            function=function, wants_reply=True, hops=1,
        )  # fmt: skip
        self.feed(ev.InterruptArrived(self.desk.tick(), interrupt))

    def steer(self, kind: InterruptKind, **fields: Any) -> None:
        self.sent += 1
        priority = Priority.KILL if kind is InterruptKind.KILL else Priority.OPERATOR
        steering = Interrupt(InterruptId(f"i{self.sent}"), kind, priority, "operator", **fields)
        self.feed(ev.InterruptArrived(self.desk.tick(), steering))

    # --- what is outstanding ends: by far the most frequent thing, hence three times

    @precondition(lambda self: self.kind != "")
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        self.end(self.ending(data))

    @precondition(lambda self: self.kind != "")
    @rule(data=st.data())
    def ends_also(self, data: st.DataObject) -> None:
        self.end(self.ending(data))

    @precondition(lambda self: self.kind != "")
    @rule(data=st.data())
    def ends_too(self, data: st.DataObject) -> None:
        self.end(self.ending(data))

    def ending(self, data: st.DataObject) -> Any:
        outstanding = self.desk.agent.outstanding
        assert outstanding is not None
        at_ms, call_id = self.desk.tick(), outstanding.call_id
        if self.desk.agent.phase is Phase.CANCELLING and data.draw(st.booleans()):
            return ev.Cancelled(at_ms, call_id)
        if outstanding.kind == "model":
            return self.model_ending(data, at_ms, call_id, outstanding.counted_tokens)
        if outstanding.kind == "function":
            return ev.FunctionReturned(
                at_ms, call_id, data.draw(st.sampled_from(["ok", "failed", "unknown"])), data.draw(TEXTS)
            )
        if outstanding.kind == "summary":
            how = data.draw(st.sampled_from(["ready", "ready", "failed", "model"]))
            if how == "ready":
                return ev.SummaryReady(at_ms, call_id, data.draw(TEXTS))
            return (
                ev.SummaryFailed(at_ms, call_id, "no")
                if how == "failed"
                else ev.ModelFailed(at_ms, call_id, "busy", "no")
            )
        works = data.draw(st.sampled_from([True, True, True, False]))
        if outstanding.kind == "search":
            numbers = data.draw(st.lists(st.integers(1, 90), max_size=10, unique=True))
            text = data.draw(TEXTS)
            hits = tuple(Hit(Page(PageId(f"p{each}"), PageKind.MESSAGE, text, 5, 0, each), 1.0) for each in numbers)
            result = SearchResult(hits, len(hits) + 3, 0, 10) if works else None
            return ev.SearchReturned(at_ms, call_id, result, "" if works else "down")
        stored = [page_id for page_id in outstanding.page_ids if page_id in self.desk.archive]
        pages = tuple(self.desk.archive[page_id] for page_id in stored)
        missing = tuple(page_id for page_id in outstanding.page_ids if page_id not in stored)
        return ev.PagesLoaded(at_ms, call_id, pages if works else (), missing, "" if works else "down")

    def model_ending(self, data: st.DataObject, at_ms: int, call_id: CallId, counted_tokens: int) -> Any:
        if data.draw(st.integers(0, 9)) == 0:
            reason = data.draw(st.sampled_from(["unavailable", "refused", "malformed", "overflow", "overflow"]))
            return ev.ModelFailed(at_ms, call_id, reason, "it failed")
        share = data.draw(st.sampled_from([0, 0, 90, 110, 160]))
        calls = tuple(data.draw(st.lists(CALLS, max_size=6)))
        text = data.draw(st.sampled_from(["", "thinking"]))
        return ev.ModelReplied(at_ms, call_id, ModelReply(text, calls, Usage(counted_tokens * share // 100)))

    # --- everything that upsets a chain

    @rule(
        data=st.data(),
        what=st.sampled_from(
            [
                "cancel",
                "take back",
                "answer",
                "answer",
                "mask",
                "duplicate",
                "late",
                "clock",
                "recover",
                "reload",
                "kill",
            ]
        ),
    )
    def upset(self, data: st.DataObject, what: str) -> None:
        agent = self.desk.agent
        if what == "cancel":
            back = data.draw(st.integers(-1, 8))
            self.steer(
                InterruptKind.CANCEL, target=InterruptId(f"i{self.sent - back}") if back >= 0 else InterruptId("")
            )
        elif what == "take back":
            target = InterruptId(f"b/{self.sent - data.draw(st.integers(-1, 8))}")
            taking = Interrupt(
                InterruptId(f"{target}/cancel"), InterruptKind.CANCEL, Priority.OPERATOR, "b", hops=1, target=target
            )
            self.feed(ev.InterruptArrived(self.desk.tick(), taking))
            assert not any(
                isinstance(effect, fx.Send) and effect.interrupt.in_reply_to == target for effect in self.desk.last
            ), "nobody waits for a reply"
        elif what == "mask":
            self.steer(InterruptKind.MASK, mask=tuple(data.draw(st.sets(st.sampled_from(list(Priority)), max_size=2))))
        elif what == "kill" and self.sent > 25:
            self.steer(InterruptKind.KILL)
            assert self.desk.agent.phase in (Phase.STOPPED, Phase.CANCELLING)
        elif what == "answer" and agent.parked:
            self.answer(data, next(iter(agent.parked)))
        elif what == "duplicate" and agent.remembered:
            known = data.draw(st.sampled_from(list(agent.remembered)))
            again = Interrupt(known, InterruptKind.MESSAGE, Priority.USER, "user", "again")
            effects = self.feed(ev.InterruptArrived(self.desk.tick(), again))
            assert [isinstance(effect, fx.Accept) and effect.duplicate for effect in effects] == [True]
        elif what == "late" and self.results:
            before = agent.digest()
            effects = self.feed(data.draw(st.sampled_from(self.results)))
            assert [effect.name for effect in effects if isinstance(effect, fx.Notice)] == ["late"]
            assert agent.digest() == before
        elif what == "clock":
            self.desk.now_ms += data.draw(st.sampled_from([-5_000, 1, 5_000, 61_000, 400_000]))
            self.feed(ev.ClockAdvanced(self.desk.tick()))
        elif what == "recover" and agent.phase is not Phase.STOPPED:
            self.feed(ev.Recovered(self.desk.tick(), agent.epoch + 1))
        elif what == "reload":
            self.reload()

    def answer(self, data: st.DataObject, key: InterruptId) -> None:
        text, failed = data.draw(TEXTS), data.draw(st.booleans())
        answer = Interrupt(
            InterruptId(f"{key}/reply"), InterruptKind.REPLY, Priority.REPLY, "b", text, in_reply_to=key, failed=failed
        )
        self.feed(ev.InterruptArrived(self.desk.tick(), answer))

    def reload(self) -> None:
        data = CODEC.encode(self.desk.agent.dump())
        fresh = make(self.definition, self.breach)
        state = CODEC.decode(data)
        assert isinstance(state, dict)
        fresh.load(state)
        assert CODEC.encode(fresh.dump()) == data
        assert fresh.context_bytes() == self.desk.agent.context_bytes()
        self.desk.agent = fresh

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        replayed = make(self.definition, self.breach)
        effects = [effect for event in self.desk.events for effect in replayed.handle(event)]
        assert effects == self.desk.effects
        assert replayed.context_bytes() == self.desk.agent.context_bytes()
        json.loads(replayed.context_bytes())


KernelMachine.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestKernelMachine = KernelMachine.TestCase
