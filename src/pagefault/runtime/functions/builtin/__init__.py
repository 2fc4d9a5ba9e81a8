"""The system calls: what an agent may do with its own memory, time and neighbours.

Every one is a pure function from a :class:`~pagefault.runtime.kernel.functions.MemoryView` to an
:class:`~pagefault.runtime.kernel.functions.Outcome`; the kernel does what the outcome says.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pagefault.runtime.functions.builtin import (
    archival,
    consolidation,
    control,
    core_memory,
    messaging,
    paging,
    recall,
    timers,
    topics,
)
from pagefault.runtime.functions.decorator import definition_of
from pagefault.runtime.functions.definition import FunctionDefinition

_FUNCTIONS = (
    messaging.send_message,
    core_memory.core_memory_append,
    core_memory.core_memory_replace,
    recall.conversation_search,
    recall.conversation_search_date,
    archival.archival_memory_insert,
    archival.archival_memory_search,
    timers.pause_heartbeats,
    timers.set_timer,
    paging.page_in,
    paging.page_out,
    paging.pin,
    paging.unpin,
    messaging.send_to_agent,
    messaging.call_agent,
    control.yield_control,
    timers.cancel_timer,
    topics.subscribe,
    topics.unsubscribe,
    topics.publish,
)

_CONSOLIDATION = (consolidation.archival_memory_review, consolidation.archival_memory_merge)

BUILTINS: Mapping[str, FunctionDefinition] = MappingProxyType(
    {definition.name: definition for definition in map(definition_of, (*_FUNCTIONS, *_CONSOLIDATION))}
)

MEMGPT = tuple(BUILTINS)[:8]
"""The set of the MemGPT paper and its code."""
ALL = tuple(BUILTINS)[: len(_FUNCTIONS)]
"""What any agent can do with; what only a consolidation policy calls for is not among it."""
CONSOLIDATION = tuple(BUILTINS)[len(_FUNCTIONS) :]
"""What an agent with a consolidation policy has besides."""

GRANTS: Mapping[str, tuple[str, ...]] = MappingProxyType({"memgpt": MEMGPT, "all": ALL, "consolidation": CONSOLIDATION})
"""Sets of functions that a grant may name."""
