"""Embeddings of a server: loaded by whoever wants them, as the client that speaks to it takes half a second to load."""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import openai

from pagefault.runtime.errors import (
    ConfigError,
    EmbeddingMismatch,
    ModelBusy,
    ModelError,
    ModelMalformed,
    ModelRefused,
    ModelUnavailable,
)
from pagefault.runtime.store.embed import unit_rows
from pagefault.runtime.store.protocols import Vectors

__all__ = ["OpenAIEmbedder"]


class OpenAIEmbedder:
    """The embeddings endpoint of any server that speaks OpenAI's protocol.

    ``base_url`` empty means api.openai.com, which needs a key; ``api_key`` empty means the environment's
    ``OPENAI_API_KEY``.  ``dimension`` is checked against every answer.  Requests hold ``batch`` texts;
    a time-out, a lost connection, 429 and 5xx are tried ``attempts`` times, with a pause that doubles from
    ``backoff_ms`` or is what ``Retry-After`` asks for (no more than ``wait_ms_max``).  Blocks.

    Raises :class:`~pagefault.runtime.errors.ConfigError` when there is no key for api.openai.com.
    """

    def __init__(
        self,
        model: str,
        dimension: int,
        *,
        base_url: str = "",
        api_key: str = "",
        batch: int = 128,
        attempts: int = 4,
        timeout_ms: int = 30_000,
        backoff_ms: int = 500,
        wait_ms_max: int = 20_000,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        key = api_key or os.environ.get("OPENAI_API_KEY", "")
        if not key and not base_url:
            raise ConfigError("embedder.api_key", "", "a key, or OPENAI_API_KEY in the environment, or a base_url")
        for field, value in (("dimension", dimension), ("batch", batch), ("attempts", attempts)):
            if value < 1:
                raise ConfigError(f"embedder.{field}", value, "a whole number from 1")
        self.name = f"openai:{model}"
        self.dimension = dimension
        self._model = model
        self._batch = batch
        self._attempts = attempts
        self._backoff_ms = backoff_ms
        self._wait_ms_max = wait_ms_max
        self._sleep = sleep
        # Retries are ours: the SDK's would repeat a read time-out unseen and wait as long as a server says.
        self._client = openai.OpenAI(
            api_key=key or "unused", base_url=base_url or None, max_retries=0, timeout=timeout_ms / 1000
        )
        weakref.finalize(self, self._client.close)  # nobody closes an embedder: it goes with whoever has it

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape ``(len(texts), dimension)``, unit rows (zeros for a blank text, which is not sent).

        Raises ``ModelUnavailable``, ``ModelBusy``, ``ModelRefused``, ``ModelMalformed``, and
        :class:`~pagefault.runtime.errors.EmbeddingMismatch` for vectors of another length.
        """
        rows: Vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        places = [place for place, text in enumerate(texts) if text.strip()]
        for start in range(0, len(places), self._batch):
            part = places[start : start + self._batch]
            # A lone surrogate cannot be written as UTF-8, and would fail the whole batch.
            sent = [texts[place].encode("utf-8", "replace").decode() for place in part]
            rows[part] = self._request(sent)
        return unit_rows(rows)

    def measured(self) -> int:
        """How long this model's vectors are, asked with one short text.  Raises as :meth:`embed` does."""
        return int(self._request(["length"], any_length=True).shape[1])

    def _request(self, texts: list[str], *, any_length: bool = False) -> Vectors:
        attempt = 1
        while True:
            try:
                return self._ask(texts, any_length=any_length)
            except ModelError as error:
                error.attempts = attempt
                if not error.retryable or attempt >= self._attempts:
                    raise
                pause_ms = error.retry_after_ms or self._backoff_ms * 2 ** (attempt - 1)
            self._sleep(min(pause_ms, self._wait_ms_max) / 1000)
            attempt += 1

    def _ask(self, texts: list[str], *, any_length: bool) -> Vectors:
        where = f"{self.name} at {self._client.base_url.host}"
        try:
            answer = self._client.embeddings.create(model=self._model, input=texts, encoding_format="float")
        except openai.APIStatusError as error:
            raise _status_error(where, error, self._client.api_key) from error
        except openai.APIConnectionError as error:
            raise ModelUnavailable(f"{where}: cannot be reached: {error}") from error
        except (openai.OpenAIError, ValueError) as error:  # ValueError: the body is no JSON
            raise ModelMalformed(f"{where}: the answer cannot be read: {error}") from error
        return self._vectors(where, answer, len(texts), any_length=any_length)

    def _vectors(self, where: str, answer: Any, expected: int, *, any_length: bool) -> Vectors:
        """Check an answer that may be anything: other servers, other manners."""
        items = getattr(answer, "data", None)
        if not isinstance(items, list) or len(items) != expected:
            found = f"{len(items)} vectors" if isinstance(items, list) else "no list of vectors"
            raise ModelMalformed(f"{where}: answered {found} for {expected} texts")
        try:
            rows = np.array([item.embedding for item in sorted(items, key=lambda item: item.index)], dtype=np.float32)
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelMalformed(f"{where}: answered something else than vectors of one length") from error
        if rows.ndim != 2 or not rows.shape[1]:
            raise ModelMalformed(f"{where}: answered something else than vectors")
        if rows.shape[1] != self.dimension and not any_length:
            raise EmbeddingMismatch(f"{where}: vectors have {rows.shape[1]} numbers, {self.dimension} were configured")
        if not np.isfinite(rows).all():
            raise ModelMalformed(f"{where}: answered vectors with numbers that are not finite")
        return rows


def _status_error(where: str, error: openai.APIStatusError, api_key: str) -> ModelError:
    status = error.status_code
    text = f"{where}: {status}: {error.message:.300}".replace(api_key, "***")  # some servers repeat the key
    if status == 429:
        return ModelBusy(text, status=status, retry_after_ms=_retry_after_ms(error.response.headers))
    if status >= 500 or status in {408, 409}:
        return ModelUnavailable(text, status=status, retry_after_ms=_retry_after_ms(error.response.headers))
    return ModelRefused(text, status=status)


def _retry_after_ms(headers: Mapping[str, str]) -> int:
    """What the server asks for in seconds; 0 if it says nothing that can be used (dates included)."""
    try:
        seconds = float(headers.get("retry-after", "0"))
    except ValueError:
        return 0
    return int(seconds * 1000) if math.isfinite(seconds) and seconds > 0 else 0
