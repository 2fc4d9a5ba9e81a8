from __future__ import annotations

from dataclasses import replace

import pytest

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.config import BLOCK_CHARS, Agent
from pagefault.runtime.host.records import decode_definition, encode_definition
from pagefault.runtime.kernel.settings import AgentDefinition, PolicySettings
from pagefault.runtime.values import AgentId


def test_a_name_is_enough_and_every_field_arrives() -> None:
    plain = Agent("ada").definition()
    assert isinstance(plain, AgentDefinition)
    assert plain.id == "ada"
    assert "ada" in plain.system
    assert "{name}" not in plain.system
    made = Agent(
        "bob",
        persona="kind",
        blocks={"human": "tall"},
        model="openai:m",
        model_options={"base_url": "http://x", "timeout_s": 3},
        summarizer="openai:s",
        policy="importance",
        policy_options={"half_life_turns": 3.5},
        write_back="summarize",
        fetch="neighbours",
        context_tokens=4096,
        reply_tokens=512,
        warn_share=0.6,
        high_share=0.9,
        low_share=0.4,
        keep_last_pages=2,
        steps_max=9,
        mailbox_max=7,
        snapshot_steps=5,
        search_results=4,
        chaining="calls",
        plain_text="monologue",
        tags=("x",),
        spaces=("town",),
        tenant="t",
    ).definition()
    assert [(block.label, block.text, block.limit_chars) for block in made.blocks] == [
        ("persona", "kind", BLOCK_CHARS),
        ("human", "tall", BLOCK_CHARS),
    ]
    assert made.model.options == (("base_url", "http://x"), ("timeout_s", "3"))
    assert made.summarizer is not None
    assert made.summarizer.name == "openai:s"
    policies = made.policies
    assert (policies.eviction, policies.write_back, policies.fetch) == ("importance", "summarize", "neighbours")
    assert policies.eviction_parameters == (("half_life_turns", 3.5),)
    context = made.context
    assert (context.budget_tokens, context.reply_tokens, context.keep_last_pages) == (4096, 512, 2)
    assert (context.warn_share, context.high_share, context.low_share) == (0.6, 0.9, 0.4)
    assert (made.chain.steps_max, made.chain.snapshot_steps, made.mailbox.interrupts_max) == (9, 5, 7)
    assert (made.chaining, made.plain_text, made.search_results) == ("calls", "monologue", 4)
    assert (made.tags, made.spaces, made.tenant) == (("x",), ("town",), "t")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "agent.name"),
        ({"name": ""}, "agent.name"),
        ({"name": "a", "polcy": "lru"}, "did you mean policy"),
        ({"name": "a", "qqq": 1}, "one of"),
        ({"name": "a", "chaining": "maybe"}, "agent.chaining"),
        ({"name": "a", "context_tokens": "many"}, "agent.context_tokens"),
    ],
)
def test_the_first_wrong_field_is_named(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Agent(**fields)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"context_tokens": 100}, "budget_tokens"),
        ({"reply_tokens": 0}, "reply_tokens"),
        ({"low_share": 1.0}, "low_share"),
        ({"warn_share": 0.1}, "warn_share"),
        ({"persona": "x" * 3000}, "persona"),
        ({"search_results": 0}, "search_results"),
        ({"mailbox_max": 0}, "interrupts_max"),
        ({"keep_last_pages": 0}, "keep_last_pages"),
        ({"blocks": {"persona": "twice"}, "persona": "x", "block_chars": 1}, "persona"),
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Agent("ada", **fields).definition()


def test_a_definition_reads_back_with_numbers_of_the_types_that_they_had() -> None:
    options: dict[str, str | float | int | bool] = {"k": 3, "share": 0.5, "bright": True, "name": "x"}
    made = replace(Agent("ada").definition(), policies=PolicySettings(eviction_parameters=tuple(options.items())))
    found = dict(decode_definition(AgentId("ada"), encode_definition(made)).policies.eviction_parameters)
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in options.items()}
