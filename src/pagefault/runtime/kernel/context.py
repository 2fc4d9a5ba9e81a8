"""The main context: ``system · working blocks · summary · queue``, and its exact cost.

The queue holds entries in the order in which they are shown: pages at full fidelity and handles of pages
that were evicted.  A page has at most one entry.  :meth:`Context.assemble` is the only place that builds
what is sent, and it counts what it builds, so deciding and verifying cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pagefault.runtime.errors import ContextTooSmall
from pagefault.runtime.kernel.functions import Block, FunctionTable, TokenCounter
from pagefault.runtime.kernel.pages import Entry, cost
from pagefault.runtime.kernel.queue import Queue
from pagefault.runtime.kernel.settings import AgentDefinition
from pagefault.runtime.kernel.trust import NOTE, quoted
from pagefault.runtime.values import Fidelity, FunctionSchema, Message, PageId

REPLY_PRIMING_TOKENS = 3
"""Every request ends with the opening of the assistant's turn."""
SCHEMA_OVERHEAD_TOKENS = 12
QUEUE_TOKENS_MIN = 128
PAGE_TOKENS_MIN = 32
HIT_TOKENS_MIN = 24
"""A search result is never cut shorter: fewer are shown instead."""
CORRECTION_FLOOR = 700
CORRECTION_CEILING = 3000
SHARED_MAX = 1024
"""System messages and sets of schemas that are kept for agents to come which are made alike."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """Messages in sending order and their cost: ``tokens`` as counted, schemas included."""

    messages: tuple[Message, ...]
    tokens: int


class Context:
    """What the model is shown."""

    __slots__ = (
        "_counter",
        "_definition",
        "_fixed_tokens",
        "_head",
        "_schema_tokens",
        "_summary_message",
        "blocks",
        "correction_permille",
        "queue",
        "summary",
        "summary_pages",
        "summary_untrusted",
    )

    def __init__(self, definition: AgentDefinition, counter: TokenCounter, functions: FunctionTable) -> None:
        self._definition = definition
        self._counter = counter
        self._schema_tokens = REPLY_PRIMING_TOKENS + _schemas_cost(counter, functions.schemas())
        self.blocks: dict[str, Block] = {block.label: block for block in definition.blocks}
        self.queue = Queue(counter)
        self.summary = ""
        self.summary_untrusted = False
        self.summary_pages = 0  # how many evicted pages the summary stands for
        self.correction_permille = 1000
        self._summary_message: tuple[Message, int] | None = None
        self._head = Message("system", "")
        self._fixed_tokens = 0
        self.rebuild_head()
        self._check_room()

    def _check_room(self) -> None:
        settings = self._definition.context
        queue_tokens = max(QUEUE_TOKENS_MIN, settings.prompt_limit // 5)
        needed = self._fixed_tokens + settings.summary_tokens_max + queue_tokens
        if needed > settings.high_tokens:
            raise ContextTooSmall(
                "context.budget_tokens",
                settings.budget_tokens,
                f"about {_budget_needed(self._definition, self._fixed_tokens)} or more: system prompt, blocks and"
                f" function schemas take {self._fixed_tokens} tokens, the reply reserve {settings.reply_tokens}",
            )

    def room_tokens(self, pinned_tokens: int = 0) -> int:
        """What the queue may hold besides pinned pages when everything else is at its largest."""
        settings = self._definition.context
        limit = self.uncorrected(settings.high_tokens)
        return max(0, limit - self._fixed_tokens - settings.summary_tokens_max - pinned_tokens)

    def page_tokens_max(self, pinned_tokens: int = 0) -> int:
        """The largest page that may enter now: two of them always fit."""
        return max(PAGE_TOKENS_MIN, min(self._definition.context.page_tokens_max, self.room_tokens(pinned_tokens) // 2))

    def results_tokens_max(self, pinned_tokens: int = 0) -> int:
        """The largest page of search results that may enter now."""
        room = self.room_tokens(pinned_tokens) * 2 // 3
        return max(PAGE_TOKENS_MIN, min(self._definition.context.results_tokens_max, room))

    def costs(self) -> tuple[int, int, dict[str, int]]:
        """What the function schemas cost, the system prompt without its blocks, and each block; together
        :attr:`fixed_tokens`."""
        blocks = {label: self._counter.count(_block_text(block)) for label, block in self.blocks.items()}
        system = self._fixed_tokens - self._schema_tokens - sum(blocks.values())
        return self._schema_tokens, system, blocks

    @property
    def fixed_tokens(self) -> int:
        """System prompt, blocks and function schemas."""
        return self._fixed_tokens

    def rebuild_head(self) -> None:
        """Render the system message; after a change of blocks."""
        self._head, head_tokens = _head(self._counter, _head_text(self._definition, self.blocks))
        self._fixed_tokens = head_tokens + self._schema_tokens

    def fixed_tokens_with(self, label: str, text: str, *, untrusted: bool = False) -> int:
        """What the fixed part would cost if a block had this text."""
        blocks = dict(self.blocks)
        old = blocks[label]
        blocks[label] = Block(label, text, old.limit_chars, old.read_only, untrusted)
        return cost(self._counter, Message("system", _head_text(self._definition, blocks))) + self._schema_tokens

    def set_block(self, label: str, text: str, *, untrusted: bool = False) -> None:
        old = self.blocks[label]
        assert len(text) <= old.limit_chars, f"block {label} over its limit"
        self.blocks[label] = Block(label, text, old.limit_chars, old.read_only, untrusted)
        self.rebuild_head()

    def set_summary(self, text: str, pages: int, *, untrusted: bool = False) -> None:
        """Replace the recursive summary, which now stands for ``pages`` evicted pages."""
        self.summary = text
        self.summary_pages = pages
        self.summary_untrusted = untrusted
        if not text:
            self._summary_message = None
            return
        words = quoted(text) if untrusted else text
        message = Message("user", f"[summary of {pages} earlier pages, no longer shown] {words}")
        self._summary_message = (message, cost(self._counter, message))

    @property
    def summary_tokens(self) -> int:
        return self._summary_message[1] if self._summary_message else 0

    @property
    def entries(self) -> Mapping[PageId, Entry]:
        """The queue's entries by page, in order."""
        return self.queue.entries

    def pages(self) -> Iterator[Entry]:
        """Entries at full fidelity, oldest place first."""
        return (entry for entry in self.entries.values() if entry.page.fidelity is Fidelity.FULL)

    def handles(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.page.fidelity is Fidelity.HANDLE]

    def assemble(self) -> Assembled:
        """Build what is sent and count it."""
        messages, tokens = self.queue.assemble()
        if self._summary_message is None:
            return Assembled((self._head, *messages), self._fixed_tokens + tokens)
        summary, summary_tokens = self._summary_message
        return Assembled((self._head, summary, *messages), self._fixed_tokens + summary_tokens + tokens)

    def corrected(self, tokens: int) -> int:
        """Our count, corrected by what the server has reported so far."""
        return -(-tokens * self.correction_permille // 1000)

    def uncorrected(self, tokens: int) -> int:
        """How many tokens by our count make this many by the server's (rounded down)."""
        return tokens * 1000 // self.correction_permille

    def learn(self, counted: int, reported: int) -> bool:
        """Take in the server's count of a prompt; ``True`` if the correction changed.

        Up at once, down slowly: a prompt that is over budget is worse than one that is a little short.
        """
        if counted <= 0 or reported <= 0:
            return False
        observed = -(-reported * 1000 // counted)
        renewed = max(observed, (self.correction_permille * 7 + observed) // 8)
        renewed = min(max(renewed, CORRECTION_FLOOR), CORRECTION_CEILING)
        changed = renewed != self.correction_permille
        self.correction_permille = renewed
        return changed


@lru_cache(SHARED_MAX)
def _schemas_cost(counter: TokenCounter, schemas: tuple[FunctionSchema, ...]) -> int:
    return sum(
        SCHEMA_OVERHEAD_TOKENS
        + counter.count(schema.name)
        + counter.count(schema.description)
        + counter.count(schema.parameters)
        for schema in schemas
    )


@lru_cache(SHARED_MAX)
def _head(counter: TokenCounter, text: str) -> tuple[Message, int]:
    """The system message and its cost: one for all agents that have the same."""
    message = Message("system", text)
    return message, cost(counter, message)


def _head_text(definition: AgentDefinition, blocks: dict[str, Block]) -> str:
    parts = [definition.system.strip(), NOTE if definition.tracks_trust else ""]
    parts += [_block_text(block) for block in blocks.values()]
    return "\n\n".join(part for part in parts if part)


def _block_text(block: Block) -> str:
    used = f"{len(block.text)}/{block.limit_chars} characters"
    note = ", read-only" if block.read_only else ""
    text = quoted(block.text) if block.untrusted else block.text
    return f"<{block.label} ({used}{note})>\n{text}\n</{block.label}>"


def _budget_needed(definition: AgentDefinition, fixed_tokens: int) -> int:
    settings = definition.context
    free_share = settings.high_share - settings.summary_share - 0.2
    prompt = max(fixed_tokens / max(free_share, 0.05), fixed_tokens + QUEUE_TOKENS_MIN + settings.summary_tokens_max)
    return int(prompt) + settings.reply_tokens + 2
