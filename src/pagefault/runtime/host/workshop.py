"""Makes kernels from definitions, and brings stored ones back.

A workshop holds what agents of one process share: the token counter, function tables, processors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pagefault.policies.contract import EvictionPolicy, PolicyError
from pagefault.policies.registry import (
    UnknownPolicy,
    make_consolidation,
    make_fetch,
    make_policy,
    make_scorer,
    make_write_back,
)
from pagefault.runtime.errors import ConfigError, UnknownName
from pagefault.runtime.functions.mcp.pool import McpServers
from pagefault.runtime.functions.registry import AgentFunctions, Registry
from pagefault.runtime.host.records import UNSENT, decode_definition, decode_event
from pagefault.runtime.host.snapshots import decode_snapshot
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.kernel.effects import AnyEffect, ForgetPages, Publish, Quarantine, Send, StorePages
from pagefault.runtime.kernel.functions import TokenCounter
from pagefault.runtime.kernel.settings import AgentDefinition, ModelSettings
from pagefault.runtime.models.protocols import Processor
from pagefault.runtime.store.protocols import Activation
from pagefault.runtime.values import AgentId, Priority

DEFINITIONS_MAX = 4096
TABLES_MAX = 256
"""Tables of functions that are kept though nobody who is awake has them: the next to wake may."""
MakeProcessor = Callable[[ModelSettings], Processor]


@dataclass(slots=True)
class Revived:
    """An agent brought back: its kernel, its functions, and the effects of its tail that must be sure to
    have happened (each can be done twice without harm), with the journal's number of their event."""

    state: AgentState
    functions: AgentFunctions
    next_seq: int
    redo: list[tuple[int, AnyEffect]]
    crashed: bool = False
    """The last activation did not end in order, as its process would have made it."""


REDONE = (StorePages, ForgetPages, Send, Publish, Quarantine)
"""Effects that can be done twice without harm, and must be sure to have happened."""


def _unsent(saved: Any) -> AnyEffect:
    """A message that was under way when a snapshot was taken; older snapshots have ``[cause, to, interrupt]``."""
    return Send(*saved) if isinstance(saved, list) else saved


def _nobody_waits(agent: AgentId, priority: Priority) -> None:
    """Where there is no budget, no call waits for its turn."""


class Workshop:
    """Shared parts, and how to put an agent together from them."""

    def __init__(
        self,
        registry: Registry,
        counter: TokenCounter,
        make_processor: MakeProcessor,
        mcp: McpServers | None = None,
    ) -> None:
        """``mcp`` are servers whose functions are added to the registry, and which end with this workshop."""
        self.registry = registry
        self._mcp = mcp or McpServers()
        self._mcp.add_to(registry)
        self.counter = counter
        self._make_processor = make_processor
        self.hurry: Callable[[AgentId, Priority], None] = _nobody_waits
        """Told of every interrupt: calls of its agent that wait for their turn take its priority if it is higher."""
        self._processors: dict[ModelSettings, Processor] = {}
        self._definitions: dict[bytes, AgentDefinition] = {}
        self._tables: dict[tuple[str, ...], AgentFunctions] = {}

    def processor(self, settings: ModelSettings) -> Processor:
        """The processor of these settings, shared by all agents that have them."""
        processor = self._processors.get(settings)
        if processor is None:
            processor = self._processors[settings] = self._make_processor(settings)
        return processor

    def functions(self, definition: AgentDefinition) -> AgentFunctions:
        table = self._tables.get(definition.functions)
        if table is None:
            if len(self._tables) >= TABLES_MAX:
                self._tables.clear()
            table = self._tables[definition.functions] = self.registry.table(definition.functions)
        return table

    def make(
        self,
        definition: AgentDefinition,
        functions: AgentFunctions | None = None,
        *,
        wrap: Callable[[EvictionPolicy], EvictionPolicy] | None = None,
    ) -> AgentState:
        """A new kernel; ``wrap`` may put something around its eviction policy.

        Raises :class:`~pagefault.runtime.errors.ConfigError` or
        :class:`~pagefault.runtime.errors.UnknownName` for a definition that cannot work.
        """
        policies = definition.policies
        try:
            eviction = make_policy(policies.eviction, **dict(policies.eviction_parameters))
            write_back = make_write_back(policies.write_back, **dict(policies.write_back_parameters))
            fetch = make_fetch(policies.fetch, **dict(policies.fetch_parameters))
            scorer = make_scorer(policies.scorer, **dict(policies.scorer_parameters))
            consolidation = make_consolidation(policies.consolidation, **dict(policies.consolidation_parameters))
        except UnknownPolicy as error:
            raise UnknownName(str(error)) from error
        except PolicyError as error:
            raise ConfigError("policies", str(error), "what the policy's docstring says") from error
        if wrap is not None:
            eviction = wrap(eviction)
        table = functions or self.functions(definition)
        return AgentState(
            definition,
            self.counter,
            table,
            eviction=eviction,
            write_back=write_back,
            fetch=fetch,
            scorer=scorer,
            consolidation=consolidation,
        )

    def try_out(self, definition: AgentDefinition) -> None:
        """Everything that can be wrong with a definition is found now: policies, functions, budget, model."""
        self.make(definition)
        self.processor(definition.model)
        if definition.summarizer is not None:
            self.processor(definition.summarizer)

    def revive(self, activation: Activation) -> Revived:
        """Snapshot and records become the agent that was; no effect of the past is performed here.

        Raises :class:`~pagefault.runtime.errors.StoreCorrupt`.
        """
        definition = self._definition(activation.agent, activation.definition)
        functions = self.functions(definition)
        state = self.make(definition, functions)
        redo: list[tuple[int, AnyEffect]] = []
        if activation.snapshot is not None:
            snapshot = decode_snapshot(activation.agent, activation.snapshot)
            state.load(snapshot)
            redo += [(activation.snapshot_seq, _unsent(each)) for each in snapshot.get(UNSENT, ())]
        for seq, record in enumerate(activation.records, activation.snapshot_seq + 1):
            effects = state.handle(decode_event(activation.agent, record))
            redo += [(seq, effect) for effect in effects if isinstance(effect, REDONE)]
        # In order means: a snapshot at the end, by the activation right before this one.
        crashed = activation.epoch > 1 and (bool(activation.records) or (state.epoch or 1) != activation.epoch - 1)
        return Revived(state, functions, activation.next_seq, redo, crashed)

    def _definition(self, agent: AgentId, data: bytes) -> AgentDefinition:
        """The agent's definition; those of agents made alike share everything but the id."""
        shared = self._definitions.get(data)
        if shared is None:
            if len(self._definitions) >= DEFINITIONS_MAX:
                self._definitions.clear()
            shared = self._definitions[data] = decode_definition(agent, data)
        return replace(shared, id=agent)

    async def close(self) -> None:
        for processor in self._processors.values():
            await processor.close()
        self._processors.clear()
        await self._mcp.close()
