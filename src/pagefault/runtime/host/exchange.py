"""Agents that come from Agent Files, and go into them: what every fleet has alike.

An imported agent begins at rest, with its messages as pages of recall under their own dates.  They come to it as an
operator's change of its memory: recorded in its journal, so that replay and a rebuilt archive have them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from pagefault.runtime.errors import AgentExists, ConfigError, Overloaded, StoreError
from pagefault.runtime.host.agent_file import (
    ASSISTANT,
    CONTEXT_TOKENS_MAX,
    REPLY_TOKENS,
    TOOL,
    FiledAgent,
    FiledMessage,
    agent_file,
    granted,
)
from pagefault.runtime.host.births import state_from
from pagefault.runtime.host.config import BLOCK_CHARS, Agent
from pagefault.runtime.host.memories import Memories, memory_interrupt
from pagefault.runtime.host.records import CODEC, UNSENT, Inspection, encode_definition
from pagefault.runtime.host.snapshots import encode_snapshot
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.effects import Reject
from pagefault.runtime.kernel.events import InterruptArrived
from pagefault.runtime.kernel.functions import TokenCounter
from pagefault.runtime.kernel.intake import spoken
from pagefault.runtime.kernel.pages import archived, entry
from pagefault.runtime.kernel.settings import AgentDefinition, validate
from pagefault.runtime.kernel.trust import UNTRUSTED
from pagefault.runtime.store.protocols import WORK
from pagefault.runtime.values import AgentId, MemoryChange, Page, PageId, PageKind, ShownPage, Space

PAGES_A_CHANGE = 500
CHARS_A_CHANGE = 2**20
"""A record of a journal holds no more of both, but for one long message alone."""
CONTEXT_SHARE = 0.5
"""Of the room for pages: an imported agent has to have some left to work in."""
log = structlog.get_logger(__name__)
_KINDS = {ASSISTANT: PageKind.REPLY, TOOL: PageKind.RESULT}


@dataclass(frozen=True, slots=True)
class Imported:
    """An agent that came from a file: how many blocks and messages, how many of these are in its context, and what it
    may call."""

    agent: AgentId
    blocks: int
    messages: int
    in_context: int
    functions: tuple[str, ...]


class Exchange(Memories):
    """Imports and exports."""

    @abstractmethod
    async def inspect(self, agent: AgentId | str) -> Inspection: ...

    async def import_agent(
        self,
        filed: FiledAgent,
        *,
        name: str | None = None,
        mapped: Mapping[str, str] | None = None,
        trusted: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> Imported:
        """Make an agent from what a file says of it, whole or not at all.

        Args:
            filed: as :func:`~pagefault.runtime.host.agent_file.read_agent_file` gives it.
            name: another name than the file's.
            mapped: functions by the names of its tools; an empty one leaves a tool out.
            trusted: its messages are the words of people here; else they are marked as words of others.
            settings: more of :class:`~pagefault.runtime.host.config.Agent`; they go before what the file says.

        Raises:
            ConfigError: it names what is wrong; nothing is made then.
            UnknownName: a function or policy is not there; nothing is made then.
            AgentExists: an agent of that name is there.
            StoreUnavailable: nothing is made, unless the answer alone was lost; then it is there, and whole.
        """
        workshop, stores = self._archives()
        functions = granted(filed.tools, mapped or {})
        definition = _definition(filed, name or filed.name, functions, settings or {})
        workshop.try_out(definition)
        if definition.id in await self.agents(definition.id):
            raise AgentExists(f"agent {definition.id!r} is there already; give it another name")
        pages = [_page(each, number, definition, trusted=trusted) for number, each in enumerate(filed.messages, 1)]
        recent = [page for page, each in zip(pages, filed.messages, strict=True) if each.in_context]
        shown = _shown(workshop, definition, recent)
        born = encode_snapshot(workshop.make(definition).dump() | {"ordinal": len(pages), UNSENT: []})
        records = _lived(workshop, definition, born, _changes(pages, shown), self._post().clock.now_ms())
        # One transaction: killed before it is durable, nothing was made; after it, the journal has all, and whoever
        # wakes the agent first brings its pages to the archive.
        await stores.plant(definition.id, encode_definition(definition), born, records, WORK)
        try:
            await self.inspect(definition.id)
        except (Overloaded, StoreError) as error:  # it is made all the same, and will be woken
            log.warning("imported_not_awake", agent=definition.id, problem=str(error))
        return Imported(definition.id, len(definition.blocks), len(pages), len(shown), functions)

    async def export_agent(self, agent: AgentId | str) -> dict[str, Any]:
        """An agent as an Agent File: its blocks, its conversation with its dates, its functions by name.

        Passages of archival memory have no place in that format.  Raises what
        :class:`~pagefault.runtime.host.pasts.Pasts` raises.
        """
        lineage, state = await self._lineage(agent)
        resident = state.context.entries
        pages = [
            archived(page, spoken(page.calls))
            for page in sorted(lineage.pages.values(), key=lambda each: each.ordinal)
            if page.space == Space.RECALL.value
            and page.kind not in (PageKind.NOTICE, PageKind.SUMMARY)
            and page.id in lineage.archived
        ]
        return agent_file(
            state.definition,
            blocks=tuple(state.context.blocks.values()),
            pages=pages,
            in_context=frozenset(page_id for page_id in resident if state.is_resident(page_id)),
            functions=[schema.name for schema in state.functions.schemas()],
            at_ms=state.now_ms,
        )


def _changes(pages: Sequence[Page], shown: tuple[ShownPage, ...]) -> Iterator[tuple[str, MemoryChange]]:
    """What an operator would do to an agent that has none of these pages, and why."""
    group: list[Page] = []
    size_chars = 0
    for page in pages:
        if group and (len(group) >= PAGES_A_CHANGE or size_chars + len(page.text) > CHARS_A_CHANGE):
            yield "import of an Agent File", MemoryChange(stored=tuple(group))
            group, size_chars = [], 0
        group.append(page)
        size_chars += len(page.text)
    if group:
        yield "import of an Agent File", MemoryChange(stored=tuple(group))
    if shown:
        seen = (UNTRUSTED,) if any(each.page.untrusted for each in shown) else ()
        yield "the context of an Agent File", MemoryChange(to_ordinal=len(pages), entries=shown, seen=seen)


def _lived(
    workshop: Workshop,
    definition: AgentDefinition,
    born: bytes,
    changes: Iterable[tuple[str, MemoryChange]],
    now_ms: int,
) -> list[bytes]:
    """The records of an agent that has taken these changes, one after the other.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for one that it would not take.
    """
    state = state_from(workshop, definition, born)
    records = []
    for number, (why, change) in enumerate(changes, 1):
        event = InterruptArrived(now_ms, memory_interrupt(change, why, now_ms, f"import/{number}"))
        for effect in state.handle(event):
            if isinstance(effect, Reject):
                raise ConfigError("file.agents.messages", f"part {number}", f"what the agent can take: {effect.reason}")
        records.append(CODEC.encode(event))
    return records


def _definition(
    filed: FiledAgent, name: str, functions: tuple[str, ...], settings: Mapping[str, Any]
) -> AgentDefinition:
    context_tokens = settings.get("context_tokens") or filed.context_tokens or 8192
    if not 0 < context_tokens <= CONTEXT_TOKENS_MAX:
        raise ConfigError("context_tokens", context_tokens, f"1 to {CONTEXT_TOKENS_MAX}")
    reply_tokens = min(filed.reply_tokens or REPLY_TOKENS, max(1, context_tokens // 8))
    described: dict[str, Any] = {
        "functions": functions,
        "context_tokens": context_tokens,
        "reply_tokens": reply_tokens,
        "chaining": "calls",  # as Letta's agents do; ours ask for a heartbeat
        **({"model": filed.model} if filed.model else {}),
        **({"system": filed.system} if filed.system else {}),
        **{key: value for key, value in settings.items() if value is not None},
    }
    if filed.temperature is not None and str(described.get("model", "")).startswith("openai:"):
        described["model_options"] = {"temperature": filed.temperature, **described.get("model_options", {})}
    made = Agent(name, block_chars=BLOCK_CHARS, **described).definition()
    made = replace(made, blocks=filed.blocks)
    validate(made)
    return made


def _page(message: FiledMessage, number: int, definition: AgentDefinition, *, trusted: bool) -> Page:
    is_reply = message.role == ASSISTANT
    page = Page(
        id=PageId(f"p{number}"),
        kind=_KINDS.get(message.role, PageKind.MESSAGE),
        text=message.text,
        tokens=0,
        created_ms=message.created_ms,
        ordinal=number,
        author=definition.id if is_reply else message.author or ("tool" if message.role == TOOL else "user"),
        source="import",
        calls=message.calls,
        untrusted=definition.tracks_trust and not trusted,
    )
    return archived(page, spoken(message.calls))


def _shown(workshop: Workshop, definition: AgentDefinition, pages: list[Page]) -> tuple[ShownPage, ...]:
    """The newest pages of its context, as many as leave it room to work."""
    counter: TokenCounter = workshop.counter
    fresh = workshop.make(definition).context
    room = round((definition.context.prompt_limit - fresh.fixed_tokens) * CONTEXT_SHARE)
    shown: list[ShownPage] = []
    for page in reversed(pages):
        # A result stands alone here: what called it has become text.
        alone = replace(page, kind=PageKind.MESSAGE) if page.kind is PageKind.RESULT else page
        made = entry(counter, alone, stored=True)
        room -= made.page.tokens
        if room < 0:
            break
        shown.append(ShownPage(made.page))
    return tuple(reversed(shown))
