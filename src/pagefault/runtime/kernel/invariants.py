"""What must always hold of an agent between two events.

Run after every event in tests and in every simulated step; cheap enough to run live while debugging.
"""

from __future__ import annotations

from pagefault.runtime.errors import InvariantViolated
from pagefault.runtime.kernel.state import AgentData, Phase
from pagefault.runtime.values import Fidelity

_KINDS = {
    Phase.THINKING: {"model"},
    Phase.ACTING: {"function", "search"},
    Phase.PAGING: {"summary", "load", "merge"},
    Phase.CANCELLING: {"model", "summary", "function", "search", "load", "merge"},
}


def check(data: AgentData) -> None:
    """Raise :class:`~pagefault.runtime.errors.InvariantViolated`, with the story, for the first breach."""
    try:
        _check_phase(data)
        _check_chains(data)
        _check_pages(data)
        _check_budget(data)
        data.mailbox.check()
    except AssertionError as error:
        raise InvariantViolated(f"{data.definition.id}: {error}; story:\n{data.story}") from error


def _check_phase(data: AgentData) -> None:
    outstanding = data.outstanding
    if data.phase in _KINDS:
        assert outstanding is not None, f"nothing is outstanding while {data.phase}"
        assert outstanding.kind in _KINDS[data.phase], f"a {outstanding.kind} call is outstanding while {data.phase}"
        assert data.chain is not None, f"no chain while {data.phase}"
        assert data.was_issued(outstanding.call_id), "an outstanding id was never given out"
    else:
        assert outstanding is None, f"{outstanding} is outstanding while {data.phase}"
        assert data.chain is None, f"a chain runs while {data.phase}"
        assert not data.suspended, f"chains are put aside while {data.phase}: nothing would resume them"
    assert (data.phase is Phase.AWAITING_REPLY) <= bool(data.parked), "awaiting a reply that nobody was asked for"
    assert (data.phase is not Phase.IDLE) or not data.parked, "idle while a chain is parked"
    assert (data.flush is not None) == (outstanding is not None and outstanding.kind == "summary"), "a flush is adrift"
    assert (data.phase is Phase.CANCELLING) == bool(outstanding and outstanding.outcome), (
        "a cancelled call is not awaited"
    )
    if data.phase in (Phase.IDLE, Phase.AWAITING_REPLY):
        waiting = data.mailbox.peek(hold_timers=data.now_ms < data.paused_until_ms)
        assert waiting is None, f"{waiting} waits though nothing runs"
    if data.phase is Phase.STOPPED:
        assert not [*data.mailbox, *data.parked, *data.timers], "a killed agent holds work"


def _check_chains(data: AgentData) -> None:
    limits = data.definition.chain
    chains = [*data.suspended, *([data.chain] if data.chain is not None else [])]
    priorities = [chain.priority for chain in data.suspended]
    assert priorities == sorted(priorities, reverse=True), "continuations do not nest by priority"
    assert len(set(priorities)) == len(priorities), "a chain was put aside for one of the same priority"
    assert len(data.suspended) <= limits.depth_max, "more chains put aside than the limit"
    assert len(data.parked) <= limits.parked_max, "more chains parked than the limit"
    causes = [chain.cause for chain in (*chains, *data.parked.values())]
    assert len(causes) == len(set(causes)), "two chains of one interrupt"
    for chain in chains:
        assert chain.steps <= limits.steps_max, "a chain passed its limit of steps"
        assert chain.cause not in data.mailbox, "an interrupt is queued and being handled"
        assert chain.crashes < limits.attempts_max, "a chain goes on that belongs into quarantine"
    for chain in data.parked.values():
        assert chain.waiting_call is not None, "a parked chain waits for nothing"
    assert len(data.timers) <= limits.timers_max, "more timers than the limit"


def _check_pages(data: AgentData) -> None:
    entries = data.context.entries
    full = {page_id for page_id, shown in entries.items() if shown.page.fidelity is Fidelity.FULL}
    assert full == set(data.eviction.resident()), "the policy and the context disagree on what is resident"
    assert data.pinned <= full, "a pinned page is not resident"
    assert not full & data.evicted.keys(), "a page is resident and evicted"
    for page_id, shown in entries.items():
        assert page_id == shown.page.id, "an entry stands under another page's id"
        assert shown.page.tokens > 0, f"{page_id} costs nothing"
        assert 0 < shown.page.ordinal <= data.ordinal, f"{page_id} has an ordinal that was not given out"
    assert data.context.queue.assemble() == data.context.queue.assemble_anew(), "the kept assembly is stale"
    for chain in (*data.suspended, *data.parked.values()):
        arrivals = [page.id for page in chain.arrivals]
        assert len(arrivals) == len(set(arrivals)), "a page arrives twice"


def _check_budget(data: AgentData) -> None:
    settings = data.definition.context
    assert data.statistics.context_tokens <= settings.high_tokens, "more was sent than the budget"
    assert data.statistics.context_tokens_max <= settings.high_tokens, "more was once sent than the budget"
    if data.phase is Phase.THINKING and data.outstanding is not None:
        assembled = data.context.assemble()
        assert assembled.tokens == data.outstanding.counted_tokens, "the context changed under a model call"
    assert data.context.summary_tokens <= settings.summary_tokens_max, "the summary is over its share"
    for block in data.context.blocks.values():
        assert len(block.text) <= block.limit_chars, f"block {block.label} is over its limit"
