"""Eviction policies are plug-ins: this keeps a broken one from breaking its agent.

Whatever a policy raises or returns, the kernel gets victims that are resident and unprotected.  Once a
policy has broken its contract, the agent goes on with first-in-first-out and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from pagefault.policies.contract import EvictionPolicy, PageFacts, RatedEviction, State


class GuardedEviction:
    """An eviction policy whose breaches are contained.

    ``problem`` is empty until the policy breaks its contract, then says how; from there on the policy is
    not asked again.
    """

    __slots__ = ("_policy", "_tokens", "problem")

    def __init__(self, policy: EvictionPolicy) -> None:
        self._policy = policy
        self._tokens: dict[str, int] = {}  # resident pages in order of insertion
        self.problem = ""

    @property
    def name(self) -> str:
        return self._policy.name

    def on_insert(self, page: PageFacts, turn: int) -> None:
        assert page.id not in self._tokens, f"{page.id} inserted twice"
        self._tokens[page.id] = page.tokens
        self._attempt("on_insert", lambda: self._policy.on_insert(page, turn))

    def on_hit(self, page_id: str, turn: int) -> None:
        assert page_id in self._tokens, f"hit on {page_id}, which is not resident"
        self._attempt("on_hit", lambda: self._policy.on_hit(page_id, turn))

    def on_rated(self, page_id: str, importance: float) -> None:
        policy = self._policy
        if isinstance(policy, RatedEviction):
            self._attempt("on_rated", lambda: policy.on_rated(page_id, importance))

    def on_remove(self, page_id: str, evicted: bool) -> None:
        del self._tokens[page_id]
        self._attempt("on_remove", lambda: self._policy.on_remove(page_id, evicted))

    def victims(self, tokens_needed: int, protected: Collection[str], turn: int) -> list[str]:
        """Pages to evict: legal whatever the policy answers."""
        chosen: list[str] = []
        answer = self._attempt("victims", lambda: list(self._policy.victims(tokens_needed, protected, turn)))
        if answer is not None:
            breach = self._breach(answer, tokens_needed, protected)
            if not breach:
                return [str(page_id) for page_id in answer]
            self.problem = breach
        freed = 0
        for page_id, tokens in self._tokens.items():
            if freed >= tokens_needed:
                break
            if page_id not in protected:
                chosen.append(page_id)
                freed += tokens
        return chosen

    def explain(self, page_id: str, turn: int) -> str:
        if not self.problem:
            answer = self._attempt("explain", lambda: self._policy.explain(page_id, turn))
            if isinstance(answer, str):
                return answer
        return f"oldest goes first, since policy {self._policy.name!r} failed: {self.problem}"

    def resident(self) -> Collection[str]:
        return self._tokens.keys()

    def dump(self) -> dict[str, Any]:
        state = self._attempt("dump", lambda: dict(self._policy.dump()))
        return {
            "tokens": [[page_id, tokens] for page_id, tokens in self._tokens.items()],
            "policy": state,
            "problem": self.problem,
        }

    def load(self, state: State) -> None:
        self._tokens = {str(page_id): int(tokens) for page_id, tokens in state["tokens"]}
        self.problem = str(state["problem"])
        self._attempt("load", lambda: self._policy.load(state["policy"]))

    def _breach(self, answer: list[str], tokens_needed: int, protected: Collection[str]) -> str:
        freed = 0
        seen: set[str] = set()
        for page_id in answer:
            if page_id not in self._tokens:
                return f"victims named {page_id!r}, which is not resident"
            if page_id in protected:
                return f"victims named {page_id!r}, which is protected"
            if page_id in seen:
                return f"victims named {page_id!r} twice"
            seen.add(page_id)
            freed += self._tokens[page_id]
        if freed < tokens_needed and any(page_id not in protected and page_id not in seen for page_id in self._tokens):
            return f"victims freed {freed} of {tokens_needed} tokens though more pages could go"
        return ""

    def _attempt(self, method: str, action: Callable[[], Any]) -> Any:
        if self.problem:
            return None
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the agent must go on
            self.problem = f"{method} raised {type(error).__name__}: {error}"
            return None
