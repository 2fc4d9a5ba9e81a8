"""What can be known to fail is found out before anything is made: definitions, functions, the model's server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import httpx2

from pagefault.runtime.errors import ConfigError, ModelBusy, ModelUnavailable, PagefaultError, UsageError
from pagefault.runtime.functions.mcp import McpServers
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.settings import AgentDefinition, ModelSettings
from pagefault.runtime.models.budget.gate import local_gate
from pagefault.runtime.models.budget.processor import MakeProcessor, budgeted, settings_at
from pagefault.runtime.models.budget.settings import Plan
from pagefault.runtime.models.problems import from_status
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.values import Message, ModelRequest

NO_BUDGET = Plan()
SERVER_KINDS = ("openai:",)
"""Models that are reached over a network; the others are functions of this process."""
PROBE_ATTEMPTS = 2
PROBE_MS = 30_000
"""A server that has to load its model first gets this long; one that is down refuses at once."""
PROBE_REPLY_TOKENS = 16
LIST_SECONDS = 10.0
LISTED_MAX = 8
PARTS = ("context.", "chain.", "mailbox.")
WRITTEN_AS = {"budget_tokens": "context_tokens", "eviction": "policy", "interrupts_max": "mailbox_max"}
"""The kernel's names of settings, where people write others."""


async def check_agent(
    agent: Agent,
    budget: Plan = NO_BUDGET,
    functions: Iterable[Callable[..., Any]] = (),
    mcp: McpServers | None = None,
) -> None:
    """Try a definition out in this process, and ask its models for a word each, at every endpoint of a budget.

    ``functions`` are those that the program brings besides the built-in ones, ``mcp`` those of servers.

    Raises a :class:`~pagefault.runtime.errors.UsageError` for what the definition has wrong, and a
    :class:`~pagefault.runtime.errors.ModelError` when a server is down or refuses.
    """
    maker: MakeProcessor = budgeted(budget, local_gate(budget), make_processor) if budget else make_processor
    registry = Registry()
    for function in functions:
        registry.add(function)
    workshop = Workshop(registry, BpeTokenCounter(), maker, mcp)
    try:
        definition = agent.definition()
        workshop.try_out(definition)
    except ConfigError as error:
        raise _in_peoples_words(error) from error
    except PagefaultError:
        raise
    except Exception as error:  # modules that a definition names are the user's, and may raise anything
        raise UsageError(f"what the agent names cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        await workshop.close()
    for settings in dict.fromkeys((definition.model, definition.summarizer or definition.model)):
        if settings.name.startswith(SERVER_KINDS):
            places = [settings_at(settings, endpoint) for endpoint in budget.serving(settings.name)]
            for place in places or [settings]:
                await _probe(definition, place)


def _in_peoples_words(error: ConfigError) -> ConfigError:
    name = error.field
    for part in PARTS:
        name = name.removeprefix(part)
    return type(error)(WRITTEN_AS.get(name, name), error.found, error.allowed)


async def _probe(definition: AgentDefinition, settings: ModelSettings) -> None:
    """One short question through the very processor that will be used, with little patience."""
    options = dict(settings.options)
    options["attempts_max"] = str(PROBE_ATTEMPTS)
    for name in ("attempt_ms", "deadline_ms", "retry_after_ms_max"):
        options[name] = str(min(PROBE_MS, int(options.get(name, PROBE_MS))))
    processor = make_processor(replace(settings, options=tuple(options.items())))
    messages = (Message("system", "This is a test of the connection."), Message("user", "Say OK."))
    request = ModelRequest(definition.id, messages, (), 32, PROBE_REPLY_TOKENS)
    try:
        await processor.reply(request)
    except ModelBusy:
        pass  # it is there, knows the key and the model; the run waits its turn as every call does
    finally:
        await processor.close()


async def served_model(base_url: str, api_key_env: str = "OPENAI_API_KEY") -> str:
    """The name of the one model that a server lists.

    Raises :class:`~pagefault.runtime.errors.ConfigError` when it lists none or several, and a
    :class:`~pagefault.runtime.errors.ModelError` when it cannot be asked.
    """
    address = base_url.strip().rstrip("/")
    key = os.environ.get(api_key_env, "").strip()
    try:
        async with httpx2.AsyncClient(timeout=LIST_SECONDS, headers=_authorization(key)) as client:
            response = await client.get(f"{address}/models")
        listing = response.json() if response.is_success else None
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        raise ConfigError("--base-url", base_url, "an address such as http://localhost:8000/v1") from None
    except httpx2.HTTPError as error:
        raise ModelUnavailable(f"cannot reach {address}: {type(error).__name__}: {error}".rstrip(": ")) from error
    except ValueError:
        listing = None
    if not response.is_success and response.status_code != 404:
        wall_ms = 0.0  # only a Retry-After date would be measured from it, and nobody waits here
        raise from_status(
            response.status_code, response.text, response.headers, where=address, model="", api_key=key, wall_ms=wall_ms
        )
    names = _listed(listing)
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError("--model", "nothing", f"the name of a model: {address} does not say which it has")
    shown = ", ".join(names[:LISTED_MAX]) + (", …" if len(names) > LISTED_MAX else "")
    raise ConfigError("--model", "nothing", f"one of the {len(names)} models of {address}: {shown}")


def _authorization(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _listed(listing: object) -> list[str]:
    data: Any = listing.get("data") if isinstance(listing, dict) else None
    if not isinstance(data, list):
        return []
    return [str(each["id"]) for each in data if isinstance(each, dict) and each.get("id")]


async def chosen_model(template: Mapping[str, Any], model: str | None, base_url: str | None) -> dict[str, Any]:
    """What ``--model`` and ``--base-url`` change in an agent's table.

    A model's name may hold colons itself (``qwen3:8b``): only what is known to be a kind is taken for one.
    An address without a name stays with the table's model if that is one of a server, and otherwise takes the
    server's only one.
    """
    if model is not None and not model.strip():
        raise UsageError("--model: found an empty name; write the name of a model, or scripted:NAME")
    written = str(template.get("model", ""))
    changes: dict[str, Any] = {}
    if model is not None:
        kind = model.partition(":")[0]
        is_named = kind in ("openai", "scripted", "replay") or ((":" in model or kind == "local") and base_url is None)
        changes["model"] = model if is_named else f"openai:{model}"
    elif base_url is not None and not written.startswith(SERVER_KINDS):
        changes["model"] = f"openai:{await served_model(base_url)}"
    is_served = str(changes.get("model", written)).startswith(SERVER_KINDS)
    kept = template.get("model_options", {}) if is_served == written.startswith(SERVER_KINDS) else {}
    if base_url is not None:
        if not is_served:
            raise ConfigError(
                "--base-url", base_url, "an address only with a model of a server, not with scripted:NAME"
            )
        changes["model_options"] = {**kept, "base_url": base_url}
    elif "model" in changes:
        changes["model_options"] = dict(kept)
    return changes
