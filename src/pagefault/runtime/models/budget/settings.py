"""Endpoints and limits as people write them, ``[[endpoint]]`` and ``[budget]`` of a TOML file, checked by field."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pagefault.runtime.errors import ConfigError

MINUTE_LIMIT_MAX = 10**12
CONCURRENCY_MAX = 100_000
RUN = "run"
KINDS = ("openai:", "scripted:", "replay:")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, or an account at one, and what it allows.

    ``models`` are names as agents write them (``openai:gpt-4.1-mini``; without a kind it is an OpenAI one), with
    ``*`` and ``?`` for any characters.  ``base_url`` and ``api_key_env`` replace what an agent's
    ``model_options`` say.  ``requests_per_minute`` and ``tokens_per_minute`` (prompt and reply) are hard: no
    minute has more; ``None`` has no limit.  ``concurrency`` bounds the calls under way.  Of several endpoints
    with one model each takes a share by ``weight``.  ``price_in`` and ``price_out`` are for a million tokens,
    in any one currency.
    """

    name: str
    models: tuple[str, ...] = ("openai:*",)
    base_url: str = ""
    api_key_env: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int = 64
    weight: float = 1.0
    price_in: float = 0.0
    price_out: float = 0.0

    def serves(self, model: str) -> bool:
        """Whether a model, by an agent's name for it, is here."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)

    def price(self, prompt_tokens: float, reply_tokens: float) -> float:
        """What a call costs."""
        return (prompt_tokens * self.price_in + reply_tokens * self.price_out) / 1_000_000


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """Limits of the whole run and of each agent in it; ``None`` has no limit.

    ``tokens_max`` and ``money_max`` bound what the run may spend from its start to its end,
    ``agent_tokens_max`` and ``agent_money_max`` what one agent may.  ``queue_max`` calls wait in one process;
    none longer than ``wait_ms_max``, nor ``down_wait_ms_max`` while all its endpoints are down.
    ``lower_share`` is the share of calls that goes to lower priorities while higher ones wait.
    """

    tokens_max: int | None = None
    money_max: float | None = None
    agent_tokens_max: int | None = None
    agent_money_max: float | None = None
    queue_max: int = 10_000
    wait_ms_max: int = 3_600_000
    down_wait_ms_max: int = 60_000
    lower_share: float = 0.05

    @property
    def limits_agents(self) -> bool:
        return self.agent_tokens_max is not None or self.agent_money_max is not None

    @property
    def limits_run(self) -> bool:
        return self.tokens_max is not None or self.money_max is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """A budget as a whole.  Without endpoints there is none, and calls go out as they come."""

    endpoints: tuple[Endpoint, ...] = ()
    settings: BudgetSettings = BudgetSettings()

    def __bool__(self) -> bool:
        return bool(self.endpoints)

    def serving(self, model: str) -> tuple[Endpoint, ...]:
        """The endpoints that have a model."""
        return tuple(endpoint for endpoint in self.endpoints if endpoint.serves(model))


def budget_plan(
    endpoints: Iterable[Endpoint | Mapping[str, Any]] = (), budget: BudgetSettings | Mapping[str, Any] | None = None
) -> Plan:
    """Endpoints and limits, from values or from tables of a TOML file.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for the first field that is wrong.
    """
    found = [
        each if isinstance(each, Endpoint) else _from_table(Endpoint, f"endpoint[{index}]", each)
        for index, each in enumerate(endpoints)
    ]
    settings = budget if isinstance(budget, BudgetSettings) else _from_table(BudgetSettings, "budget", budget or {})
    checked = tuple(_checked_endpoint(f"endpoint[{index}]", each, found) for index, each in enumerate(found))
    _check_settings(settings)
    if not checked and settings != BudgetSettings():
        raise ConfigError("budget", "limits", "at least one [[endpoint]] beside them: what reaches no endpoint is free")
    return Plan(checked, settings)


def _from_table(cls: type[T], field: str, table: Mapping[str, Any]) -> T:
    if not isinstance(table, Mapping):
        raise ConfigError(field, table, "a table")
    known = [each.name for each in fields(cls)]  # type: ignore[arg-type]  # a dataclass: both that come here are
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"known keys only; did you mean {near[0]}?" if near else f"one of {', '.join(known)}"
            raise ConfigError(f"{field}.{key}", table[key], hint)
    given = dict(table)
    if "name" in known and "name" not in given:
        raise ConfigError(f"{field}.name", "nothing", "a name of its own")
    return cls(**given)


def _checked_endpoint(field: str, endpoint: Endpoint, others: Sequence[Endpoint]) -> Endpoint:
    name: object = endpoint.name  # tables of a file, and callers without a type checker, may hold anything
    models: object = endpoint.models
    if not isinstance(name, str) or not name.strip() or [each.name for each in others].count(name) > 1:
        raise ConfigError(f"{field}.name", name, "a name of its own")
    if name == RUN:
        raise ConfigError(f"{field}.name", name, "another name: statistics call the whole run so")
    if isinstance(models, str) or not isinstance(models, Sequence) or not models:
        raise ConfigError(f"{field}.models", models, "a list of models, such as ['openai:gpt-4.1-mini']")
    for model in models:
        if not isinstance(model, str) or not model.strip():
            raise ConfigError(f"{field}.models", model, "names of models, such as 'openai:gpt-4.1-mini'")
    _check_address(field, endpoint)
    for key in ("requests_per_minute", "tokens_per_minute"):
        _whole(f"{field}.{key}", getattr(endpoint, key), at_most=MINUTE_LIMIT_MAX, may_lack=True)
    _whole(f"{field}.concurrency", endpoint.concurrency, at_most=CONCURRENCY_MAX)
    _number(f"{field}.weight", endpoint.weight, above=0.0)
    for key in ("price_in", "price_out"):
        _number(f"{field}.{key}", getattr(endpoint, key))
    named = tuple(model if model.startswith(KINDS) else f"openai:{model}" for model in models)
    values = {each.name: getattr(endpoint, each.name) for each in fields(Endpoint)}
    return Endpoint(**{**values, "models": named})


def _check_address(field: str, endpoint: Endpoint) -> None:
    address: object = endpoint.base_url
    variable: object = endpoint.api_key_env
    if not isinstance(address, str):
        raise ConfigError(f"{field}.base_url", address, "an address such as http://localhost:8000/v1")
    if address:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{field}.base_url", address, "an address such as http://localhost:8000/v1")
    if not isinstance(variable, str) or (variable and not os.environ.get(variable)):
        raise ConfigError(f"{field}.api_key_env", variable, "the name of an environment variable that holds the key")


def _check_settings(settings: BudgetSettings) -> None:
    for key in ("tokens_max", "agent_tokens_max"):
        _whole(f"budget.{key}", getattr(settings, key), at_most=MINUTE_LIMIT_MAX, may_lack=True)
    for key in ("money_max", "agent_money_max"):
        if getattr(settings, key) is not None:
            _number(f"budget.{key}", getattr(settings, key), above=0.0)
    for key in ("queue_max", "wait_ms_max", "down_wait_ms_max"):
        _whole(f"budget.{key}", getattr(settings, key), at_most=MINUTE_LIMIT_MAX)
    share: object = settings.lower_share
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 0.5:
        raise ConfigError("budget.lower_share", share, "a number from 0 (lower priorities may starve) to 0.5")


def _whole(field: str, value: object, *, at_most: int, may_lack: bool = False) -> None:
    if value is None and may_lack:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= at_most:
        raise ConfigError(field, value, f"a whole number from 1 to {at_most}")


def _number(field: str, value: object, *, above: float | None = None) -> None:
    allowed = "a number from 0 up" if above is None else f"a number above {above:g}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(field, value, allowed)
    if value < 0 or (above is not None and value <= above):
        raise ConfigError(field, value, allowed)
