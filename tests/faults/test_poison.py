"""Interrupts that kill their host: each is put away after five deaths, and nobody else is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.poison import MESSAGES, TOLD, told_to

SHARED_DEATHS_MAX = 10
"""Four that all share, and a few before anything was durable; besides them each has one of its own, and not five."""


@pytest.mark.slow
@pytest.mark.parametrize("agents", [6, pytest.param(20, marks=pytest.mark.soak)])
def test_one_interrupt_in_ten_kills_its_process(tmp_path: Path, agents: int) -> None:
    command = [sys.executable, "-m", "tests.faults.poison", str(tmp_path / "fleet"), str(agents)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])  # logs come before it
    for agent in range(agents):
        for number in range(MESSAGES):
            outcome, text = found["answers"][f"{agent}-{number}"]
            told = told_to(agent, number)
            if number == 0:
                assert outcome == "quarantined", (agent, outcome, text)
            else:
                assert outcome == "yielded", (agent, number, told, outcome)
                assert (text == "done: lived") == (told == "live"), text
    assert sum(told_to(agent, 5) != "live" for agent in range(agents)) == len(TOLD)
    assert len(found["letters"]) == agents
    for to, text, why in found["letters"]:
        assert text.split()[-1] in {"exit", "segv", "kill", "exit_idempotent"}
        assert "its host died 5 times while" in why
        assert f"pagefault replay {to} --record " in why
    assert found["lives"] - 1 <= SHARED_DEATHS_MAX + agents, f"a storm of {found['lives'] - 1} restarts"
