"""The table of libraries says what pyproject.toml says, both ways."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| [^|]*\| `([^`]+)` \| (?:`(\w+)`|always) \|", re.MULTILINE)
INTERNAL = ("bench", "build", "dev")
"""Extras for whoever works on the project itself."""


def test_every_library_is_in_the_table_and_where_it_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {(_name(each), "") for each in project["dependencies"]}
    for extra, needs in project["optional-dependencies"].items():
        if extra not in INTERNAL:
            declared |= {(_name(each), extra) for each in needs}
    shown = set(ROW.findall((ROOT / "docs" / "dependencies.md").read_text()))
    assert shown == declared


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None, requirement
    return found[0]
