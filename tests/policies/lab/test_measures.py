"""Measures of small replays, counted by hand, and intervals against their definitions."""

import math

import pytest

from pagefault.policies.contract import PageFacts, PolicyError
from pagefault.policies.eviction.fifo import Fifo
from pagefault.policies.fetch.neighbours import Neighbours
from pagefault.policies.lab.builder import TraceBuilder
from pagefault.policies.lab.cost import Prices
from pagefault.policies.lab.leavings import Leavings
from pagefault.policies.lab.measures import Measures, bootstrap, gap_closed, measure, pooled, regret, wilson
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.trace import Budget, Source, Trace
from pagefault.policies.writeback.summarize import Summarize


def made() -> Trace:
    """Pages of 10, 20, 30 and 10 tokens; questions about two and about one of them."""
    builder = TraceBuilder("made", Source.EVIDENCE)
    for turn, tokens in enumerate((10, 20, 30, 10)):
        builder.insert(PageFacts(f"p{turn}", "message", tokens, turn, text=f"Room {turn} has 40 beds"), turn)
    builder.reference("p2", 5, group=0)
    builder.reference("p0", 5, group=0)
    builder.reference("p3", 6, group=1)
    builder.reference("p1", 30)
    return builder.build()


def test_counts_by_hand() -> None:
    # 60 tokens hold p1, p2 and p3 after p0 left; p0 pushes p1 out, which comes back at the end for p2.
    result = measure(replay(made(), Fifo(), Budget(60)), prices=Prices(read=0.0, write=1.0))
    assert (result.references, result.hits, result.faults) == (4, 2, 2)
    assert (result.reference_tokens, result.hit_tokens) == (70, 40)
    assert result.object_hit_ratio == 0.5
    assert result.token_hit_ratio == 40 / 70
    assert (result.evictions, result.tokens_out) == (3, 10 + 20 + 30)
    assert (result.page_ins, result.tokens_in, result.false_page_ins) == (2, 30, 0)
    assert result.refaults == 1  # p0 left at turn 3 and is back at turn 5; p1 was away for 25 turns
    assert (result.groups, result.groups_whole, result.groups_recall) == (2, 1, 1.5)
    assert (result.evidence_recall, result.all_evidence_recall) == (0.75, 0.5)
    # p0 0-3, p1 1-5, p2 2-30, p3 3-31, p0 5-31, p1 30-31
    assert result.token_turns == 10 * 3 + 20 * 4 + 30 * 28 + 10 * 28 + 10 * 26 + 20 * 1
    assert (result.events, result.overfull, result.lost) == (8, 0, 0)
    assert result.calls == 7
    assert result.cost == result.written_tokens


def test_evidence_must_be_there_before_its_first_page_is_fetched() -> None:
    builder = TraceBuilder("t", Source.EVIDENCE)
    for turn in range(3):
        builder.insert(PageFacts(f"p{turn}", "message", 10, turn), turn)
    builder.reference("p0", 4, group=9)  # comes in, and p1 leaves
    builder.reference("p1", 4, group=9)  # was there when the question was asked
    result = measure(replay(builder.build(), Fifo(), Budget(20)))
    assert result.hits == 0
    assert (result.evidence_recall, result.all_evidence_recall) == (0.5, 0.0)


def test_soft_hits_come_on_top() -> None:
    leavings = Leavings(retention=0.5, gist_tokens=2, summary_tokens_max=10, instruction_tokens=1)
    result = measure(replay(made(), Fifo(), Budget(66), write_back=Summarize(), leavings=leavings))
    assert result.soft_hits == 2
    assert result.soft_hit_ratio == 2 * 0.5 / 4
    assert result.summariser_calls == 3
    assert result.summariser_output_tokens > 0


def test_companions_that_nobody_needed_are_false_page_ins() -> None:
    builder = TraceBuilder("t", Source.EVIDENCE)
    for turn in range(8):
        builder.insert(PageFacts(f"p{turn}", "message", 10, turn), turn)
    builder.reference("p1", 8)  # brings p0 and p2
    builder.reference("p2", 9)  # which pays off once
    result = measure(replay(builder.build(), Fifo(), Budget(40), fetch=Neighbours(tokens_expected=10)))
    assert (result.page_ins, result.false_page_ins) == (3, 1)
    assert (result.faults, result.hits) == (1, 1)


def test_results_are_pooled_by_their_counts() -> None:
    small, large = measure(replay(made(), Fifo(), Budget(60))), measure(replay(made(), Fifo(), Budget(70)))
    both = pooled([small, large])
    assert both.references == 8
    assert both.hits == small.hits + large.hits == 2 + 4
    assert both.object_hit_ratio == 6 / 8
    row = both.to_row()
    assert row["object_hit_ratio"] == 6 / 8
    assert row["cost_per_call"] == both.cost / both.calls
    assert len(row) == 36


def test_nothing_to_measure_is_no_division_by_zero() -> None:
    result = measure(replay(TraceBuilder("t", Source.SYNTHETIC).build(), Fifo(), Budget(1)))
    assert result.object_hit_ratio == result.token_hit_ratio == result.evidence_recall == 1.0
    assert result.cost_per_call == result.cpu_ns_per_event == result.soft_hit_ratio == 0.0
    assert pooled([]) == Measures()


def test_the_bill_can_be_left_out() -> None:
    assert measure(replay(made(), Fifo(), Budget(60)), prices=None).calls == 0


def test_regret_is_below_the_optimum_or_refused() -> None:
    assert regret(0.4, 0.6) == pytest.approx(0.2)
    assert regret(0.6, 0.6) == 0.0
    with pytest.raises(PolicyError, match=r"regret\.ratio: found 0\.61"):
        regret(0.61, 0.6)
    assert gap_closed(0.4, 0.3, 0.7) == pytest.approx(0.25)
    assert gap_closed(0.7, 0.7, 0.7) == 0.0


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (7, 10), (10, 10), (250, 1000)])
def test_wilsons_interval_is_where_the_score_test_just_holds(successes: int, trials: int) -> None:
    interval = wilson(successes, trials)
    assert interval.estimate == successes / trials
    for bound in (interval.low, interval.high):
        if 0 < bound < 1:
            score = abs(interval.estimate - bound) / math.sqrt(bound * (1 - bound) / trials)
            assert score == pytest.approx(1.959964, abs=1e-4)
    assert wilson(0, 0).high == 1.0


def test_the_bootstrap_draws_whole_traces() -> None:
    spread = bootstrap([90, 10, 90, 10, 90, 10], [100] * 6, seed=1)
    assert spread.estimate == 0.5
    assert spread.low < 0.3
    assert spread.high > 0.7
    alike = bootstrap([50] * 6, [100] * 6, seed=1)
    assert (alike.low, alike.high) == (0.5, 0.5)
    assert bootstrap([1, 2, 3], [4, 4, 4], seed=5) == bootstrap([1, 2, 3], [4, 4, 4], seed=5)
    assert bootstrap([0, 0], [0, 0]).high == 1.0
    with pytest.raises(PolicyError, match="two traces or more"):
        bootstrap([1], [2])
