"""What people write, and what they are told when it is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.models.budget.settings import BudgetSettings, Endpoint, budget_plan

GOOD: dict[str, Any] = {"name": "one", "models": ["gpt-*"]}


def test_tables_become_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    plan = budget_plan(
        [
            {
                **GOOD,
                "base_url": "http://localhost:8000/v1",
                "api_key_env": "A_KEY",
                "requests_per_minute": 600,
                "tokens_per_minute": 90_000,
                "concurrency": 8,
                "weight": 2,
                "price_in": 0.4,
                "price_out": 1.6,
            },
            Endpoint("two", ("openai:gpt-4.1", "scripted:*")),
        ],
        {"tokens_max": 1_000_000, "agent_money_max": 0.5},
    )
    assert plan
    assert plan.endpoints[0].models == ("openai:gpt-*",)
    assert [each.name for each in plan.serving("openai:gpt-4.1")] == ["one", "two"]
    assert [each.name for each in plan.serving("scripted:parrot")] == ["two"]
    assert plan.serving("openai:o5") == ()
    assert plan.endpoints[0].price(1_000_000, 500_000) == pytest.approx(1.2)
    assert plan.settings.limits_run
    assert plan.settings.limits_agents


def test_without_endpoints_there_is_no_budget() -> None:
    assert not budget_plan()
    assert budget_plan((), BudgetSettings()).settings == BudgetSettings()


@pytest.mark.parametrize(
    ("tables", "budget", "problem"),
    [
        ([{"models": ["m"]}], {}, r"endpoint\[0\]\.name: found 'nothing', allowed: a name of its own"),
        ([{**GOOD, "name": "run"}], {}, r"endpoint\[0\]\.name: found 'run', allowed: another name"),
        ([GOOD, GOOD], {}, r"endpoint\[0\]\.name: found 'one', allowed: a name of its own"),
        ([{**GOOD, "modles": ["m"]}], {}, r"endpoint\[0\]\.modles: .* did you mean models\?"),
        ([{**GOOD, "zzz": 1}], {}, r"endpoint\[0\]\.zzz: found 1, allowed: one of name, models"),
        ([{**GOOD, "models": "m"}], {}, r"endpoint\[0\]\.models: found 'm', allowed: a list of models"),
        ([{**GOOD, "models": []}], {}, r"endpoint\[0\]\.models: found \[\]"),
        ([{**GOOD, "models": [1]}], {}, r"endpoint\[0\]\.models: found 1, allowed: names of models"),
        ([GOOD, {**GOOD, "name": "b", "base_url": "here"}], {}, r"endpoint\[1\]\.base_url: found 'here', allowed: an"),
        ([{**GOOD, "base_url": 5}], {}, r"endpoint\[0\]\.base_url: found 5"),
        ([{**GOOD, "api_key_env": "NOT_SET_AT_ALL"}], {}, r"endpoint\[0\]\.api_key_env: found 'NOT_SET_AT_ALL'"),
        ([{**GOOD, "requests_per_minute": 0}], {}, r"endpoint\[0\]\.requests_per_minute: found 0, allowed: a whole"),
        ([{**GOOD, "tokens_per_minute": 1.5}], {}, r"endpoint\[0\]\.tokens_per_minute: found 1\.5"),
        ([{**GOOD, "concurrency": True}], {}, r"endpoint\[0\]\.concurrency: found True"),
        ([{**GOOD, "weight": 0}], {}, r"endpoint\[0\]\.weight: found 0, allowed: a number above 0"),
        ([{**GOOD, "price_in": -1}], {}, r"endpoint\[0\]\.price_in: found -1, allowed: a number from 0 up"),
        ([{**GOOD, "price_out": float("nan")}], {}, r"endpoint\[0\]\.price_out: found nan"),
        (["one"], {}, r"endpoint\[0\]: found 'one', allowed: a table"),
        ([GOOD], {"tokens_max": -1}, r"budget\.tokens_max: found -1"),
        ([GOOD], {"money_max": 0}, r"budget\.money_max: found 0, allowed: a number above 0"),
        ([GOOD], {"agent_token_max": 5}, r"budget\.agent_token_max: .* did you mean agent_tokens_max\?"),
        ([GOOD], {"lower_share": 0.9}, r"budget\.lower_share: found 0\.9"),
        ([GOOD], {"queue_max": 0}, r"budget\.queue_max: found 0"),
        ([], {"tokens_max": 5}, r"budget: found 'limits', allowed: at least one \[\[endpoint\]\]"),
    ],
)
def test_what_is_wrong_is_named(tables: list[Any], budget: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        budget_plan(tables, budget)
