"""Functions as Ray tasks: in a process of their own, and never run twice if that would do harm."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import structlog

from pagefault.cluster import _ray, tasks
from pagefault.cluster.api import Cluster
from pagefault.cluster.logs import configure_logging
from pagefault.cluster.tasks import RayRunner, TaskLogs
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.decorator import definition_of, function
from pagefault.runtime.host.config import Agent

FAR = "scripted:tests.cluster.minds:far_caller"


@function(effect="pure", runs_in="ray", resources={"CPU": 0.5})
def far_process() -> str:
    """Say which process this is."""
    return f"process {os.getpid()}"


@function(effect="once", runs_in="ray", resources={"CPU": 0.5})
def far_death() -> str:
    """Die half-way."""
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@function(effect="idempotent", runs_in="ray", resources={"CPU": 0.5})
def far_second_try(marker: str) -> str:
    """Die the first time, and not the second.

    Args:
        marker: A file that remembers the first time.
    """
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "second try"


@pytest.mark.usefixtures("ray_session")
async def test_functions_run_as_tasks_and_a_once_function_that_died_is_unknown() -> None:
    async with Cluster(embedder="hash", hosts=1, functions=[far_process, far_death]) as fleet:
        ref = await fleet.spawn(Agent("ada", model=FAR, functions=("send_message", "far_process", "far_death")))
        said = await ref.ask("go")
        host = await fleet.host_pid("ada")
    assert "process " in said
    assert f"process {host}" not in said, "it ran in a process of its own"
    assert "outcome unknown" in said


@pytest.mark.usefixtures("ray_session")
async def test_a_function_that_may_run_again_is_tried_again(tmp_path: Path) -> None:
    marker = tmp_path / "first"
    arguments = f'{{"marker": "{marker}"}}'
    assert await RayRunner().run_function(definition_of(far_second_try), arguments) == ("ok", "second try")
    assert marker.exists()


def test_attempts_are_bounded() -> None:
    with pytest.raises(ConfigError, match="attempts_max"):
        RayRunner(0)


def test_what_runs_next_in_a_tasks_process_does_not_log_as_the_last_call_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "configure_actor_logging", configure_logging)
    monkeypatch.setattr(_ray, "this_node", lambda: "0123456789")
    during: list[dict[str, object]] = []

    @function(effect="pure", runs_in="ray")
    def noting() -> str:
        """Note how this process logs."""
        during.append(structlog.get_config())
        return "done"

    before = structlog.get_config()
    logs = TaskLogs("a fleet", "info", "json")
    assert tasks._run_in_task(definition_of(noting), "{}", None, logs) == ("ok", "done")
    assert during != [before]
    assert structlog.get_config() == before
