"""The ledger and the hosts' books together: time, losses and deaths are the test's."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.cluster.scheduler.budget import BudgetLedger
from pagefault.cluster.wire import pack, unpack
from pagefault.runtime.models.budget.calls import Ask, End, Grant, Refusal
from pagefault.runtime.models.budget.core import BudgetCore
from pagefault.runtime.models.budget.leased import LEASE_MS, LeaseBook, LeasedCapacity
from pagefault.runtime.models.budget.meter import STAMP_MS, WINDOW_MS
from pagefault.runtime.models.budget.settings import Plan, budget_plan
from pagefault.runtime.models.budget.spend import Spend
from pagefault.runtime.values import Priority

TICK_MS = 20.0


@dataclass
class Sent:
    """A call that went out."""

    at_ms: float
    host: str
    agent: str
    priority: Priority
    tokens: int
    waited_ms: float


@dataclass
class SimulatedHost:
    """A core and its book; calls under way end after a while, exchanges take a while or are lost."""

    name: str
    plan: Plan
    core: BudgetCore = field(init=False)
    book: LeaseBook = field(init=False)
    asked_ms: dict[int, float] = field(default_factory=dict)
    ends: list[tuple[float, int, End]] = field(default_factory=list)
    in_flight: list[tuple[float, dict[str, Any] | None]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    numbers: int = 0

    def __post_init__(self) -> None:
        self.core = BudgetCore(self.plan, Spend(self.plan.settings, leased=True), LeasedCapacity)
        self.book = LeaseBook(self.core, self.name)

    def ask(self, now_ms: float, agent: str, priority: Priority, prompt: int = 50, reply: int = 50) -> None:
        self.numbers += 1
        self.asked_ms[self.numbers] = now_ms
        self.core.ask(now_ms, Ask(self.numbers, agent, "openai:m", priority, prompt, reply))


class Simulation:
    """Some hosts, one ledger, one seed."""

    def __init__(self, plan: Plan, hosts: int, seed: int = 1, *, loss: float = 0.0, call_ms: float = 500.0) -> None:
        self.plan = plan
        self.ledger = BudgetLedger(plan)
        self.chance = random.Random(seed)
        self.hosts = [SimulatedHost(f"host-{number}", plan) for number in range(hosts)]
        self.loss, self.call_ms = loss, call_ms
        self.now_ms = 1_000.0
        self.sent: list[Sent] = []
        self.exchanges = 0

    def run(self, for_ms: float, before_tick: Any = None) -> None:
        end_ms = self.now_ms + for_ms
        while self.now_ms < end_ms:
            self.now_ms += TICK_MS
            if before_tick is not None:
                before_tick(self)
            for host in self.hosts:
                self._tick(host)

    def _tick(self, host: SimulatedHost) -> None:
        now_ms = self.now_ms
        for ended_ms, number, end in [each for each in host.ends if each[0] <= now_ms]:
            host.ends.remove((ended_ms, number, end))
            host.core.end(now_ms, number, end)
        for arrival in [each for each in host.in_flight if each[0] <= now_ms]:
            host.in_flight.remove(arrival)
            if arrival[1] is not None:
                host.book.take(now_ms, arrival[1])
        due_ms = host.book.due_ms(now_ms)
        if due_ms is not None and due_ms <= now_ms and not host.in_flight:
            self._exchange(host)
        for decided in host.core.poll(now_ms):
            if isinstance(decided, Grant):
                self._send(host, decided)
            else:
                host.refused.append(decided)

    def _exchange(self, host: SimulatedHost) -> None:
        self.exchanges += 1
        message = unpack(pack(host.book.message(self.now_ms)))
        if self.chance.random() < self.loss:  # the question is lost, and sent again when that is noticed
            host.in_flight.append((self.now_ms + 200, None))
            return
        answer = unpack(pack(self.ledger.exchange(self.now_ms, message)))
        if self.chance.random() < self.loss:
            host.in_flight.append((self.now_ms + 200, None))
            return
        is_slow = self.chance.random() < self.loss / 4  # so slow that the lease is over when it arrives
        delay_ms = 3 * LEASE_MS if is_slow else self.chance.choice([0.0, 10.0, 20.0])
        host.in_flight.append((self.now_ms + delay_ms, answer))

    def _send(self, host: SimulatedHost, granted: Grant) -> None:
        call = host.core.under_way[granted.number]
        ask = call.ask
        self.sent.append(
            Sent(
                self.now_ms, host.name, ask.agent, ask.priority, ask.tokens, self.now_ms - host.asked_ms[granted.number]
            )
        )
        used = self.chance.randint(1, ask.reply_tokens)
        end = End("answered", ask.prompt_tokens, used)
        host.ends.append((self.now_ms + self.chance.uniform(0.1, 2) * self.call_ms, granted.number, end))

    def kill(self, place: int) -> None:
        """A host dies with all it has; another begins in its place.  Its calls go on at the server."""
        self.hosts[place] = SimulatedHost(f"{self.hosts[place].name}'", self.plan)

    @property
    def under_way(self) -> int:
        return sum(len(host.core.under_way) for host in self.hosts)

    def in_window(self) -> float:
        return sum(1 for each in self.sent if each.at_ms > self.now_ms - WINDOW_MS + STAMP_MS)


def plan_of(requests: int | None = None, tokens: int | None = None, **budget: Any) -> Plan:
    concurrency = budget.pop("concurrency", 1_000)
    table = {"name": "e", "models": ["m"], "requests_per_minute": requests, "tokens_per_minute": tokens}
    return budget_plan([{**table, "concurrency": concurrency}], budget)


@settings(max_examples=3)
@given(
    st.integers(1, 5),
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.2, 0.6]),
    st.integers(3, 900),
    st.integers(1, 40),
)
def test_no_minute_has_more_than_the_limit_whatever_is_lost_and_whoever_dies(
    hosts: int, seed: int, loss: float, limit: int, concurrency: int
) -> None:
    simulation = Simulation(plan_of(limit, concurrency=concurrency), hosts, seed, loss=loss)
    chance = simulation.chance

    def tick(now: Simulation) -> None:
        for host in now.hosts:
            if chance.random() < 0.2 and host.core.depth < 50:
                priority = chance.choice(list(Priority)[1:])
                host.ask(now.now_ms, f"agent-{chance.randint(0, 9)}", priority)
        if chance.random() < 0.0005:
            now.kill(chance.randrange(hosts))
        assert now.in_window() <= limit
        assert sum(len(host.core.under_way) for host in now.hosts) <= concurrency

    simulation.run(65_000, tick)
    assert simulation.sent
    limits = simulation.ledger.limits[0]
    assert limits.requests is not None
    held = sum(account.lent[0].requests for account in simulation.ledger.hosts.values())
    assert abs(limits.requests.lent - held) < 1e-6, "what is lent is what hosts hold"


def saturate(hosts: int, seconds: float, **limits: Any) -> Simulation:
    """All hosts always have calls waiting."""
    simulation = Simulation(plan_of(**limits), hosts)

    def tick(now: Simulation) -> None:
        for host in now.hosts:
            while host.core.depth < 20:
                host.ask(now.now_ms, f"{host.name}-{host.numbers % 10}", Priority.BACKGROUND)

    simulation.run(seconds * 1_000, tick)
    return simulation


def test_hosts_that_always_want_more_use_nearly_all_of_the_limit() -> None:
    simulation = saturate(4, 120, requests=600)
    late = [each for each in simulation.sent if each.at_ms > 61_000]
    assert len(late) >= 0.93 * 600
    by_host = [sum(1 for each in late if each.host == host.name) for host in simulation.hosts]
    assert min(by_host) > 0.8 * max(by_host), f"as much for each: {by_host}"
    assert simulation.exchanges < 4 * 120 * 30


def test_tokens_are_reserved_at_their_most_and_given_back() -> None:
    simulation = saturate(2, 120, tokens=60_000)
    late = [each for each in simulation.sent if each.at_ms > 61_000]
    per_minute = len(late)
    # A call may take 100 tokens and takes 75 on average: without what is given back there would be 600 a minute.
    assert 700 < per_minute <= 800 * 1.03


def test_users_of_one_host_go_before_the_background_of_another() -> None:
    simulation = Simulation(plan_of(600), 2)
    busy, other = simulation.hosts

    def tick(now: Simulation) -> None:
        while busy.core.depth < 50:
            busy.ask(now.now_ms, f"batch-{busy.numbers % 10}", Priority.BACKGROUND)
        if now.now_ms % 500 == 0:
            other.ask(now.now_ms, "user", Priority.USER)

    simulation.run(60_000, tick)
    users = sorted(each.waited_ms for each in simulation.sent if each.priority is Priority.USER)
    assert len(users) >= 110
    assert users[len(users) // 2] <= 200
    assert users[-10] <= 500
    background = sum(1 for each in simulation.sent if each.priority is Priority.BACKGROUND)
    assert background >= 0.9 * (570 - len(users)), "what users leave is not wasted"


def test_the_background_of_one_host_does_not_starve_for_the_users_of_another() -> None:
    simulation = Simulation(plan_of(600, lower_share=0.1), 2)

    def tick(now: Simulation) -> None:
        for host, priority in zip(now.hosts, (Priority.USER, Priority.BACKGROUND), strict=True):
            while host.core.depth < 30:
                host.ask(now.now_ms, f"{host.name}-{host.numbers % 5}", priority)

    simulation.run(60_000, tick)
    background = sum(1 for each in simulation.sent if each.priority is Priority.BACKGROUND)
    assert 0.05 * len(simulation.sent) <= background <= 0.12 * len(simulation.sent)


def test_a_host_that_is_gone_is_given_up_and_what_it_had_counts_as_spent() -> None:
    simulation = Simulation(plan_of(600, tokens=100_000), 1)
    for number in range(5):
        simulation.hosts[0].ask(simulation.now_ms, f"agent-{number}", Priority.USER)
    simulation.run(20)
    held = simulation.ledger.hosts["host-0"].lent[0]
    assert held.slots >= 5
    limits = simulation.ledger.limits[0]
    assert limits.requests is not None
    before = limits.requests.spent_in_window
    simulation.ledger.expire(simulation.now_ms + 2 * LEASE_MS)
    assert not simulation.ledger.hosts
    assert limits.requests.lent == 0
    assert limits.requests.spent_in_window == before
    assert limits.slots == 0


def test_an_answer_that_is_lost_is_given_again() -> None:
    plan = plan_of(600)
    ledger = BudgetLedger(plan)
    host = SimulatedHost("h", plan)
    host.ask(0, "a", Priority.USER)
    message = host.book.message(0)
    answer = ledger.exchange(5, message)
    assert answer is not None
    assert answer["endpoints"][0][:3] == [1.0, 100, 1]
    assert host.book.message(500) is message, "it says the same again"
    assert ledger.exchange(505, message) == answer
    assert ledger.limits[0].requests is not None
    assert ledger.limits[0].requests.lent == 1.0, "and is lent nothing more"
    host.book.take(510, answer)
    assert [type(each) for each in host.core.poll(510)] == [Grant]
    host.book.message(800)
    assert ledger.exchange(805, message) is not None
    assert ledger.exchange(810, host.book.message(810)) is not None
    assert ledger.exchange(820, message) is None, "what comes too late is not counted"


def test_a_refusal_of_the_server_slows_all_hosts() -> None:
    plan = plan_of(600)
    ledger = BudgetLedger(plan)
    first, second = SimulatedHost("a", plan), SimulatedHost("b", plan)
    first.ask(0, "a", Priority.USER)
    first.book.take(0, ledger.exchange(0, first.book.message(0)) or {})
    (granted,) = first.core.poll(0)
    first.core.end(100, granted.number, End("busy", retry_after_ms=3_000))
    assert first.book.due_ms(100) == 100, "it is told at once"
    assert ledger.exchange(110, first.book.message(110)) is not None
    assert ledger.limits[0].factor < 1
    second.ask(120, "b", Priority.OPERATOR)
    answer = ledger.exchange(120, second.book.message(120))
    assert answer is not None
    assert answer["endpoints"][0] == [0.0, 0.0, 0, 2_990.0]
    second.book.take(121, answer)
    assert second.core.poll(1_000) == []
    answer = ledger.exchange(3_200, second.book.message(3_200))
    assert answer is not None
    assert answer["endpoints"][0][0] == 1.0


@settings(max_examples=6)
@given(st.integers(1, 4), st.integers(0, 1_000), st.sampled_from([0.0, 0.3]))
def test_the_run_never_spends_more_than_its_limit_and_every_agent_no_more_than_its_own(
    hosts: int, seed: int, loss: float
) -> None:
    simulation = Simulation(plan_of(tokens_max=5_000, agent_tokens_max=1_200), hosts, seed, loss=loss)
    chance = simulation.chance

    def tick(now: Simulation) -> None:
        number = chance.randint(0, 5)
        host = now.hosts[number % len(now.hosts)]  # an agent lives on one host at a time
        if host.core.depth < 10:
            host.ask(now.now_ms, f"agent-{number}", Priority.USER)

    simulation.run(15_000, tick)
    simulation.run(5_000)
    spent = sum(host.core.spend.run.tokens for host in simulation.hosts)
    assert spent <= 5_000
    assert loss or spent > 3_000, "what was lent to a host that was given up counts as spent"
    refused = [each for host in simulation.hosts for each in host.refused]
    assert refused
    assert {each.kind for each in refused} == {"spent"}
    assert simulation.ledger.run.tokens <= 5_000
    assert max(each.tokens for each in simulation.ledger.agents.values()) <= 1_200


@settings(max_examples=6)
@given(st.integers(2, 4), st.integers(0, 1_000))
def test_an_agent_that_moves_at_rest_takes_its_account_along(hosts: int, seed: int) -> None:
    simulation = Simulation(plan_of(tokens_max=50_000, agent_tokens_max=1_200), hosts, seed)

    def tick(now: Simulation) -> None:
        period, into_ms = divmod(now.now_ms, 8_000)
        if into_ms <= 2_500:  # then all come to rest, and go on elsewhere
            number = now.chance.randint(0, 5)
            now.hosts[int(number + period) % len(now.hosts)].ask(now.now_ms, f"agent-{number}", Priority.USER)

    simulation.run(24_000, tick)
    simulation.run(5_000)
    spent = [each.tokens for each in simulation.ledger.agents.values()]
    assert max(spent) <= 1_200
    assert min(spent) > 600, "or nobody has come near the limit"
    assert {each.kind for host in simulation.hosts for each in host.refused} == {"spent"}


def test_a_host_with_nothing_to_do_says_nothing() -> None:
    simulation = Simulation(plan_of(600), 2)
    simulation.hosts[0].ask(simulation.now_ms, "a", Priority.USER)
    simulation.run(20_000)
    before = simulation.exchanges
    simulation.run(20_000)
    assert simulation.exchanges == before
    assert [host.book.due_ms(simulation.now_ms) for host in simulation.hosts] == [None, None]


def test_a_ledger_that_takes_the_place_of_another_hears_what_was_spent() -> None:
    plan = plan_of(tokens_max=1_000, agent_tokens_max=500)
    host = SimulatedHost("h", plan)

    def talk(ledger: BudgetLedger, now_ms: float) -> None:
        answer = ledger.exchange(now_ms, unpack(pack(host.book.message(now_ms))))
        assert answer is not None
        host.book.take(now_ms, answer)

    first, second = BudgetLedger(plan, "first"), BudgetLedger(plan, "second")
    host.ask(0, "a", Priority.USER)
    for now_ms in (0, 20):  # what the agent has spent is asked for, and then its call
        talk(first, now_ms)
    (granted,) = host.core.poll(20)
    host.core.end(30, granted.number, End("answered", 50, 20))
    talk(first, 300)
    assert first.run.tokens == 70
    for now_ms in (600, 900):
        talk(second, now_ms)
    assert second.run.tokens == 70
    talk(second, 1_200)
    assert second.run.tokens == 70, "and hears it once"
