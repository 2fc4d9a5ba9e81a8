"""The memories that Pagefault is held against: each makes one prompt for a question, and asks once.

What was read looks as it does in an agent's context, so that a model, or a scripted mind, meets the same text.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pagefault.cluster.worlds.exam import EXAMINER, Case, Memory, Piece, Question
from pagefault.runtime.kernel.functions import TokenCounter
from pagefault.runtime.kernel.pager import SUMMARIZER_SYSTEM
from pagefault.runtime.kernel.pages import cost, render
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.store.embed import make_embedder
from pagefault.runtime.store.open import ShardStores, open_stores
from pagefault.runtime.values import (
    AgentId,
    ArchiveQuery,
    Message,
    ModelRequest,
    Page,
    PageId,
    PageKind,
    Space,
)

TENANT = "exam"
SUMMARY_SHARE = 4
"""A recursive summary may take this part of the room: 1 / 4."""
WORDS_PER_TOKEN = 0.6
FOUND_MAX = 200
HEADING_TOKENS = 40
"""What a document's heading may take beside the text that it is cut to."""
CUT_TOKENS_MIN = 8


@dataclass(frozen=True, slots=True)
class Room:
    """What may be sent, in tokens: the prompt, and the reply beside it."""

    prompt_tokens: int
    reply_tokens: int


class Baseline:
    """One memory over one case.  Made by :meth:`prepare`; nothing in it changes from question to question."""

    def __init__(self, memory: Memory, case: Case, system: str, room: Room, counter: TokenCounter) -> None:
        self.memory = memory
        self.case = case
        self._system = Message("system", system)
        self._room = room
        self._counter = counter
        self._pages = [as_page(piece, place) for place, piece in enumerate(case.pieces, 1)]
        self._summary = ""

    async def prepare(self, processor: Processor) -> None:
        """Do what is done once, before any question: only a summary takes more than a moment.

        Raises what the processor raises.
        """
        if self.memory is Memory.SUMMARY:
            left = self._pages[: len(self._pages) - len(self._last(self._pages, self._recent_tokens))]
            for piece in self._folds(left):
                self._summary = await self._fold(processor, piece)

    def request(self, question: Question, found: Sequence[Page] = ()) -> ModelRequest:
        """The one prompt for a question; ``found`` are the pages that a search has brought, best first."""
        asked = render(_question_page(question, self._pages))
        free = self._room.prompt_tokens - cost(self._counter, self._system) - cost(self._counter, asked)
        shown: Sequence[Message]
        match self.memory:
            case Memory.FULL:
                shown = [render(page) for page in self._pages]
            case Memory.TRUNCATED if self.case.filed:
                shown = self._beginnings(free)
            case Memory.SUMMARY:
                told = Message("user", f"[system] Summary of what came before:\n{self._summary}")
                head = [told] if self._summary else []
                room = free - sum(cost(self._counter, message) for message in head)
                shown = [*head, *map(render, self._last(self._pages, room))]
            case Memory.RETRIEVAL:
                fitting = self._last(list(reversed(found)), free)
                shown = [render(page) for page in sorted(fitting, key=lambda page: page.ordinal)]
            case _:
                shown = [render(page) for page in self._last(self._pages, free)]
        messages = (self._system, *shown, asked)
        tokens = sum(cost(self._counter, message) for message in messages)
        return ModelRequest(AgentId(self.case.name), messages, (), tokens, self._room.reply_tokens)

    @property
    def pages(self) -> Sequence[Page]:
        """What was read, for a search."""
        return self._pages

    @property
    def _summary_tokens(self) -> int:
        return max(CUT_TOKENS_MIN, self._room.prompt_tokens // SUMMARY_SHARE)

    @property
    def _recent_tokens(self) -> int:
        """What is left for pages beside a summary, the system's words and a question of ordinary length."""
        return self._room.prompt_tokens - self._summary_tokens - cost(self._counter, self._system) - 2 * HEADING_TOKENS

    def _last(self, pages: Sequence[Page], room: int) -> list[Page]:
        """As many of the last as have room, in their order."""
        kept: list[Page] = []
        for page in reversed(pages):
            room -= cost(self._counter, render(page))
            if room < 0:
                break
            kept.append(page)
        return kept[::-1]

    def _beginnings(self, free: int) -> list[Message]:
        """Every document cut to the same number of tokens, and as many of them as have room."""
        each = max(CUT_TOKENS_MIN, free // max(1, len(self._pages)) - HEADING_TOKENS)
        shown: list[Message] = []
        for piece, page in zip(self.case.pieces, self._pages, strict=True):
            text = self._counter.cut(piece.text, each)[0]
            message = render(as_page(Piece(piece.key, text, piece.author, piece.session, piece.at_ms), page.ordinal))
            free -= cost(self._counter, message)
            if free < 0:
                break
            shown.append(message)
        return shown

    def _folds(self, pages: Sequence[Page]) -> list[str]:
        """What is to be summarised, in pieces that fit a prompt together with the summary so far."""
        room = self._room.prompt_tokens - self._summary_tokens - 4 * HEADING_TOKENS
        folds: list[str] = []
        lines: list[str] = []
        tokens = 0
        for page in pages:
            line = self._counter.cut(render(page).text, room)[0]
            size = self._counter.count(line) + 1
            if lines and tokens + size > room:
                folds.append("\n".join(lines))
                lines, tokens = [], 0
            lines.append(line)
            tokens += size
        return [*folds, "\n".join(lines)] if lines else folds

    async def _fold(self, processor: Processor, piece: str) -> str:
        words = max(20, int(self._summary_tokens * WORDS_PER_TOKEN))
        messages = (
            Message("system", SUMMARIZER_SYSTEM.format(words=words)),
            Message("user", f"Summary so far:\n{self._summary or '(none)'}\n\nPages that leave:\n{piece}"),
        )
        tokens = sum(cost(self._counter, message) for message in messages)
        agent = AgentId(self.case.name)
        request = ModelRequest(agent, messages, (), tokens, self._summary_tokens, purpose="summarize")
        return self._counter.cut((await processor.reply(request)).text.strip(), self._summary_tokens)[0]


class Searches:
    """An archive of its own for retrieval: the same engine and embedder as an agent's, and nothing of an agent.

    Use it as a context manager's body would: :meth:`open`, then :meth:`close`.
    """

    def __init__(self, embedder: str) -> None:
        self._embedder = embedder
        self._folder: Path | None = None
        self._stores: ShardStores | None = None
        self._filed: set[str] = set()
        self._one = asyncio.Lock()

    async def find(self, baseline: Baseline, question: Question) -> list[Page]:
        """The pages of a case that a hybrid search for the question's own words finds, best first."""
        async with self._one:  # an embedded archive is one thread's at a time
            return await asyncio.to_thread(self._find, baseline, question.text)

    def close(self) -> None:
        """Forget everything."""
        if self._stores is not None:
            self._stores.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _find(self, baseline: Baseline, text: str) -> list[Page]:
        if self._stores is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pagefault-exam-"))
            self._stores = open_stores(self._folder, 0, make_embedder(self._embedder), "exit")
        memory = self._stores.gateway.memory(TENANT, AgentId(baseline.case.name))
        if baseline.case.name not in self._filed:
            memory.store(baseline.pages)
            self._filed.add(baseline.case.name)
        result = memory.search(ArchiveQuery(text, (Space.RECALL.value,), limit=FOUND_MAX))
        return [hit.page for hit in result.hits]


def as_page(piece: Piece, place: int) -> Page:
    """A piece as a page, ``place`` counted from 1."""
    return Page(
        id=PageId(f"p{place}"),
        kind=PageKind.OBSERVATION,
        text=piece.text,
        tokens=0,
        created_ms=piece.at_ms,
        ordinal=place,
        author=piece.author,
        source="world",
        session=piece.session,
    )


def _question_page(question: Question, pages: Sequence[Page]) -> Page:
    at_ms = pages[-1].created_ms if pages else 0
    return as_page(Piece(question.key, question.text, EXAMINER, at_ms=at_ms), len(pages) + 1)
