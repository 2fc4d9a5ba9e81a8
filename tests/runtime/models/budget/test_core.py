"""The core: who goes next, beside a naive model of it, and what it never does."""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pagefault.runtime.models.budget.calls import Ask, End, Grant, Refusal
from pagefault.runtime.models.budget.core import AFFINITY_WAIT_MS, BudgetCore
from pagefault.runtime.models.budget.limits import Limits
from pagefault.runtime.models.budget.meter import STAMP_MS, WINDOW_MS
from pagefault.runtime.models.budget.settings import budget_plan
from pagefault.runtime.models.budget.spend import Spend
from pagefault.runtime.values import Priority

PRIORITIES = st.sampled_from(list(Priority)[1:])


def core_of(*tables: dict[str, Any], **budget: Any) -> BudgetCore:
    plan = budget_plan([{"models": ["m"], **table} for table in tables], budget)
    return BudgetCore(plan, Spend(plan.settings), Limits)


def ask(number: int, priority: Priority = Priority.USER, agent: str = "a", **changes: Any) -> Ask:
    given = {"prompt_tokens": 50, "reply_tokens": 50, "model": "openai:m", **changes}
    return Ask(number, agent, priority=priority, **given)


def granted(decided: list[Grant | Refusal]) -> list[int]:
    return [each.number for each in decided if isinstance(each, Grant)]


@given(st.lists(st.tuples(PRIORITIES, st.integers(0, 3), st.integers(1, 500)), min_size=1, max_size=40))
def test_one_at_a_time_they_go_by_priority_and_then_fairly(calls: list[tuple[Priority, int, int]]) -> None:
    """Beside the definition: of those of the best priority, the one with the lowest start tag."""
    core = core_of({"name": "one", "concurrency": 1}, lower_share=0.0)
    core.ask(0, ask(0))
    assert granted(core.poll(0)) == [0]
    ends: dict[tuple[Priority, str], float] = {}
    waiting: dict[int, tuple[Priority, float]] = {}
    for number, (priority, agent, tokens) in enumerate(calls, 1):
        core.ask(0, ask(number, priority, f"agent-{agent}", prompt_tokens=tokens, reply_tokens=1))
        start = ends.get((priority, f"agent-{agent}"), 0.0)
        ends[priority, f"agent-{agent}"] = start + tokens + 1
        waiting[number] = (priority, start)
    last = 0
    while waiting:
        core.end(1, last, End("answered", 1, 1))
        expected = min(waiting, key=lambda number: (*waiting[number], number))
        assert granted(core.poll(1)) == [expected]
        del waiting[expected]
        last = expected


def test_a_large_call_is_not_passed_by_small_ones_for_ever() -> None:
    core = core_of({"name": "one", "tokens_per_minute": 10_000})
    now_ms, went = 0.0, []
    numbers = count(1)
    core.ask(0, ask(next(numbers), Priority.AGENT, "large", prompt_tokens=8_000, reply_tokens=1_000))
    while 1 not in went and now_ms < 3 * WINDOW_MS:
        core.ask(now_ms, ask(next(numbers), Priority.BACKGROUND, f"small-{now_ms}"))
        for number in granted(core.poll(now_ms)):
            went.append(number)
            core.end(now_ms, number, End("answered", 50, 50))
        now_ms += 100
    assert 1 in went


def test_a_call_that_can_never_fit_is_refused_at_once() -> None:
    core = core_of({"name": "one", "tokens_per_minute": 99})
    core.ask(0, ask(1))
    (refusal,) = core.poll(0)
    assert isinstance(refusal, Refusal)
    assert refusal.kind == "large"
    assert "99 tokens a minute" in refusal.message


def test_what_waits_too_long_is_refused() -> None:
    core = core_of({"name": "one", "concurrency": 1}, wait_ms_max=1_000)
    core.ask(0, ask(1))
    core.ask(0, ask(2))
    assert granted(core.poll(0)) == [1]
    assert core.next_ms(0) == 1_000
    (refusal,) = core.poll(1_000)
    assert isinstance(refusal, Refusal)
    assert (refusal.number, refusal.kind) == (2, "late")
    assert core.next_ms(1_000) is None


def test_a_background_call_that_somebody_urgent_waits_for_is_hurried() -> None:
    core = core_of({"name": "one", "concurrency": 1})
    core.ask(0, ask(0))
    assert granted(core.poll(0)) == [0]
    for number in range(1, 5):
        core.ask(0, ask(number, Priority.BACKGROUND, f"agent-{number}"))
    core.promote("agent-4", Priority.USER)
    core.promote("agent-3", Priority.BACKGROUND)
    core.promote("nobody", Priority.USER)
    order = []
    for number in [0, 4, 1, 2]:
        core.end(0, number, End("answered"))
        order += granted(core.poll(0))
    assert order == [4, 1, 2, 3]
    assert core.under_way[3].ask.priority is Priority.BACKGROUND


def test_a_call_waits_for_the_endpoint_that_knows_its_prefix_but_not_long() -> None:
    core = core_of({"name": "one", "concurrency": 1}, {"name": "two", "concurrency": 1})
    core.ask(0, ask(1, prefix=b"p"))
    (first,) = core.poll(0)
    assert isinstance(first, Grant)
    core.ask(0, ask(2, prefix=b"p"))
    assert core.poll(0) == []
    assert core.poll(AFFINITY_WAIT_MS - 1) == []
    (second,) = core.poll(AFFINITY_WAIT_MS)
    assert isinstance(second, Grant)
    assert second.endpoint != first.endpoint
    assert core.counts.moved == 1


def test_an_endpoint_takes_its_own_calls_before_those_of_others() -> None:
    core = core_of({"name": "one", "concurrency": 1}, {"name": "two", "concurrency": 1})
    homes: dict[str, list[bytes]] = {"one": [], "two": []}
    for number in count(100):
        prefix = str(number).encode()
        core.ask(0, ask(number, agent=f"a{number}", prefix=prefix))
        home = core.waiting[number].lane.endpoint
        homes[home].append(prefix)
        core.drop(number)
        if min(map(len, homes.values())) >= 3:
            break
    for number, prefix in enumerate([*homes["one"][:3], *homes["two"][:3]], 1):
        core.ask(0, ask(number, agent=f"agent-{number}", prefix=prefix))
    late_ms = 10 * AFFINITY_WAIT_MS
    went: dict[str, list[int]] = {"one": [], "two": []}
    for _ in range(3):
        for each in core.poll(late_ms):
            assert isinstance(each, Grant)
            went[each.endpoint].append(each.number)
        for number in list(core.under_way):
            core.end(late_ms, number, End("answered"))
    assert went == {"one": [1, 2, 3], "two": [4, 5, 6]}
    assert core.counts.moved == 0


def test_endpoints_share_prompts_by_weight() -> None:
    core = core_of({"name": "large", "weight": 3.0}, {"name": "small", "weight": 1.0}, queue_max=4_000)
    for number in range(2_000):
        core.ask(0, ask(number, prefix=str(number).encode()))
    homes = [waiting.lane.endpoint for waiting in core.waiting.values()]
    assert 0.72 < homes.count("large") / len(homes) < 0.78


class CoreMachine(RuleBasedStateMachine):
    """Whatever happens, in any order: limits hold, nothing is lost, nobody is granted twice."""

    @initialize(
        limits=st.fixed_dictionaries(
            {
                "requests_per_minute": st.one_of(st.integers(1, 8), st.none()),
                "tokens_per_minute": st.one_of(st.none(), st.integers(200, 5_000)),
                "concurrency": st.integers(1, 6),
            }
        ),
        endpoints=st.integers(1, 3),
        run_tokens=st.one_of(st.none(), st.integers(500, 20_000)),
        queue_max=st.integers(1, 30),
    )
    def begin(self, limits: dict[str, Any], endpoints: int, run_tokens: int | None, queue_max: int) -> None:
        tables = [{"name": f"e{place}", **limits} for place in range(endpoints)]
        self.core = core_of(*tables, tokens_max=run_tokens, queue_max=queue_max, wait_ms_max=200_000)
        self.limits, self.run_tokens, self.queue_max = limits, run_tokens, queue_max
        self.now_ms = 0.0
        self.numbers = count(1)
        self.open: set[int] = set()
        self.under_way: dict[int, tuple[str, int]] = {}
        self.sent: list[tuple[float, str, int]] = []

    @rule(
        calls=st.lists(st.tuples(PRIORITIES, st.sampled_from("abcd"), st.integers(1, 300)), min_size=1, max_size=6),
        reply=st.integers(1, 200),
    )
    def ask(self, calls: list[tuple[Priority, str, int]], reply: int) -> None:
        for priority, agent, prompt in calls:
            number = next(self.numbers)
            self.open.add(number)
            self.core.ask(self.now_ms, ask(number, priority, agent, prompt_tokens=prompt, reply_tokens=reply))
        self.poll()

    @rule(by_ms=st.floats(0, 70_000))
    def wait(self, by_ms: float) -> None:
        self.now_ms += by_ms

    @precondition(lambda self: self.under_way)
    @rule(
        kind=st.sampled_from(["answered", "busy", "down", "failed", "broken", "unsent"]),
        share=st.floats(0, 1),
        retry_after_ms=st.integers(0, 5_000),
    )
    def end(self, kind: str, share: float, retry_after_ms: int) -> None:
        number = min(self.under_way)
        _, tokens = self.under_way.pop(number)
        used = int(tokens * share) if kind == "answered" else 0
        self.core.end(self.now_ms, number, End(kind, used, 0, retry_after_ms))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.open)))
        self.open.discard(number)
        self.core.drop(number)

    @rule(agent=st.sampled_from("abcd"), priority=PRIORITIES)
    def promote(self, agent: str, priority: Priority) -> None:
        self.core.promote(agent, priority)

    @rule()
    def poll(self) -> None:
        for decided in self.core.poll(self.now_ms):
            assert decided.number in self.open or isinstance(decided, Refusal)
            self.open.discard(decided.number)
            if isinstance(decided, Grant):
                tokens = self.core.under_way[decided.number].ask.tokens
                self.under_way[decided.number] = (decided.endpoint, tokens)
                self.sent.append((self.now_ms, decided.endpoint, tokens))
        self._looks_again()

    def _looks_again(self) -> None:
        """Nothing waits for ever: there is a time to look again, or a call under way whose end will help."""
        if self.core.waiting and not self.under_way:
            next_ms = self.core.next_ms(self.now_ms)
            assert next_ms is not None
            assert next_ms > self.now_ms

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "core"):
            return
        core = self.core
        assert core.depth <= self.queue_max
        assert set(core.under_way) == set(self.under_way)
        assert set(core.waiting) <= self.open
        for name in core.endpoints:
            at_once = sum(1 for endpoint, _ in self.under_way.values() if endpoint == name)
            assert at_once <= self.limits["concurrency"]
            since_ms = self.now_ms - WINDOW_MS + STAMP_MS
            window = [tokens for at_ms, endpoint, tokens in self.sent if endpoint == name and at_ms > since_ms]
            most = self.limits["requests_per_minute"]
            assert most is None or len(window) <= most
        assert self.run_tokens is None or core.spend.run.tokens <= self.run_tokens
        assert core.spend.run.tokens >= -1e-6


TestCore = CoreMachine.TestCase
TestCore.settings = settings(max_examples=60, stateful_step_count=60)
