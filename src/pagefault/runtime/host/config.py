"""How people describe an agent: keyword arguments or a table of a TOML file, checked field by field."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.host.secrecy import redacted
from pagefault.runtime.kernel.functions import Block
from pagefault.runtime.kernel.settings import (
    AgentDefinition,
    ChainSettings,
    ContextSettings,
    MailboxSettings,
    ModelSettings,
    PolicySettings,
    validate,
)
from pagefault.runtime.values import AgentId

BLOCK_CHARS = 2000
"""As in MemGPT: persona and human have 2,000 characters each."""
SYSTEM = (
    "You are {name}, an agent with a memory of your own. Your context is small: older messages leave it, but nothing "
    "is lost. Search what was said with conversation_search, keep facts with archival_memory_insert and find them with "
    "archival_memory_search; what must always be at hand belongs in a memory block (core_memory_append, "
    "core_memory_replace). Nobody sees what you merely write: speak with send_message. To go on after a call, ask for "
    "a heartbeat."
)
Parameter = str | float | int | bool
OFF, GRANT = "off", "consolidation"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=False)


class Agent(_Strict):
    """What an agent is.  Only ``name`` is needed.

    ``model``: ``scripted:NAME``, ``scripted:module:function``, ``openai:MODEL``, ``local``…; ``model_options`` go to
    the processor (``base_url``, ``api_key_env``, ``timeout_s``…).  ``functions`` are names, or the sets ``memgpt`` and
    ``all``; ``exports`` are those of them, by name, that other agents may call directly.  ``policy``, ``write_back``
    and ``fetch`` name paging policies, ``scorer`` what says how important a page is where its sender does not.
    ``consolidation`` says when an agent at rest looks over its archival memory; it has the functions for that, then.
    ``rule_of_two`` asks an operator before anything is sent out once private data and text that somebody else wrote
    have come together; ``approval_s`` is how long calls wait for one.
    ``tracks_trust``: what others wrote (agents, worlds, documents, functions that see such) is shown to the model
    between delimiters, and an agent that has seen any needs an operator's approval to write to a shared space, but for
    its ``open_spaces``.
    ``context_tokens`` is the budget of prompt and reply together, ``reply_tokens`` the part kept for the reply.  The
    other limits are those of :mod:`pagefault.runtime.kernel.settings`.
    """

    name: str = Field(min_length=1, max_length=200)
    system: str = SYSTEM
    persona: str = ""
    blocks: Mapping[str, str] = Field(default_factory=dict)
    block_chars: int = Field(BLOCK_CHARS, ge=1, le=1_000_000)
    functions: tuple[str, ...] = ("memgpt",)
    exports: tuple[str, ...] = ()
    tenant: str = Field("default", min_length=1, max_length=200)
    spaces: tuple[str, ...] = ()
    model: str = "scripted:nothing"
    model_options: Mapping[str, Parameter] = Field(default_factory=dict)
    summarizer: str | None = None
    policy: str = "fifo"
    policy_options: Mapping[str, Parameter] = Field(default_factory=dict)
    write_back: str = "handle"
    write_back_options: Mapping[str, Parameter] = Field(default_factory=dict)
    fetch: str = "demand"
    fetch_options: Mapping[str, Parameter] = Field(default_factory=dict)
    scorer: str = "claimed"
    scorer_options: Mapping[str, Parameter] = Field(default_factory=dict)
    consolidation: str = OFF
    consolidation_options: Mapping[str, Parameter] = Field(default_factory=dict)
    context_tokens: int = 8192
    reply_tokens: int = 1024
    warn_share: float = 0.70
    high_share: float = 1.0
    low_share: float = 0.5
    keep_last_pages: int = 3
    steps_max: int = 50
    mailbox_max: int = 1000
    snapshot_steps: int = 64
    search_results: int = 10
    chaining: Literal["heartbeat", "calls"] = "heartbeat"
    plain_text: Literal["deliver", "monologue"] = "deliver"
    tags: tuple[str, ...] = ()
    rule_of_two: bool = False
    tracks_trust: bool = True
    open_spaces: tuple[str, ...] = ()
    approval_s: float = Field(24 * 3600.0, gt=0)

    def __init__(self, name: str | None = None, **fields: Any) -> None:
        """Raises :class:`~pagefault.runtime.errors.ConfigError` for the first field that is wrong."""
        if name is not None:
            fields["name"] = name
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise config_error(error, "agent", type(self)) from None

    def definition(self) -> AgentDefinition:
        """The kernel's form.  Raises :class:`~pagefault.runtime.errors.ConfigError`."""
        blocks = dict(self.blocks)
        if self.persona:
            blocks = {"persona": self.persona, **blocks}
        made = AgentDefinition(
            id=AgentId(self.name),
            system=redacted(self.system.replace("{name}", self.name)),
            blocks=tuple(Block(label, redacted(text), self.block_chars) for label, text in blocks.items()),
            functions=self.functions if self.consolidation == OFF else (*self.functions, GRANT),
            exports=self.exports,
            tenant=self.tenant,
            spaces=self.spaces,
            model=ModelSettings(self.model, _options(self.model_options)),
            summarizer=None
            if self.summarizer is None
            else ModelSettings(self.summarizer, _options(self.model_options)),
            policies=PolicySettings(
                eviction=self.policy,
                eviction_parameters=tuple(self.policy_options.items()),
                write_back=self.write_back,
                write_back_parameters=tuple(self.write_back_options.items()),
                fetch=self.fetch,
                fetch_parameters=tuple(self.fetch_options.items()),
                scorer=self.scorer,
                scorer_parameters=tuple(self.scorer_options.items()),
                consolidation=self.consolidation,
                consolidation_parameters=tuple(self.consolidation_options.items()),
            ),
            context=ContextSettings(
                budget_tokens=self.context_tokens,
                reply_tokens=self.reply_tokens,
                warn_share=self.warn_share,
                high_share=self.high_share,
                low_share=self.low_share,
                keep_last_pages=self.keep_last_pages,
            ),
            chain=ChainSettings(
                steps_max=self.steps_max,
                snapshot_steps=self.snapshot_steps,
                approval_ms=max(1, round(self.approval_s * 1000)),
            ),
            mailbox=MailboxSettings(interrupts_max=self.mailbox_max),
            chaining=self.chaining,
            plain_text=self.plain_text,
            search_results=self.search_results,
            tags=self.tags,
            rule_of_two=self.rule_of_two,
            tracks_trust=self.tracks_trust,
            open_spaces=self.open_spaces,
        )
        validate(made)
        return made


def _options(options: Mapping[str, Parameter]) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(value)) for key, value in options.items())


def config_error(error: ValidationError, prefix: str, model: type[BaseModel]) -> ConfigError:
    """The first problem of a pydantic error, in our words."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    field = f"{prefix}.{place}" if place else prefix
    if problem["type"] == "extra_forbidden":
        *tables, key = problem["loc"]
        return ConfigError(".".join([prefix, *map(str, tables)]), key, _known_keys(str(key), _table_of(model, tables)))
    if problem["type"] == "missing":
        return ConfigError(field, "nothing", "a value: it is needed")
    return ConfigError(field, problem.get("input"), problem["msg"][0].lower() + problem["msg"][1:])


def _table_of(model: type[BaseModel], tables: Sequence[int | str]) -> type[BaseModel]:
    for table in tables:
        field = model.model_fields.get(str(table))
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))  # a table, or perhaps one
        inner = next((each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel)), None)
        if inner is None:
            break
        model = inner
    return model


def _known_keys(key: str, model: type[BaseModel]) -> str:
    near = difflib.get_close_matches(key, model.model_fields, n=1)
    if near:
        return f"known keys only; did you mean {near[0]}?"
    return f"one of {', '.join(sorted(model.model_fields))}"
