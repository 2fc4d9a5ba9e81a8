from __future__ import annotations

import json
import threading
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pagefault.cluster.console.doctor import CHECKS, examine
from pagefault.cluster.console.health.contract import Asked, Verdict, ok
from pagefault.cluster.console.main import app
from pagefault.runtime.store.embed import HashEmbedder
from pagefault.runtime.store.open import open_stores
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


QUIET = {"OPENAI_BASE_URL": None, "PAGEFAULT_JOURNAL": None, "PAGEFAULT_ARCHIVE": None, "RAY_ADDRESS": None}


def looked(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, dict[str, dict[str, str]]]]:
    given = ["doctor", "--folder", str(tmp_path / "fleet"), "--embedder", "hash", "--json", *arguments]
    result = CliRunner(env=QUIET).invoke(app, given)
    found = json.loads(result.stdout)
    return result.exit_code, {part: {each["name"]: each for each in found[part]} for part in found}


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "token"
    path.write_text("a token that is made up")
    path.chmod(0o600)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    return path


@pytest.mark.usefixtures("token")
def test_this_machine_is_looked_at_and_will_do(tmp_path: Path) -> None:
    code, found = looked(tmp_path)
    assert code == 0, found
    assert list(found) == list(CHECKS)
    assert found["archive"]["embedder"]["status"] == "ok"
    assert found["models"]["model server"]["status"] == "skipped"
    assert not (tmp_path / "fleet").exists(), "a look changes nothing"


def test_a_fleet_that_was_lived_is_recognised(tmp_path: Path, token: Path) -> None:
    with closing(open_stores(tmp_path / "fleet", 0, HashEmbedder(32))) as stores:
        assert stores.journal.count() == 0
        code, found = looked(tmp_path)
        assert found["folder"]["locks"]["status"] == "warning"
    assert code == 1
    assert "hash-32" in found["archive"]["embedder"]["seen"]
    assert "store rebuild" in found["archive"]["embedder"]["do"]
    assert found["journal"]["journals"]["status"] == "ok"
    assert token.exists()


def test_what_can_be_mended_is_mended_if_asked(tmp_path: Path, token: Path) -> None:
    token.chmod(0o644)
    code, found = looked(tmp_path)
    assert (code, found["ray"]["token"]["status"], found["ray"]["token"]["do"]) == (1, "failed", f"chmod 600 {token}")
    code, found = looked(tmp_path, "--fix")
    assert (code, found["ray"]["token"]["status"]) == (0, "ok")
    assert token.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("token")
def test_servers_that_are_gone_fail_with_their_names_and_without_their_passwords(tmp_path: Path) -> None:
    dead = "http://127.0.0.1:1"
    journal = "postgresql://ann:swordfish-9000@127.0.0.1:1/agents"
    code, found = looked(tmp_path, "--journal", journal, "--archive", dead, "--address", "127.0.0.1:1")
    assert code == 1
    failed = {(part, name) for part in found for name, each in found[part].items() if each["status"] == "failed"}
    assert failed == {("journal", "journal"), ("archive", "qdrant"), ("ray", "address")}
    assert "swordfish" not in json.dumps(found)


def test_a_check_that_hangs_or_breaks_spoils_nothing(tmp_path: Path) -> None:
    never = threading.Event()

    def hangs(_asked: Asked) -> list[Verdict]:
        never.wait()
        return []

    def breaks(_asked: Asked) -> list[Verdict]:
        raise ZeroDivisionError("oh")

    found = examine(
        {"hangs": hangs, "breaks": breaks, "works": lambda _: [ok("it", "works")]}, Asked(tmp_path), limit_s=0.2
    )
    never.set()
    assert [found[name][0].status for name in ("hangs", "breaks", "works")] == ["failed", "failed", "ok"]
    assert "ZeroDivisionError" in found["breaks"][0].seen


@pytest.mark.usefixtures("token")
def test_people_get_a_table_and_a_sum(tmp_path: Path) -> None:
    (tmp_path / "[red]file").write_text("")
    given = ["doctor", "--folder", str(tmp_path / "[red]file"), "--embedder", "hash"]
    result = CliRunner(env=QUIET).invoke(app, given)
    assert result.exit_code == 1
    assert "is no folder -> another --folder" in result.stdout
    assert "[red]file" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("1 failed, ")
