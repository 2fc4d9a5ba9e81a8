"""Agents made alike share what is equal: definitions, texts, system messages, function tables."""

from __future__ import annotations

import pytest

from pagefault.runtime.functions.registry import Registry
from pagefault.runtime.host import workshop as module
from pagefault.runtime.host.config import Agent
from pagefault.runtime.host.records import encode_definition
from pagefault.runtime.host.workshop import Workshop
from pagefault.runtime.kernel.agent import AgentState
from pagefault.runtime.models.registry import make_processor
from pagefault.runtime.models.tokens import ByteTokenCounter
from pagefault.runtime.store.protocols import Activation
from pagefault.runtime.values import AgentId


def workshop() -> Workshop:
    return Workshop(Registry(), ByteTokenCounter(), make_processor)


def activation(name: str, persona: str = "A gardener.") -> Activation:
    made = Agent(name, system="You keep a garden. " * 20, persona=persona).definition()
    data = bytes(bytearray(encode_definition(made)))  # another object each time, as from a store
    return Activation(AgentId(name), 1, data, None, 0, ())


def test_agents_made_alike_share_their_parts() -> None:
    shop = workshop()
    ann, bob = (shop.revive(activation(name)) for name in ("ann", "bob"))
    assert (ann.state.definition.id, bob.state.definition.id) == ("ann", "bob")
    assert ann.state.definition.system is bob.state.definition.system
    assert ann.state.definition.blocks is bob.state.definition.blocks
    assert ann.functions is bob.functions
    assert head(ann.state) is head(bob.state)


def test_what_one_changes_stays_its_own() -> None:
    shop = workshop()
    ann, bob = (shop.revive(activation(name)).state for name in ("ann", "bob"))
    ann.context.set_block("persona", "A baker.")
    assert "A baker." in ann.context.assemble().messages[0].text
    assert "A gardener." in bob.context.assemble().messages[0].text
    assert bob.digest() == shop.revive(activation("carol")).state.digest()


def test_definitions_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFINITIONS_MAX", 3)
    shop = workshop()
    for number in range(10):
        state = shop.revive(activation("ann", f"Number {number}.")).state
        assert state.definition.blocks[0].text == f"Number {number}."
        assert len(shop._definitions) <= 3


def head(state: AgentState) -> object:
    return state.context.assemble().messages[0]
