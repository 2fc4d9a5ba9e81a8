"""One Ray actor an agent: what one would write without a runtime, for benchmarks to compare with."""

from __future__ import annotations

import random
import time
from types import TracebackType
from typing import Any, Self, cast

import ray

from benchmarks._naive_actor import Agent
from benchmarks._texts import message
from pagefault.cluster import _ray

TOKENS_A_MESSAGE = 65


class NaiveActors:
    """Actors on a Ray of their own; a context manager that ends it."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._session: _ray.Session | None = None

    def __enter__(self) -> Self:
        self._session = _ray.Session(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handle in self._handles:
            ray.kill(handle)
        if self._session is not None:
            self._session.close()

    def start(self, count: int) -> list[float]:
        """Start actors one after the other; seconds from asking for each to its first answer."""
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            handle = cast("Any", ray.remote)(Agent).options(num_cpus=0).remote()
            ray.get(handle.say.remote(["hello"]))
            taken.append(time.perf_counter() - began)
            self._handles.append(handle)
        return taken

    def fill(self, chance: random.Random, tokens: int) -> None:
        """Give every actor messages of so many tokens."""
        for handle in self._handles:
            ray.get(handle.say.remote([message(chance) for _ in range(tokens // TOKENS_A_MESSAGE)]))

    def pids(self) -> list[int]:
        """Their processes."""
        return [int(ray.get(handle.pid.remote())) for handle in self._handles]
