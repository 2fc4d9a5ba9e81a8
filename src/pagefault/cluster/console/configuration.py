"""Settings of the command line in one place: a file, the environment, arguments; the later of these wins.

The file is ``pagefault.toml`` of the current folder, the one that ``PAGEFAULT_CONFIG`` names, or that of ``--config``.
:data:`SETTINGS` is the whole list, and docs/configuration.md is made from it.  What a file and the environment say
becomes the default of every option of that meaning, so a command needs to know nothing of where a value is from.
``run`` alone is different: what its own file says in ``[fleet]`` stands between our file and the environment.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.secrecy import HIDDEN, redacted

FILE_NAME: Final = "pagefault.toml"
FILE_VARIABLE: Final = "PAGEFAULT_CONFIG"
PREFIX: Final = "PAGEFAULT_"
Source: TypeAlias = Literal["default", "file", "environment"]
Names: TypeAlias = tuple[str, ...]
Text: TypeAlias = Annotated[str, Field(min_length=1)]
SOURCES: Final = ("default", "file", "environment")
"""From the weakest on; arguments are stronger than all."""
BY_NAME: Final = ("fleet.name", "fleet.address")
ALONE: Final = ("chat",)
"""Its ``--name`` is an agent's."""
WITH_PLACE: Final = ("ps", "ui")
"""These take the folder as an argument as well, and refuse two; the option is then the stronger one."""
OTHER_MEANING: Final = ("eval", "lab", "resume")
"""Commands whose ``--folder`` and ``--embedder`` are not those of a fleet."""
MODEL_WITHOUT_SERVER: Final = re.compile(r"--model[= ](?:local\b|scripted:|replay:)")
_PASSWORD: Final = re.compile(r"(?<=[?&]password=)[^&]*")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    ``kind`` is the type that a value must have; ``option`` what the parameters of commands are called that it is the
    default of, but for those commands (or groups) in ``but``, or only of those in ``only``.  ``in_runs``: it is a key
    of ``[fleet]`` in a run's file, too.  ``secret``: never shown; ``address``: shown without its password.
    """

    key: str
    kind: Any
    default: Any
    help: str
    option: str = ""
    but: Names = ()
    only: Names = ()
    in_runs: bool = False
    shown: Literal["plain", "address", "secret"] = "plain"

    @property
    def table(self) -> str:
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        return self.key.partition(".")[2]

    @property
    def environment(self) -> str:
        """Its variable: ``[fleet]`` and ``[model]`` are not said in it."""
        if self.key == "model.name":
            return f"{PREFIX}MODEL"
        return PREFIX + (self.name if self.table in ("fleet", "model") else self.key.replace(".", "_")).upper()

    def applies_to(self, command: str) -> bool:
        """Whether it is the default of that command's option; ``command`` as it is typed (``store check``)."""
        if self.only:
            return command in self.only
        return command != "run" and not any(command == each or command.startswith(f"{each} ") for each in self.but)

    def checked(self, value: object, field: str) -> Any:
        """The value as its type.  Raises :class:`~pagefault.runtime.errors.ConfigError`, without a secret in it."""
        try:
            if self.kind is Names and isinstance(value, str):
                value = [each.strip() for each in value.split(",")]
            return TypeAdapter(self.kind).validate_python(value)
        except ValidationError as error:
            (problem, *_) = error.errors(include_url=False)
            found = problem.get("input") if self.shown == "plain" else "something else"
            raise ConfigError(field, found, problem["msg"][0].lower() + problem["msg"][1:]) from None

    def for_people(self, value: object) -> object:
        """The value as it may be shown."""
        if value is None or value == "" or self.shown == "plain":
            return str(value) if isinstance(value, Path) else value
        return HIDDEN if self.shown == "secret" else _PASSWORD.sub(HIDDEN, redacted(str(value)))


Whole: TypeAlias = Annotated[int, Field(ge=1)]
Seconds: TypeAlias = Annotated[float, Field(gt=0)]
Placement: TypeAlias = Literal["auto", "packed", "dedicated"]
Level: TypeAlias = Literal["debug", "info", "warning", "error"]
LogFormat: TypeAlias = Literal["auto", "json", "console"]

SETTINGS: Final = (
    Setting(
        "fleet.folder", Path, Path("pagefault-data"), "where journals and archive are", "folder", OTHER_MEANING,
        in_runs=True,
    ),
    Setting("fleet.name", Text, None, "what the fleet is found by", "name", ("chat",), in_runs=True),
    Setting("fleet.address", Text, None, "IP:PORT of its Ray cluster; auto finds it", "address", in_runs=True),
    Setting(
        "fleet.journal", Text, "sqlite", "sqlite, or postgresql://user@host/database", "journal", in_runs=True,
        shown="address",
    ),
    Setting(
        "fleet.archive", Text, "edge", "edge, or http://host:6333 of a Qdrant server", "archive", in_runs=True,
        shown="address",
    ),
    Setting(
        "fleet.embedder", Text, "wordllama", "what makes vectors of texts", "embedder", OTHER_MEANING, in_runs=True
    ),
    Setting(
        "fleet.shards", Annotated[int, Field(ge=1, le=1024)], None,
        "how many stores: 1 for a new fleet, else as it was made", "shards", in_runs=True,
    ),
    Setting("fleet.placement", Placement, "auto", "how agents are put into Ray actors", only=("run",), in_runs=True),
    Setting("fleet.hosts", Whole, None, "hosts a node; one a processor less one", only=("run",), in_runs=True),
    Setting(
        "fleet.durability", Literal["sync", "async", "exit"], "sync", "what an acknowledged message survives",
        only=("run",), in_runs=True,
    ),
    Setting("fleet.frames", Whole, None, "agents awake at a time; all", only=("run",), in_runs=True),
    Setting("fleet.frames_policy", Text, "lru", "which agent goes to sleep then", only=("run",), in_runs=True),
    Setting("fleet.idle_s", Seconds, None, "seconds at rest until an agent sleeps", only=("run",), in_runs=True),
    Setting("model.name", Text, None, "the model that is asked", "model", ("doctor", "fork", "lab", "run")),
    Setting("model.base_url", Text, None, "an OpenAI-compatible server", "base_url", ("lab", "run")),
    Setting("log.level", Level, "error", "what goes to standard error", "log_level", only=("run", "resume", "chat")),
    Setting(
        "log.format", LogFormat, "auto",
        "how, also in the processes of a fleet that is begun: auto is json off a terminal", "log_format",
        only=("run", "resume", "chat"),
    ),
    Setting("ui.host", Text, "127.0.0.1", "the address of the page", "host", only=("ui",)),
    Setting("ui.port", Annotated[int, Field(ge=0, le=65535)], 8741, "its port; 0 takes any", "port", only=("ui",)),
    Setting("ui.token", str, "", "a token of your own", "token", only=("ui",), shown="secret"),
    Setting("ui.allow_names", Names, (), "names by which the page may be asked for", "allow_name", only=("ui",)),
    Setting("ui.every_s", Annotated[float, Field(ge=0.2, le=3600)], 1.0, "between two looks", "every", only=("ui",)),
)  # fmt: skip
"""The whole list."""

OUTSIDE: Final[Mapping[str, str]] = {
    FILE_VARIABLE: "the settings' file",
    "PAGEFAULT_SECRETS": "more variables, separated by commas, whose values are secret",
    "OPENAI_API_KEY": "the key of model servers, unless an agent names another variable",
    "OPENAI_BASE_URL": "a model server, where nothing else is said",
    "QDRANT_API_KEY": "the key of the Qdrant server",
    "PGPASSFILE": "libpq's file of passwords; it must be readable by its owner alone",
    "PGPASSWORD": "the password of the database, where its address has none",
    "RAY_ADDRESS": "Ray's own: the cluster that `auto` means",
    "RAY_AUTH_MODE": "Ray's own: token, or disabled",
    "RAY_AUTH_TOKEN": "Ray's own: the token itself",
    "RAY_AUTH_TOKEN_PATH": "Ray's own: the file of the token, instead of ~/.ray/auth_token",
}
"""What is read from the environment and is no setting: keys, and what belongs to others."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a setting is, and where that was said: a path with the key, or the name of a variable."""

    setting: Setting
    value: Any
    source: Source
    where: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """Every setting with its value; ``file`` is what was read, if anything; ``unknown`` are variables of no meaning."""

    file: Path | None
    values: Mapping[str, Value]
    unknown: Mapping[str, str]

    def said(self, *sources: Source) -> dict[str, Any]:
        """The settings that those sources say, by their keys."""
        return {key: each.value for key, each in self.values.items() if each.source in sources}

    def fleet(self, source: Source) -> dict[str, Any]:
        """What a source says of a run's ``[fleet]``."""
        found = [each for each in self.values.values() if each.setting.in_runs and each.source == source]
        return {each.setting.name: str(each.value) if each.setting.kind is Path else each.value for each in found}


def read_configuration(given: Path | None = None, environment: Mapping[str, str] | None = None) -> Configuration:
    """Read the file that is meant, and the environment.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for a file that is not there though it was named, cannot be
    read, or says what is not known or not allowed; and for such a variable.
    """
    variables = os.environ if environment is None else environment
    path = given or (Path(variables[FILE_VARIABLE]) if variables.get(FILE_VARIABLE) else None)
    if path is None and Path(FILE_NAME).is_file():
        path = Path(FILE_NAME)
    in_file = {} if path is None else read_file(path)
    values: dict[str, Value] = {}
    for setting in SETTINGS:
        text = variables.get(setting.environment, "")
        if text:
            found = setting.checked(text, setting.environment)
            values[setting.key] = Value(setting, found, "environment", setting.environment)
        elif setting.key in in_file:
            values[setting.key] = Value(setting, in_file[setting.key], "file", f"{path}: {setting.key}")
        else:
            values[setting.key] = Value(setting, setting.default, "default", "")
    return Configuration(path, values, _unknown(variables))


def read_file(path: Path) -> dict[str, Any]:
    """What a file says, by the settings' keys; paths in it are relative to its folder.

    Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """
    try:
        tables = tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError("--config", str(path), "a file that is there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--config", str(path), f"a text file that can be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("--config", str(path), f"valid TOML: {error}") from None
    known = {setting.key: setting for setting in SETTINGS}
    found: dict[str, Any] = {}
    for table, content in tables.items():
        names = sorted({setting.table for setting in SETTINGS})
        if table not in names:
            raise ConfigError(path.name, table, _near(table, names))
        if not isinstance(content, dict):
            raise ConfigError(f"{path.name}.{table}", content, f"a table: [{table}]")
        there = [each.name for each in SETTINGS if each.table == table]
        for name, value in content.items():
            setting = known.get(f"{table}.{name}")
            if setting is None:
                raise ConfigError(f"{path.name}.{table}", name, _near(name, there))
            checked = setting.checked(value, f"{path.name}.{setting.key}")
            found[setting.key] = path.absolute().parent / checked if setting.kind is Path else checked
    return found


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"known keys only; did you mean {near[0]}?" if near else f"one of {', '.join(names)}"


def _unknown(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that begin like ours and mean nothing, each with what may have been meant."""
    known = [setting.environment for setting in SETTINGS] + [name for name in OUTSIDE if name.startswith(PREFIX)]
    meant = {*known, *(f"{name}_FILE" for name in known)}  # the container's entry point turns files into variables
    strangers = sorted(name for name in variables if name.startswith(PREFIX) and name not in meant)
    return {name: _near(name, known) for name in strangers}


def defaults_of(configuration: Configuration, commands: Mapping[str, Any], typed: Sequence[str]) -> dict[str, Any]:
    """The defaults of all options, command by command, as the command line's library wants them (``default_map``).

    ``commands`` is its tree: groups have ``commands``, others ``params`` with names.  ``typed`` is the command line
    itself.  Most commands take a fleet's folder, or its name and address, but not both: what is typed decides,
    then the stronger source, then whether there is a name.
    """
    said = [each for each in configuration.values.values() if each.source != "default" and each.setting.option]
    strength = {each.setting.key: SOURCES.index(each.source) for each in said}
    by_folder = (strength.get("fleet.folder", -1), 0)
    options = {each.partition("=")[0] for each in typed if each.startswith("--")}
    by_name = (max(strength.get(key, -1) for key in BY_NAME), int("fleet.name" in strength))
    if "--folder" in options:
        left_out: Names = (*BY_NAME, "fleet.folder")
    elif options & {"--name", "--address"} or by_name > (by_folder[0], 0):
        left_out = ("fleet.folder",)
    else:
        left_out = BY_NAME
    if MODEL_WITHOUT_SERVER.search(" ".join(typed)):
        said = [each for each in said if each.setting.key != "model.base_url"]
    return _defaults(said, commands, left_out, "")


def _defaults(said: list[Value], commands: Mapping[str, Any], left_out: Names, above: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in commands.items():
        path = f"{above} {name}".strip()
        if hasattr(command, "commands"):
            found[name] = _defaults(said, command.commands, left_out, path)
            continue
        options = {each.name for each in command.params if each.param_type_name == "option"}
        out = left_out if {"folder", "name"} <= options and path not in ALONE else ()
        mine = {
            each.setting.option: each.value
            for each in said
            if each.setting.option in options and each.setting.key not in out and each.setting.applies_to(path)
        }
        if path in WITH_PLACE and "folder" in mine:
            mine["place"] = mine.pop("folder")
        found[name] = mine
    return found
