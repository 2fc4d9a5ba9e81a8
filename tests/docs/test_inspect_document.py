"""docs/inspect.md: its example runs, and it knows every option and key."""

from __future__ import annotations

import inspect as python_inspect
import re
from pathlib import Path

import pytest
from textual.binding import Binding

from pagefault.cluster.console.inspect import inspect
from pagefault.cluster.console.reach import Which
from pagefault.cluster.console.tui.acting import ActingScreen
from pagefault.cluster.console.tui.agent_screen import AgentScreen
from pagefault.cluster.console.tui.fleet_screen import FleetScreen

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "inspect.md").read_text(encoding="utf-8")
SPELT = {"left_square_bracket": "[", "right_square_bracket": "]", "slash": "/"}
UNTOLD = {"ctrl+r"}


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(compile(example, "docs/inspect.md", "exec"), {})  # noqa: S102 - the document's own example
    shown = capsys.readouterr().out
    assert "persona 0" not in shown
    assert "functions 0 " in shown
    assert "1 " in shown.splitlines()[-1]


def test_every_option_is_told() -> None:
    common = {*Which.__dataclass_fields__, "agent", "as_json"}
    for name in python_inspect.signature(inspect).parameters:
        if name not in common:
            assert f"`--{name}" in TEXT, name


@pytest.mark.parametrize("screen", [ActingScreen, FleetScreen, AgentScreen])
def test_every_key_is_told(screen: type[ActingScreen]) -> None:
    for binding in screen.BINDINGS:
        assert isinstance(binding, Binding)
        for key in binding.key.split(","):
            if key not in UNTOLD and not key.isdecimal():
                assert f"`{SPELT.get(key, key)}`" in TEXT, key


def test_its_picture_is_there_and_small() -> None:
    picture = ROOT / "docs" / "pictures" / "inspect.svg"
    assert picture.stat().st_size < 200_000
    assert "url(http" not in picture.read_text(encoding="utf-8")
