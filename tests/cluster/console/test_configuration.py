from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from pagefault.cluster.console.configuration import SETTINGS, defaults_of, read_configuration
from pagefault.cluster.console.main import app
from pagefault.runtime.errors import ConfigError

FILE = """
[fleet]
folder = "town"
journal = "postgresql://ann:swordfish-9000@db/agents"
hosts = 2

[ui]
port = 9000
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def defaults(environment: dict[str, str], *typed: str) -> dict[str, Any]:
    group: Any = typer.main.get_group(app)
    return defaults_of(read_configuration(environment=environment), group.commands, typed)


def test_the_environment_wins_over_the_file_and_the_file_over_what_is_built_in(here: Path) -> None:
    (here / "pagefault.toml").write_text(FILE)
    found = read_configuration(environment={"PAGEFAULT_UI_PORT": "9001", "PAGEFAULT_EMBEDDER": ""})
    values = {key: (each.value, each.source) for key, each in found.values.items()}
    assert values["ui.port"] == (9001, "environment")
    assert values["fleet.hosts"] == (2, "file")
    assert values["fleet.embedder"] == ("wordllama", "default")
    assert values["fleet.folder"] == (here / "town", "file"), "a path is relative to the file that says it"
    assert found.values["fleet.hosts"].where == "pagefault.toml: fleet.hosts"


def test_which_file_is_read(here: Path) -> None:
    for name, port in (("pagefault.toml", 1), ("b.toml", 2), ("c.toml", 3)):
        (here / name).write_text(f"[ui]\nport = {port}\n")
    named = {"PAGEFAULT_CONFIG": "b.toml"}
    assert read_configuration(environment={}).values["ui.port"].value == 1
    assert read_configuration(environment=named).values["ui.port"].value == 2
    assert read_configuration(Path("c.toml"), named).values["ui.port"].value == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[flet]\n", r"pagefault.toml: found 'flet', allowed: known keys only; did you mean fleet\?"),
        ("[fleet]\nembeder = 'hash'\n", r"pagefault.toml.fleet: found 'embeder'.*did you mean embedder\?"),
        ("[ui]\nport = 70000\n", r"pagefault.toml.ui.port: found 70000, allowed: input should be less than"),
        ("fleet = 1\n", r"pagefault.toml.fleet: found 1, allowed: a table: \[fleet\]"),
        ("[fleet\n", "valid TOML"),
        ("[fleet]\njournal = ['swordfish-9000']\n", "journal: found 'something else'"),
    ],
)
def test_a_file_that_is_wrong_is_one_clear_error(here: Path, text: str, said: str) -> None:
    (here / "pagefault.toml").write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_configuration(environment={})
    assert "swordfish" not in str(caught.value)


def test_a_variable_that_is_wrong_is_named(here: Path) -> None:
    with pytest.raises(ConfigError, match="PAGEFAULT_FRAMES: found '0', allowed: input should be greater"):
        read_configuration(environment={"PAGEFAULT_FRAMES": "0"})
    with pytest.raises(ConfigError, match=r"--config: found 'absent.toml', allowed: a file that is there"):
        read_configuration(Path("absent.toml"), {})
    assert not (here / "absent.toml").exists()


def test_variables_of_no_meaning_are_told_with_what_may_be_meant() -> None:
    found = read_configuration(environment={"PAGEFAULT_JOURNALS": "x", "PAGEFAULT_JOURNAL_FILE": "/run/secrets/j"})
    assert found.unknown == {"PAGEFAULT_JOURNALS": "known keys only; did you mean PAGEFAULT_JOURNAL?"}


def test_every_setting_has_a_variable_of_its_own_and_a_default_of_its_type() -> None:
    assert len({each.environment for each in SETTINGS}) == len(SETTINGS)
    for each in SETTINGS:
        assert each.default is None or each.checked(each.default, each.key) == each.default


def test_every_setting_reaches_a_command() -> None:
    said = {each.environment: "3" for each in SETTINGS if each.kind is not Path}
    said |= {
        "PAGEFAULT_PLACEMENT": "auto",
        "PAGEFAULT_DURABILITY": "sync",
        "PAGEFAULT_LOG_LEVEL": "info",
        "PAGEFAULT_LOG_FORMAT": "json",
    }
    found = defaults(said | {"PAGEFAULT_FOLDER": "f"}, "--name=x")
    reached = {option for each in found.values() for option in (each if isinstance(each, dict) else {})}
    reached |= set(found["store"]["check"])
    for each in SETTINGS:
        if each.option not in ("", "folder"):
            assert each.option in reached, each.key
    assert found["run"] == {"log_level": "info", "log_format": "json"}, "its file comes in between"
    assert "name" not in found["chat"]


@pytest.mark.parametrize(
    ("said", "typed", "expected"),
    [
        ({"PAGEFAULT_FOLDER": "f"}, (), {"folder"}),
        ({"PAGEFAULT_FOLDER": "f"}, ("send", "--name", "x"), set()),
        ({"PAGEFAULT_NAME": "n", "PAGEFAULT_ADDRESS": "a:1"}, ("--folder=g",), set()),
        ({"PAGEFAULT_FOLDER": "f", "PAGEFAULT_ADDRESS": "a:1"}, (), {"folder"}),
        ({"PAGEFAULT_FOLDER": "f", "PAGEFAULT_ADDRESS": "a:1", "PAGEFAULT_NAME": "n"}, (), {"name", "address"}),
    ],
)
def test_a_fleet_is_found_one_way(said: dict[str, str], typed: tuple[str, ...], expected: set[str]) -> None:
    assert set(defaults(said, *typed)["send"]) & {"folder", "name", "address"} == expected


def test_a_stronger_source_says_which_fleet(here: Path) -> None:
    (here / "pagefault.toml").write_text("[fleet]\nname = 'n'\naddress = 'a:1'\n")
    assert set(defaults({"PAGEFAULT_FOLDER": "f"})["send"]) == {"folder"}
    assert set(defaults({})["send"]) == {"name", "address"}
    assert defaults({"PAGEFAULT_FOLDER": "f"})["ps"] == {"place": Path("f")}


@pytest.mark.parametrize("typed", [("chat", "--model", "local"), ("chat", "--model=scripted:keeper")])
def test_a_model_without_a_server_is_not_given_one(typed: tuple[str, ...]) -> None:
    server = {"PAGEFAULT_BASE_URL": "http://h/v1"}
    assert "base_url" not in defaults(server, *typed)["chat"]
    assert "base_url" in defaults(server, "chat", "--model", "qwen3")["chat"]
