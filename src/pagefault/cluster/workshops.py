"""The workshop of a process: what it makes agents with, the program's own functions and minds among it."""

from __future__ import annotations

from pagefault.cluster.settings import Code
from pagefault.runtime.functions.mcp.pool import McpServers, decode
from pagefault.runtime.functions.mcp.settings import read_servers, secrets_of
from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host.secrecy import learn_secrets
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.models.budget.gate import local_gate
from pagefault.runtime.models.budget.processor import MakeProcessor, budgeted
from pagefault.runtime.models.budget.settings import Plan
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.scripted import mind
from pagefault.runtime.models.tokens import BpeTokenCounter


def open_workshop(code: Code, maker: MakeProcessor, mcp: str = "") -> Workshop:
    """A workshop that has the program's code, and the functions of MCP servers.

    Raises what the registry raises for functions that cannot be offered.
    """
    registry = Registry()
    for function in code.functions:
        registry.add(function)
    for name, function in code.minds.items():
        mind(name)(function)
    tables, accepted = decode(mcp)
    servers = read_servers(tables)
    learn_secrets(secrets_of(servers.values()))
    return Workshop(registry, BpeTokenCounter(), maker, McpServers(servers, accepted))


def trying_workshop(code: Code, budget: Plan, mcp: str = "") -> Workshop:
    """One to try definitions out with: no call of a model is made from it."""
    if budget:
        return open_workshop(code, budgeted(budget, local_gate(budget), make_processor), mcp)
    return open_workshop(code, make_processor, mcp)
