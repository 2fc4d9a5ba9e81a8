"""Pictures of a sweep: curves over budgets, who was resident when, and the life of a page.

Drawn with matplotlib's own object interface: no global state, no window, no display.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pagefault.policies.lab.extras import analysis
from pagefault.policies.lab.grid import OPTIMUM
from pagefault.policies.lab.log import Entered, Left
from pagefault.policies.lab.replay import Replay

PURPOSE = "a report's pictures"
PAGES_SHOWN_MAX = 400
CURVES_MAX = 9
INK, GRID = "#24292f", "#d0d7de"
KEPT, MISSED, HIT = "#4c8bf5", "#d1242f", "#1a7f37"


@dataclass(frozen=True, slots=True)
class Curve:
    """One policy over budgets, ascending, with the interval of each ratio (equal to it where unknown)."""

    label: str
    budgets: Sequence[float]
    ratios: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def curves_figure(title: str, unit: str, curves: Sequence[Curve]) -> bytes:
    """Hit ratio over budget as a PNG; the optimum is black and dashed, the others in the order given."""
    figure, axes = _figure(7.6, 4.4)
    shown = [curve for curve in curves if curve.label != OPTIMUM][:CURVES_MAX]
    palette = analysis("matplotlib", purpose=PURPOSE).colormaps["tab10"]
    for place, curve in enumerate(shown):
        colour = palette(place % 10)
        axes.plot(curve.budgets, curve.ratios, marker="o", markersize=3.5, color=colour, label=curve.label)
        axes.fill_between(curve.budgets, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0)
    for curve in curves:
        if curve.label == OPTIMUM:
            axes.plot(
                curve.budgets, curve.ratios, color=INK, linestyle="--", marker="s", markersize=3.5, label="optimum"
            )
    axes.set_title(title, fontsize=11, color=INK, loc="left")
    axes.set_xlabel(unit)
    axes.set_ylabel("object hit ratio")
    axes.set_ylim(0, 1.02)
    budgets = sorted({budget for curve in curves for budget in curve.budgets})
    if len(budgets) > 2:
        axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{budget:g}" for budget in budgets])
    axes.minorticks_off()
    axes.grid(color=GRID, linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure)


def residency_figure(ran: Replay) -> bytes:
    """Pages by time as a PNG: a line while a page is resident, a green dot a hit, a red one a fault.

    Where there are more pages than can be seen, those with references come first, then the earliest.
    """
    trace, stays = ran.trace, ran.stays
    needed = np.bincount(trace.events.page[trace.is_reference], minlength=len(trace.pages))
    order = np.lexsort((np.arange(len(trace.pages)), needed == 0))[:PAGES_SHOWN_MAX]
    chosen = np.sort(order)
    place = np.full(len(trace.pages), -1)
    place[chosen] = np.arange(len(chosen))
    figure, axes = _figure(9.5, 5.2)
    shown = place[stays.page] >= 0
    axes.hlines(place[stays.page[shown]], stays.since[shown], stays.until[shown], color=KEPT, linewidth=0.7, alpha=0.8)
    at = np.flatnonzero(trace.is_reference & (place[trace.events.page] >= 0))
    hit = ran.hit[at]
    for mask, colour, label in ((hit, HIT, "hit"), (~hit, MISSED, "fault")):
        axes.scatter(at[mask], place[trace.events.page[at[mask]]], s=5, color=colour, label=label, zorder=3)
    axes.set_title(
        f"{ran.policy} on {trace.name}, {ran.budget.capacity_tokens:,} tokens", fontsize=11, color=INK, loc="left"
    )
    axes.set_xlabel("event")
    axes.set_ylabel(f"page ({len(chosen):,} of {len(trace.pages):,})")
    axes.margins(x=0.01)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    return _png(figure)


def life_figure(runs: Sequence[Replay], page: int) -> bytes:
    """One page's life under several policies as a PNG: when it was resident, hit, or missed."""
    figure, axes = _figure(9.5, 0.9 + 0.36 * len(runs))
    for row, ran in enumerate(runs):
        stays = ran.stays
        mine = stays.page == page
        axes.hlines([row] * int(mine.sum()), stays.since[mine], stays.until[mine], color=KEPT, linewidth=6, alpha=0.75)
        at = np.flatnonzero(ran.trace.is_reference & (ran.trace.events.page == page))
        for mask, colour in ((ran.hit[at], HIT), (~ran.hit[at], MISSED)):
            axes.scatter(at[mask], [row] * int(mask.sum()), s=26, color=colour, zorder=3)
    axes.set_yticks(range(len(runs)), [ran.policy for ran in runs], fontsize=8)
    axes.set_ylim(len(runs) - 0.4, -0.6)
    axes.set_xlim(0, len(runs[0].trace))
    axes.set_xlabel("event")
    return _png(figure)


def life_events(ran: Replay, page: int) -> list[Mapping[str, Any]]:
    """What happened to a page, in order: ``event``, ``turn`` and ``what``."""
    trace, stays = ran.trace, ran.stays
    found: list[tuple[int, int, str]] = []
    for stay in np.flatnonzero(stays.page == page).tolist():
        came = Entered(int(stays.entered[stay])).name.lower().replace("faulted", "paged in after a fault")
        found.append((int(stays.since[stay]), 1, came))
        left = Left(int(stays.left[stay]))
        if left is not Left.STAYED:
            words = {Left.REMOVED: "left by itself", Left.NOTHING: "evicted"}
            found.append((int(stays.until[stay]), 2, words.get(left, f"evicted, left {left.name.lower()}")))
    needed = np.flatnonzero(trace.is_reference & (trace.events.page == page)).tolist()
    found.extend((event, 0, "needed: a hit" if ran.hit[event] else "needed: a fault") for event in needed)
    return [
        {"event": event, "turn": int(trace.events.turn[min(event, len(trace) - 1)]), "what": what}
        for event, _, what in sorted(found)
    ]


def _figure(width: float, height: float) -> tuple[Any, Any]:
    figure = analysis("matplotlib.figure", purpose=PURPOSE).Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
    axes.tick_params(colors=INK, labelsize=8)
    return figure, axes


def _png(figure: Any) -> bytes:
    made = io.BytesIO()
    figure.savefig(made, format="png", dpi=110, metadata={"Software": None})
    return made.getvalue()
