"""Pagefault: virtual memory for fleets of LLM agents.

These are the public names; the README shows them at work.  Policy authors import
:mod:`pagefault.policies.contract`, tests :mod:`pagefault.runtime.testing`, errors not named here are in
:mod:`pagefault.runtime.errors`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pagefault.runtime.errors import AgentFailed, ConfigError, ModelError, Overloaded, PagefaultError, StoreError
from pagefault.runtime.functions.decorator import function
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.fleet import AgentRef
from pagefault.runtime.host.local import Local
from pagefault.runtime.host.records import Inspection, Step
from pagefault.runtime.models.scripted import Reply, call, mind, nothing, say
from pagefault.runtime.models.view import View
from pagefault.runtime.values import Interrupt, InterruptKind, ModelRequest, Priority

if TYPE_CHECKING:
    from pagefault.cluster.api import Cluster

__all__ = [
    "Agent",
    "AgentFailed",
    "AgentRef",
    "Cluster",
    "ConfigError",
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
    "call",
    "function",
    "mind",
    "nothing",
    "say",
]


def __getattr__(name: str) -> object:
    """``Cluster`` is loaded when it is first asked for: it brings Ray with it, which ``Local`` does not need."""
    if name == "Cluster":
        return importlib.import_module("pagefault.cluster.api").Cluster
    raise AttributeError(f"module 'pagefault' has no attribute {name!r}")
