"""The commands of ours that a document shows, and whether the command line knows them."""

from __future__ import annotations

import shlex
from typing import Any

import typer

from pagefault.cluster.console.main import app

ENDS = frozenset({"&&", "||", ";", "|", ">", ")"})


def commands_of(text: str) -> list[list[str]]:
    """What stands after a ``$`` at the beginning of a line and is ours, word by word."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if line.startswith("$ ") for words in ours_in(line[2:])]


def ours_in(line: str) -> list[list[str]]:
    """Every command of ours in a line of shell, also behind ``kubectl exec ... --`` and the like."""
    words = shlex.split(line, comments=True)
    found = []
    for start, word in enumerate(words):
        if word == "pagefault" and (start == 0 or words[start - 1] in {*ENDS, "--", "exec"} or words[0] != "pagefault"):
            end = next((place for place in range(start, len(words)) if words[place] in ENDS), len(words))
            found.append(words[start:end])
    return found


def understand(words: list[str]) -> None:
    """Parse a command line of ours, without running it; raises for what it does not understand."""
    command: Any = typer.main.get_group(app)
    program, *arguments = words
    assert program == "pagefault"
    if arguments[0] == "--config":
        arguments = arguments[2:]
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context("pagefault", arguments)
