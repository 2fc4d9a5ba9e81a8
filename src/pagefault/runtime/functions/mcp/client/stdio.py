"""The standard streams of an MCP server as a transport of the SDK, with a bound on all that the server may do to us.

The SDK's own reads a line of any length into memory, and as many as there are.  Here a line, what comes within a
while, and lines that are no messages are bounded; beyond that the connection ends, and says why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from subprocess import PIPE

import anyio
from anyio.abc import Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.os.posix.utilities import terminate_posix_process_tree
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

LINE_BYTES_MAX = 16 * 2**20
NOISE_LINES_MAX = 100
WINDOW_S = 10.0
WINDOW_BYTES_MAX = 128 * 2**20
WINDOW_MESSAGES_MAX = 20_000
COMPLAINT_BYTES = 2_000
EXIT_S = 1.0
_POLL_S = 0.01
Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


class Misbehaved(Exception):
    """A server goes beyond what is allowed; the text says how."""


@dataclass(slots=True)
class Pipe:
    """What is known of a server's process from outside: ``reason`` says why its connection ended, once it has;
    ``complaint`` is the end of what it wrote to its standard error."""

    reason: str = ""
    ended: anyio.Event = field(default_factory=anyio.Event)
    _complaint: deque[int] = field(default_factory=lambda: deque(maxlen=COMPLAINT_BYTES))

    @property
    def complaint(self) -> str:
        return bytes(self._complaint).decode(errors="replace")

    def end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.ended.set()

    def complain(self, written: bytes) -> None:
        self._complaint.extend(written)


@dataclass(slots=True)
class _Meter:
    """Counts what comes within a while."""

    since_s: float = 0.0
    count_bytes: int = 0
    messages: int = 0

    def add(self, count_bytes: int, messages: int) -> None:
        """Raise :class:`Misbehaved` when it is too much."""
        now_s = anyio.current_time()
        if now_s - self.since_s > WINDOW_S:
            self.since_s, self.count_bytes, self.messages = now_s, 0, 0
        self.count_bytes += count_bytes
        self.messages += messages
        if self.count_bytes > WINDOW_BYTES_MAX or self.messages > WINDOW_MESSAGES_MAX:
            raise Misbehaved(f"it floods: {self.messages} messages, {self.count_bytes} bytes in {WINDOW_S:.0f} s")

    @staticmethod
    def check_line(length: int) -> None:
        """Raise :class:`Misbehaved` for a line that is too long so far, in bytes."""
        if length > LINE_BYTES_MAX:
            raise Misbehaved(f"it wrote a line of more than {LINE_BYTES_MAX} bytes")


@asynccontextmanager
async def stdio_transport(
    command: Sequence[str], environment: Mapping[str, str], folder: str | None, pipe: Pipe
) -> AsyncIterator[Streams]:
    """Start a server in a session of its own, and end all of it in the end.

    Raises ``OSError`` when it cannot be started.
    """
    process = await anyio.open_process(
        list(command),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=get_default_environment() | dict(environment),
        cwd=folder,
        start_new_session=True,
    )
    to_session, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    sent, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    async with anyio.create_task_group() as group:
        group.start_soon(_read, process, to_session, pipe)
        group.start_soon(_write, process, from_session, pipe)
        group.start_soon(_read_complaints, process, pipe)
        try:
            yield received, sent
        finally:
            pipe.end("it was closed")
            with anyio.CancelScope(shield=True):
                received.close()
                sent.close()
                await _stop(process)
            group.cancel_scope.cancel()


async def _read(process: Process, to_session: MemoryObjectSendStream[SessionMessage | Exception], pipe: Pipe) -> None:
    assert process.stdout is not None
    meter, noise, buffer = _Meter(), 0, bytearray()
    async with to_session:
        try:
            async for chunk in process.stdout:
                searched = len(buffer)
                buffer += chunk
                meter.add(len(chunk), 0)
                while (end := buffer.find(b"\n", searched)) >= 0:
                    line, searched = bytes(buffer[:end]), 0
                    del buffer[: end + 1]
                    meter.add(0, 1)
                    noise = await _pass_on(line, to_session, noise)
                meter.check_line(len(buffer))
            pipe.end("its process has ended")
        except Misbehaved as error:
            pipe.end(str(error))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            pipe.end("its output was closed")


async def _pass_on(line: bytes, to_session: MemoryObjectSendStream[SessionMessage | Exception], noise: int) -> int:
    """Hand a message on; what is none is left out.  Returns how many such there have been."""
    if not line.strip():
        return noise
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except (ValueError, RecursionError):
        if noise >= NOISE_LINES_MAX:
            raise Misbehaved(f"it wrote more than {NOISE_LINES_MAX} lines that are no messages") from None
        return noise + 1
    await to_session.send(SessionMessage(message))
    return noise


async def _write(process: Process, from_session: MemoryObjectReceiveStream[SessionMessage], pipe: Pipe) -> None:
    assert process.stdin is not None
    try:
        async with from_session:
            async for each in from_session:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                await process.stdin.send(text.encode() + b"\n")
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        pipe.end("it does not read any more")


async def _read_complaints(process: Process, pipe: Pipe) -> None:
    assert process.stderr is not None
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        async for chunk in process.stderr:
            pipe.complain(chunk[-COMPLAINT_BYTES:])


async def _stop(process: Process) -> None:
    """As the protocol has it: close its input, wait a little, then end the whole session."""
    assert process.stdin is not None
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        await process.stdin.aclose()
    await _exited(process)
    await terminate_posix_process_tree(process, EXIT_S)
    await _exited(process)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                await stream.aclose()


async def _exited(process: Process) -> None:
    """Wait for the process itself, for a while."""
    with anyio.move_on_after(EXIT_S):
        while process.returncode is None:  # noqa: ASYNC110  Process.wait waits for pipes that others may hold open
            await anyio.sleep(_POLL_S)
