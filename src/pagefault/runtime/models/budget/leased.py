"""A host's share of the cluster's limits: leases, spent here and accounted for there.

Pure.  A host and the ledger (:mod:`pagefault.cluster.scheduler.budget`) talk in exchanges, one at a time and
numbered.  With each the host says what it has spent of what it was lent, gives back the rest, and says which
calls wait; the ledger answers with a new lease.  What is lost on the way is said again under the same number.

A lease is good for :data:`LEASE_MS` from the moment its exchange was begun, by each side's own clock.  The
ledger begins to count later than the host, so the host has stopped using a lease before the ledger gives it
up for spent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from pagefault.runtime.models.budget.core import BudgetCore
from pagefault.runtime.models.budget.limits import PAUSE_MS, PAUSE_MS_MAX, Stamp
from pagefault.runtime.models.budget.settings import Endpoint
from pagefault.runtime.models.budget.spend import Amount
from pagefault.runtime.values import Priority

LEASE_MS = 2_000.0
HEADS_MAX = 128
"""Calls that wait and are told to the ledger; the others are behind them anyhow."""
EXCHANGE_MS = 250.0
"""Between exchanges while there is anything to account for."""
HURRY_MS = 20.0
"""The least time between exchanges."""
STOCK_MS = 500.0
"""A host keeps what it would spend in this time, so that a call that comes in need not wait for an exchange."""
STOCK_LEAST = 0.1
_INFINITY = float("inf")
_EPSILON = 1e-6


class LeasedCapacity:
    """A :class:`~pagefault.runtime.models.budget.limits.Capacity` made of what was lent.

    Requests and tokens are used up; slots are held while calls are under way, and used again until the next
    exchange.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.good_until_ms = -_INFINITY
        self.paused_until_ms = -_INFINITY
        self.requests = self.tokens = 0.0
        self.slots = self.in_use = 0
        self.number = 1
        """Of the exchange that will tell what is spent now: corrections name it."""
        self.spent_requests = self.spent_tokens = 0.0
        self.corrections: dict[int, float] = {}
        self.busy_ms: list[float] = []

    def can_take(self, now_ms: float, tokens: float) -> bool:
        if now_ms >= self.good_until_ms or now_ms < self.paused_until_ms or self.in_use >= self.slots:
            return False
        return self.requests >= 1.0 - _EPSILON and self.tokens >= tokens - _EPSILON

    def take(self, now_ms: float, tokens: float) -> Stamp:  # noqa: ARG002  the ledger has a clock of its own
        self.requests -= 1.0
        self.tokens -= tokens
        self.in_use += 1
        self.spent_requests += 1.0
        self.spent_tokens += tokens
        return Stamp(float(self.number))

    def end(self, stamp: Stamp, tokens_more: float) -> None:
        self.in_use -= 1
        number = int(stamp.at)
        if number == self.number and tokens_more < 0:  # not told yet: as if never taken
            self.spent_tokens += tokens_more
            self.tokens -= tokens_more
        elif tokens_more:
            self.corrections[number] = self.corrections.get(number, 0.0) + tokens_more

    def unsent(self, stamp: Stamp, tokens: float) -> None:
        self.end(stamp, -tokens)

    def busy(self, now_ms: float, retry_after_ms: float) -> None:
        """Pause here at once; the ledger shrinks the limits for all."""
        self.busy_ms.append(retry_after_ms)
        pause_ms = min(retry_after_ms, PAUSE_MS_MAX) if retry_after_ms > 0 else PAUSE_MS
        self.paused_until_ms = max(self.paused_until_ms, now_ms + pause_ms)

    def wait_ms(self, now_ms: float, tokens: float) -> float:
        if now_ms < self.paused_until_ms:
            return self.paused_until_ms - now_ms
        return 0.0 if self.can_take(now_ms, tokens) else _INFINITY  # the next exchange brings more

    def account(self, number: int) -> list[Any]:
        """What is told in an exchange; whatever was lent goes back with it."""
        told = [
            self.spent_requests,
            self.spent_tokens,
            self.in_use,
            [[stamp, more] for stamp, more in self.corrections.items()],
            list(self.busy_ms),
        ]
        self.requests = self.tokens = self.spent_requests = self.spent_tokens = 0.0
        self.slots = self.in_use
        self.number = number + 1
        self.corrections, self.busy_ms = {}, []
        return told

    def lend(self, now_ms: float, begun_ms: float, lent: list[float]) -> None:
        """What an exchange brought: requests, tokens, slots, and how long the endpoint wants to be left alone."""
        requests, tokens, slots, pause_ms = lent
        self.requests = _INFINITY if self.endpoint.requests_per_minute is None else self.requests + requests
        self.tokens = _INFINITY if self.endpoint.tokens_per_minute is None else self.tokens + tokens
        self.slots += int(slots)
        self.good_until_ms = begun_ms + LEASE_MS
        if pause_ms > 0:
            self.paused_until_ms = max(self.paused_until_ms, now_ms + pause_ms)


@dataclass(slots=True)
class _Pace:
    """What an endpoint has been sent lately: requests a millisecond, and tokens a request."""

    per_ms: float = 0.0
    tokens: float = 0.0

    def learn(self, requests: float, tokens: float, since_ms: float) -> None:
        seen = requests / max(since_ms, 1.0)
        share = min(1.0, since_ms / STOCK_MS)
        self.per_ms += share * (seen - self.per_ms)
        if requests:
            self.tokens = max(tokens / requests, self.tokens * 0.9)


@dataclass(slots=True)
class LeaseBook:
    """The host's side of the exchanges, around a core whose capacities are leased.

    :meth:`due_ms` says when to begin one, :meth:`message` what to say, :meth:`take` takes the answer.  If there
    is none, say the message again: it is the same.
    """

    core: BudgetCore
    host: str
    number: int = 0
    begun_ms: float = -_INFINITY
    told_ms: float = -_INFINITY
    answered_ms: float = -_INFINITY
    hint_ms: float = HURRY_MS
    told_priority: Priority = Priority.BACKGROUND
    said: dict[str, Any] | None = None
    ledger: str = ""
    stock: bool = False
    paces: dict[str, _Pace] = field(default_factory=dict)
    told_agents: dict[str, Amount] = field(default_factory=dict)

    @property
    def capacities(self) -> list[LeasedCapacity]:
        """In the order of the plan's endpoints, which is also the ledger's."""
        found = list(self.core.capacities.values())
        assert all(isinstance(each, LeasedCapacity) for each in found), "a lease book needs leased capacities"
        return [each for each in found if isinstance(each, LeasedCapacity)]

    def due_ms(self, now_ms: float) -> float | None:
        """When the next exchange should begin; ``None`` while there is nothing to say."""
        soonest_ms = max(now_ms, self.answered_ms + HURRY_MS)
        if self.said is not None or self.core.unknown or any(each.busy_ms for each in self.capacities):
            return soonest_ms
        if self.core.waiting:
            hint_ms = self.hint_ms if self.core.most_urgent() >= self.told_priority else HURRY_MS
            return max(now_ms, self.answered_ms + hint_ms)
        holds = self.stock or any(each.slots or each.spent_requests or each.corrections for each in self.capacities)
        return max(now_ms, self.answered_ms + EXCHANGE_MS) if holds else None

    def message(self, now_ms: float) -> dict[str, Any]:
        """Begin an exchange: what was spent and what waits, as plain data.  Nothing can be taken before the answer."""
        self.begun_ms = now_ms
        if self.said is None:
            self.number += 1
            self.said = self._message(now_ms)
        return self.said

    def _message(self, now_ms: float) -> dict[str, Any]:
        spend, capacities = self.core.spend, self.capacities
        since_ms = min(now_ms - self.told_ms, 10 * STOCK_MS)
        self.told_ms = now_ms
        stocks = [self._stock(each, since_ms) for each in capacities]
        self.stock = any(requests for requests, _ in stocks)
        places = {each.endpoint.name: place for place, each in enumerate(capacities)}
        heads = list(self.core.heads(HEADS_MAX))
        self.told_priority = min((each.ask.priority for each in heads), default=Priority.BACKGROUND)
        spend.give_back()
        return {
            "host": self.host,
            "number": self.number,
            "ledger": self.ledger,
            "endpoints": [[*each.account(self.number), *stock] for each, stock in zip(capacities, stocks, strict=True)],
            "waiting": [
                [
                    int(each.ask.priority),
                    each.ask.agent,
                    each.ask.prompt_tokens,
                    each.ask.reply_tokens,
                    [places[name] for name in self.core.spill(now_ms, each)],
                ]
                for each in heads
            ],
            "spent": [spend.run.tokens, spend.run.money],
            "agents": self._agents(),
            "unknown": list(self.core.unknown)[:HEADS_MAX],
        }

    def _stock(self, capacity: LeasedCapacity, since_ms: float) -> list[float]:
        """Requests to have at hand beyond what waits, and their tokens."""
        pace = self.paces.setdefault(capacity.endpoint.name, _Pace())
        pace.learn(capacity.spent_requests, capacity.spent_tokens, since_ms)
        wanted = pace.per_ms * STOCK_MS
        requests = 0.0 if wanted < STOCK_LEAST else float(math.ceil(wanted))
        return [requests, requests * pace.tokens]

    def _agents(self) -> list[list[Any]]:
        """What agents have spent since they were last spoken of.  One that is at rest is forgotten: it may move."""
        told: list[list[Any]] = []
        if not self.core.spend.settings.limits_agents:
            return told
        busy = self.core.busy_agents()
        for agent, account in list(self.core.spend.agents.items()):
            before = self.told_agents.get(agent, Amount())
            if account != before:
                told.append([agent, account.tokens - before.tokens, account.money - before.money])
                self.told_agents[agent] = Amount(account.tokens, account.money)
            elif agent not in busy:
                del self.core.spend.agents[agent]
                self.told_agents.pop(agent, None)
        return told

    def take(self, now_ms: float, answer: dict[str, Any]) -> None:
        """The ledger's answer to :meth:`message`; poll the core afterwards."""
        if answer["number"] != self.number or self.said is None:
            return
        self.said = None
        self.answered_ms = now_ms
        if answer["ledger"] != self.ledger:  # it was started anew: what it has not been told by name it does not know
            self.ledger = answer["ledger"]
            self.told_agents.clear()
        self.hint_ms = max(HURRY_MS, answer["hint_ms"])
        for capacity, lent in zip(self.capacities, answer["endpoints"], strict=True):
            capacity.lend(now_ms, self.begun_ms, lent)
        spend = self.core.spend
        spend.allow(*answer["allowed"])
        spend.exhausted = answer["exhausted"]
        for agent, tokens, money in answer["agents"]:
            self.core.learn(now_ms, agent, tokens, money)
            self.told_agents.setdefault(agent, Amount(tokens, money))
