"""A million pages of ten thousand agents in one archive: writing them, and finding an agent's own among all of them.

Pages are written round robin, as a fleet does; then agents search their own by dense and sparse vectors together, with
words of one of their pages.  Beside it qdrant-client's local mode, which many projects use for want of a server, holds
as many pages as it says it is made for (20,000), and is asked the same way by the same code.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks._report import Options, read_options, report
from benchmarks._texts import message
from pagefault.cluster.console.show import RunProgress
from pagefault.runtime.host.collector import tune_collector
from pagefault.runtime.host.memory import resident_bytes
from pagefault.runtime.store.archive import PointArchive
from pagefault.runtime.store.edge import EdgeArchive
from pagefault.runtime.store.embed import make_embedder
from pagefault.runtime.store.protocols import Embedder, StoredPage
from pagefault.runtime.store.server import ServerArchive
from pagefault.runtime.values import AgentId, ArchiveQuery, Page, PageId, PageKind

FULL = (1_000_000, 10_000)
QUICK = (50_000, 500)
LOCAL_PAGES = 20_000
BATCH = 1_000
QUERIES = 1_000
LOCAL_PAGES_QUICK = 5_000
LOCAL_QUERIES = 5
TENANT = "benchmark"
AIM_MS = 10.0


def pages(count: int, agents: int, seed: int) -> Iterator[StoredPage]:
    """Pages of all agents in turn; the text of page ``n`` follows from the seed and ``n``."""
    for number in range(count):
        text = text_of(seed, number)
        page = Page(
            id=PageId(f"p{number // agents}"),
            kind=PageKind.MESSAGE,
            text=text,
            tokens=len(text) // 4,
            created_ms=1_700_000_000_000 + number,
            ordinal=number // agents,
        )
        yield StoredPage(TENANT, agent_of(number, agents), page, 0)


def text_of(seed: int, number: int) -> str:
    """About 30 tokens."""
    return message(random.Random(f"{seed}/{number}"), 2)


def agent_of(number: int, agents: int) -> AgentId:
    """Who has page ``number``."""
    return AgentId(f"agent-{number % agents:05d}")


def fill(archive: PointArchive, count: int, agents: int, seed: int, title: str) -> float:
    """Write all pages; returns the pages a second, with what makes them searchable fast."""
    batch: list[StoredPage] = []
    spent_s = 0.0
    with RunProgress(Console(stderr=True)) as progress:
        progress.begin(title, count)
        for stored in pages(count, agents, seed):
            batch.append(stored)
            if len(batch) == BATCH:
                spent_s += _timed(archive, batch)
                progress.advance(BATCH)
                batch = []
        spent_s += _timed(archive, batch)
    began = time.perf_counter()
    archive.flush()
    archive.optimize()
    return count / (spent_s + time.perf_counter() - began)


def _timed(archive: PointArchive, batch: list[StoredPage]) -> float:
    if not batch:
        return 0.0
    began = time.perf_counter()
    archive.upsert(batch)
    return time.perf_counter() - began


def search(archive: PointArchive, count: int, agents: int, seed: int, queries: int) -> tuple[list[float], float]:
    """Milliseconds of each query, and how often the page that was meant is among the ten found."""
    chance = random.Random(f"{seed}/queries")
    took_ms, found = [], 0
    for _ in range(queries):
        number = chance.randrange(count)
        words = text_of(seed, number).split()
        query = ArchiveQuery(" ".join(words[: len(words) // 2]), spaces=("recall",), limit=10)
        began = time.perf_counter()
        results = archive.search(TENANT, agent_of(number, agents), query)
        took_ms.append((time.perf_counter() - began) * 1000)
        found += any(each.stored.page.id == f"p{number // agents}" for each in results.found)
    return sorted(took_ms), found / queries


def measure(seed: int, count: int, agents: int, local_pages: int = LOCAL_PAGES) -> dict[str, Any]:
    """The embedded archive at full size, and local mode at what it is made for."""
    embedder = make_embedder("wordllama")
    with tempfile.TemporaryDirectory(prefix="pagefault-archive-") as folder:
        before = resident_bytes()
        archive = EdgeArchive(Path(folder) / "archive", embedder)
        try:
            upserts_per_s = fill(archive, count, agents, seed, "writing pages")
            search(archive, count, agents, seed + 1, 50)  # caches of the machine
            took_ms, recalled = search(archive, count, agents, seed, QUERIES)
            resident = resident_bytes()
            disk = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        finally:
            archive.close()
    local_ms = measure_local(seed, local_pages, agents, embedder)
    return {
        "pages": count,
        "agents": agents,
        "query_ms_p50": round(statistics.median(took_ms), 3),
        "query_ms_p99": round(took_ms[int(0.99 * len(took_ms))], 3),
        "recalled": round(recalled, 4),
        "upserts_per_s": round(upserts_per_s),
        "local_mode_ms_p50": round(statistics.median(local_ms), 3),
        "local_mode_pages": local_pages,
        "ratio_local": round(statistics.median(local_ms) / statistics.median(took_ms), 1),
        "rss_gib": round(resident / 2**30, 3),
        "rss_gib_before": round(before / 2**30, 3),
        "disk_gib": round(disk / 2**30, 3),
    }


def measure_local(seed: int, count: int, agents: int, embedder: Embedder) -> list[float]:
    """The same queries to qdrant-client's local mode."""
    archive = ServerArchive(":memory:", embedder)
    try:
        fill(archive, count, agents, seed, "writing pages into local mode")
        took_ms, _ = search(archive, count, agents, seed, LOCAL_QUERIES)
    finally:
        archive.close()
    return took_ms


def run(options: Options) -> dict[str, Any]:
    """The size that the options ask for."""
    return measure(options.seed, *QUICK, LOCAL_PAGES_QUICK) if options.quick else measure(options.seed, *FULL)


def main() -> None:
    """Measure and print the table."""
    options = read_options("archive", "Searches of agents' own pages in an archive of very many.")
    tune_collector()
    found = run(options)
    rows = [
        ("pages", f"{found['pages']:,}", f"of {found['agents']:,} agents; {found['disk_gib']} GiB on disk"),
        ("upserts a second", f"{found['upserts_per_s']:,}", "embedding, writing, indexing"),
        ("query p50, p99", f"{found['query_ms_p50']} and {found['query_ms_p99']} ms", f"aim: p99 {AIM_MS:.0f} ms"),
        ("found", f"{found['recalled']:.1%}", "of pages by half of their words, among 10"),
        (
            "local mode p50",
            f"{found['local_mode_ms_p50']} ms",
            f"with {found['local_mode_pages']:,} pages: {found['ratio_local']} times as long",
        ),
        ("resident", f"{found['rss_gib']} GiB", f"{found['rss_gib_before']} before"),
    ]
    report("archive", options, found, rows, ("qdrant-edge-py", "qdrant-client", "wordllama"))


if __name__ == "__main__":
    main()
