"""The command's first moments."""

from __future__ import annotations

import subprocess
import sys

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
    ended = run("pagefault.cluster.console.chat")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_it_does_what_it_is_told() -> None:
    ended = run("nothing.of.the.sort")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("python ")
