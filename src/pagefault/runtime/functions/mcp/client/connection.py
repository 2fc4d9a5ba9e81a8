"""One connection to one MCP server: made when it is first needed, and again, with patience, after it was lost.

The SDK's client lives in a task of its own, because what it opens must be closed by the task that opened it; calls come
from others.  Nothing that a server does keeps a caller longer than its time limit: one that dies, hangs, floods or
answers garbage is a failed call, and after some of them a new connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
import structlog
from mcp import Client, MCPError
from mcp.client._transport import TransportStreams
from mcp.shared.exceptions import MCPError as ProtocolError
from mcp_types import (
    CONNECTION_CLOSED,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    Tool,
)
from pydantic import ValidationError

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.functions.definition import OutcomeUnknown
from pagefault.runtime.functions.mcp.client.http import http_transport
from pagefault.runtime.functions.mcp.client.results import text_of_result
from pagefault.runtime.functions.mcp.client.stdio import Pipe, stdio_transport
from pagefault.runtime.functions.mcp.settings import Server, StdioServer, variable
from pagefault.runtime.functions.mcp.tools import AcceptedTool, OfferedTool, one_line
from pagefault.runtime.values import Effect

log = structlog.get_logger(__name__)

TOOLS_MAX = 256
LIST_PAGES_MAX = 32
HANGS_MAX = 2
"""So many calls in a row that ran out of time, and the server is taken to hang."""
RELIST_S = 300.0
"""A listing older than this is asked for again before a call: not every server says that it has changed."""
WAIT_S_MAX = 5.0
CLOSE_S = 10.0
REASON_CHARS = 500
_LOST = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, httpx2.HTTPError, OSError)


class McpFailed(Exception):
    """A tool or its server failed; the model is told why."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait after the first failed connection, doubled with each further one up to ``max_s``."""

    first_s: float = 0.5
    max_s: float = 60.0

    def after(self, failures: int) -> float:
        return min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 30)) if failures else 0.0


@dataclass(slots=True)
class _Open:
    """A connection that stands.  ``offered`` is what the server listed ``listed_s`` ago."""

    client: Client
    pipe: Pipe
    offered: dict[str, OfferedTool]
    listed_s: float
    hangs: int = 0


class Connection:
    """The way to one server, for all agents of a process.  Used from one event loop."""

    def __init__(self, name: str, server: Server, *, patience: Patience = Patience()) -> None:
        self.name = name
        self._server = server
        self._patience = patience
        self._open: _Open | None = None
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._door = asyncio.Lock()
        self._failures = 0
        self._not_before_s = 0.0
        self._reason = ""

    async def offered(self) -> list[OfferedTool]:
        """What the server offers now.  Raises :class:`McpFailed`."""
        return list((await self._connected()).offered.values())

    async def call(self, tool: AcceptedTool, arguments: Mapping[str, Any]) -> str:
        """Call a tool and wait for its text.

        Raises :class:`McpFailed`, and :class:`~pagefault.runtime.functions.definition.OutcomeUnknown` when the
        call was sent, nothing came of it, and calling again might do it twice.
        """
        connection = await self._connected()
        self._check_definition(connection, tool)
        request = CallToolRequest(params=CallToolRequestParams(name=tool.tool, arguments=dict(arguments)))
        try:
            async with asyncio.timeout(tool.timeout_ms / 1000):
                # Not Client.call_tool: it checks results by schemas of the server's, whose patterns may take for ever.
                result = await connection.client.session.send_request(request, CallToolResult)
        except TimeoutError:
            connection.hangs += 1
            if connection.hangs >= HANGS_MAX:
                await self._lose(connection, f"{connection.hangs} calls in a row ran out of time")
            raise self._undone(tool, f"{tool.reference} did not answer within {tool.timeout_ms} ms") from None
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                connection.hangs, self._failures = 0, 0
                raise McpFailed(f"{tool.reference}: {one_line(str(error), REASON_CHARS)}") from None
            await self._lose(connection, connection.pipe.reason or "the connection was closed")
            raise self._undone(tool, f"{tool.reference}: {self._reason}") from None
        except _LOST as error:
            await self._lose(connection, connection.pipe.reason or type(error).__name__)
            raise self._undone(tool, f"{tool.reference}: {self._reason}") from None
        except (ValidationError, RuntimeError, ValueError) as error:
            raise self._undone(
                tool, f"{tool.reference}: its answer is not what the protocol allows ({type(error).__name__})"
            ) from None
        connection.hangs, self._failures = 0, 0
        text = text_of_result(result)
        if result.is_error:
            raise McpFailed(f"{tool.reference}: {text}")
        return text

    async def close(self) -> None:
        """End the connection, and the server if it is a program of ours."""
        async with self._door:
            await self._end()

    # --- its life

    async def _connected(self) -> _Open:
        async with self._door:
            if self._open is not None and self._open.pipe.ended.is_set():
                await self._end()
                self._failed(self._reason or "the connection was lost")
            if self._open is None:
                await self._wait_for_turn()
                self._open = await self._begin()
            elif time.monotonic() - self._open.listed_s > RELIST_S:
                await self._list_again(self._open)
            return self._open

    async def _wait_for_turn(self) -> None:
        wait_s = self._not_before_s - time.monotonic()
        if wait_s > min(WAIT_S_MAX, self._server.connect_ms / 1000):
            raise McpFailed(f"the MCP server {self.name} is down ({self._reason}); it is tried again in {wait_s:.0f} s")
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _begin(self) -> _Open:
        ready: asyncio.Future[_Open] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        pipe = Pipe()
        self._task = asyncio.create_task(self._live(pipe, ready, self._stop), name=f"mcp-{self.name}")
        try:
            async with asyncio.timeout(self._server.connect_ms / 1000):
                return await ready
        except TimeoutError:
            problem = pipe.reason or f"it did not say what it offers within {self._server.connect_ms} ms"
        except ConfigError:
            await self._end()
            raise
        except (ProtocolError, *_LOST, ValidationError, RuntimeError, ValueError) as error:
            problem = pipe.reason or one_line(f"{type(error).__name__}: {error}", REASON_CHARS)
        except asyncio.CancelledError:
            await self._end()
            raise
        await self._end()
        if pipe.complaint.strip():
            log.warning("mcp_server_complained", server=self.name, text=one_line(pipe.complaint, REASON_CHARS))
        self._failed(problem)
        raise McpFailed(f"the MCP server {self.name} cannot be reached: {problem}")

    async def _live(self, pipe: Pipe, ready: asyncio.Future[_Open], stop: asyncio.Event) -> None:
        try:
            client = Client(
                self._transport(pipe),
                read_timeout_seconds=None,
                client_info=Implementation(name="pagefault", version="0"),
                cache=None,
            )
            async with client:
                offered = await self._list(client)
                if not ready.done():
                    ready.set_result(_Open(client, pipe, offered, time.monotonic()))
                await stop.wait()
        except BaseException as error:  # whatever it was, a group of them or a cancellation: whoever waits is told
            pipe.end(one_line(str(_first(error)), REASON_CHARS))
            if not ready.done():
                ready.set_exception(_first(error))
            if not isinstance(error, Exception):
                raise
            log.info("mcp_connection_ended", server=self.name, problem=one_line(str(_first(error)), REASON_CHARS))
        finally:
            pipe.end("its connection has ended")

    def _transport(self, pipe: Pipe) -> contextlib.AbstractAsyncContextManager[TransportStreams]:
        server = self._server
        if isinstance(server, StdioServer):
            passed = {name: variable(self.name, "env_from", name) for name in server.env_from}
            return stdio_transport(server.command, {**server.env, **passed}, server.folder, pipe)
        headers = dict(server.headers)
        if server.bearer_env is not None:
            headers["Authorization"] = f"Bearer {variable(self.name, 'bearer_env', server.bearer_env)}"
        return _as_is(http_transport(server.url, headers, server.connect_ms / 1000))

    async def _list(self, client: Client) -> dict[str, OfferedTool]:
        offered: dict[str, OfferedTool] = {}
        cursor: str | None = None
        for _ in range(LIST_PAGES_MAX):
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools:
                offered.setdefault(tool.name, _as_offered(tool))
                if len(offered) > TOOLS_MAX:
                    raise ValueError(f"it has more than {TOOLS_MAX} tools")
            cursor = page.next_cursor
            if cursor is None:
                break
        return offered

    async def _list_again(self, connection: _Open) -> None:
        try:
            async with asyncio.timeout(self._server.connect_ms / 1000):
                connection.offered = await self._list(connection.client)
        except (TimeoutError, ProtocolError, *_LOST, ValidationError, RuntimeError, ValueError) as error:
            await self._end()
            self._failed(f"it does not list its tools any more ({type(error).__name__})")
            raise McpFailed(f"the MCP server {self.name}: {self._reason}") from None
        connection.listed_s = time.monotonic()

    def _check_definition(self, connection: _Open, tool: AcceptedTool) -> None:
        offered = connection.offered.get(tool.tool)
        if offered is None:
            raise McpFailed(f"the MCP server {self.name} has no tool {tool.tool} any more")
        if offered.digest != tool.digest:
            log.warning("mcp_tool_changed", server=self.name, tool=tool.tool, accepted=tool.digest, now=offered.digest)
            raise McpFailed(
                f"the definition of {tool.reference} has changed since an operator accepted it; it is not called until "
                "the new one is accepted"
            )

    def _undone(self, tool: AcceptedTool, why: str) -> Exception:
        if tool.effect == Effect.ONCE:
            return OutcomeUnknown(f"{why}; whether it has happened is not known")
        return McpFailed(why)

    async def _lose(self, connection: _Open, reason: str) -> None:
        """A call found the connection of no use; whoever comes next makes a new one."""
        async with self._door:
            if self._open is connection:
                await self._end()
                self._failed(reason)

    def _failed(self, reason: str) -> None:
        self._failures += 1
        self._reason = reason
        self._not_before_s = time.monotonic() + self._patience.after(self._failures)
        log.warning("mcp_server_lost", server=self.name, problem=reason, failures=self._failures)

    async def _end(self) -> None:
        task, self._task, self._open = self._task, None, None
        if task is None:
            return
        self._stop.set()
        done, _ = await asyncio.wait([task], timeout=CLOSE_S)
        if not done:
            task.cancel()
            await asyncio.wait([task], timeout=CLOSE_S)


@contextlib.asynccontextmanager
async def _as_is(
    transport: contextlib.AbstractAsyncContextManager[TransportStreams],
) -> AsyncIterator[TransportStreams]:
    async with transport as streams:
        yield streams


def _as_offered(tool: Tool) -> OfferedTool:
    hints = tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else {}
    if tool.title is not None:
        hints["title"] = tool.title
    return OfferedTool(tool.name, tool.description or "", tool.input_schema, hints)


def _first(error: BaseException) -> BaseException:
    """What is inside of the groups that tasks wrap errors in."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error
