"""A driver in a process of its own: one JSON request a line comes in, one JSON answer a line goes out."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import structlog

ROOT = Path(__file__).resolve().parents[2]


class Driver:
    """Starts this file as a program, and speaks with it."""

    def __init__(self, folder: Path, *, errors: Path) -> None:
        self._errors = errors
        with errors.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):  # it was killed
                self.process.stdin.close()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()

    async def __call__(self, request: str, **arguments: Any) -> Any:
        """What the request returns; raises what it raised as ``RuntimeError``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([request, arguments]) + "\n")
        self.process.stdin.flush()
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line, self._errors.read_text()[-3000:]
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]


def environment() -> dict[str, str]:
    """What a program of this user's has that is to join the tests' Ray."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "RAY_AUTH_MODE") if name in os.environ}
    return {**kept, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "RAY_USAGE_STATS_ENABLED": "0"}


async def _serve() -> None:
    from pagefault import Agent, Cluster, PagefaultError  # noqa: PLC0415 - the tests' process has no use for it

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    fleet: Cluster | None = None
    while line := await asyncio.to_thread(sys.stdin.readline):
        request, arguments = json.loads(line)
        result: Any = None
        try:
            if request in ("start", "attach"):
                fleet = Cluster(**arguments) if request == "start" else Cluster.attach(**arguments)
                await fleet.__aenter__()
            elif fleet is None:
                raise RuntimeError(f"{request}: no fleet is open")
            elif request == "leave":
                await fleet.__aexit__(None, None, None)
            elif request == "spawn":
                result = (await fleet.spawn(Agent(**arguments))).id
            elif request == "first_step":
                result = await _first_step(fleet, **arguments)
            elif request == "inspect":
                result = (await fleet.inspect(**arguments)).statistics
            else:
                result = await getattr(fleet, request)(**arguments)
        except (PagefaultError, TimeoutError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        else:
            answer = {"result": result}
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()
    if fleet is not None:
        await fleet.__aexit__(None, None, None)


async def _first_step(fleet: Any, agent: str, message: str) -> list[str]:
    """Send until a stream, which takes a moment to begin, has brought a step of the agent's."""
    steps = fleet.stream(agent)
    reading = asyncio.ensure_future(anext(steps))
    while not reading.done():
        await fleet.ask(agent, message)
        await asyncio.wait([reading], timeout=0.05)
    step = reading.result()
    await steps.aclose()
    return [step.agent, step.kind]


if __name__ == "__main__":
    asyncio.run(_serve())
