"""Measures of a replay.  Definitions are in ``docs/lab.md``; every ratio leaves first insertions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from pagefault.policies.contract import PolicyError
from pagefault.policies.lab.cost import PrefixCost, Prices, prefix_cost
from pagefault.policies.lab.extras import analysis
from pagefault.policies.lab.log import Entered
from pagefault.policies.lab.replay import Replay
from pagefault.policies.lab.trace import NO_GROUP, Integers

PURPOSE = "an interval of confidence"
DEFAULT_PRICES = Prices()
REFAULT_TURNS = 10


@dataclass(frozen=True, slots=True)
class Measures:
    """Counts of one replay, or the sums of several, and the ratios that follow.

    ``soft_hits`` are faults that the summary would have answered in part: ``soft_worth`` is the sum of what
    it retained.  ``groups_recall`` is the sum over groups of the share of their pages that were resident when
    the group's first was needed, ``groups_whole`` counts the groups of which all were.  ``refaults`` are
    faults on a page that was evicted at most so many turns before, ``false_page_ins`` pages that a fetch
    brought and that left, or stayed to the end, without ever being needed.  ``token_turns`` is what pages
    occupied: a token resident for a turn each.
    """

    references: int = 0
    hits: int = 0
    reference_tokens: int = 0
    hit_tokens: int = 0
    groups: int = 0
    groups_whole: int = 0
    groups_recall: float = 0.0
    faults: int = 0
    refaults: int = 0
    lost: int = 0
    soft_hits: int = 0
    soft_worth: float = 0.0
    page_ins: int = 0
    false_page_ins: int = 0
    tokens_in: int = 0
    evictions: int = 0
    tokens_out: int = 0
    token_turns: int = 0
    overfull: int = 0
    summariser_calls: int = 0
    summariser_input_tokens: int = 0
    summariser_output_tokens: int = 0
    calls: int = 0
    read_tokens: int = 0
    written_tokens: int = 0
    invalidations: int = 0
    cost: float = 0.0
    events: int = 0
    cpu_ns: int = 0

    @property
    def object_hit_ratio(self) -> float:
        """Share of references that found their page at full fidelity; 1 if there were none."""
        return self.hits / self.references if self.references else 1.0

    @property
    def token_hit_ratio(self) -> float:
        """The same, every reference counting as many times as its page has tokens."""
        return self.hit_tokens / self.reference_tokens if self.reference_tokens else 1.0

    @property
    def soft_hit_ratio(self) -> float:
        """What the summary was worth, as a share of all references; comes on top of the hit ratio."""
        return self.soft_worth / self.references if self.references else 0.0

    @property
    def evidence_recall(self) -> float:
        """Mean over groups of the share of their pages that were resident; 1 if there are no groups."""
        return self.groups_recall / self.groups if self.groups else 1.0

    @property
    def all_evidence_recall(self) -> float:
        """Share of the groups whose pages were all resident; 1 if there are no groups."""
        return self.groups_whole / self.groups if self.groups else 1.0

    @property
    def cost_per_call(self) -> float:
        """Input tokens without a cache that a call costs; 0 if there was none."""
        return self.cost / self.calls if self.calls else 0.0

    @property
    def cpu_ns_per_event(self) -> float:
        """Processor time an event of the trace, the lab's own included; 0 if there was none."""
        return self.cpu_ns / self.events if self.events else 0.0

    def to_row(self) -> dict[str, float | int]:
        """All counts and ratios, flat: a row of a table."""
        ratios = (
            "object_hit_ratio",
            "token_hit_ratio",
            "soft_hit_ratio",
            "evidence_recall",
            "all_evidence_recall",
            "cost_per_call",
            "cpu_ns_per_event",
        )
        return {name: getattr(self, name) for name in (*(each.name for each in fields(self)), *ratios)}


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the interval that holds the true value with the confidence that was asked for."""

    estimate: float
    low: float
    high: float


def measure(replay: Replay, *, prices: Prices | None = DEFAULT_PRICES, refault_turns: int = REFAULT_TURNS) -> Measures:
    """All measures of one replay.  ``prices`` ``None`` leaves the prefix-cache cost out: it takes longest."""
    trace, stays = replay.trace, replay.stays
    reference_tokens = np.zeros(len(trace), dtype=np.int64)
    reference_tokens[trace.is_reference] = trace.tokens[trace.events.page[trace.is_reference]]
    came_back = stays.entered != Entered.INSERTED
    bill = prefix_cost(replay, prices) if prices is not None else PrefixCost(0, 0, 0, 0, 0.0)
    groups, groups_whole, groups_recall = _groups(replay)
    return Measures(
        references=trace.references,
        hits=int(np.count_nonzero(replay.hit)),
        reference_tokens=int(reference_tokens.sum()),
        hit_tokens=int(reference_tokens[replay.hit].sum()),
        groups=groups,
        groups_whole=groups_whole,
        groups_recall=groups_recall,
        faults=replay.faults,
        refaults=_refaults(replay, refault_turns),
        lost=len(replay.lost_at),
        soft_hits=len(replay.soft_at),
        soft_worth=float(replay.soft_retention.sum()),
        page_ins=int(np.count_nonzero(came_back)),
        false_page_ins=_false_page_ins(replay),
        tokens_in=int(trace.tokens[stays.page[came_back]].sum()),
        evictions=len(replay.evicted),
        tokens_out=int(trace.tokens[stays.page[replay.evicted]].sum()),
        token_turns=_token_turns(replay),
        overfull=len(replay.overfull_at),
        summariser_calls=len(replay.summariser_at),
        summariser_input_tokens=int(replay.summariser_input.sum()),
        summariser_output_tokens=int(replay.summariser_output.sum()),
        calls=bill.calls,
        read_tokens=bill.read_tokens,
        written_tokens=bill.written_tokens,
        invalidations=bill.invalidations,
        cost=bill.cost,
        events=len(trace),
        cpu_ns=replay.cpu_ns,
    )


def pooled(results: Sequence[Measures]) -> Measures:
    """The sums of several, so that every reference, group and call counts alike."""
    return Measures(**{each.name: sum(getattr(result, each.name) for result in results) for each in fields(Measures)})


def regret(ratio: float, optimum: float) -> float:
    """How far a hit ratio is below the optimum of the same objective, trace and budget.

    Raises ``PolicyError`` if it is above: then the two are not of the same.
    """
    if ratio > optimum + 1e-9:
        allowed = f"at most the optimum of {optimum:.6f}: the two must be of one trace, budget and objective"
        raise PolicyError("regret.ratio", ratio, allowed)
    return max(0.0, optimum - ratio)


def gap_closed(ratio: float, best_known: float, optimum: float) -> float:
    """The share of the gap between the best known policy and the optimum that a policy closes; below 0 if it
    is worse than the best known.  0 if there is no gap."""
    gap = optimum - best_known
    return (ratio - best_known) / gap if gap > 0 else 0.0


def wilson(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's interval for a ratio of independent trials (Wilson 1927); 0 to 1 without trials.

    Raises ``MissingExtra`` without scipy.
    """
    if trials == 0:
        return Interval(0.0, 0.0, 1.0)
    test = analysis("scipy.stats", purpose=PURPOSE).binomtest(successes, trials)
    found = test.proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(successes / trials, float(found.low), float(found.high))


def bootstrap(
    successes: Sequence[float],
    trials: Sequence[float],
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 2_000,
) -> Interval:
    """The interval of a ratio that is pooled over traces, drawing whole traces (percentile bootstrap).

    References of one trace are alike, so an interval over references would be too narrow.  Raises
    ``PolicyError`` for fewer than two traces or sequences that do not match, ``MissingExtra`` without scipy.
    """
    if len(successes) != len(trials) or len(trials) < 2:
        raise PolicyError(
            "bootstrap.trials", len(trials), f"two traces or more, as many as the {len(successes)} ratios"
        )
    counts = np.array([successes, trials], dtype=np.float64)
    if not counts[1].sum():
        return Interval(0.0, 0.0, 1.0)

    def ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(numerator.sum(axis=axis) / np.maximum(denominator.sum(axis=axis), 1e-300))

    drawn = analysis("scipy.stats", purpose=PURPOSE).bootstrap(
        (counts[0], counts[1]),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    interval = drawn.confidence_interval
    return Interval(float(counts[0].sum() / counts[1].sum()), float(interval.low), float(interval.high))


def _groups(replay: Replay) -> tuple[int, int, float]:
    """Groups, those whose pages were all resident when the first was needed, and the sum of the shares."""
    events = replay.trace.events
    at = np.flatnonzero(replay.trace.is_reference & (events.group != NO_GROUP))
    if not len(at):
        return 0, 0, 0.0
    groups, first, member = np.unique(events.group[at], return_index=True, return_inverse=True)
    asked = at[first][member]
    ready = replay.stays.resident_before(events.page[at], asked, len(events))
    wanted = np.bincount(member, minlength=len(groups))
    present = np.bincount(member[ready], minlength=len(groups))
    return len(groups), int(np.count_nonzero(present == wanted)), float((present / wanted).sum())


def _refaults(replay: Replay, turns: int) -> int:
    """Faults on pages that were evicted at most ``turns`` turns before."""
    events, stays = replay.trace.events, replay.stays
    at = np.flatnonzero(replay.trace.is_reference & ~replay.hit)
    stay = stays.latest_before(events.page[at], at, len(events))
    was_evicted = np.zeros(len(stays), dtype=np.bool_)
    was_evicted[replay.evicted] = True
    left_at = np.minimum(stays.until[stay], len(events) - 1) if len(at) else at
    return int(np.count_nonzero(was_evicted[stay] & (events.turn[at] - events.turn[left_at] <= turns)))


def _false_page_ins(replay: Replay) -> int:
    """Fetched pages that were not needed while they stayed."""
    events, stays = replay.trace.events, replay.stays
    at = np.flatnonzero(replay.hit)
    needed = np.zeros(len(stays), dtype=np.bool_)
    needed[stays.latest_before(events.page[at], at, len(events))] = True
    return int(np.count_nonzero((stays.entered == Entered.FETCHED) & ~needed))


def _token_turns(replay: Replay) -> int:
    """Tokens times turns from entry to leaving, the last turn counting in full for what stayed."""
    stays = replay.stays
    if not len(stays):
        return 0
    turn: Integers = np.append(replay.trace.events.turn, replay.trace.events.turn[-1] + 1)
    return int((replay.trace.tokens[stays.page] * (turn[stays.until] - turn[stays.since])).sum())
