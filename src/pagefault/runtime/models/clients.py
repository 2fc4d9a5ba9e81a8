"""One HTTP client for each server and key in a process, however many agents use it.

Clients belong to an event loop, because their connections do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import httpx2
import openai

CONNECT_SECONDS = 10.0


class BodyTooLarge(Exception):
    """A response's body went over the limit; it was not read further."""


class _Capped(httpx2.AsyncByteStream):
    """A response's bytes, as far as the limit."""

    def __init__(self, stream: httpx2.AsyncByteStream, bytes_max: int) -> None:
        self._stream = stream
        self._bytes_max = bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for piece in self._stream:
            received += len(piece)
            if received > self._bytes_max:
                raise BodyTooLarge(f"the answer is larger than {self._bytes_max} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


@dataclass(slots=True)
class _Shared:
    client: openai.AsyncOpenAI
    users: int = 0


_Key = tuple[str, str, int]
_CLIENTS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _Shared]] = WeakKeyDictionary()


class ClientHandle:
    """A claim on a shared client of the running loop; the last one to close closes the client."""

    def __init__(self, base_url: str, api_key: str, body_bytes_max: int) -> None:
        self._key = (base_url, api_key, body_bytes_max)
        self._loop: asyncio.AbstractEventLoop | None = None

    def client(self) -> openai.AsyncOpenAI:
        """The client, made when first asked for on this loop."""
        loop = asyncio.get_running_loop()
        shared = _CLIENTS.setdefault(loop, {})
        if self._loop is not loop:
            self._loop = loop
            shared.setdefault(self._key, _Shared(_make_client(*self._key))).users += 1
        return shared[self._key].client

    async def close(self) -> None:
        """Give the claim back."""
        loop, self._loop = self._loop, None
        shared = _CLIENTS.get(loop, {}) if loop is not None else {}
        if self._key not in shared:
            return
        shared[self._key].users -= 1
        if shared[self._key].users == 0:
            client = shared.pop(self._key).client
            if loop is asyncio.get_running_loop():
                await client.close()


def _make_client(base_url: str, api_key: str, body_bytes_max: int) -> openai.AsyncOpenAI:
    async def cap(response: httpx2.Response) -> None:
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Capped(response.stream, body_bytes_max)

    return openai.AsyncOpenAI(
        api_key=api_key,
        base_url=base_url,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(base_url=base_url, event_hooks={"response": [cap]}),
        # A compressed body could unpack to any size after it was counted.
        default_headers={"Accept-Encoding": "identity"},
    )
