"""The table of contents says what is there, and no more is loaded than is used."""

from __future__ import annotations

from typing import Any

import pytest
from typer.main import get_command

from pagefault.cluster.console.commands import COMMANDS
from pagefault.cluster.console.main import app


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_where_the_table_says_and_does_what_it_says(name: str) -> None:
    command: Any = COMMANDS[name].load(name)
    assert command.name == name
    assert command.get_short_help_str(200) == COMMANDS[name].help


def test_only_what_is_looked_up_is_loaded() -> None:
    group: Any = get_command(app)
    assert list(group.commands) == list(COMMANDS)
    assert group.commands["version"] is group.commands["version"]
    assert list(group.commands._loaded) == ["version"]
    assert "nonsense" not in group.commands
