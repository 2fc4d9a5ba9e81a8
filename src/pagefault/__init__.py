"""Pagefault: virtual memory for fleets of LLM agents.

These are the public names; the README shows them at work.  Policy authors import
:mod:`pagefault.policies.contract`, tests :mod:`pagefault.runtime.testing`, errors not named here are in
:mod:`pagefault.runtime.errors`.

Each name is loaded when it is first asked for, and brings only what it needs: ``Local`` does not bring Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pagefault.cluster.api import Cluster
    from pagefault.runtime.errors import AgentFailed, ConfigError, ModelError, Overloaded, PagefaultError, StoreError
    from pagefault.runtime.functions.decorator import function
    from pagefault.runtime.host.config import Agent
    from pagefault.runtime.host.fleet import AgentRef
    from pagefault.runtime.host.history import Changes
    from pagefault.runtime.host.local import Local
    from pagefault.runtime.host.records import Inspection, Step
    from pagefault.runtime.host.virtual import VirtualClock
    from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
    from pagefault.runtime.models.view import View
    from pagefault.runtime.values import DeadLetter, Interrupt, InterruptKind, ModelRequest, Priority

__all__ = [
    "Agent",
    "AgentFailed",
    "AgentRef",
    "Changes",
    "Cluster",
    "ConfigError",
    "DeadLetter",
    "Inspection",
    "Interrupt",
    "InterruptKind",
    "Local",
    "ModelError",
    "ModelRequest",
    "Overloaded",
    "PagefaultError",
    "Priority",
    "Reply",
    "Step",
    "StoreError",
    "View",
    "VirtualClock",
    "call",
    "function",
    "mind",
    "nothing",
    "say",
]

_HOMES = {
    "pagefault.cluster.api": ("Cluster",),
    "pagefault.runtime.errors": (
        "AgentFailed",
        "ConfigError",
        "ModelError",
        "Overloaded",
        "PagefaultError",
        "StoreError",
    ),
    "pagefault.runtime.functions.decorator": ("function",),
    "pagefault.runtime.host.config": ("Agent",),
    "pagefault.runtime.host.fleet": ("AgentRef",),
    "pagefault.runtime.host.history": ("Changes",),
    "pagefault.runtime.host.local": ("Local",),
    "pagefault.runtime.host.records": ("Inspection", "Step"),
    "pagefault.runtime.host.virtual": ("VirtualClock",),
    "pagefault.runtime.models.scripted": ("Reply", "call", "mind", "nothing", "say"),
    "pagefault.runtime.models.view": ("View",),
    "pagefault.runtime.values": ("DeadLetter", "Interrupt", "InterruptKind", "ModelRequest", "Priority"),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(module), name)
            return value
    raise AttributeError(f"module 'pagefault' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
