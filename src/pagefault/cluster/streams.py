"""Steps of agents in other processes, read again and again and put into one stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from pagefault.cluster import _ray
from pagefault.cluster.router import LOST, ClusterRouter
from pagefault.cluster.wire import unpack
from pagefault.runtime.errors import PagefaultError
from pagefault.runtime.host.listeners import STEPS_WAITING_MAX, WORDS
from pagefault.runtime.host.records import Step
from pagefault.runtime.values import AgentId

READ_WAIT_S = 0.5
MOVED_PAUSE_S = 0.05


async def read_agent(
    router: ClusterRouter, agent: AgentId, is_open: Callable[[], bool], *, words: bool = False
) -> AsyncGenerator[Step, None]:
    """Steps of one agent until the fleet stops; when it moves, or its host is lost, from the next one on."""
    while is_open():
        host = await router.locate(agent)
        try:
            async for step in _read(await router.started(host), agent, words):
                yield step
            router.forget(agent)  # it has left that host, or the host ends
            await asyncio.sleep(MOVED_PAUSE_S)
        except LOST:
            if is_open():
                await router.lost(host)


async def read_all(
    router: ClusterRouter,
    hosts: Callable[[], Awaitable[dict[str, list[str]]]],
    is_open: Callable[[], bool],
    *,
    words: bool = False,
) -> AsyncGenerator[Step, None]:
    """Steps of all agents until the fleet stops, also of those on hosts that are started later."""
    queue: asyncio.Queue[Step] = asyncio.Queue(STEPS_WAITING_MAX)
    readers: dict[str, asyncio.Task[None]] = {}
    try:
        while is_open():
            try:
                names = list(await hosts())
            except (PagefaultError, *_ray.ActorLost):
                return  # the fleet stopped meanwhile
            for name in names:
                if name not in readers:
                    readers[name] = asyncio.create_task(_gather(router, name, queue, words))
            try:
                async with asyncio.timeout(READ_WAIT_S):
                    step = await queue.get()
            except TimeoutError:
                continue
            yield step
            while not queue.empty():
                yield queue.get_nowait()
    finally:
        for reader in readers.values():
            reader.cancel()
        await asyncio.gather(*readers.values(), return_exceptions=True)


async def _gather(router: ClusterRouter, host: str, queue: asyncio.Queue[Step], words: bool) -> None:
    try:
        async for step in _read(await router.started(host), "", words):
            await queue.put(step)
    except (PagefaultError, *LOST):
        return  # that host is gone; its agents will be on another one


async def _read(handle: _ray.Handle, agent: str, words: bool) -> AsyncGenerator[Step, None]:
    number = await _ray.call(handle, "open_stream", agent, WORDS if words else "")
    try:
        while True:
            steps, is_over = unpack(await _ray.call(handle, "read_stream", number, READ_WAIT_S))
            for step in steps:
                yield step
            if is_over:
                return
    finally:
        with contextlib.suppress(*_ray.ActorLost):  # it was closed with its host
            await _ray.call(handle, "close_stream", number)
