"""What docs/budget.md shows is read and held to its word."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from pagefault.cluster.console.plan import Plan
from pagefault.runtime.models.budget.settings import BudgetSettings, Endpoint, budget_plan

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "budget.md").read_text()
FENCES = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [body for fence, body in FENCES.findall(TEXT) if fence == language]


def test_the_tables_are_those_of_a_run_s_file() -> None:
    (shown,) = blocks("toml")
    plan = Plan.model_validate({"world": "village", **tomllib.loads(shown)})
    budget = budget_plan(plan.endpoint, plan.budget)
    assert budget.endpoints[0].requests_per_minute == 600
    assert budget.settings.money_max == 5.0


def test_the_example_in_python_makes_a_fleet() -> None:
    (example,) = blocks("python")
    exec(compile(example, "docs/budget.md", "exec"), {})  # noqa: S102 - our own document


def test_every_field_is_explained_and_no_other() -> None:
    known = {each.name for cls in (Endpoint, BudgetSettings) for each in fields(cls)}
    rows = re.findall(r"^\| (`[^|]*`) \|", TEXT, re.MULTILINE)
    explained = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert explained == known
