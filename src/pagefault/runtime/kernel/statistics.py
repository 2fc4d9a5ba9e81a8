"""What an agent has done so far, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Statistics:
    """Counters since the agent was made; all only grow, but for ``context_tokens``."""

    steps: int = 0
    chains: int = 0
    model_calls: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    cached_tokens: int = 0
    page_hits: int = 0
    page_faults: int = 0
    refaults: int = 0
    evictions: int = 0
    flushes: int = 0
    warnings: int = 0
    summaries: int = 0
    tokens_paged_in: int = 0
    tokens_paged_out: int = 0
    token_turns: int = 0
    preemptions: int = 0
    rejected: int = 0
    malformed_calls: int = 0
    policy_failures: int = 0
    ratings: int = 0
    overflows: int = 0
    quarantined: int = 0
    reviews: int = 0
    passages_merged: int = 0
    context_tokens: int = 0
    context_tokens_max: int = 0
