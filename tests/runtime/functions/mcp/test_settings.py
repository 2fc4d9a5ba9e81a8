"""Servers as operators set them up: one clear error for each mistake."""

from __future__ import annotations

from typing import Any

import pytest

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.mcp.settings import HttpServer, StdioServer, read_servers, secrets_of


def test_tables_and_settings_are_read() -> None:
    tables: list[dict[str, Any]] = [
        {"name": "files", "command": ["server", "--x"]},
        {"name": "web", "url": "https://example.com/mcp"},
    ]
    servers = read_servers(tables)
    assert isinstance(servers["files"], StdioServer)
    assert isinstance(servers["web"], HttpServer)
    assert read_servers(servers) == servers


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"command": ["x"]}, r"mcp\[0\]\.name: found 'nothing'"),
        ({"name": "a b", "command": ["x"]}, r"mcp\.name: found 'a b'"),
        ({"name": "a__b", "command": ["x"]}, r"mcp\.name: found 'a__b'"),
        ({"name": "a"}, r"mcp\.a: .* either command .* or url"),
        ({"name": "a", "command": ["x"], "url": "http://x"}, r"mcp\.a: "),
        ({"name": "a", "command": []}, r"mcp\.a\.command"),
        ({"name": "a", "command": ["x"], "timeout_ms": 0}, r"mcp\.a\.timeout_ms: found 0"),
        ({"name": "a", "url": "file:///etc"}, r"mcp\.a\.url"),
        ({"name": "a", "command": ["x"], "tolls": []}, r"mcp\.a: found 'tolls', allowed: one of .*tools"),
        ({"name": "a", "command": ["x"], "effects": {"t": "twice"}}, r"mcp\.a\.effects\.t: found 'twice'"),
        ({"name": "a", "command": ["x"], "env_from": ["$X"]}, r"mcp\.a\.env_from\.0"),
    ],
)
def test_mistakes_are_named(table: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_servers([table])


def test_a_name_is_there_once() -> None:
    with pytest.raises(ConfigError, match="no other server has"):
        read_servers([{"name": "a", "command": ["x"]}, {"name": "a", "command": ["y"]}])


def test_secrets_are_known_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME", "from-the-environment")
    stdio = StdioServer(command=("x",), env={"A_KEY": "of-the-key", "HOME": "/home/x"}, env_from=("SOME",))
    http = HttpServer(url="https://x", headers={"X-Key": "of-the-header"}, bearer_env="SOME")
    assert set(secrets_of([stdio, http])) == {"of-the-key", "from-the-environment", "of-the-header"}
    assert "of-the" not in repr(stdio) + repr(http)
