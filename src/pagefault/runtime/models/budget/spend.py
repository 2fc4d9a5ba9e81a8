"""What was paid: limits of the run, and of each agent.

A call counts with all that it may cost while it is under way, and with what it did cost when it is over: no
call begins that could pass a limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pagefault.runtime.models.budget.limits import Limits
from pagefault.runtime.models.budget.settings import RUN, BudgetSettings

_UNLIMITED = float("inf")
_EPSILON = 1e-9


class Verdict(Enum):
    """Whether a call may be paid."""

    YES = "yes"
    NOT_YET = "not yet"  # more of the run's limit has to be asked for
    NEVER = "never"


@dataclass(slots=True)
class Amount:
    """Tokens, and money."""

    tokens: float = 0.0
    money: float = 0.0

    def add(self, tokens: float, money: float) -> None:
        self.tokens += tokens
        self.money += money

    def exceeds(self, tokens: float | None, money: float | None) -> bool:
        """Whether this is more than limits of which either may lack."""
        if tokens is not None and self.tokens > tokens + _EPSILON:
            return True
        return money is not None and self.money > money + _EPSILON


def run_statistics(run: Amount, waiting: float, limits: Iterable[Limits], now_ms: float) -> dict[str, dict[str, float]]:
    """By endpoint what was sent in the last minute, and for the run what it has spent and how many calls wait."""
    found = {each.endpoint.name: each.statistics(now_ms) for each in limits}
    found[RUN] = {"tokens": run.tokens, "money": run.money, "waiting": waiting}
    return found


class Spend:
    """The accounts of one process.

    ``leased``: the run's limit is somebody else's, who hands out parts of it (:meth:`allow`) and knows what
    agents have spent in other processes (:meth:`learn`).
    """

    def __init__(self, settings: BudgetSettings, *, leased: bool = False) -> None:
        self.settings = settings
        self.leased = leased
        self.exhausted = False
        self.run = Amount()
        self.agents: dict[str, Amount] = {}
        first = 0.0 if leased else _UNLIMITED
        tokens_max, money_max = settings.tokens_max, settings.money_max
        self.left = Amount(
            _UNLIMITED if tokens_max is None else min(first, tokens_max),
            _UNLIMITED if money_max is None else min(first, money_max),
        )

    def knows(self, agent: str) -> bool:
        """Whether what this agent has spent is known here."""
        return not (self.leased and self.settings.limits_agents) or agent in self.agents

    def learn(self, agent: str, tokens: float, money: float) -> None:
        """What an agent has spent before it came here."""
        self.agents.setdefault(agent, Amount(tokens, money))

    def allow(self, tokens: float, money: float) -> None:
        """More of the run's limit."""
        self.left.add(tokens, money)

    def give_back(self) -> None:
        """What is left of the run's limit is somebody else's again; only where it is leased."""
        if self.settings.tokens_max is not None:
            self.left.tokens = 0.0
        if self.settings.money_max is not None:
            self.left.money = 0.0

    def verdict(self, agent: str, tokens: float, money: float) -> Verdict:
        """Whether a call that may cost so much can begin."""
        if self._agent_after(agent, tokens, money).exceeds(
            self.settings.agent_tokens_max, self.settings.agent_money_max
        ):
            return Verdict.NEVER
        if Amount(tokens, money).exceeds(self.left.tokens, self.left.money):
            return Verdict.NOT_YET if self.leased and not self.exhausted else Verdict.NEVER
        return Verdict.YES

    def _agent_after(self, agent: str, tokens: float, money: float) -> Amount:
        account = self.agents.get(agent, Amount())
        return Amount(account.tokens + tokens, account.money + money)

    def reason(self, agent: str, tokens: float, money: float) -> str:
        """Why the verdict was never."""
        settings, account = self.settings, self.agents.get(agent, Amount())
        after = self._agent_after(agent, tokens, money)
        if after.exceeds(settings.agent_tokens_max, None):
            spent, most = f"{account.tokens:.0f} tokens", f"budget.agent_tokens_max = {settings.agent_tokens_max}"
            return f"agent {agent} has spent {spent}, and this call may take {tokens:.0f}: {most}"
        if after.exceeds(None, settings.agent_money_max):
            most = f"budget.agent_money_max = {settings.agent_money_max}"
            return f"agent {agent} has spent {account.money:.6g}, and this call may cost {money:.6g}: {most}"
        if self.left.tokens < tokens:
            left, most = f"{max(0.0, self.left.tokens):.0f} tokens", f"budget.tokens_max = {settings.tokens_max}"
            return f"the run has {left} left, and this call may take {tokens:.0f}: {most}"
        left, most = f"{max(0.0, self.left.money):.6g}", f"budget.money_max = {settings.money_max}"
        return f"the run has {left} of its money left, and this call may cost {money:.6g}: {most}"

    def charge(self, agent: str, tokens: float, money: float) -> None:
        """Count so much, or take so much back if it is negative."""
        self.run.add(tokens, money)
        self.left.add(-tokens, -money)
        if self.settings.limits_agents:
            self.agents.setdefault(agent, Amount()).add(tokens, money)
