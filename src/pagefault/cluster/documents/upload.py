"""Uploads: documents on disk become passages of a shared space, and those who subscribe are told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pagefault.cluster.documents.blocks import read_blocks
from pagefault.cluster.documents.filing import digest_of, document_agent, filing
from pagefault.cluster.documents.passages import PASSAGE_TOKENS, Passage, make_passages
from pagefault.cluster.worlds.contract import GOOD_OUTCOMES, Progress, RunningFleet, together
from pagefault.policies.lab.extras import MissingExtra
from pagefault.runtime.errors import AgentFailed, ConfigError
from pagefault.runtime.functions.builtin.topics import topic_problem
from pagefault.runtime.host.config import Agent
from pagefault.runtime.kernel.functions import TokenCounter
from pagefault.runtime.models.tokens import BpeTokenCounter
from pagefault.runtime.values import AgentId, Interrupt, InterruptId, InterruptKind, Priority, Space

AT_ONCE = 8
TAKEN = ("Filed", "Showing")
"""How the results of the calls of a document begin that went well."""
FILED_MS = 0
"""A passage has the time of its filing, which the agent's own clock says."""


class ListingFleet(RunningFleet, Protocol):
    """A fleet that says which agents it has: both kinds do."""

    async def agents(self, prefix: str = "") -> list[AgentId]: ...


@dataclass(frozen=True, slots=True)
class Filed:
    """What became of one file.  ``status``: ``filed``, ``present`` (this content was there) or ``failed``."""

    name: str
    status: str
    passages: int = 0
    digest: str = ""
    told: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """Where documents go.  ``topic`` is what their readers subscribe to.

    Raises :class:`~pagefault.runtime.errors.ConfigError`.
    """

    space: str = "documents"
    topic: str = ""
    tenant: str = "default"
    passage_tokens: int = PASSAGE_TOKENS

    def __post_init__(self) -> None:
        if not self.space.strip() or self.space in (Space.RECALL.value, Space.ARCHIVAL.value):
            raise ConfigError("--space", self.space, "the name of a shared space, not recall or archival")
        problem = topic_problem(self.heard_under)
        if problem:
            raise ConfigError("--topic", self.heard_under, problem.partition("allowed: ")[2])
        make_passages([], BpeTokenCounter(), self.passage_tokens)

    @property
    def heard_under(self) -> str:
        """The topic; ``documents/SPACE`` where nothing else is said."""
        return self.topic or f"documents/{self.space}"


async def upload(
    fleet: ListingFleet,
    files: Sequence[tuple[Path, str]],
    settings: UploadSettings,
    progress: Progress,
) -> list[Filed]:
    """File documents, several at a time; a file that cannot be read is reported and keeps no other from its place.

    Broken off, it goes on where it was: what is filed is recognised by its content.  Raises what the fleet raises.
    """
    progress.begin("filing documents", len(files))
    there = set(await fleet.agents(f"document/{settings.space}/"))
    gate = asyncio.Semaphore(AT_ONCE)
    counter = BpeTokenCounter()
    claimed: set[str] = set()

    async def one(path: Path, name: str) -> Filed:
        try:
            data = await asyncio.to_thread(path.read_bytes)
            passages = await asyncio.to_thread(_read, data, path, counter, settings.passage_tokens)
        except OSError as error:
            return Filed(name, "failed", problem=f"{path}: cannot be read: {error.strerror}")
        except (ConfigError, MissingExtra) as error:
            return Filed(name, "failed", problem=str(error))
        digest = digest_of(data)
        if digest in claimed:
            return Filed(name, "present", len(passages), digest)
        claimed.add(digest)
        agent = document_agent(settings.space, digest, settings.tenant)
        sent = list(filing(agent, [(name, passage) for passage in passages], FILED_MS))
        is_new = await file_all(fleet, agent, sent, is_there=agent.name in there)
        told = await fleet.publish(settings.heard_under, _ready(settings.space, digest, name, len(passages)))
        return Filed(name, "filed" if is_new else "present", len(passages), digest, told)

    async def in_turn(path: Path, name: str) -> Filed:
        async with gate:
            try:
                return await one(path, name)
            finally:
                progress.advance()

    return await together(in_turn(path, name) for path, name in files)


def _read(data: bytes, path: Path, counter: TokenCounter, tokens_max: int) -> list[Passage]:
    return make_passages(read_blocks(data, path.suffix, str(path)), counter, tokens_max)


async def file_all(fleet: RunningFleet, agent: Agent, sent: Sequence[Interrupt], *, is_there: bool = False) -> bool:
    """Make a document's agent, if it is not there, and bring it its passages; ``False`` if it had all of them.

    Raises :class:`~pagefault.runtime.errors.AgentFailed` when it does not take them.
    """
    if is_there and (await fleet.inspect(agent.name)).statistics["chains"] >= len(sent):
        return False
    await fleet.spawn(agent)
    for interrupt in sent:
        answer = await fleet.answer(agent.name, interrupt)
        if answer.outcome not in GOOD_OUTCOMES or not answer.text.startswith(TAKEN):
            said = answer.message or answer.text
            raise AgentFailed(f"{agent.name}: could not file its passages: {said}", answer.outcome)
    return True


def _ready(space: str, digest: str, name: str, passages: int) -> Interrupt:
    """A finished upload, as those who subscribe hear of it: the same one however often it is told."""
    return Interrupt(
        id=InterruptId(f"document/{space}/{digest}/ready"),
        kind=InterruptKind.DOCUMENT,
        priority=Priority.WORLD,
        sender="world",
        text=f"The document {name} was filed in the shared space {space}: {passages} passages. "
        "archival_memory_search finds them.",
    )
