"""``pagefault agent``: an Agent File becomes an agent of a folder, and an agent becomes a file."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from pagefault.cluster.console.main import app
from pagefault.runtime.errors import ConfigError
from tests.runtime.host.test_agent_file import present_form


def test_a_file_is_imported_and_exported(tmp_path: Path) -> None:
    file, fleet, back = tmp_path / "sam.af", tmp_path / "fleet", tmp_path / "back.af"
    file.write_text(json.dumps(present_form()))
    where = ["--folder", str(fleet), "--embedder", "hash"]
    refused = CliRunner().invoke(app, ["agent", "import", str(file), *where])
    assert isinstance(refused.exception, ConfigError)
    assert "get_weather, run_code" in str(refused.exception)
    given = ["--map", "get_weather=", "--map", "run_code=", "--model", "scripted:nothing", "--name", "ada", "--json"]
    made = CliRunner().invoke(app, ["agent", "import", str(file), *given, *where])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["messages"] == 5
    written = CliRunner().invoke(app, ["agent", "export", "ada", "--af", str(back), *where])
    assert written.exit_code == 0, written.output
    assert back.stat().st_mode & 0o777 == 0o600
    found = json.loads(back.read_text())
    assert [block["value"] for block in found["blocks"]] == ["Name: Kim", "I am Ada."]
    assert found["agents"][0]["messages"][1]["content"][0]["text"] == "I saw a heron by the lake [secret]"


def test_a_mapping_has_two_sides(tmp_path: Path) -> None:
    file = tmp_path / "sam.af"
    file.write_text(json.dumps(present_form()))
    refused = CliRunner().invoke(app, ["agent", "import", str(file), "--map", "get_weather"])
    assert "TOOL=FUNCTION" in str(refused.exception)
