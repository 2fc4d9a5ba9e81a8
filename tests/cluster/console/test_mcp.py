"""``pagefault mcp``: what a server offers is compared with what is accepted, and accepted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from typer.testing import CliRunner

from pagefault.cluster.console.main import app
from pagefault.runtime.functions.mcp.pool import FILE

TABLE = f"""world = "village"
[[mcp]]
name = "time"
command = ["{sys.executable}", "-m", "mcp_server_time", "--local-timezone", "UTC"]
"""


def asked(*arguments: str) -> list[object]:
    result = CliRunner().invoke(app, ["mcp", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    found: list[object] = json.loads(result.stdout)
    return found


def test_a_change_is_seen_and_accepted(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(TABLE)
    where = ("--file", str(file), "--folder", str(tmp_path))
    assert {row["state"] for row in asked("list", *where) if isinstance(row, dict)} == {"new"}
    assert not (tmp_path / FILE).exists()
    assert asked("accept", *where, "time", "convert_time") == ["time.convert_time"]
    states = {row["tool"]: row["state"] for row in asked("list", *where) if isinstance(row, dict)}
    assert states == {"time.get_current_time": "new", "time.convert_time": "accepted"}
