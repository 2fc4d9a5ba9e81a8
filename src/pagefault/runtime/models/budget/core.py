"""Decides which model call goes out next, and where.  Pure: times and ends of calls come in, grants go out.

The shell around it (:mod:`.gate`) calls :meth:`BudgetCore.ask` for each call, :meth:`BudgetCore.poll` after
every change and at the time that :meth:`BudgetCore.next_ms` gives, and :meth:`BudgetCore.end` for whatever
was granted.  It is the same for one process, where capacities are the limits themselves, and for a host of a
cluster, where they are leases.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import replace

from pagefault.runtime.models.budget.affinity import ranked
from pagefault.runtime.models.budget.calls import Ask, Counts, End, Grant, Refusal, UnderWay, Waiting
from pagefault.runtime.models.budget.health import Health
from pagefault.runtime.models.budget.limits import Capacity
from pagefault.runtime.models.budget.queue import Fairness, Lane, Turns
from pagefault.runtime.models.budget.settings import Endpoint, Plan
from pagefault.runtime.models.budget.spend import Spend, Verdict
from pagefault.runtime.values import Priority

AFFINITY_WAIT_MS = 1_000.0
"""A call waits so long for the endpoint that knows its prefix before it goes to another that is free."""
AFFINITY_SLACK_TOKENS = 100_000.0
"""An endpoint takes its own calls before those of others, unless the others have fallen so far behind."""
RETRY_AFTER_MS_MAX = 60_000
LOOK_AGAIN_MS = 250.0


class BudgetCore:
    """The queue of one process and the endpoints it leads to."""

    def __init__(self, plan: Plan, spend: Spend, capacity: Callable[[Endpoint], Capacity]) -> None:
        self.plan = plan
        self.spend = spend
        self.counts = Counts()
        self.endpoints = {endpoint.name: endpoint for endpoint in plan.endpoints}
        self.capacities = {name: capacity(endpoint) for name, endpoint in self.endpoints.items()}
        self.health = {name: Health() for name in self.endpoints}
        self.waiting: dict[int, Waiting] = {}
        self.unknown: dict[str, list[tuple[Ask, float]]] = {}
        self.under_way: dict[int, UnderWay] = {}
        self._turns = {name: Turns(plan.settings.lower_share) for name in self.endpoints}
        self._fairness = Fairness()
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._of_agent: dict[str, set[int]] = {}
        self._late: list[tuple[float, int]] = []
        self._refusals: list[Refusal] = []

    # --- what comes in

    def ask(self, now_ms: float, ask: Ask) -> None:
        """Queue a call; what becomes of it is said by :meth:`poll`.  ``ask.number`` is new, ``ask.model`` is served."""
        self.counts.asked += 1
        serving = self._serving(ask)
        assert serving, f"no endpoint serves {ask.model}"
        limits = [each.tokens_per_minute for each in serving]
        if all(limit is not None and ask.tokens > limit for limit in limits):
            most = max(limit for limit in limits if limit is not None)
            self._refuse(ask, "large", f"a call of {ask.tokens} tokens never fits: {most} tokens a minute are allowed")
        elif self.depth >= self.plan.settings.queue_max and not self._displace(ask.priority):
            wait_ms = self._drain_ms()
            self._refuse(ask, "full", f"{self.depth} calls wait already (budget.queue_max)", wait_ms)
        elif not self.spend.knows(ask.agent):
            self.unknown.setdefault(ask.agent, []).append((ask, now_ms))
        else:
            self._queue(now_ms, ask)

    def learn(self, now_ms: float, agent: str, tokens: float, money: float) -> None:
        """What an agent has spent elsewhere is known: its calls may wait their turn."""
        self.spend.learn(agent, tokens, money)
        for ask, since_ms in self.unknown.pop(agent, ()):
            self._queue(min(now_ms, since_ms), ask)

    def drop(self, number: int) -> None:
        """Nobody waits for this call any more."""
        waiting = self.waiting.pop(number, None)
        if waiting is not None:
            self._forget_number(waiting.ask.agent, number)
            return
        for agent, asks in list(self.unknown.items()):
            asks[:] = [each for each in asks if each[0].number != number]
            if not asks:
                del self.unknown[agent]

    def promote(self, agent: str, priority: Priority) -> bool:
        """Something more urgent waits for this agent's calls: they take its priority.  Whether that changed any."""
        changed = False
        for number in self._of_agent.get(agent, ()):
            waiting = self.waiting[number]
            if waiting.ask.priority > priority:
                waiting.ask = replace(waiting.ask, priority=priority)
                waiting.tag = self._fairness.tag(priority, agent, waiting.ask.tokens)
                waiting.lane.push(priority, waiting.tag, number)
                changed = True
        return changed

    def end(self, now_ms: float, number: int, end: End) -> None:
        """A granted call is over; poll afterwards."""
        call = self.under_way.pop(number)
        name, ask = call.endpoint.name, call.ask
        capacity, health = self.capacities[name], self.health[name]
        if end.kind == "unsent":
            capacity.unsent(call.stamp, ask.tokens)
        else:
            capacity.end(call.stamp, end.prompt_tokens + end.reply_tokens - ask.tokens)
        money = call.endpoint.price(end.prompt_tokens, end.reply_tokens)
        self.spend.charge(ask.agent, end.prompt_tokens + end.reply_tokens - ask.tokens, money - call.money)
        if end.kind == "busy":
            self.counts.busy += 1
            capacity.busy(now_ms, end.retry_after_ms)
            health.unknown()
        elif end.kind == "down":
            self.counts.down += 1
            health.ended(is_up=False, now_ms=now_ms, rest_ms=end.retry_after_ms)
        elif end.kind in ("answered", "failed"):
            self.counts.answered += end.kind == "answered"
            health.ended(is_up=True, now_ms=now_ms)
        else:
            health.unknown()

    # --- what goes out

    @property
    def depth(self) -> int:
        """Calls that wait."""
        return len(self.waiting) + sum(map(len, self.unknown.values()))

    def poll(self, now_ms: float) -> list[Grant | Refusal]:
        """Whatever can be decided now."""
        decided: list[Grant | Refusal] = []
        open_endpoints = list(self.endpoints.values())
        while open_endpoints:
            still: list[Endpoint] = []
            for endpoint in open_endpoints:
                grant = self._grant(now_ms, endpoint)
                if grant is not None:
                    decided.append(grant)
                    still.append(endpoint)
            open_endpoints = still
        self._expire(now_ms)
        decided += self._refusals
        self._refusals = []
        return decided

    def next_ms(self, now_ms: float) -> float | None:
        """When to poll again if nothing happens before; ``None`` if only something that happens can help."""
        if not self.waiting:
            return None
        times = []
        for name, endpoint in self.endpoints.items():
            health = self.health[name]
            heads = self._heads(now_ms, endpoint)
            if not heads:
                continue
            if not health.usable(now_ms):
                times.append(health.until_ms if health.until_ms > now_ms else float("inf"))
                continue
            tokens = min(self.waiting[number].ask.tokens for _, number, _ in heads.values())
            times.append(now_ms + max(1.0, self.capacities[name].wait_ms(now_ms, tokens)))
        if len(self.endpoints) > 1 or any(each.down_since_ms is not None for each in self.health.values()):
            times.append(now_ms + LOOK_AGAIN_MS)
        while self._late and self._late[0][1] not in self.waiting:
            heapq.heappop(self._late)
        if self._late:
            times.append(self._late[0][0])
        soonest = min(times, default=float("inf"))
        return None if soonest == float("inf") else soonest

    def heads(self, number_max: int) -> Iterator[Waiting]:
        """Calls that wait, about in the order in which they will go, as many as are of interest."""
        ordered = heapq.nsmallest(number_max, self.waiting.values(), key=lambda each: (each.ask.priority, each.tag))
        yield from ordered

    def busy_agents(self) -> set[str]:
        """The agents with a call that waits or is under way."""
        return {*self._of_agent, *self.unknown, *(call.ask.agent for call in self.under_way.values())}

    def most_urgent(self) -> Priority:
        """The highest priority that waits."""
        waiting = (
            priority
            for lane in self._lanes.values()
            for priority in list(lane.heaps)
            if self._head(lane, priority) is not None
        )
        return min(waiting, default=Priority.BACKGROUND)

    def spill(self, now_ms: float, waiting: Waiting) -> tuple[str, ...]:
        """The endpoints that a call that waits may go to now, the best first."""
        if waiting.ask.only or not self._may_leave(now_ms, waiting):
            return (waiting.lane.endpoint,)
        others = ranked(waiting.ask.prefix, self.plan.serving(waiting.ask.model))
        return tuple(name for name in others if self.health[name].usable(now_ms))

    # --- inside

    def _serving(self, ask: Ask) -> tuple[Endpoint, ...]:
        return (self.endpoints[ask.only],) if ask.only else self.plan.serving(ask.model)

    def _queue(self, now_ms: float, ask: Ask) -> None:
        endpoint = ask.only or ranked(ask.prefix, self.plan.serving(ask.model))[0]
        lane = self._lanes.setdefault((endpoint, ask.model), Lane(endpoint, ask.model))
        tag = self._fairness.tag(ask.priority, ask.agent, ask.tokens)
        until_ms = now_ms + self.plan.settings.wait_ms_max
        self.waiting[ask.number] = Waiting(ask, lane, tag, now_ms, until_ms)
        self._of_agent.setdefault(ask.agent, set()).add(ask.number)
        lane.push(ask.priority, tag, ask.number)
        heapq.heappush(self._late, (until_ms, ask.number))

    def _head(self, lane: Lane, priority: Priority) -> int | None:
        """The call of this priority that is next in its lane."""
        heap = lane.heaps[priority]
        while heap:
            tag, number = heap[0]
            waiting = self.waiting.get(number)
            if waiting is not None and waiting.tag == tag and waiting.ask.priority == priority:
                return number
            heapq.heappop(heap)
        del lane.heaps[priority]
        return None

    def _may_leave(self, now_ms: float, waiting: Waiting) -> bool:
        """Whether a call need not go to the endpoint that knows its prefix."""
        if waiting.ask.only:
            return False
        home = waiting.lane.endpoint
        return now_ms - waiting.since_ms >= AFFINITY_WAIT_MS or not self.health[home].usable(now_ms)

    def _heads(self, now_ms: float, endpoint: Endpoint) -> dict[Priority, tuple[float, int, Lane]]:
        """For each priority what this endpoint would take next: its own first, unless another is far behind."""
        best: dict[Priority, tuple[float, int, Lane]] = {}
        for lane in self._lanes.values():
            is_own = lane.endpoint == endpoint.name
            if not lane.heaps or not (is_own or endpoint.serves(lane.model)):
                continue
            for priority in list(lane.heaps):
                number = self._head(lane, priority)
                if number is None or not (is_own or self._may_leave(now_ms, self.waiting[number])):
                    continue
                key = self.waiting[number].tag + (0.0 if is_own else AFFINITY_SLACK_TOKENS)
                if priority not in best or (key, number) < best[priority][:2]:
                    best[priority] = (key, number, lane)
        return best

    def _grant(self, now_ms: float, endpoint: Endpoint) -> Grant | None:
        """The next call for an endpoint, if there is one and room for it.  Nothing passes one that waits for
        room: it would wait for ever."""
        name = endpoint.name
        while self.health[name].usable(now_ms):
            heads = self._heads(now_ms, endpoint)
            if not heads:
                return None
            priority = self._turns[name].order(heads)[0]
            waiting = self.waiting[heads[priority][1]]
            ask = waiting.ask
            money = endpoint.price(ask.prompt_tokens, ask.reply_tokens)
            verdict = self.spend.verdict(ask.agent, ask.tokens, money)
            if verdict is Verdict.NEVER:
                self._refuse(ask, "spent", self.spend.reason(ask.agent, ask.tokens, money))
                continue
            if verdict is Verdict.NOT_YET or not self.capacities[name].can_take(now_ms, ask.tokens):
                return None
            self._turns[name].served(priority, heads)
            self._begin(now_ms, endpoint, waiting, money)
            return Grant(ask.number, name)
        return None

    def _begin(self, now_ms: float, endpoint: Endpoint, waiting: Waiting, money: float) -> None:
        ask = waiting.ask
        self.drop(ask.number)
        self._fairness.served(ask.priority, waiting.tag)
        stamp = self.capacities[endpoint.name].take(now_ms, ask.tokens)
        self.spend.charge(ask.agent, ask.tokens, money)
        self.health[endpoint.name].began()
        self.under_way[ask.number] = UnderWay(ask, endpoint, stamp, money)
        self.counts.granted += 1
        self.counts.moved += endpoint.name != waiting.lane.endpoint

    def _expire(self, now_ms: float) -> None:
        while self._late and self._late[0][0] <= now_ms:
            number = heapq.heappop(self._late)[1]
            if number in self.waiting:
                waited = f"it has waited {self.plan.settings.wait_ms_max} ms for its turn (budget.wait_ms_max)"
                self._refuse(self.waiting[number].ask, "late", waited, self._drain_ms())
        dead = {name for name, health in self.health.items() if self._is_dead(now_ms, health)}
        if not dead:
            return
        for waiting in list(self.waiting.values()):
            serving = self._serving(waiting.ask)
            if all(each.name in dead for each in serving):
                names = ", ".join(each.name for each in serving)
                self._refuse(waiting.ask, "down", f"{names}: down for {self.plan.settings.down_wait_ms_max} ms or more")

    def _is_dead(self, now_ms: float, health: Health) -> bool:
        since_ms = health.down_since_ms
        return since_ms is not None and now_ms - since_ms >= self.plan.settings.down_wait_ms_max

    def _refuse(self, ask: Ask, kind: str, message: str, retry_after_ms: int = 0) -> None:
        self.drop(ask.number)
        self.counts.refused += 1
        self._refusals.append(Refusal(ask.number, kind, message, retry_after_ms))

    def _displace(self, priority: Priority) -> bool:
        """Make room for an urgent call: the last of the least urgent goes, if that is less urgent than this."""
        last = max(self.waiting.values(), key=lambda each: (each.ask.priority, each.ask.number), default=None)
        if last is None or last.ask.priority <= priority:
            return False
        self._refuse(last.ask, "full", "more urgent calls have filled the queue (budget.queue_max)", self._drain_ms())
        return True

    def _drain_ms(self) -> int:
        """About how long the queue takes to empty."""
        per_minute = [each.requests_per_minute for each in self.endpoints.values()]
        known = [each for each in per_minute if each is not None]
        if len(known) < len(per_minute):
            return 1_000
        return min(RETRY_AFTER_MS_MAX, max(1_000, self.depth * 60_000 // sum(known)))

    def _forget_number(self, agent: str, number: int) -> None:
        numbers = self._of_agent[agent]
        numbers.discard(number)
        if not numbers:
            del self._of_agent[agent]
