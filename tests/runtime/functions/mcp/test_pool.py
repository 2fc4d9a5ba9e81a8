"""MCP servers through agents: one from PyPI, and one that does what servers should not."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from pagefault.runtime.errors import ConfigError, StoreCorrupt, UnknownName
from pagefault.runtime.functions.mcp import McpServers, StdioServer, read_servers
from pagefault.runtime.functions.mcp.pool import FILE, decode, read_accepted
from pagefault.runtime.functions.mcp.tools import AcceptedTool
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.secrecy import forget_secrets
from pagefault.runtime.models.scripted import Act, Reply, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import ModelRequest
from tests.runtime.functions.mcp.faulty_server import server as FAULTY_SERVER  # noqa: N812  a constant of it

FAULTY = str(Path(__file__).with_name("faulty_server.py"))
SEEN: list[ModelRequest] = []


def obedient(request: ModelRequest) -> Reply:
    """Makes the call that the message has, ``NAME {arguments}``, and says what came of it."""
    SEEN.append(request)
    view = View(request)
    if view.result is not None:
        return say(view.result.text)
    assert view.incoming is not None
    name, _, arguments = view.incoming.text.partition(" ")
    return Act(name, json.dumps({**json.loads(arguments or "{}"), "request_heartbeat": True}))


MIND = f"scripted:{__name__}:obedient"


def faulty(*arguments: str, **settings: Any) -> dict[str, Any]:
    return {"command": [sys.executable, FAULTY, *arguments], "timeout_ms": 10_000, **settings}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    SEEN.clear()
    yield
    forget_secrets()


async def test_a_server_from_pypi_is_used_through_an_agent_and_replayed_without_it(tmp_path: Path) -> None:
    server = StdioServer(command=(sys.executable, "-m", "mcp_server_time", "--local-timezone", "UTC"))
    async with Local(tmp_path, embedder="hash", mcp={"time": server}) as fleet:
        ada = await fleet.spawn(Agent("ada", model=MIND, functions=("send_message", "mcp:time")))
        arguments = {"source_timezone": "Asia/Tokyo", "time": "12:30", "target_timezone": "UTC"}
        answer = await ada.ask(f"time__convert_time {json.dumps(arguments)}")
        assert "03:30:00+00:00" in answer
        assert "-9" in answer
        wrong = await ada.ask('time__get_current_time {"timezone": "Mars/Base"}')
        assert "time.get_current_time" in wrong
        assert "Mars/Base" in wrong
        before = (await ada.inspect()).digest
    async with Local(tmp_path, embedder="hash") as fleet:  # nothing is set up: what was accepted is in the folder
        assert (await fleet.agent("ada").inspect()).digest == before
        assert (await fleet.replay_run()).is_exact
        assert "not set up here" in await fleet.agent("ada").ask('time__get_current_time {"timezone": "UTC"}')


async def test_whatever_a_server_does_is_told_to_the_model_and_the_agent_goes_on(tmp_path: Path) -> None:
    settings = faulty(timeout_ms=1_500, env={"STATE": str(tmp_path / "state")})
    async with Local(tmp_path, embedder="hash", mcp={"odd": settings}) as fleet:
        functions = ("send_message", "mcp:odd")
        ada = await fleet.spawn(Agent("ada", model=MIND, functions=functions, context_tokens=16_384))
        assert await ada.ask('odd__echo {"text": "so", "times": 2}') == "so so"
        assert any("<data>so so</data>" in message.text for message in SEEN[-1].messages)
        assert "at most 9" in await ada.ask('odd__echo {"text": "so", "times": 10}')  # no server is asked for that
        place = {"place": {"city": "Oslo", "street": None}, "kind": "home", "tags": None}
        assert await ada.ask(f"odd__locate {json.dumps(place)}") == "Oslo/None/home/None"
        assert await ada.ask("odd__chatter") == "done"
        assert "no </data> such thing" in await ada.ask("odd__fail")
        assert any("no <\\/data> such thing</data>" in message.text for message in SEEN[-1].messages)
        assert "outcome unknown" in await ada.ask("odd__die")
        assert "its process has ended" in await ada.ask("odd__die_once")
        assert await ada.ask("odd__die_once") == "alive"
        assert "outcome unknown" in await ada.ask("odd__hang")
        assert "outcome unknown" in await ada.ask("odd__flood")
        assert await ada.ask('odd__echo {"text": "still here"}') == "still here"


def in_process(accepted: list[AcceptedTool], *arguments: str, **settings: Any) -> McpServers:
    return McpServers(read_servers({"odd": faulty(*arguments, **settings)}), accepted)


async def test_a_tool_that_has_changed_is_refused_until_it_is_accepted_again(tmp_path: Path) -> None:
    tools = ["echo", "fail"]
    async with Local(tmp_path, embedder="hash", mcp={"odd": faulty(tools=tools)}) as fleet:
        assert [tool.tool for tool in read_accepted(tmp_path)] == tools
        ada = await fleet.spawn(Agent("ada", model=MIND, functions=("send_message", "odd.echo", "odd__fail")))
        assert await ada.ask('odd__echo {"text": "so"}') == "so"
    async with Local(tmp_path, embedder="hash", mcp={"odd": faulty("changed", tools=tools)}) as fleet:
        refusal = await fleet.agent("ada").ask('odd__echo {"text": "so"}')
        assert "has changed since an operator accepted it" in refusal
        assert "no </data> such thing" in await fleet.agent("ada").ask("odd__fail")  # the others are as before
    servers = in_process([], "changed")
    assert [change.reference for change in await servers.accept("odd", ["echo"], tmp_path)] == ["odd.echo"]
    await servers.close()
    async with Local(tmp_path, embedder="hash", mcp={"odd": faulty("changed", tools=tools)}) as fleet:
        assert await fleet.agent("ada").ask('odd__echo {"text": "so"}') == "later so"


async def test_what_is_asked_for_and_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mcp\.odd\.tools: found 'paint', allowed: of chatter, die"):
        await in_process([], tools=["echo", "paint"]).open(tmp_path)
    nothing = McpServers(read_servers({"gone": {"command": ["/nonexistent/program"]}}))
    with pytest.raises(ConfigError, match=r"mcp\.gone: .* cannot be reached"):
        await nothing.open(tmp_path)
    silent = McpServers(read_servers({"cat": {"command": [sys.executable, "-c", "input()"], "connect_ms": 1000}}))
    with pytest.raises(ConfigError, match="cannot be reached"):
        await silent.open(tmp_path)
    async with Local(tmp_path / "fleet", embedder="hash") as fleet:
        with pytest.raises(UnknownName, match="no MCP server of this name is set up; there are: none"):
            await fleet.spawn(Agent("ada", model=MIND, functions=("mcp:files",)))
    assert not (tmp_path / FILE).exists()


def everything_in(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())


async def test_secrets_go_to_the_server_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN_TOKEN", "hush-hush-4711")
    monkeypatch.setenv("OTHER_TOKEN", "not-for-servers")
    settings = faulty(tools=["secret"], env_from=["GIVEN_TOKEN"])
    async with Local(tmp_path, embedder="hash", mcp={"odd": settings}) as fleet:
        ada = await fleet.spawn(Agent("ada", model=MIND, functions=("send_message", "mcp:odd")))
        assert await ada.ask("odd__secret") == "[secret] nothing"
    assert b"hush-hush-4711" not in everything_in(tmp_path)


def test_what_was_accepted_is_read_back_or_refused(tmp_path: Path) -> None:
    assert read_accepted(tmp_path) == []
    for text in ("{", "[]", '{"format": 2, "accepted": []}', '{"format": 1, "accepted": [{"tool": "x"}]}'):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(StoreCorrupt):
            read_accepted(tmp_path)
    assert decode("") == ({}, [])


@contextmanager
def over_http() -> Iterator[str]:
    """The faulty server's tools at an address of this machine, for whoever has the token."""

    def guarded(app: Any) -> Any:
        async def ask(scope: Any, receive: Any, send: Any) -> None:
            wanted = (b"authorization", b"Bearer hush-hush-4711")
            if scope["type"] == "http" and wanted not in scope["headers"]:
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            await app(scope, receive, send)

        return ask

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = uvicorn.Config(guarded(FAULTY_SERVER.streamable_http_app()), log_level="error", lifespan="on")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        running.should_exit = running.force_exit = True
        thread.join(10)
        listener.close()


async def test_a_server_over_http_needs_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_TOKEN", "hush-hush-4711")
    with over_http() as url:
        settings = {"url": url, "tools": ["echo", "fail"], "connect_ms": 10_000}
        async with Local(tmp_path, embedder="hash", mcp={"web": {**settings, "bearer_env": "WEB_TOKEN"}}) as fleet:
            ada = await fleet.spawn(Agent("ada", model=MIND, functions=("send_message", "mcp:web")))
            assert await ada.ask('web__echo {"text": "so"}') == "so"
            assert "no </data> such thing" in await ada.ask("web__fail")
        stranger = McpServers(read_servers({"web": settings}))
        with pytest.raises(ConfigError, match=r"mcp\.web: .* cannot be reached: Server returned an error"):
            await stranger.open(tmp_path / "elsewhere")
    assert b"hush-hush-4711" not in everything_in(tmp_path)
