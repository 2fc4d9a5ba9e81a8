"""The command's first moments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pagefault.cluster.console.commands import COMMANDS
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local

INTERRUPTED_WHILE_LOADING = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)

from pagefault.cluster.console import entry
assert "pydantic" not in sys.modules, "what takes long is loaded when Ctrl-C is looked after"
sys.meta_path.insert(0, Interrupt())
sys.argv = ["pagefault", "version"]
entry.main()
"""


def run(module: str) -> subprocess.CompletedProcess[str]:
    script = INTERRUPTED_WHILE_LOADING.replace("MODULE", repr(module))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_an_interrupt_while_it_is_loaded_ends_it_without_a_word() -> None:
    ended = run("pagefault.cluster.console.version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


LOADED = """
import sys
from pagefault.cluster.console import entry
sys.argv = ["pagefault", *ARGUMENTS]
try:
    entry.main()
finally:
    print(*sorted({"openai", "qdrant_client", "ray", "wordllama"} & {*sys.modules}), "loaded", file=sys.stderr)
"""


def loaded_by(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = LOADED.replace("ARGUMENTS", repr(arguments))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


async def test_what_is_heavy_is_loaded_by_those_who_need_it_alone(tmp_path: Path) -> None:
    async with Local(tmp_path, embedder="hash") as fleet:
        await fleet.spawn(Agent("ada", model="scripted:tests.cluster.minds:echo"))
        await fleet.agent("ada").ask("hello")
    ended = loaded_by("inspect", "ada", "--folder", str(tmp_path), "--embedder", "hash", "--json")
    assert json.loads(ended.stdout)["agent"] == "ada"
    assert ended.stderr == "loaded\n"


def test_a_list_of_commands_loads_none() -> None:
    ended = loaded_by("--help")
    assert all(name in ended.stdout for name in COMMANDS)
    assert ended.stderr == "loaded\n"


def test_it_does_what_it_is_told() -> None:
    ended = run("nothing.of.the.sort")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("python ")
