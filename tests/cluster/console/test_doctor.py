from __future__ import annotations

import json

from typer.testing import CliRunner

from pagefault.cluster.console.main import app
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.testing.fake_openai import Answer, FakeOpenAI


def test_json_for_scripts_and_a_code_that_says_whether_it_works() -> None:
    with FakeOpenAI(respond=lambda _: Answer("[red]no calls from me[/red]"), token_limit=2_000) as server:
        given = ["doctor", "--base-url", server.base_url, "--tries", "2"]
        as_json = CliRunner().invoke(app, [*given, "--json"])
        as_table = CliRunner().invoke(app, given)
    found = {each["name"]: each for each in json.loads(as_json.stdout)["model"]}
    assert as_json.exit_code == as_table.exit_code == 1
    assert found["rung"]["status"] == "fail"
    assert found["context_tokens"]["value"] == 2_000
    assert "[red]no calls from me[/red]" in as_table.stdout


def test_without_a_model_it_says_what_to_give() -> None:
    result = CliRunner(env={"OPENAI_BASE_URL": None}).invoke(app, ["doctor"])
    assert isinstance(result.exception, ConfigError)
