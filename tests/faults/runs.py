"""Starts the command line as people do, reads its progress, sends it real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MAIN = "from pagefault.cluster.console.main import main; main()"
VILLAGE = """
world = "village"
agents = {agents}
seed = 3
[agent]
model = "scripted:pagefault.cluster.worlds.village_mind:villager"
model_options = {{ latency_ms = {latency_ms} }}
functions = ["send_message", "archival_memory_insert", "archival_memory_search", "send_to_agent"]
context_tokens = 2048
reply_tokens = 256
[village]
days = 4
[fleet]
kind = "{kind}"
embedder = "hash"
"""


class Run:
    """``pagefault ARGUMENTS`` in a process group of its own, as a shell would start it."""

    def __init__(self, *arguments: str, folder: Path, stdin: int = subprocess.DEVNULL) -> None:
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self._process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until_it_is_half_way(self) -> None:
        """Return when a progress line says that something is done but not all; fail if there is none."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            words = line.split(": ")[-1].split()
            if len(words) == 3 and words[1] == "of":
                assert 0 < int(words[0].replace(",", "")) < int(words[2].replace(",", "")), line
                return
        raise AssertionError(f"it ended before: {self._process.communicate()}")

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def line(self) -> str:
        """The next line of its standard output."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().removesuffix("\n")

    def signal(self, number: int, *, group: bool = False) -> None:
        """To the process alone (``kill``), or to all that it started too (Ctrl-C on a terminal)."""
        if group:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)

    def ended(self, timeout_s: float = 120.0) -> tuple[int, str, str]:
        """Its code, and what it wrote since it was last read."""
        out, errors = self._process.communicate(timeout=timeout_s)
        return self._process.returncode, out, errors

    def report(self, timeout_s: float = 200.0) -> dict[str, Any]:
        """The JSON object of a run that went well."""
        code, out, errors = self.ended(timeout_s)
        assert code == 0, errors
        found: dict[str, Any] = json.loads(out)
        return found

    def end(self) -> None:
        """Leave nothing running, however a test went."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


def report_of(module: str, *arguments: str) -> dict[str, Any]:
    """Run a module of these tests in a process of its own, since Ray has one connection a process; the JSON object that
    it prints."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    reports = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(reports[-1])
    return found
