"""Processors by name: ``openai:MODEL``, ``local``, ``scripted:MIND``, ``replay:NAME``."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

from pagefault.runtime.errors import ConfigError, UnknownName
from pagefault.runtime.kernel.settings import ModelSettings
from pagefault.runtime.models.local import LocalProcessor
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.models.replay import ReplayProcessor
from pagefault.runtime.models.retry import RetryPolicy, Timing
from pagefault.runtime.models.scripted import ScriptedProcessor
from pagefault.runtime.values import ModelReply

_Read = Callable[[str, str], Any]
LOCAL = "local:needle"
"""What ``local`` alone means."""


def make_processor(
    spec: str | ModelSettings,
    *,
    timing: Timing = Timing(),  # noqa: B008  frozen
    recordings: Mapping[str, Iterable[ModelReply]] | None = None,
) -> Processor:
    """Make the processor that a definition names.

    Args:
        spec: a name, or a name with options.  ``openai:MODEL`` takes the options of
            :class:`~pagefault.runtime.models.openai.OpenAIProcessor` and of
            :class:`~pagefault.runtime.models.retry.RetryPolicy`, but ``api_key_env`` (the name of a variable)
            for the key, because definitions are stored; ``scripted:NAME`` (or
            ``scripted:module:function``) takes ``latency_ms`` and ``window_tokens``; ``local`` takes
            ``variant``.
        timing: clock, sleep and chance for all of them.
        recordings: what ``replay:NAME`` may name.

    Raises:
        UnknownName: there is no such kind of processor, mind or recording.
        ConfigError: an option is wrong; the text names it, what was found, and what is allowed.
    """
    settings = ModelSettings(spec) if isinstance(spec, str) else spec
    kind, colon, name = (LOCAL if settings.name == "local" else settings.name).partition(":")
    if not colon or kind not in (*_MAKERS, "replay"):
        raise UnknownName(
            f"model {settings.name!r} is not known; write 'openai:MODEL' (any compatible server with base_url), "
            "'local', 'scripted:MIND', 'scripted:module:function', 'processor:module:factory' or 'replay:NAME'"
        )
    if not name:
        raise ConfigError("model.name", settings.name, f"a name after the colon, as in {kind}:NAME")
    options = dict(settings.options)
    if kind == "replay":
        _read_options(options, {})
        known = recordings or {}
        if name not in known:
            raise UnknownName(f"recording {name!r} is not there; there are: {', '.join(sorted(known)) or 'none'}")
        return ReplayProcessor(known[name])
    return _MAKERS[kind](name, options, timing)


def _make_openai(name: str, options: Mapping[str, str], timing: Timing) -> Processor:
    if "api_key" in options:
        raise ConfigError("model.api_key", "a key", "api_key_env, the name of a variable: definitions are stored")
    read = _read_options(options, _OPENAI_OPTIONS)
    variable = read.pop("api_key_env", None)
    if variable is not None:
        read["api_key"] = os.environ.get(variable)
        if not read["api_key"]:
            raise ConfigError("model.api_key_env", variable, "the name of an environment variable that holds the key")
    retry = {each.name: read.pop(each.name) for each in fields(RetryPolicy) if each.name in read}
    module = importlib.import_module("pagefault.runtime.models.openai")  # half a second: only for those who need it
    processor: Processor = module.OpenAIProcessor(name, retry=RetryPolicy(**retry), timing=timing, **read)
    return processor


def _make_local(name: str, options: Mapping[str, str], _: Timing) -> Processor:
    return LocalProcessor(name, **_read_options(options, _LOCAL_OPTIONS))


def _make_scripted(name: str, options: Mapping[str, str], timing: Timing) -> Processor:
    return ScriptedProcessor(name, timing=timing, **_read_options(options, _SCRIPTED_OPTIONS))


def _read_options(options: Mapping[str, str], known: Mapping[str, _Read]) -> dict[str, Any]:
    for name in options:
        if name not in known:
            allowed = ", ".join(sorted(known)) or "no options"
            raise ConfigError("model.options", name, allowed)
    return {name: known[name](f"model.{name}", value) for name, value in options.items()}


def _text(_: str, value: str) -> str:
    return str(value)


def _integer(field: str, value: str) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ConfigError(field, value, "a whole number") from None


def _number(field: str, value: str) -> float:
    try:
        return float(str(value))
    except ValueError:
        raise ConfigError(field, value, "a number") from None


def _truth(field: str, value: str) -> bool:
    found = {"true": True, "false": False}.get(str(value).lower())
    if found is None:
        raise ConfigError(field, value, "true or false")
    return found


def _object(field: str, value: str) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigError(field, value, "a JSON object")
    return found


_OPENAI_OPTIONS: Mapping[str, _Read] = {
    "base_url": _text,
    "api_key_env": _text,
    "functions": _text,
    "api": _text,
    "stream": _truth,
    "strict": _truth,
    "temperature": _number,
    "top_p": _number,
    "seed": _integer,
    "window_tokens": _integer,
    "body_bytes_max": _integer,
    "extra_body": _object,
    **{each.name: _integer for each in fields(RetryPolicy)},
}
_SCRIPTED_OPTIONS: Mapping[str, _Read] = {"latency_ms": _number, "window_tokens": _integer}
_LOCAL_OPTIONS: Mapping[str, _Read] = {"variant": _text}


def _make_imported(name: str, options: Mapping[str, str], _timing: Timing) -> Processor:
    """A processor of somebody's own: ``module:factory`` is imported, and called with the options."""
    module_name, _, attribute = name.partition(":")
    reference = f"processor:{name}"
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UnknownName(f"model {reference!r}: there is no module {error.name!r} to import") from error
    except (ValueError, TypeError) as error:  # an empty or relative module name
        raise UnknownName(f"model {reference!r}: write it as 'processor:package.module:factory'") from error
    factory = getattr(found, attribute, None) if attribute else None
    if not callable(factory):
        raise UnknownName(f"model {reference!r}: module {module_name!r} has no {attribute!r} that can be called")
    try:
        made = factory(**options)
    except TypeError as error:
        raise ConfigError("model.options", dict(options), f"what {name} takes: {error}") from error
    missing = [each for each in ("name", "window_tokens", "reply", "close") if not hasattr(made, each)]
    if missing:
        raise ConfigError("model.name", reference, f"a processor; what {name} makes has no {', '.join(missing)}")
    processor: Processor = made
    return processor


_MAKERS: Mapping[str, Callable[[str, Mapping[str, str], Timing], Processor]] = {
    "local": _make_local,
    "openai": _make_openai,
    "processor": _make_imported,
    "scripted": _make_scripted,
}
