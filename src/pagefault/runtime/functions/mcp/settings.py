"""MCP servers as an operator sets them up: in a program, or as ``[[mcp]]`` tables of a TOML file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pagefault.runtime.errors import ConfigError

SERVERS_MAX = 32
_NAME = re.compile(r"(?!.*__)[a-zA-Z0-9][a-zA-Z0-9_-]{0,23}")
_SECRET_NAMES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Server(BaseModel):
    """What every server may be told.

    ``tools`` are those that agents may be given; empty means all that the server has when it is first connected to.
    ``requires_approval``: an operator has to agree to each call, of all tools or of those named.  ``effects`` says,
    by tool, what running it twice would do, where the server's own hint is not to be relied on.  ``capabilities``
    are those of its tools besides ``sees_untrusted``, which all have.  A call may take ``timeout_ms``, a connection
    ``connect_ms`` until the server has said what it offers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tools: tuple[str, ...] = ()
    requires_approval: bool | tuple[str, ...] = False
    effects: Mapping[str, Literal["once", "idempotent", "pure"]] = Field(default_factory=dict)
    capabilities: tuple[Literal["reads_private", "sends_out"], ...] = ("sends_out",)
    timeout_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 30_000
    connect_ms: Annotated[int, Field(ge=1, le=600_000)] = 20_000

    def needs_approval(self, tool: str) -> bool:
        return self.requires_approval if isinstance(self.requires_approval, bool) else tool in self.requires_approval


class StdioServer(_Server):
    """A program that speaks MCP over its standard streams; each process that has agents runs one.

    ``command`` is the program with its arguments; no shell reads it.  It is given ``HOME``, ``PATH``, ``USER`` and
    the like, ``env``, and the variables that ``env_from`` names: that is where secrets belong.  It runs in ``folder``.
    """

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    env_from: tuple[_Variable, ...] = ()
    folder: str | None = None


class HttpServer(_Server):
    """A server of streamable HTTP.  ``bearer_env`` names the variable that has its token."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    headers: Mapping[str, str] = Field(default_factory=dict, repr=False)
    bearer_env: _Variable | None = None


Server = StdioServer | HttpServer


def read_servers(given: Mapping[str, Server | Mapping[str, Any]] | Iterable[Mapping[str, Any]]) -> dict[str, Server]:
    """Servers by name, from settings, tables, or a list of tables with a ``name`` each.

    Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """
    pairs: list[tuple[Any, Any]] = []
    if isinstance(given, Mapping):
        pairs.extend(given.items())
    else:
        for number, table in enumerate(given):
            if "name" not in table:
                raise ConfigError(f"mcp[{number}].name", "nothing", "the name that its functions begin with")
            pairs.append((table["name"], {key: value for key, value in table.items() if key != "name"}))
    servers: dict[str, Server] = {}
    for name, settings in pairs:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError("mcp.name", name, "1 to 24 letters, digits, '-' and '_', without two '_' together")
        if name in servers:
            raise ConfigError("mcp.name", name, "a name that no other server has")
        servers[name] = _read(name, settings)
    if len(servers) > SERVERS_MAX:
        raise ConfigError("mcp", f"{len(servers)} servers", f"at most {SERVERS_MAX}")
    return servers


def _read(name: str, settings: object) -> Server:
    if isinstance(settings, StdioServer | HttpServer):
        return settings
    if not isinstance(settings, Mapping):
        raise ConfigError(f"mcp.{name}", settings, "StdioServer, HttpServer, or a table")
    if ("command" in settings) == ("url" in settings):
        raise ConfigError(f"mcp.{name}", sorted(settings), "either command (a program) or url (streamable HTTP)")
    kind = StdioServer if "command" in settings else HttpServer
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(map(str, (f"mcp.{name}", *problem["loc"])))
        if problem["type"] == "extra_forbidden":
            known = f"one of {', '.join(sorted(kind.model_fields))}"
            raise ConfigError(f"mcp.{name}", problem["loc"][-1], known) from None
        raise ConfigError(field, problem["input"], problem["msg"][0].lower() + problem["msg"][1:]) from None


def variable(server: str, field: str, name: str) -> str:
    """What is in an environment variable of this process.  Raises :class:`~pagefault.runtime.errors.ConfigError`."""
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"mcp.{server}.{field}", name, "the name of an environment variable that has a value")
    return value


def secrets_of(servers: Iterable[Server]) -> tuple[str, ...]:
    """What of the settings nobody may read: headers, tokens, and variables that are named like secrets."""
    found: list[str] = []
    for server in servers:
        if isinstance(server, HttpServer):
            found += server.headers.values()
            found += [os.environ.get(server.bearer_env, "")] if server.bearer_env else []
        else:
            found += [value for name, value in server.env.items() if name.upper().endswith(_SECRET_NAMES)]
            found += [os.environ.get(name, "") for name in server.env_from]
    return tuple(each for each in found if each)
