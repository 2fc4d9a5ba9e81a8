"""Secrets do not enter memory, journals or logs: they are taken out where events enter a host, and where logs leave.

Known are the values of environment variables whose names end in ``_KEY``, ``_TOKEN``, ``_SECRET`` or ``_PASSWORD``, of
those that ``PAGEFAULT_SECRETS`` names (separated by commas), and what a program gives to a fleet as ``secrets``; each
also as JSON and URLs write it.  Besides, what has the shape of a key that providers give out, a bearer token, or a name
and password in a URL.  Everything that an agent has came in as an event, so nothing else needs a look: archive,
exports, traces and prompts are made from that.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import replace
from operator import eq
from typing import Any, Final
from urllib.parse import quote

import structlog
from pydantic import SecretStr

from pagefault.runtime.kernel import events as ev
from pagefault.runtime.values import Interrupt

HIDDEN: Final = "[secret]"
SECRET_CHARS_MIN: Final = 8
"""Shorter values are words, which occur by themselves."""
NAMES: Final = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
MORE_NAMES: Final = "PAGEFAULT_SECRETS"
_HINTS: Final = ("sk-", "gh", "AKIA", "xox", "://", "earer ", "EARER ", "PRIVATE KEY")
_SHAPES: Final = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bAKIA[0-9A-Z]{16}\b|\bxox[abeprs]-[A-Za-z0-9-]{10,}"  # GitHub, AWS, Slack
    r"|(?<=://)[^\s/:@]{1,256}:[^\s/@]{1,256}(?=@)"
    r"|(?i:(?<=bearer )[a-z0-9._~+/=-]{16,4096})"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]{0,20000}?-----END [A-Z ]{0,40}PRIVATE KEY-----"
)
_known: list[str] = []  # of this process, the longest first: logs are the process's as well


def learn_secrets(given: Iterable[str | SecretStr] = (), environment: Mapping[str, str] | None = None) -> None:
    """Keep these secrets, and those of the environment, out of everything from now on; of logs, too."""
    variables = os.environ if environment is None else environment
    named = {each.strip() for each in variables.get(MORE_NAMES, "").split(",")}
    values = [each.get_secret_value() if isinstance(each, SecretStr) else each for each in given]
    values += [value for name, value in variables.items() if name.upper().endswith(NAMES) or name in named]
    known = set(_known)
    for value in (each.strip() for each in values):
        if len(value) >= SECRET_CHARS_MIN:
            known |= {
                value,
                json.dumps(value)[1:-1],
                json.dumps(value, ensure_ascii=False)[1:-1],
                quote(value, safe=""),
            }
    _known[:] = sorted(known, key=lambda each: (-len(each), each))
    protect_logs()


def forget_secrets() -> None:
    """Know none: for tests."""
    _known.clear()


def redacted(text: str) -> str:
    """The text with ``[secret]`` for every secret; the same object if there is none."""
    for secret in _known:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    if any(hint in text for hint in _HINTS):
        text = _SHAPES.sub(HIDDEN, text)
    return text


def shareable(text: str) -> str:
    """The beginning of a text that is still growing, without secrets: whole words only, since half a secret is not
    known as one."""
    clean = redacted(text)
    end = len(clean) - max((len(secret) for secret in _known if any(map(str.isspace, secret))), default=0)
    begun = clean.find("-----BEGIN")
    end = min(end, begun) if begun >= 0 else end
    return clean[: next((place + 1 for place in range(end - 1, -1, -1) if clean[place].isspace()), 0)]


def cleaned(interrupt: Interrupt) -> Interrupt:
    """The interrupt without secrets in its words; the same object if there are none."""
    text = redacted(interrupt.text)
    return interrupt if text == interrupt.text else replace(interrupt, text=text)


def without_secrets(event: ev.Event) -> ev.Event:
    """An event as it may enter an agent; the same object if nothing is secret."""
    if isinstance(event, ev.InterruptArrived):
        interrupt = cleaned(event.interrupt)
        return event if interrupt is event.interrupt else replace(event, interrupt=interrupt)
    if isinstance(event, ev.ModelReplied):
        reply, text = event.reply, redacted(event.reply.text)
        arguments = [redacted(call.arguments) for call in reply.calls]
        if text == reply.text and all(map(eq, arguments, (call.arguments for call in reply.calls))):
            return event  # this is every step: copies are for those that need one
        calls = tuple(replace(call, arguments=each) for call, each in zip(reply.calls, arguments, strict=True))
        return replace(event, reply=replace(reply, text=text, calls=calls))
    if isinstance(event, ev.FunctionReturned | ev.SummaryReady):
        text = redacted(event.text)
        return event if text == event.text else replace(event, text=text)
    if isinstance(event, ev.ModelFailed | ev.SummaryFailed):
        text = redacted(event.message)
        return event if text == event.message else replace(event, message=text)
    return event


class _Redacting:
    """The last of structlog's processors, whose output has no secrets: tracebacks are in it by then."""

    def __init__(self, render: Any) -> None:
        self._render = render

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        return _clean(self._render(logger, method, event))


def protect_logs() -> None:
    """Take secrets out of what structlog writes in this process, however it is configured; again changes nothing."""
    *others, last = structlog.get_config()["processors"]
    if not isinstance(last, _Redacting):
        structlog.configure(processors=[*others, _Redacting(last)])


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, bytes):
        return redacted(value.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    if isinstance(value, dict):
        return {_clean(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_clean, value))
    return value
