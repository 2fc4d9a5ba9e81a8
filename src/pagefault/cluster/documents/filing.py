"""Filing: a document is an agent of its own, without a model, whose journal has its passages.

So a document is as durable as any memory: it can be exported, found by its name, and its pages rebuilt into an
archive.  Its name follows from the space and the content, which is why filing the same content twice files it once.
Its one function takes passages from itself alone: who may write to a space says nothing about who may name the source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from pagefault.cluster.documents.passages import Passage
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.kernel.functions import CallProblem, Done, Insert, MemoryView, Outcome, Search
from pagefault.runtime.values import AgentId, ArchiveQuery, Interrupt, InterruptId, InterruptKind, Priority

PASSAGES_MAX = 64
BATCH_CHARS = 48_000
"""Of the arguments of one call, which may have 65,536."""
PLACE_CHARS = 200
FUNCTION, SETTLE = "file_passages", "settle"
SOURCE = "import"

Texts = Annotated[list[str], Field(max_length=PASSAGES_MAX)]


@function(effect="idempotent")
def file_passages(view: MemoryView, space: str, names: Texts, places: Texts, texts: Texts) -> Outcome:
    """File passages of documents in a shared space.

    Args:
        space: The shared space.
        names: The document of each passage.
        places: Where in its document each passage is.
        texts: The passages.
    """
    if view.sender != view.agent_id:
        raise CallProblem("Only the document itself files its passages.")
    if space not in view.spaces:
        raise CallProblem(f"space: found {space!r}, allowed: {', '.join(map(repr, view.spaces))}.")
    if not len(names) == len(places) == len(texts):
        raise CallProblem("names, places and texts belong together: give as many of each.")
    changes = tuple(
        Insert(text, space, author=name, source=SOURCE, session=place)
        for name, place, text in zip(names, places, texts, strict=True)
    )
    return Done(f"Filed {len(changes)} passages.", changes)


@function(effect="pure")
def settle(view: MemoryView) -> Outcome:
    """See that what was filed is written: before an agent searches, all that it has stored is."""
    if view.sender != view.agent_id:
        raise CallProblem("Only the document itself settles.")
    return Search(ArchiveQuery("", tuple(view.spaces), limit=1))


def digest_of(content: bytes | str) -> str:
    """What a document's content is known by: SHA-256, in hexadecimal."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def document_agent(space: str, digest: str, tenant: str = "default") -> Agent:
    """The agent that is a document of a shared space."""
    return Agent(
        f"document/{space}/{digest[:32]}",
        system="A document.",
        functions=(f"{__name__}:{FUNCTION}", f"{__name__}:{SETTLE}"),
        exports=(FUNCTION, SETTLE),
        spaces=(space,),
        open_spaces=(space,),  # it is made to file what others wrote, and that says so
        tenant=tenant,
    )


def filing(agent: Agent, passages: Sequence[tuple[str, Passage]], created_ms: int) -> Iterator[Interrupt]:
    """What to send to a document's agent so that it files its passages, given with the name of each one's document.

    After the last of them all passages can be found.  The ids follow from the passages' places, so sending one again
    changes nothing.
    """
    number = -1
    for number, batch in enumerate(_batches(passages)):
        arguments: dict[str, object] = {
            "space": agent.spaces[0],
            "names": [name for name, _ in batch],
            "places": [passage.place[:PLACE_CHARS] for _, passage in batch],
            "texts": [passage.text for _, passage in batch],
        }
        yield _call(agent, number, FUNCTION, arguments, created_ms)
    yield _call(agent, number + 1, SETTLE, {}, created_ms)


def _call(agent: Agent, number: int, name: str, arguments: dict[str, object], created_ms: int) -> Interrupt:
    return Interrupt(
        id=InterruptId(f"{agent.name}/{number}"),
        kind=InterruptKind.CALL,
        priority=Priority.WORLD,
        sender=AgentId(agent.name),
        text=json.dumps(arguments, ensure_ascii=False),
        created_ms=created_ms,
        function=name,
    )


def _batches(passages: Sequence[tuple[str, Passage]]) -> Iterator[list[tuple[str, Passage]]]:
    batch: list[tuple[str, Passage]] = []
    chars = 0
    for name, passage in passages:
        size = sum(len(json.dumps(text, ensure_ascii=False)) for text in (name, passage.place, passage.text))
        if batch and (chars + size > BATCH_CHARS or len(batch) == PASSAGES_MAX):
            yield batch
            batch, chars = [], 0
        batch.append((name, passage))
        chars += size
    if batch:
        yield batch
