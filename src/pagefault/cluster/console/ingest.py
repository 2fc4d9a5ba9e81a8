"""``pagefault ingest``: documents become passages of a shared space, which agents search."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pagefault.cluster.console.reach import (
    DEFAULT_EMBEDDER,
    AddressOption,
    ArchiveOption,
    EmbedderOption,
    FolderOption,
    JournalOption,
    JsonOption,
    NameOption,
    Which,
    does_run,
    find_modules_beside,
)
from pagefault.cluster.console.show import WIDTH_MIN, RunProgress
from pagefault.cluster.documents.blocks import READERS, find_documents
from pagefault.cluster.documents.passages import PASSAGE_TOKENS
from pagefault.cluster.documents.upload import Filed, UploadSettings, upload
from pagefault.cluster.plain_text import one_line
from pagefault.runtime.store.open import EDGE, SQLITE

SHOWN_DIGEST = 12


def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help=f"Files or folders: {', '.join(READERS)}.")],
    space: Annotated[str, typer.Option(help="The shared space; agents name it in `spaces`.")] = "documents",
    topic: Annotated[
        str, typer.Option(help="Who subscribes to it is told of every document; documents/SPACE by default.")
    ] = "",
    tenant: Annotated[str, typer.Option(help="Whose space it is.")] = "default",
    passage_tokens: Annotated[int, typer.Option(help="The longest passage, in tokens.")] = PASSAGE_TOKENS,
    folder: FolderOption = None,
    name: NameOption = None,
    address: AddressOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    journal: JournalOption = SQLITE,
    archive: ArchiveOption = EDGE,
    as_json: JsonOption = False,
) -> None:
    """Read documents into a shared space that agents search with archival_memory_search.

    Passages follow the document's own structure: headings, paragraphs, pages. A document is known by its content: it is
    filed once, and an ingestion that was broken off goes on where it was. The exit code is 1 when a file could not be
    read; the others are filed all the same.
    """
    settings = UploadSettings(space, topic, tenant, passage_tokens)
    files = find_documents(paths)
    find_modules_beside(Path())
    found = asyncio.run(_ingest(Which(folder, name, address, embedder, journal, archive), files, settings))
    if as_json:
        counts = Counter(each.status for each in found)
        totals = {status: counts[status] for status in ("filed", "present", "failed")}
        passages = sum(each.passages for each in found if each.status == "filed")
        result = {**totals, "passages": passages, "space": space, "files": [asdict(each) for each in found]}
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        _show(found, space)
    if any(each.status == "failed" for each in found):
        raise typer.Exit(1)


async def _ingest(which: Which, files: list[tuple[Path, str]], settings: UploadSettings) -> list[Filed]:
    console = Console(stderr=True)
    fleet, place = which.running()
    if fleet is not None and await does_run(fleet):
        try:
            with RunProgress(console) as progress:
                return await upload(fleet, files, settings, progress)
        finally:
            await fleet.leave()
    async with which.open(place, make=True) as local:
        with RunProgress(console) as progress:
            found = await upload(local, files, settings, progress)
        await local.idle()  # who was told has its say
    return found


def _show(found: list[Filed], space: str) -> None:
    table = Table(title=f"Documents of the shared space {space}", title_justify="left")
    for heading in ("document", "status", "passages", "told", "content"):
        table.add_column(heading, justify="right" if heading in ("passages", "told") else "left")
    for each in found:
        last = one_line(each.problem) if each.problem else each.digest[:SHOWN_DIGEST]
        table.add_row(one_line(each.name), each.status, f"{each.passages:,}", f"{each.told:,}", last)
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDTH_MIN, console.width))
    console.print(table, markup=False)
