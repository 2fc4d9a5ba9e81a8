"""Packs of functions that a run's file names, from its text to an agent's call."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pagefault.cluster import _ray
from pagefault.cluster.console.plan import Plan
from pagefault.cluster.console.tools import ToolsTable, make_tools
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.testing.fake_openai import Answer, Call, FakeOpenAI
from tests.cluster.console.conftest import Pagefault
from tests.cluster.worlds.talk import write_talk

SECRET = "known-to-the-server-alone"
RUN = """
world = "dialogues"

[agent]
model = "openai:fake"
model_options = { api_key_env = "WEB_SECRET" }
functions = ["send_message", "files_read", "http_get"]

[dialogues]
data = "talk.json"

[tools.files]
folder = "notes"
writable = true

[tools.http]
allow = ["http://127.0.0.1:PORT/v1"]
networks = ["127.0.0.1/32"]
timeout_ms = 5000

[tools.http.headers."http://127.0.0.1:PORT"]
authorization = "Bearer env:WEB_SECRET"

[fleet]
embedder = "hash"
"""


class Asker:
    """A model that makes its calls in turn, whatever it is told, and keeps what came back."""

    def __init__(self) -> None:
        self.results: list[str] = []
        self.calls: list[tuple[str, dict[str, object]]] = []

    def __call__(self, body: Mapping[str, Any]) -> Answer:
        last = body["messages"][-1]
        if last["role"] == "tool":
            self.results.append(last["content"])
        if not self.calls or "tools" not in body:
            return Answer("Noted.")
        name, arguments = self.calls.pop(0)
        return Answer("", [Call(name, json.dumps({**arguments, "request_heartbeat": True}), id=f"{len(self.calls)}")])


@pytest.mark.parametrize("kind", ["local", "cluster"])
def test_agents_of_a_run_have_the_packs_of_its_file(
    pagefault: Pagefault,
    tmp_path: Path,
    kind: str,
    request: pytest.FixtureRequest,
) -> None:
    where, run = ["--local"], RUN.replace("WEB_SECRET", "PATH")  # which hosts of a running Ray have, too
    if kind == "cluster":
        request.getfixturevalue("ray_session")
        where = ["--address", _ray.gcs_address()]
    write_talk(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("a heron stood there")
    asker = Asker()
    with FakeOpenAI(respond=asker, api_key=os.environ["PATH"]) as server:
        port = server.base_url.split(":")[2].partition("/")[0]
        (tmp_path / "run.toml").write_text(run.replace("PORT", port))
        asker.calls = [
            ("files_read", {"path": "a.txt"}),
            ("http_get", {"url": f"{server.base_url}/models"}),
            ("http_get", {"url": f"http://127.0.0.1:{port}/other"}),
            ("files_write", {"path": "b.txt", "text": "x"}),
        ]
        ended = pagefault("run", "run.toml", *where, "--base-url", server.base_url, "--json")
        assert ended.code == 0, ended.errors
        read, fetched, refused, withheld = asker.results
    assert "a heron stood there" in read
    assert f"[200 {server.base_url}/models application/json]" in fetched
    assert "allowed: only http://127.0.0.1" in refused
    assert "it was not given to you" in withheld
    assert os.environ["PATH"] not in ended.out + str(asker.results)


def test_a_file_is_checked_with_its_packs(pagefault: Pagefault, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    (tmp_path / "notes").mkdir()

    def checked(old: str, new: str) -> str:
        text = RUN.replace("PORT", "8080")
        assert old in text
        file.write_text(text.replace(old, new))
        return pagefault("config", "check", "run.toml").error

    file.write_text(RUN.replace("PORT", "8080"))
    assert pagefault("config", "check", "run.toml").out.endswith("a run of dialogues, right\n")
    assert "tools.files.folder: found " in checked('folder = "notes"', 'folder = "elsewhere"')
    assert "run.toml.tools.files.folder: found 'nothing'" in checked('folder = "notes"', "")
    assert "run.toml.tools.files: found 'writeable', allowed: known keys only; did you mean writable?" in checked(
        "writable", "writeable"
    )
    assert "tools.http.allow[0]: found 'ftp://x'" in checked('"http://127.0.0.1:8080/v1"', '"ftp://x"')
    assert "run.toml.tools.http.allow: found 'example.com'" in checked(
        'allow = ["http://127.0.0.1:8080/v1"]', 'allow = "example.com"'
    )
    assert "tools.http.networks[0]: found '127.0.0.1/8'" in checked("127.0.0.1/32", "127.0.0.1/8")
    assert "tools.http.timeout_ms: found 0" in checked("5000", "0")
    assert "run.toml.tools: found 'web', allowed: one of files, http" in checked("[tools.files]", "[tools.web]")
    wrong = checked("Bearer env:WEB_SECRET", f"Bearer {SECRET} env:")
    assert "authorization: found 'something else', allowed: env:NAME" in wrong
    assert SECRET not in wrong


def test_what_is_not_said_is_not_made(tmp_path: Path) -> None:
    assert make_tools(Plan(world="village").tools, tmp_path) == ()
    tables = ToolsTable.model_validate({"files": {"folder": ".", "files_max": 3}})
    assert [each.__name__ for each in make_tools(tables, tmp_path)] == ["files_list", "files_read", "files_search"]
    tables = ToolsTable.model_validate({"http": {"allow": ["example.com"], "methods": ["POST"], "ca_file": "own.pem"}})
    with pytest.raises(ConfigError, match=r"tools\.http\.ca_file: found '.*/own\.pem'"):
        make_tools(tables, tmp_path)
    (tmp_path / "own.pem").touch()
    assert [each.__name__ for each in make_tools(tables, tmp_path)] == ["http_post"]
