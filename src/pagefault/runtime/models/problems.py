"""From what a server answers when it will not, to an error that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pagefault.runtime.errors import ModelBusy, ModelError, ModelOverflow, ModelRefused, ModelUnavailable
from pagefault.runtime.models.ladder import Rung
from pagefault.runtime.models.retry import RETRY_AFTER_REPORTED_MS_MAX, retry_after_ms

WORDS_CHARS_MAX = 300
_OVERFLOW = re.compile(
    r"context[_ ](?:length|window|size)|maximum context|max(?:imum)?[_ ]model[_ ]len|prompt is too long|too many tokens"
    r"|input (?:is )?too long|exceed(?:s|ed)? the (?:available |maximum )?context",
    re.IGNORECASE,
)
_REFUSES = (
    r"not (?:yet )?(?:support|implement|permit|allow|enabl)|unsupported|unknown|unrecogni[sz]ed|requires|disabled"
    r"|no endpoints|extra (?:fields|inputs)|does not (?:know|accept|have)"
)
_SUBJECTS = {
    Rung.NATIVE: r"\btools?\b|tool[_ -]choice|tool[_ -]?use|function[_ -]?call|parallel_tool_calls",
    Rung.SCHEMA: r"response_format|json_schema|structured output|guided|grammar",
}
_UNSUPPORTED = {
    rung: re.compile(rf"(?:{subject}).*(?:{_REFUSES})|(?:{_REFUSES}).*(?:{subject})", re.IGNORECASE | re.DOTALL)
    for rung, subject in _SUBJECTS.items()
}
_NO_SUCH_MODEL = re.compile(r"model.*(?:not found|not exist|unknown)|model_not_found|no such model", re.IGNORECASE)


def from_status(
    status: int, body: object, headers: Mapping[str, str], *, where: str, model: str, api_key: str, wall_ms: float
) -> ModelError:
    """The error for an HTTP status that is not a success (or an error object inside a success).

    Args:
        status: the HTTP status.
        body: the parsed JSON body, or text.
        headers: of the response, with lower-case names or a case-insensitive mapping.
        where: the server's address, for the text.
        model: its name, for the text.
        api_key: is taken out of the server's words, should they repeat it.
        wall_ms: the calendar time, to measure a ``Retry-After`` date from.
    """
    words, code = _words(body)
    if api_key:
        words = words.replace(api_key, "***")
    asked_ms = retry_after_ms(headers, wall_ms)
    wait_ms = 0 if asked_ms is None else int(min(asked_ms, RETRY_AFTER_REPORTED_MS_MAX))
    error: ModelError
    if 400 <= status <= 500 and status not in (401, 429) and _OVERFLOW.search(f"{code} {words}"):
        return ModelOverflow(f"the prompt is longer than the window of {model}: {words}", status=status)
    if status == 429 and code != "insufficient_quota":
        error = ModelBusy(f"{where} is busy (429): {words}", status=status, retry_after_ms=wait_ms)
    elif status in (408, 409) or (status >= 500 and status != 501):
        error = ModelUnavailable(f"{where} failed ({status}): {words}", status=status, retry_after_ms=wait_ms)
    else:
        error = ModelRefused(_refusal(status, code, words, where, model), status=status)
    should_retry = headers.get("x-should-retry", "").strip().lower()
    if should_retry in ("true", "false"):
        error.retryable = should_retry == "true"
    return error


def _refusal(status: int, code: str, words: str, where: str, model: str) -> str:
    if status == 401:
        return (
            f"{where} did not accept the key (401): set OPENAI_API_KEY (or what api_key_env names) to one of its keys"
        )
    if status == 402 or code == "insufficient_quota":
        return f"the account at {where} has no credit left ({status}): {words}"
    if status == 403:
        return f"{where} does not let this key use {model} (403): use another key or model. The server says: {words}"
    if status == 404:
        return (
            f"{where} has no model {model!r}, or is no such server (404): check the model's name and base_url, "
            f"which usually ends in /v1. The server says: {words}"
        )
    return f"{where} refused the request ({status}): {words}"


def _words(body: object) -> tuple[str, str]:
    """A server's message and error code, wherever it put them."""
    error: Any = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        code = str(error.get("code") or error.get("type") or "")
        message = error.get("message") or error.get("detail") or error.get("msg") or error
    else:
        code, message = "", error
    text = " ".join(str(message or "(no words)").encode(errors="replace").decode().split())
    return (text if len(text) <= WORDS_CHARS_MAX else f"{text[:WORDS_CHARS_MAX]}…"), code


def says_unsupported(error: ModelError, rung: Rung) -> bool:
    """Whether the server's words are that it cannot do what a rung asks for."""
    pattern = _UNSUPPORTED.get(rung)
    return pattern is not None and error.status >= 400 and pattern.search(error.message) is not None


def may_be_unsupported(error: ModelError) -> bool:
    """Whether a refusal could come from what the rung asks for, though the words do not say so."""
    if not isinstance(error, ModelRefused) or error.status not in (400, 404, 422, 501):
        return False
    return _NO_SUCH_MODEL.search(error.message.split("The server says:")[-1]) is None
