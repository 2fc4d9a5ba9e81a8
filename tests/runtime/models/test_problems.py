"""Whose fault an answer is, by its status and words."""

from __future__ import annotations

import pytest

from pagefault.runtime.errors import ModelBusy, ModelError, ModelOverflow, ModelRefused, ModelUnavailable
from pagefault.runtime.models.ladder import Rung
from pagefault.runtime.models.problems import from_status, may_be_unsupported, says_unsupported


def problem(status: int, body: object = "", **headers: str) -> ModelError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return from_status(status, body, named, where="http://x/v1", model="m", api_key="key-1", wall_ms=0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ModelRefused), (401, ModelRefused), (403, ModelRefused), (404, ModelRefused), (408, ModelUnavailable),
        (409, ModelUnavailable), (413, ModelRefused), (422, ModelRefused), (429, ModelBusy), (500, ModelUnavailable),
        (501, ModelRefused), (503, ModelUnavailable), (599, ModelUnavailable),
    ],
)  # fmt: skip
def test_statuses(status: int, kind: type[ModelError]) -> None:
    error = problem(status)
    assert type(error) is kind
    assert error.status == status


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "words"}},
        {"error": "words"},
        {"message": "words"},
        {"detail": "words"},
        "words",
        {"error": {"msg": "words"}},
    ],
)
def test_words_are_found_wherever_they_are(body: object) -> None:
    assert "words" in str(problem(400, body))


def test_words_are_short_clean_and_without_the_key() -> None:
    text = str(problem(500, {"error": {"message": "key-1\n" + "x\ud800" * 1_000}}))
    assert len(text) < 400
    assert "key-1" not in text
    assert text.encode()


def test_an_overflow_is_seen_in_any_words_but_not_in_a_refused_key() -> None:
    assert isinstance(problem(400, "maximum context length is 10"), ModelOverflow)
    assert isinstance(problem(500, "exceeds the context size"), ModelOverflow)
    assert isinstance(problem(401, "maximum context length is 10"), ModelRefused)
    assert isinstance(problem(429, "too many tokens per minute"), ModelBusy | ModelOverflow)


def test_a_limit_of_tokens_a_minute_is_no_overflow() -> None:
    body = {"error": {"message": "Rate limit reached: too many tokens per minute", "code": "rate_limit_exceeded"}}
    assert isinstance(problem(429, body), ModelBusy)


def test_the_server_may_say_whether_to_ask_again() -> None:
    assert not problem(503, x_should_retry="false").retryable
    assert problem(400, x_should_retry="true").retryable
    assert problem(503, x_should_retry="perhaps").retryable


@pytest.mark.parametrize(
    ("rung", "words", "expected"),
    [
        (Rung.NATIVE, "registry/x does not support tools", True),
        (Rung.NATIVE, "Unsupported parameter: 'tools'", True),
        (Rung.NATIVE, "Unrecognized request argument supplied: tool_choice", True),
        (Rung.NATIVE, "function calling is not enabled for this model", True),
        (Rung.NATIVE, "messages with role 'tool' must be a response to a preceding message with 'tool_calls'", False),
        (Rung.NATIVE, "Invalid schema for function 'x'", False),
        (Rung.NATIVE, "response_format is not supported", False),
        (Rung.SCHEMA, "response_format is not supported", True),
        (Rung.SCHEMA, "unknown field json_schema", True),
        (Rung.SCHEMA, "the model is overloaded", False),
        (Rung.TEXT, "anything is not supported", False),
    ],
)
def test_words_that_say_that_a_rung_is_not_there(rung: Rung, words: str, expected: bool) -> None:
    assert says_unsupported(problem(400, words), rung) is expected


def test_a_plain_refusal_may_mean_it_too() -> None:
    assert may_be_unsupported(problem(400, "bad"))
    assert may_be_unsupported(problem(501))
    assert not may_be_unsupported(problem(404, "The model `m` does not exist"))
    assert not may_be_unsupported(problem(401))
    assert not may_be_unsupported(problem(500))
