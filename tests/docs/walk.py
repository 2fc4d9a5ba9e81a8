"""Walks through a document as a reader would: files are written, commands typed, and what they print is compared.

A block whose first line is ``# NAME`` is a file.  In ``console`` blocks lines that begin with ``$`` are commands, and
those below one must be found in what it prints, in this order; ``…`` stands for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w.-]+\.(?:py|toml))\n")
LIMIT_S = 110


@dataclass(slots=True)
class Command:
    """One line that is typed, and what is said to come of it."""

    line: str
    expected: list[str] = field(default_factory=list)


def steps(text: str) -> list[tuple[str, str] | Command]:
    """Files (name, content) and commands of a document, in its order."""
    found: list[tuple[str, str] | Command] = []
    for language, body in BLOCK.findall(text):
        named = FILE.match(body)
        if named is not None:
            found.append((named[1], body))
        elif language == "console":
            for line in body.splitlines():
                if line.startswith("$ "):
                    found.append(Command(line.removeprefix("$ ").partition("  #")[0]))
                elif isinstance(found[-1], Command):
                    found[-1].expected.append(line)
    return found


def type_in(command: Command, folder: Path, tools: Path) -> str:
    """Run one; returns what it printed.  Raises ``AssertionError`` if it failed or printed something else."""
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200", "TERM": "dumb"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    shell = ["/bin/sh", "-c", command.line]
    ran = subprocess.run(
        shell, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    printed = ran.stdout + ran.stderr
    assert ran.returncode == 0, f"$ {command.line}\n{printed}"
    pattern = r"[\s\S]*?".join(re.escape(line).replace("…", r"[^\n]*") for line in command.expected)
    assert re.search(pattern, printed), f"$ {command.line}\nexpected: {command.expected}\nprinted:\n{printed}"
    return printed


def make_tools(folder: Path) -> Path:
    """A folder with ``python`` and ``pagefault`` as an installation has them."""
    folder.mkdir()
    entry = "from pagefault.cluster.console.entry import main; main()"
    scripts = {"python": f'exec {sys.executable} "$@"', "pagefault": f"exec {sys.executable} -c '{entry}' \"$@\""}
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return folder
