"""The past of an agent: any moment of it again, a check that nothing diverges, and new agents that begin there.

An agent is a function of its journal, so its past is there as long as the journal is: the nearest snapshot that was
kept, and the records after it, give the state after any record, without a model.  Nothing here writes to
the agent that is looked at, or takes it from the host that runs it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pagefault.runtime.errors import InvalidTransition, ReplayDivergence, UsageError
from pagefault.runtime.host.births import FORKED_FROM, compare, state_from
from pagefault.runtime.host.frame import Frame
from pagefault.runtime.host.inspection import inspect
from pagefault.runtime.host.records import UNSENT, Inspection, decode_definition, decode_event, encode_definition
from pagefault.runtime.host.services import Owner, PastStores
from pagefault.runtime.host.snapshots import decode_snapshot, encode_snapshot
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import AnyEffect
from pagefault.runtime.kernel.events import Event, ModelReplied
from pagefault.runtime.kernel.functions import Block
from pagefault.runtime.kernel.pages import facts
from pagefault.runtime.kernel.settings import AgentDefinition, ModelSettings
from pagefault.runtime.kernel.state import Phase
from pagefault.runtime.store.protocols import Past
from pagefault.runtime.values import AgentId, Fidelity, Message, PageId

RECORDS_A_READ = 512
PAGES_A_READ = 256


@dataclass(frozen=True, slots=True)
class Moment:
    """An agent as it was right after record ``seq``, when it had taken ``steps`` steps.

    ``messages`` is what the model was sent for the last of them, byte for byte; empty if that was not looked for.
    """

    agent: AgentId
    seq: int
    steps: int
    at_ms: int
    state: AgentState
    messages: tuple[Message, ...] = ()

    def inspection(self, workshop: Workshop) -> Inspection:
        """As :meth:`~pagefault.runtime.host.local.Local.inspect` shows an agent that lives."""
        functions = workshop.functions(self.state.definition)
        return inspect(Frame(self.state, functions, self.state.epoch, self.seq + 1))


class History:
    """One agent's past in the stores.  Make it with :func:`open_history`."""

    def __init__(self, workshop: Workshop, stores: PastStores, past: Past) -> None:
        self._workshop = workshop
        self._stores = stores
        self._past = past
        self.definition = decode_definition(past.agent, past.definition)

    @property
    def agent(self) -> AgentId:
        return self._past.agent

    @property
    def last_seq(self) -> int:
        return self._past.last_seq

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """After which records a snapshot was kept."""
        return self._past.checkpoints

    async def at_step(self, step: int) -> Moment:
        """The agent when it had taken its ``step``-th step; 0 is before the first.

        Raises :class:`~pagefault.runtime.errors.UsageError` for a step that it has not taken.
        """
        if step < 0:
            raise UsageError(f"step: found {step}, allowed: 0 or more")
        seq, state = await self.before(step)
        if step == 0:
            return Moment(self.agent, seq, 0, state.now_ms, state, state.context.assemble().messages)
        async for number, event in self.events(seq):
            is_next = isinstance(event, ModelReplied) and state.statistics.steps == step - 1
            messages = state.context.assemble().messages if is_next else ()
            state.handle(event)
            if state.statistics.steps == step:
                return Moment(self.agent, number, step, event.at_ms, state, messages)
        taken = state.statistics.steps
        raise UsageError(f"step: found {step}, allowed: 0 to {taken}, the steps that {self.agent} has taken")

    async def at_record(self, seq: int) -> Moment:
        """The agent right after a record of its journal; 0 is before the first.

        Raises :class:`~pagefault.runtime.errors.UsageError` for a record that is not there.
        """
        if not 0 <= seq <= self.last_seq:
            raise UsageError(f"record: found {seq}, allowed: 0 to {self.last_seq}")
        begin = max((each for each in self._past.checkpoints if each <= seq), default=0)
        state = await self._state_at(begin)
        if begin < seq:
            async for number, event in self.events(begin):
                state.handle(event)
                if number == seq:
                    break
        return Moment(self.agent, seq, state.statistics.steps, state.now_ms, state)

    async def verify(self, observe: Callable[[Event, Sequence[AnyEffect]], None] | None = None) -> int:
        """Live the whole past again, and compare with every snapshot that was kept; returns how many those were.

        ``observe`` is told of every event and what it brought about.  Raises
        :class:`~pagefault.runtime.errors.ReplayDivergence` naming the first difference.
        """
        compared = 0
        left = [seq for seq in self._past.checkpoints if seq > 0]
        state = await self._state_at(0)
        async for number, event in self.events(0):
            try:
                effects = state.handle(event)
            except InvalidTransition as error:
                why = f"record {number} cannot follow what came before: {error}"
                raise ReplayDivergence(f"{self.agent}: {why}") from error
            if observe is not None:
                observe(event, effects)
            if left and number == left[0]:
                del left[0]
                compare(await self._stores.checkpoint(self.agent, number), state, number)
                compared += 1
        return compared

    async def live(self) -> AsyncIterator[tuple[int, Event, Sequence[AnyEffect], AgentState]]:
        """The whole past once more: each record's number, its event, what that brought about, and the agent after it.

        The state is one object that goes on changing.
        """
        state = await self._state_at(0)
        async for number, event in self.events(0):
            yield number, event, state.handle(event), state

    async def before(self, step: int) -> tuple[int, AgentState]:
        """The record of the last kept snapshot before a step was taken, and the agent as it was then."""
        low, high = 0, len(self._past.checkpoints)
        while low < high:  # how many checkpoints are before it
            middle = (low + high) // 2
            state = await self._state_at(self._past.checkpoints[middle])
            low, high = (middle + 1, high) if state.statistics.steps < step else (low, middle)
        seq = self._past.checkpoints[low - 1] if low else 0
        return seq, await self._state_at(seq)

    async def _state_at(self, seq: int) -> AgentState:
        """The state after a record at which a snapshot was kept, or at birth."""
        is_kept = seq in self._past.checkpoints
        snapshot = await self._stores.checkpoint(self.agent, seq) if is_kept else None
        return state_from(self._workshop, self.definition, snapshot)

    async def events(self, after_seq: int) -> AsyncIterator[tuple[int, Event]]:
        """What entered the agent after a record, with the number of each record."""
        while rows := await self._stores.some_records(self.agent, after_seq, RECORDS_A_READ):
            for seq, data in rows:
                if seq > self.last_seq:
                    return  # it lives on while it is looked at
                yield seq, decode_event(self.agent, data)
            after_seq = rows[-1][0]


async def open_history(workshop: Workshop, stores: PastStores, agent: AgentId) -> History:
    """The past of an agent as it is now.  Raises :class:`~pagefault.runtime.errors.UnknownAgent`, and
    :class:`~pagefault.runtime.errors.UnknownName` for functions or policies that this process does not have."""
    return History(workshop, stores, await stores.past(agent))


@dataclass(frozen=True, slots=True)
class Changes:
    """What a fork has otherwise than the agent that it comes from; ``None``: as that one."""

    policy: str | None = None
    policy_options: Mapping[str, str | float | int | bool] | None = None
    write_back: str | None = None
    persona: str | None = None
    model: str | None = None
    model_options: Mapping[str, object] | None = None
    context_tokens: int | None = None


async def fork(
    workshop: Workshop, stores: PastStores, moment: Moment, name: AgentId, changes: Changes | None = None
) -> AgentId:
    """Make a new agent that begins as another one was.

    It has the same context, blocks, summary, timers and memory, and is at rest: what was under way at that moment
    (a chain, messages that waited, calls to others) is the other's own.  Its pages are copies, so that either can
    forget, be exported or be deleted without the other; its journal begins with what it was made from.

    Raises :class:`~pagefault.runtime.errors.AgentExists`, and
    :class:`~pagefault.runtime.errors.ConfigError` for changes that cannot work; nothing is made then.
    """
    definition = _changed(moment.state.definition, name, changes or Changes())
    born = _born(workshop, moment, definition)
    await _copy_pages(stores, moment, definition)
    state = {**born.dump(), UNSENT: [], FORKED_FROM: [moment.agent, moment.seq]}
    await stores.plant(name, encode_definition(definition), encode_snapshot(state))
    return name


def _changed(old: AgentDefinition, name: AgentId, changes: Changes) -> AgentDefinition:
    policies, model, context = old.policies, old.model, old.context
    if changes.policy is not None:
        options = tuple(sorted((changes.policy_options or {}).items()))
        policies = replace(policies, eviction=changes.policy, eviction_parameters=options)
    elif changes.policy_options is not None:
        policies = replace(policies, eviction_parameters=tuple(sorted(changes.policy_options.items())))
    if changes.write_back is not None:
        policies = replace(policies, write_back=changes.write_back, write_back_parameters=())
    if changes.model is not None or changes.model_options is not None:
        given = changes.model_options
        options_text = model.options if given is None else tuple((key, str(given[key])) for key in sorted(given))
        model = ModelSettings(changes.model or model.name, options_text)
    if changes.context_tokens is not None:
        share = changes.context_tokens / context.budget_tokens
        reply_tokens = max(1, int(context.reply_tokens * share))
        context = replace(context, budget_tokens=changes.context_tokens, reply_tokens=reply_tokens)
    blocks = old.blocks
    if changes.persona is not None:
        if not any(block.label == "persona" for block in blocks):
            raise UsageError(f"persona: {old.id} has no block of that name, allowed: agents that have one")
        blocks = tuple(_with_text(block, changes.persona) if block.label == "persona" else block for block in blocks)
    return replace(old, id=name, policies=policies, model=model, context=context, blocks=blocks)


def _with_text(block: Block, text: str) -> Block:
    if len(text) > block.limit_chars:
        raise UsageError(f"persona: found {len(text)} characters, allowed: {block.limit_chars}")
    return replace(block, text=text)


def _born(workshop: Workshop, moment: Moment, definition: AgentDefinition) -> AgentState:
    """The state that a fork begins with: at rest, under its own definition."""
    old = moment.state
    state = dict(old.dump())
    state |= {
        "phase": Phase.IDLE.value,
        "chain": None,
        "suspended": [],
        "parked": [],
        "outstanding": None,
        "flush": None,
        "rating": [],
        "epoch": 0,
        "calls_made": 0,
        "mailbox": {"interrupts": [], "mask": []},
    }
    born = workshop.make(definition)
    if definition.policies != old.definition.policies:  # another policy's notes would mean nothing to it
        fresh = workshop.make(definition).eviction
        for shown in old.context.pages():
            fresh.on_insert(facts(shown.page), old.turn)
        state["eviction"] = fresh.dump()
    persona = {block.label: block.text for block in definition.blocks if block not in old.definition.blocks}
    state["blocks"] = [
        [label, persona[label]] if label in persona else [label, text, *untrusted]
        for label, text, *untrusted in state["blocks"]
    ]
    born.load(decode_snapshot(definition.id, encode_snapshot(state)))
    return born


async def _copy_pages(stores: PastStores, moment: Moment, definition: AgentDefinition) -> None:
    """Every page that the other's memory has of that time.  Writing them again, after a crash, changes nothing."""
    old = moment.state.definition
    source = Owner(old.tenant, old.id, old.spaces)
    target = Owner(definition.tenant, definition.id, definition.spaces)
    for first in range(1, moment.state.ordinal + 1, PAGES_A_READ):
        last = min(first + PAGES_A_READ - 1, moment.state.ordinal)
        pages = await stores.load(source, [PageId(f"p{number}") for number in range(first, last + 1)])
        kept = [replace(page, fidelity=Fidelity.FULL) for page in pages if page.ordinal <= moment.state.ordinal]
        await stores.write_pages([(target, page, 0) for page in kept])
    await stores.flush()
