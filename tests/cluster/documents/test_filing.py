"""Filing: passages carry their document's name, and nobody but the document files them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

from pagefault.cluster.documents.filing import (
    BATCH_CHARS,
    PASSAGES_MAX,
    digest_of,
    document_agent,
    filing,
)
from pagefault.cluster.documents.passages import Passage
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.services import Owner
from pagefault.runtime.values import AgentId, ArchiveQuery

DOCUMENT = document_agent("boilers", digest_of("x"))


def test_large_documents_are_filed_in_batches() -> None:
    many = [("a.txt", Passage(f"number {number}", "")) for number in range(2 * PASSAGES_MAX + 1)]
    assert [len(json.loads(sent.text)["texts"]) for sent in [*filing(DOCUMENT, many, 0)][:-1]] == [
        PASSAGES_MAX,
        PASSAGES_MAX,
        1,
    ]
    long = [("a.txt", Passage("\n" * 20_000, "")) for _ in range(3)]
    batches = list(filing(DOCUMENT, long, 0))
    assert all(len(sent.text) < BATCH_CHARS + 1000 for sent in batches)
    assert len({sent.id for sent in batches}) == len(batches) == 4
    assert [sent.id for sent in filing(DOCUMENT, long, 5)] == [sent.id for sent in batches]


async def test_a_filed_page_says_which_document_it_is_from() -> None:
    async with Local(embedder="hash") as fleet:
        await fleet.spawn(DOCUMENT)
        sent, settling = filing(DOCUMENT, [("boiler.md", Passage("The lid weighs nine stone.", "Lids, page 2"))], 0)
        assert (await fleet.answer(DOCUMENT.name, sent)).text.startswith("Filed 1")
        assert (await fleet.answer(DOCUMENT.name, sent)).text.startswith("Filed 1"), "told twice, filed once"
        assert (await fleet.answer(DOCUMENT.name, settling)).text.startswith("Showing 1 of 1")
        reader = Owner("default", AgentId("reader"), ("boilers",))
        found = await fleet._post().stores.search(reader, ArchiveQuery("lid", ("boilers",), mode="substring"))
    (page,) = [hit.page for hit in found.hits]
    assert (page.author, page.session, page.source) == ("boiler.md", "Lids, page 2", "import")


async def test_nobody_else_files_in_the_name_of_a_document() -> None:
    async with Local(embedder="hash") as fleet:
        await fleet.spawn_many([DOCUMENT, Agent("forger")])
        for sender, sent in itertools.product(
            ("forger", "user", "operator"), filing(DOCUMENT, [("boiler.md", Passage("The lid is light.", ""))], 0)
        ):
            forged = replace(sent, id=type(sent.id)(f"{sent.id}-{sender}"), sender=sender)
            answer = await fleet.answer(DOCUMENT.name, forged)
            assert "Only the document itself" in answer.text + answer.message
