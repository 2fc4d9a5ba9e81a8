"""What it costs to look: an agent of 10,000 steps inspected, 5,000 agents drawn, a fleet that counts and is watched.

``python -m benchmarks.console [--quick]``.  Frames are measured in Chromium, by the page itself: how long the painting
of all cells takes in the script; without Chromium or playwright that figure is left out.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks._report import Options, read_options, report
from pagefault.cluster.console.views.look import look
from pagefault.cluster.console.web.fleets import OwnFleet
from pagefault.cluster.console.web.serving import Address, PageServer
from pagefault.runtime.host.collector import tune_collector
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.telemetry.meters import exposition
from pagefault.runtime.models.scripted import Reply, mind, nothing
from pagefault.runtime.values import ModelRequest

STEPS = 10_000
AGENTS = 5_000
LOOKS = 20
AT_ONCE = 200
FILL_WORDS = 80
"""At most so often an agent is wished a good morning at first."""
FRAME_CHANGES_S = 4.0
SCRAPE_S = 2.0
"""Prometheus asks every 15 seconds unless it is told otherwise; this is the harder case."""
WATCHER = "import sys, urllib.request as r; told = r.urlopen(sys.argv[1])\nwhile told.read1(65536): pass"


@mind("benchmark-listener")
def listener(_: ModelRequest) -> Reply:
    """Hears, and says nothing: a step is as short as it can be, so whatever disturbs it shows."""
    return nothing()


def _listener(name: str) -> Agent:
    return Agent(name, model="scripted:benchmark-listener", functions=("send_message",), context_tokens=2048)


@asynccontextmanager
async def _served(fleet: Local) -> AsyncIterator[PageServer]:
    server = PageServer(OwnFleet(fleet, "benchmark"), Address(port=0))
    task = asyncio.create_task(server.run_here())
    while not server.started:  # noqa: ASYNC110 - uvicorn says it by a flag alone
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        await task


async def _inspect_ms(seed: int) -> float:
    """The median of looks at steps all over a long life, the last one among them."""
    async with Local(embedder="hash", durability="exit") as fleet:
        agent = await fleet.spawn(_listener("elder"))
        for first in range(0, STEPS, AT_ONCE):
            heard = (f"Day {number}: rain, {seed}." for number in range(first, first + AT_ONCE))
            await asyncio.gather(*(agent.send(text) for text in heard))
            await fleet.idle()
        taken = [await _look_ms(fleet, step) for step in range(STEPS // LOOKS, STEPS + 1, STEPS // LOOKS)]
    return statistics.median(taken)


async def _look_ms(fleet: Local, step: int) -> float:
    began_s = time.perf_counter()
    await look(fleet, "elder", step)
    return (time.perf_counter() - began_s) * 1000


async def _throughput(fleet: Local, names: list[str], seconds: float) -> float:
    """Messages that were handled to the end, for each second of this process's own time: what else runs on the
    machine does not count, and what the page's server takes does."""
    began_s, began_cpu_s, handled = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began_s < seconds:
        chosen = [names[(handled + number) % len(names)] for number in range(AT_ONCE)]
        await asyncio.gather(*(fleet.ask(name, f"message {handled}") for name in chosen))
        handled += AT_ONCE
    await fleet.idle()
    await fleet.host.pages.drain()  # what it leaves behind would be the next one's burden
    return handled / (time.process_time() - began_cpu_s)


@asynccontextmanager
async def _watched(fleet: Local, server: PageServer) -> AsyncIterator[None]:
    """A browser's connection from another process, as what a browser does with it is not the fleet's work; and
    Prometheus, who reads all metrics every now and then.  Entered when the browser has been told everything once."""
    surveys = server.feed.surveys
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WATCHER, f"{server.url}api/events")
    while server.feed.surveys == surveys:  # noqa: ASYNC110 - a count is all there is
        await asyncio.sleep(0.05)
    scraping = asyncio.create_task(_scrape(fleet))
    try:
        yield
    finally:
        scraping.cancel()
        process.kill()
        await process.wait()


async def _scrape(fleet: Local) -> None:
    while True:
        exposition(await fleet.metrics())
        await asyncio.sleep(SCRAPE_S)


async def _overhead(fleet: Local, names: list[str], rounds: int, slice_s: float) -> float:
    """By how much a fleet that counts and is watched does less than one that does neither, in percent.

    A round is alone, watched, watched, alone: a machine that becomes slower or faster meanwhile is as slow for both.
    The median of rounds; of few rounds, as with ``--quick``, it may be off by ten.
    """
    shares: list[float] = []
    async with Local(embedder="hash", durability="exit", metrics=False) as bare, _served(fleet) as server:
        await _wake(bare, names)
        for _ in range(rounds):
            alone = await _throughput(bare, names, slice_s)
            async with _watched(fleet, server):
                watched = [await _throughput(fleet, names, slice_s) for _ in range(2)]
            alone += await _throughput(bare, names, slice_s)
            shares.append(sum(watched) / alone)
    return 100 * (1 - statistics.median(shares))


async def _wake(fleet: Local, names: list[str]) -> None:
    """Have all of them awake, before anything is measured, and their contexts as full as chance has it: of agents
    that are all equally full, all would flush in the same seconds, and none in those after them."""
    await fleet.spawn_many(map(_listener, names))
    chance = random.Random(len(names))
    for first in range(0, len(names), AT_ONCE):
        greetings = {name: "good morning " * chance.randrange(1, FILL_WORDS) for name in names[first : first + AT_ONCE]}
        await asyncio.gather(*(fleet.ask(name, greeting) for name, greeting in greetings.items()))


async def _frame_ms(fleet: Local, names: list[str]) -> float | None:
    """The median of the frames in which the page painted all agents while some of them worked."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.async_api import async_playwright  # noqa: PLC0415 - only where tests can run, too
    except ImportError:
        return None
    if chromium is None:
        return None
    async with _served(fleet) as server, async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.goto(server.url)
        await page.wait_for_selector("tbody tr", timeout=60_000)
        await _throughput(fleet, names[:AT_ONCE], FRAME_CHANGES_S)
        found = await page.locator("canvas.cells").get_attribute("data-frame-ms")
        await browser.close()
    return None if found is None else float(found)


async def measure(options: Options) -> dict[str, Any]:
    """The three figures; ``None`` for frames where no browser can be had."""
    tune_collector()  # as every run of agents does
    inspect_ms = await _inspect_ms(options.seed)
    names = [f"listener-{number:04}" for number in range(AGENTS)]
    async with Local(embedder="hash", durability="exit") as fleet:
        await _wake(fleet, names)
        overhead = await _overhead(fleet, names, 3 if options.quick else 16, 0.8 if options.quick else 3.0)
        frame_ms = await _frame_ms(fleet, names)
    return {
        "inspect_ms_p50_10k_steps": round(inspect_ms, 1),
        "ui_frame_ms_p50_5000_agents": frame_ms,
        "overhead_percent": round(overhead, 2),
    }


def main() -> None:
    """The command line."""
    options = read_options("console", "What looking at agents and fleets costs.")
    results = asyncio.run(measure(options))
    frame_ms = results["ui_frame_ms_p50_5000_agents"]
    rows = [
        ("inspect", f"{results['inspect_ms_p50_10k_steps']:.0f} ms", "a step of an agent with 10,000, rebuilt: median"),
        ("frame", "no browser" if frame_ms is None else f"{frame_ms:.1f} ms", "painting 5,000 cells: median"),
        (
            "overhead",
            f"{results['overhead_percent']:.1f} %",
            "throughput lost to metrics and a page that is watched: median",
        ),
    ]
    report("console", options, results, rows, ["starlette", "uvicorn", "playwright"])


if __name__ == "__main__":
    main()
