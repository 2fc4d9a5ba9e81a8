"""What an agent is made of: its definition and every limit, as frozen values.

A definition is record 0 of an agent's journal.  Shares are fractions of the *prompt limit*, which is
``budget_tokens - reply_tokens``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.kernel.functions import Block
from pagefault.runtime.values import AgentId

SUMMARY_TOKENS_MIN = 32
"""A summary's frame takes half of this: with less room there would be no summary."""


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """The budget of the main context and the marks at which something happens.

    Defaults are the MemGPT paper's (Packer et al. 2023, §2.2): warn at 70 %, flush at 100 % down to 50 %.
    """

    budget_tokens: int = 8192  # the window: prompt and reply together
    reply_tokens: int = 1024  # kept free for the reply
    warn_share: float = 0.70
    high_share: float = 1.0
    low_share: float = 0.5
    page_share: float = 0.20  # the largest page that may enter
    results_share: float = 0.33  # the largest page of search results
    summary_share: float = 0.10  # the recursive summary
    handle_share: float = 0.10  # all handles together
    keep_last_pages: int = 3  # newest pages that a flush leaves alone if it can

    @property
    def prompt_limit(self) -> int:
        return self.budget_tokens - self.reply_tokens

    @property
    def warn_tokens(self) -> int:
        return int(self.prompt_limit * self.warn_share)

    @property
    def high_tokens(self) -> int:
        return int(self.prompt_limit * self.high_share)

    @property
    def low_tokens(self) -> int:
        return int(self.prompt_limit * self.low_share)

    @property
    def page_tokens_max(self) -> int:
        return int(self.prompt_limit * self.page_share)

    @property
    def results_tokens_max(self) -> int:
        return int(self.prompt_limit * self.results_share)

    @property
    def summary_tokens_max(self) -> int:
        return max(SUMMARY_TOKENS_MIN, int(self.prompt_limit * self.summary_share))

    @property
    def handle_tokens_max(self) -> int:
        return int(self.prompt_limit * self.handle_share)


@dataclass(frozen=True, slots=True)
class MailboxSettings:
    """Bounds of the mailbox; beyond them interrupts are rejected, never dropped."""

    interrupts_max: int = 1000
    bytes_max: int = 4 * 2**20
    interrupt_bytes_max: int = 256 * 2**10
    remembered_ids: int = 4096  # handled ids kept to recognise duplicates
    retry_after_ms: int = 1000


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """Bounds of chains."""

    steps_max: int = 50  # model replies in one chain
    depth_max: int = 8  # chains put aside at once
    parked_max: int = 16  # chains awaiting other agents at once
    hops_max: int = 16  # agents that one cause may pass through
    malformed_max: int = 3  # calls in a row that could not be run
    overflow_retries: int = 3  # times a server may say that the prompt is too long
    snapshot_steps: int = 64  # steps between snapshots
    calls_max: int = 16  # calls in one reply
    call_arguments_chars: int = 65536  # of one call
    timers_max: int = 64  # timers that one agent may have running
    attempts_max: int = 5  # times the host may die in one piece of work before its chain is quarantined
    approval_ms: int = 24 * 3600 * 1000  # how long a call waits for an operator


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which processor answers.  ``options`` are passed to it as they are (``base_url``, ``temperature``…)."""

    name: str = "scripted:nothing"
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Names and parameters of the paging policies (numbers and strings only)."""

    eviction: str = "fifo"
    eviction_parameters: tuple[tuple[str, str | float | int | bool], ...] = ()
    write_back: str = "handle"
    write_back_parameters: tuple[tuple[str, str | float | int | bool], ...] = ()
    fetch: str = "demand"
    fetch_parameters: tuple[tuple[str, str | float | int | bool], ...] = ()
    scorer: str = "claimed"
    scorer_parameters: tuple[tuple[str, str | float | int | bool], ...] = ()
    consolidation: str = "off"
    consolidation_parameters: tuple[tuple[str, str | float | int | bool], ...] = ()


@dataclass(frozen=True, slots=True)
class AgentDefinition:
    """Everything that makes an agent, before it has lived.

    ``functions`` are the names it may call, ``exports`` those of them that other agents may call directly,
    ``spaces`` the shared spaces it may read and write.
    ``chaining``: ``heartbeat`` (a chain goes on when a call asks for it, as in the MemGPT paper) or
    ``calls`` (whenever a function other than ``send_message`` was called, for models that forget to ask).
    ``plain_text``: what to do with a reply that calls nothing, ``deliver`` it or keep it as ``monologue``.
    ``rule_of_two``: a function that sends something out needs an operator's approval once private data and text that
    somebody else wrote have come together in the agent.
    ``tracks_trust``: pages say whether their words may be of others, who shows such to the model as what it is, and
    writes nothing of it to a shared space, but for ``open_spaces``, unless an operator agrees; agents that were made
    before there was this do not.
    """

    id: AgentId
    system: str
    blocks: tuple[Block, ...] = ()
    functions: tuple[str, ...] = ()
    tenant: str = "default"
    spaces: tuple[str, ...] = ()
    model: ModelSettings = ModelSettings()
    summarizer: ModelSettings | None = None
    policies: PolicySettings = PolicySettings()
    context: ContextSettings = ContextSettings()
    mailbox: MailboxSettings = MailboxSettings()
    chain: ChainSettings = ChainSettings()
    chaining: str = "heartbeat"
    plain_text: str = "deliver"
    search_results: int = 10
    tags: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    rule_of_two: bool = False
    tracks_trust: bool = False
    open_spaces: tuple[str, ...] = ()


def validate(definition: AgentDefinition) -> None:
    """Raise :class:`ConfigError` for the first setting that cannot work."""
    if not definition.id or len(definition.id) > 200:
        raise ConfigError("id", definition.id, "1 to 200 characters")
    if definition.chaining not in ("heartbeat", "calls"):
        raise ConfigError("chaining", definition.chaining, "'heartbeat' or 'calls'")
    if definition.plain_text not in ("deliver", "monologue"):
        raise ConfigError("plain_text", definition.plain_text, "'deliver' or 'monologue'")
    if not 1 <= definition.search_results <= 100:
        raise ConfigError("search_results", definition.search_results, "1 to 100")
    _validate_spaces(definition)
    _validate_context(definition.context)
    for part in ("mailbox", "chain"):
        settings = getattr(definition, part)
        for field in fields(settings):
            value = getattr(settings, field.name)
            if value < 1:
                raise ConfigError(f"{part}.{field.name}", value, "1 or more")
    labels = [block.label for block in definition.blocks]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError("blocks", label, "each label once")
    for block in definition.blocks:
        if len(block.text) > block.limit_chars:
            raise ConfigError(f"blocks.{block.label}.text", f"{len(block.text)} characters", f"{block.limit_chars}")


def _validate_spaces(definition: AgentDefinition) -> None:
    for space in definition.open_spaces:
        if space not in definition.spaces:
            given = ", ".join(definition.spaces) or "there are none"
            raise ConfigError("open_spaces", space, f"those of spaces: {given}")


def _validate_context(context: ContextSettings) -> None:
    if context.budget_tokens < 256:
        raise ConfigError("context.budget_tokens", context.budget_tokens, "256 or more")
    if not 0 < context.reply_tokens <= context.budget_tokens // 2:
        raise ConfigError("context.reply_tokens", context.reply_tokens, f"1 to {context.budget_tokens // 2}")
    if not 0 < context.low_share < context.high_share <= 1:
        raise ConfigError(
            "context.low_share",
            context.low_share,
            f"above 0 and below high_share ({context.high_share}), which is at most 1",
        )
    if not context.low_share <= context.warn_share <= context.high_share:
        raise ConfigError("context.warn_share", context.warn_share, f"{context.low_share} to {context.high_share}")
    for name in ("page_share", "results_share", "summary_share", "handle_share"):
        value = getattr(context, name)
        if not 0 < value <= 0.5:
            raise ConfigError(f"context.{name}", value, "above 0, at most 0.5")
    if context.keep_last_pages < 1:
        raise ConfigError("context.keep_last_pages", context.keep_last_pages, "1 or more")
