"""A model that is reached through the budget: each request to a server has a grant of its own, retries too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import structlog

from pagefault.runtime.errors import (
    ConfigError,
    ModelBusy,
    ModelError,
    ModelMalformed,
    ModelRefused,
    ModelUnavailable,
)
from pagefault.runtime.kernel.settings import ModelSettings
from pagefault.runtime.models.budget.calls import End, Grant
from pagefault.runtime.models.budget.gate import Gate
from pagefault.runtime.models.budget.settings import Endpoint, Plan
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.models.retry import RetryPolicy
from pagefault.runtime.values import ModelReply, ModelRequest

_log = structlog.get_logger("pagefault.budget")
MakeProcessor = Callable[[ModelSettings], Processor]
CLOSED_STATUSES = (401, 402, 403, 404, 429)
"""Refusals that are an account's or a server's, not a request's: another endpoint may take the same request."""
CLOSED_MS = 60_000
CHARS_PER_TOKEN = 3


class BudgetedProcessor:
    """One model on the endpoints that serve it.

    ``processors`` are by endpoint, and send one request for each reply they are asked for (or ask first, see
    :meth:`~pagefault.runtime.models.openai.OpenAIProcessor.reply_admitted`); ``retry`` bounds what is sent for
    one call.  There is no wait between attempts but that for a turn: an endpoint that is busy or down is left
    alone by the gate, for all calls.
    """

    def __init__(self, model: str, gate: Gate, processors: Mapping[str, Processor], retry: RetryPolicy) -> None:
        windows = [each.window_tokens for each in processors.values() if each.window_tokens]
        self.name = model
        self.window_tokens = min(windows, default=0)
        self._gate = gate
        self._processors = dict(processors)
        self._retry = retry

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer one request, wherever and whenever the budget lets it.

        Raises what :meth:`~pagefault.runtime.models.budget.gate.Gate.enter` and the endpoints' processors raise.
        """
        attempts = malformed = 0
        busy_ms = 0.0
        while True:
            try:
                grant = await self._gate.enter(request, self.name)
            except ModelError as error:
                error.attempts = attempts
                raise
            call = _Call(self._gate, request, self.name, grant)
            begun_ms = self._gate.now_ms()
            try:
                reply = await self._send(call)
            except ModelError as error:
                attempts += max(1, error.attempts)
                error.attempts = attempts
                malformed += isinstance(error, ModelMalformed)
                busy_ms += self._gate.now_ms() - begun_ms
                spent = attempts >= self._retry.attempts_max or busy_ms >= self._retry.deadline_ms
                if spent or malformed >= self._retry.malformed_max or not self._again(error):
                    raise
                _log.info("model_retry", attempt=attempts, endpoint=call.grant.endpoint, problem=error.message)
            else:
                return replace(reply, attempts=attempts + reply.attempts)

    async def _send(self, call: _Call) -> ModelReply:
        processor = self._processors[call.grant.endpoint]
        admitted: Callable[[ModelRequest, Callable[[], Awaitable[None]]], Awaitable[ModelReply]] | None
        admitted = getattr(processor, "reply_admitted", None)
        try:
            if admitted is None:
                reply = await processor.reply(call.request)
            else:
                reply = await admitted(call.request, call.one_more)
        except ModelError as error:
            call.end(self._end_of(error, call.request))
            raise
        except BaseException:  # cancelled, or a bug: either way the call is over, and may have cost its prompt
            call.end(End("broken", call.request.prompt_tokens))
            raise
        call.end(_answered(call.request, reply))
        return reply

    def _again(self, error: ModelError) -> bool:
        if isinstance(error, ModelBusy) and error.retry_after_ms > self._retry.retry_after_ms_max:
            return self._has_others
        return error.retryable or (_is_closed(error) and self._has_others)

    @property
    def _has_others(self) -> bool:
        return len(self._processors) > 1

    def _end_of(self, error: ModelError, request: ModelRequest) -> End:
        if isinstance(error, ModelBusy):
            return End("busy", retry_after_ms=error.retry_after_ms)
        if isinstance(error, ModelUnavailable) and error.retryable:
            # A time-out may come after the server has done its work: the prompt counts.
            return End("down", request.prompt_tokens, retry_after_ms=error.retry_after_ms)
        if _is_closed(error) and self._has_others:
            return End("down", retry_after_ms=CLOSED_MS)
        paid = isinstance(error, ModelMalformed)
        return End("failed", request.prompt_tokens if paid else 0, request.reply_tokens_max if paid else 0)

    async def close(self) -> None:
        self._gate.close()
        for processor in self._processors.values():
            await processor.close()


class _Call:
    """One call under way: its present grant, which is ended exactly once."""

    def __init__(self, gate: Gate, request: ModelRequest, model: str, grant: Grant) -> None:
        self.request = request
        self.grant = grant
        self._gate = gate
        self._model = model
        self._open = True

    def end(self, end: End) -> None:
        if self._open:
            self._open = False
            self._gate.leave(self.grant.number, end)

    async def one_more(self) -> None:
        """The processor is about to send another request for the same reply."""
        self.end(End("failed", self.request.prompt_tokens))
        self.grant = await self._gate.enter(self.request, self._model, only=self.grant.endpoint)
        self._open = True


def _answered(request: ModelRequest, reply: ModelReply) -> End:
    """What a reply cost; servers that do not say are taken to have counted as we do."""
    prompt = reply.usage.prompt_tokens or request.prompt_tokens
    written = len(reply.text) + sum(len(call.name) + len(call.arguments) for call in reply.calls)
    return End("answered", prompt, reply.usage.reply_tokens or written // CHARS_PER_TOKEN + 1)


def _is_closed(error: ModelError) -> bool:
    return isinstance(error, ModelRefused) and error.status in CLOSED_STATUSES


def budgeted(plan: Plan, gate: Gate, make: MakeProcessor) -> MakeProcessor:
    """A maker of processors that go through the gate; ``make`` makes those of single endpoints.

    The local model, scripted minds and recordings that no endpoint names are left alone: they cost nothing.  The
    maker raises :class:`~pagefault.runtime.errors.ConfigError` for a model of a server that no endpoint serves.
    """

    def maker(settings: ModelSettings) -> Processor:
        serving = plan.serving(settings.name)
        if not serving:
            if settings.name == "local" or settings.name.startswith(("local:", "scripted:", "replay:")):
                return make(settings)
            served = ", ".join(pattern for endpoint in plan.endpoints for pattern in endpoint.models)
            raise ConfigError("model.name", settings.name, f"a model that an endpoint serves: {served}")
        processors = {each.name: make(settings_at(settings, each)) for each in serving}
        return BudgetedProcessor(settings.name, gate, processors, _retry_policy(settings))

    return maker


def settings_at(settings: ModelSettings, endpoint: Endpoint) -> ModelSettings:
    """A model's settings at one endpoint; attempts are ours."""
    options = dict(settings.options)
    if not settings.name.startswith("openai:"):
        return settings
    for key in ("base_url", "api_key_env"):
        own: str = getattr(endpoint, key)
        if own and options.get(key, own) != own:
            raise ConfigError(f"model.{key}", options[key], f"what endpoint {endpoint.name!r} has, or nothing: {own}")
        if own:
            options[key] = own
    options["attempts_max"] = "1"
    return replace(settings, options=tuple(sorted(options.items())))


def _retry_policy(settings: ModelSettings) -> RetryPolicy:
    """The bounds of one call, among a model's options; their values have been checked by its processor."""
    options = dict(settings.options)
    given: dict[str, Any] = {each.name: int(options[each.name]) for each in fields(RetryPolicy) if each.name in options}
    return RetryPolicy(**given)
