"""A fleet that was lived in, its page on a real port, and a client that speaks HTTP to it."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Self

import httpx2
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from pagefault.cluster.console.web.fleets import OwnFleet
from pagefault.cluster.console.web.serving import Address, PageServer
from pagefault.runtime.host.local import Local
from tests.cluster.console.lived import HOSTILE, chronicle, live

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium here; on Debian: apt install chromium"
)
NAME = f"eve {HOSTILE[:60]}"
"""A name that would do harm wherever it is not shown as text."""


@asynccontextmanager
async def serving(fleet: Local, address: Address | None = None, lab: Path | None = None) -> AsyncIterator[PageServer]:
    """The page of a fleet, on a port that was free."""
    server = PageServer(OwnFleet(fleet, "a test"), address or Address(port=0), lab=lab, interval_s=0.2)
    task = asyncio.create_task(server.run_here())
    while not server.started:  # noqa: ASYNC110 - uvicorn says it by a flag alone
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def client_of(server: PageServer, **fields: object) -> AsyncIterator[httpx2.AsyncClient]:
    base = server.url.partition("?")[0]
    async with httpx2.AsyncClient(base_url=base, timeout=20, trust_env=False, **fields) as client:  # type: ignore[arg-type]  # whatever a test wants of it
        yield client


class Page:
    """A fleet with its page in a thread of its own, for browsers that are driven from this one."""

    def __init__(self, fleet: AbstractAsyncContextManager[Local], address: Address) -> None:
        self._opened = fleet
        self._address = address
        self._ready = threading.Event()
        self._over: asyncio.Event | None = None
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="page")
        self.url = ""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.fleet: Local | None = None

    async def _live(self) -> None:
        self._over, self.loop = asyncio.Event(), asyncio.get_running_loop()
        try:
            async with self._opened as self.fleet, serving(self.fleet, self._address) as server:
                self.url = server.url
                self._ready.set()
                await self._over.wait()
        except BaseException as problem:  # told to the thread that waits for it
            self._problem = problem
            raise
        finally:
            self._ready.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(60)
        if self._problem is not None:
            raise self._problem
        return self

    def __exit__(self, *_: object) -> None:
        if self.loop is not None and self._over is not None:
            self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)


@asynccontextmanager
async def _lived_in() -> AsyncIterator[Local]:
    async with Local(embedder="hash") as fleet:
        for name in ("ada", NAME):
            await live(fleet, name)
        await fleet.spawn_many(chronicle(f"villager-{number:02}") for number in range(30))
        yield fleet


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with Page(_lived_in(), Address(port=0, may_control=True)) as page:
        yield page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=20_000)  # a machine may be busy; what holds holds at once
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are kept: the folder that ``PAGEFAULT_SCREENSHOTS`` names, else one of pytest's."""
    named = os.environ.get("PAGEFAULT_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
