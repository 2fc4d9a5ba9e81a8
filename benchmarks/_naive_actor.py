"""The actor of :mod:`benchmarks._ray_actors`, in a module that imports nothing: its process should be a small one."""

from __future__ import annotations

import os


class Agent:
    """An agent that keeps its messages in a list, as examples of actors do."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, texts: list[str]) -> int:
        """Take messages; returns how many there are."""
        self.messages += texts
        return len(self.messages)

    def pid(self) -> int:
        """This process."""
        return os.getpid()
