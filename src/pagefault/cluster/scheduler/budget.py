"""The ledger: the cluster's model limits, lent to hosts for a moment at a time.

Pure; the scheduler's actor passes messages to it.  What the sum of all leases could send never exceeds a
limit: what is lent counts as spent until its host says otherwise, and what a host that is gone was lent stays
spent.  The host's side is :mod:`pagefault.runtime.models.budget.leased`.

Calls that wait in different hosts are served as if they waited in one queue: by priority, with a share for
the lower ones, and fair among agents by tokens.  A host gets what its own calls would get there; what those
of other hosts would get is left for them, until they ask.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pagefault.runtime.models.budget.leased import EXCHANGE_MS, HURRY_MS, LEASE_MS
from pagefault.runtime.models.budget.limits import Limits, Stamp
from pagefault.runtime.models.budget.meter import WINDOW_MS
from pagefault.runtime.models.budget.queue import Fairness, Turns
from pagefault.runtime.models.budget.settings import Plan
from pagefault.runtime.models.budget.spend import Amount, run_statistics
from pagefault.runtime.values import Priority

HURRY_MS_PER_HOST = 10.0
"""Hosts whose calls wait ask again no sooner than this times their number: what the ledger can bear."""
OTHERS_MAX = 512
OTHERS_LEAST = 8
"""Calls of other hosts that an exchange looks at, all together, and the least of each: more are not served so soon."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A call that waits in a host, with the places of the endpoints that it may go to."""

    host: str
    priority: Priority
    agent: str
    prompt_tokens: float
    reply_tokens: float
    places: tuple[int, ...]

    @property
    def tokens(self) -> float:
        return self.prompt_tokens + self.reply_tokens


@dataclass(slots=True)
class Lent:
    """What one host has of one endpoint.  ``slots`` counts calls under way, and those that may begin."""

    requests: float = 0.0
    tokens: float = 0.0
    slots: int = 0


@dataclass(slots=True)
class HostAccount:
    """What the ledger knows of a host."""

    lent: list[Lent]
    deadline_ms: float = 0.0
    number: int = 0
    answer: dict[str, Any] | None = None
    entries: list[Entry] = field(default_factory=list)
    stamps: dict[int, tuple[float, list[Stamp]]] = field(default_factory=dict)
    allowed: Amount = field(default_factory=Amount)
    spent: Amount = field(default_factory=Amount)


class BudgetLedger:
    """All limits, and who has how much of them.

    ``name`` tells one ledger from the one that takes its place when it was lost.  The new one hears from hosts what
    the run has spent; the last minute it does not know, so that servers may see a burst more than the limit
    once, and say so with 429.
    """

    def __init__(self, plan: Plan, name: str = "ledger") -> None:
        self.plan = plan
        self.name = name
        self.limits = [Limits(endpoint) for endpoint in plan.endpoints]
        self.hosts: dict[str, HostAccount] = {}
        self.run = Amount()
        """What was spent, calls under way at what they may cost."""
        self.allowed = Amount()
        """What hosts may spend of the run's limit and have not said that they did."""
        self.agents: dict[str, Amount] = {}
        self._turns = [Turns(plan.settings.lower_share) for _ in self.limits]
        self._fairness = Fairness()

    def exchange(self, now_ms: float, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """Settle a host's last lease, and answer with the next; ``None`` for a message that is too late to count."""
        self.expire(now_ms)
        name, number = message["host"], message["number"]
        account = self.hosts.get(name)
        if account is not None and number < account.number:
            return None
        if account is not None and number == account.number and account.answer is not None:
            account.deadline_ms = now_ms + LEASE_MS  # the answer was lost: the same again
            return account.answer
        is_known = account is not None
        if account is None:
            account = self.hosts[name] = HostAccount([Lent() for _ in self.limits])
        account.number, account.deadline_ms = number, now_ms + LEASE_MS
        self._settle(now_ms, account, message, is_known=is_known)
        account.entries = [
            Entry(name, Priority(priority), agent, prompt, reply, tuple(places))
            for priority, agent, prompt, reply, places in message["waiting"]
        ]
        given = _Given([Lent() for _ in self.limits])
        self._lend(now_ms, name, account, given)
        if not given.exhausted:
            self._lend_stock(now_ms, account, given, message["endpoints"])
        account.answer = self._answer(now_ms, account, given, message)
        return account.answer

    def statistics(self, now_ms: float) -> dict[str, dict[str, float]]:
        """By endpoint, and for the run; calls that wait as hosts last said."""
        self.expire(now_ms)
        waiting = sum(len(account.entries) for account in self.hosts.values())
        return run_statistics(self.run, waiting, self.limits, now_ms)

    # --- what came back

    def _settle(self, now_ms: float, account: HostAccount, message: Mapping[str, Any], *, is_known: bool) -> None:
        stamps = []
        for limits, lent, told in zip(self.limits, account.lent, message["endpoints"], strict=True):
            requests, tokens, in_use, corrections, busy_ms = told[:5]
            if not is_known:  # a host that was given up, with calls under way: what it spent has been counted
                requests = tokens = 0.0
            stamps.append(limits.spent(now_ms, requests, tokens))
            # More than was lent is spent only by calls that cost more than they were taken for.
            limits.returned(max(0.0, lent.requests - requests), max(0.0, lent.tokens - tokens), lent.slots - in_use)
            lent.requests, lent.tokens, lent.slots = 0.0, 0.0, in_use
            for number, more in corrections:
                known = account.stamps.get(number)
                if known is not None:
                    limits.correct(known[1][len(stamps) - 1], more)
                elif number == account.number:
                    limits.correct(stamps[-1], more)
            for retry_after_ms in busy_ms:
                limits.busy(now_ms, retry_after_ms)
        account.stamps[account.number] = (now_ms, stamps)
        while account.stamps and next(iter(account.stamps.values()))[0] < now_ms - WINDOW_MS:
            del account.stamps[next(iter(account.stamps))]
        self._settle_spend(account, message, is_known=is_known)

    def _settle_spend(self, account: HostAccount, message: Mapping[str, Any], *, is_known: bool) -> None:
        tokens, money = message["spent"]
        if message["ledger"] not in ("", self.name):  # of the ledger before this one
            self.run.add(tokens, money)
        elif is_known:
            self.run.add(tokens - account.spent.tokens, money - account.spent.money)
        account.spent = Amount(tokens, money)
        self.allowed.add(-account.allowed.tokens, -account.allowed.money)
        account.allowed = Amount()
        for agent, more_tokens, more_money in message["agents"]:
            self.agents.setdefault(agent, Amount()).add(more_tokens, more_money)

    def expire(self, now_ms: float) -> None:
        """Give up hosts that have said nothing for so long that they may not use their leases any more."""
        for name in [name for name, account in self.hosts.items() if account.deadline_ms <= now_ms]:
            account = self.hosts.pop(name)
            for limits, lent in zip(self.limits, account.lent, strict=True):
                limits.spent(now_ms, lent.requests, lent.tokens)
                limits.returned(0.0, 0.0, lent.slots)
            self.allowed.add(-account.allowed.tokens, -account.allowed.money)
            self.run.add(account.allowed.tokens, account.allowed.money)

    # --- what goes out

    def _lend(self, now_ms: float, name: str, account: HostAccount, given: _Given) -> None:
        """Walk the queue of all hosts as far as there is something to give, and give this host its part."""
        share = max(OTHERS_LEAST, OTHERS_MAX // len(self.hosts))
        others = [entry for other in self.hosts.values() if other is not account for entry in other.entries[:share]]
        queue = _Queue([*account.entries, *others], self._fairness)
        turns = copy.deepcopy(self._turns)
        held = [[0, 0.0] for _ in self.limits]  # calls of others, and their tokens: left for them
        open_places = set(range(len(self.limits)))
        while open_places:
            for place in list(open_places):
                waiting = queue.priorities(place)
                if not waiting:
                    open_places.discard(place)
                    continue
                priority = turns[place].order(waiting)[0]
                entry = queue.first(place, priority)
                calls, tokens = held[place]
                if not self.limits[place].can_lend(now_ms, entry.tokens, int(calls), tokens):
                    given.short.add(place)
                    open_places.discard(place)
                    continue
                if entry.host == name and not self._allow(account, given, place, entry):
                    queue.remove(entry)
                    continue
                queue.remove(entry)
                turns[place].served(priority, waiting)
                if entry.host != name:
                    held[place] = [calls + 1, tokens + entry.tokens]
                    continue
                self._turns[place].served(priority, waiting)
                tag = self._fairness.tag(priority, entry.agent, entry.tokens)
                self._fairness.served(priority, tag)
                self._give(now_ms, account, given, place, Lent(1.0, entry.tokens, 1))
        given.held = [(int(calls), float(tokens)) for calls, tokens in held]

    def _give(self, now_ms: float, account: HostAccount, given: _Given, place: int, part: Lent) -> None:
        self.limits[place].lend(now_ms, part.requests, part.tokens, part.slots)
        for lent in (account.lent[place], given.lent[place]):
            lent.requests += part.requests
            lent.tokens += part.tokens
            lent.slots += part.slots

    def _allow(self, account: HostAccount, given: _Given, place: int, entry: Entry) -> bool:
        """Let a host spend what a call may cost, if the run's limit has so much left."""
        money = self.plan.endpoints[place].price(entry.prompt_tokens, entry.reply_tokens)
        if not self._can_allow(entry.tokens, money):
            # Others may give back what they were allowed; if nobody was, the run has come to its end.
            elsewhere = self.allowed.tokens - account.allowed.tokens
            given.exhausted = given.exhausted or elsewhere < 1.0
            return False
        self._allow_amount(account, given, entry.tokens, money)
        return True

    def _can_allow(self, tokens: float, money: float) -> bool:
        settings = self.plan.settings
        after = Amount(
            self.run.tokens + self.allowed.tokens + tokens,
            self.run.money + self.allowed.money + money,
        )
        return not after.exceeds(settings.tokens_max, settings.money_max)

    def _allow_amount(self, account: HostAccount, given: _Given, tokens: float, money: float) -> None:
        for amount in (self.allowed, account.allowed, given.allowed):
            amount.add(tokens, money)

    def _lend_stock(self, now_ms: float, account: HostAccount, given: _Given, told: list[list[Any]]) -> None:
        """What nobody waits for is lent to whoever expects to need it."""
        for place, limits in enumerate(self.limits):
            wanted, wanted_tokens = told[place][5:7]
            calls, tokens = given.held[place]
            if place in given.short or not wanted or now_ms < limits.paused_until_ms:
                continue
            room = [wanted, float(limits.slots_max - limits.slots - calls)]
            if limits.requests is not None:
                room.append(limits.requests.available(now_ms) - calls)
            if limits.tokens is not None and wanted_tokens:
                room.append(wanted * (limits.tokens.available(now_ms) - tokens) / wanted_tokens)
            requests = int(min(room))
            amount = wanted_tokens * requests / wanted
            endpoint = self.plan.endpoints[place]
            money = amount * max(endpoint.price_in, endpoint.price_out) / 1_000_000
            if requests >= 1 and self._can_allow(amount, money):
                self._allow_amount(account, given, amount, money)
                self._give(now_ms, account, given, place, Lent(requests, amount, requests))

    def _answer(self, now_ms: float, account: HostAccount, given: _Given, message: Mapping[str, Any]) -> dict[str, Any]:
        agents = []
        for agent in message["unknown"]:
            known = self.agents.get(agent, Amount())
            agents.append([agent, known.tokens, known.money])
        return {
            "number": account.number,
            "ledger": self.name,
            "endpoints": [
                [lent.requests, lent.tokens, lent.slots, max(0.0, limits.paused_until_ms - now_ms)]
                for lent, limits in zip(given.lent, self.limits, strict=True)
            ],
            "allowed": [given.allowed.tokens, given.allowed.money],
            "exhausted": given.exhausted,
            "agents": agents,
            "hint_ms": self._hint_ms(now_ms, account, given),
        }

    def _hint_ms(self, now_ms: float, account: HostAccount, given: _Given) -> float:
        """When a host whose calls still wait should ask again."""
        least_ms = max(HURRY_MS, HURRY_MS_PER_HOST * len(self.hosts))
        if not account.entries:
            return least_ms
        tokens = min(entry.tokens for entry in account.entries)
        waits = [self.limits[place].wait_ms(now_ms, tokens) for place in given.short]
        return max(least_ms, min([*waits, EXCHANGE_MS]))


@dataclass(slots=True)
class _Given:
    """What one exchange gives to its host."""

    lent: list[Lent]
    allowed: Amount = field(default_factory=Amount)
    held: list[tuple[int, float]] = field(default_factory=list)
    short: set[int] = field(default_factory=set)
    exhausted: bool = False


class _Queue:
    """The calls of all hosts in the order of one queue, for each endpoint and priority."""

    def __init__(self, entries: Iterable[Entry], fairness: Fairness) -> None:
        self._heaps: dict[int, dict[Priority, list[tuple[float, int]]]] = {}
        self._entries: list[Entry] = []
        self._numbers: dict[int, int] = {}
        self._gone: set[int] = set()
        ahead: dict[tuple[Priority, str], float] = {}
        for entry in entries:
            flow = (entry.priority, entry.agent)
            tag = fairness.peek(*flow) + ahead.get(flow, 0.0)
            ahead[flow] = ahead.get(flow, 0.0) + entry.tokens
            number = len(self._entries)
            self._entries.append(entry)
            self._numbers[id(entry)] = number
            for place in entry.places:
                self._heaps.setdefault(place, {}).setdefault(entry.priority, []).append((tag, number))
        for heaps in self._heaps.values():
            for heap in heaps.values():
                heapq.heapify(heap)

    def priorities(self, place: int) -> set[Priority]:
        """The priorities of calls that wait for an endpoint."""
        heaps = self._heaps.get(place, {})
        for priority in list(heaps):
            heap = heaps[priority]
            while heap and heap[0][1] in self._gone:
                heapq.heappop(heap)
            if not heap:
                del heaps[priority]
        return set(heaps)

    def first(self, place: int, priority: Priority) -> Entry:
        """The next of them."""
        return self._entries[self._heaps[place][priority][0][1]]

    def remove(self, entry: Entry) -> None:
        self._gone.add(self._numbers[id(entry)])
