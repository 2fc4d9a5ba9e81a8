"""The report of a sweep: one HTML file that needs nothing else, and its pictures as PNGs beside it.

Every table has the optimum; every ratio is of references, first insertions left out; pooled over the traces
of a family, so that every reference counts alike.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pagefault.policies.contract import PolicyError
from pagefault.policies.lab.extras import analysis
from pagefault.policies.lab.figures import Curve, curves_figure, life_events, life_figure, residency_figure
from pagefault.policies.lab.grid import OFFLINE, OPTIMUM, Cell
from pagefault.policies.lab.measures import gap_closed, wilson
from pagefault.policies.lab.replay import Replay
from pagefault.policies.lab.sweep import play, traces_of

PURPOSE = "a report"
LIVES_MAX = 6
STYLE = """
:root { color-scheme: light dark; --line: #d0d7de; --soft: #6e7781; --best: #1a7f37; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .6rem 0 1.6rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr.optimum td { font-style: italic; color: var(--soft); } tr.best td { font-weight: 600; color: var(--best); }
img { max-width: 100%; background: #fff; border-radius: 4px; } figure { margin: 0 0 1.6rem; }
figcaption, .note { color: var(--soft); font-size: .9em; } nav a { margin-right: 1rem; }
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """One line of a leaderboard; ratios are pooled, ``low`` and ``high`` the Wilson interval of the first."""

    policy: str
    write_back: str
    object_hit: float
    low: float
    high: float
    token_hit: float
    evidence_recall: float | None
    regret: float | None
    gap_closed: float | None
    cost_per_call: float | None
    memory_cost: float | None
    cpu_ns_per_event: float | None

    @property
    def is_online(self) -> bool:
        """Whether it could run live: it is told no future."""
        return self.policy not in (OPTIMUM, *OFFLINE)


def leaderboard(rows: Iterable[Mapping[str, Any]]) -> list[Standing]:
    """The standings of one family and budget, the optimum first, then the best.

    ``gap_closed`` is the share of the gap between the best online policy and the optimum.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["policy"], row["write_back"]), []).append(row)
    optimum = groups.get((OPTIMUM, "none"))
    best_possible = _share(optimum, "hits", "references") if optimum else None
    online = [_share(found, "hits", "references") for key, found in groups.items() if key[0] not in (OPTIMUM, *OFFLINE)]
    best_known = max(online, default=0.0)
    made = [_standing(*key, found, best_known, best_possible) for key, found in groups.items()]
    return sorted(made, key=lambda each: (each.policy != OPTIMUM, -each.object_hit, each.policy))


def _standing(
    policy: str, write_back: str, rows: Sequence[Mapping[str, Any]], best_known: float, best_possible: float | None
) -> Standing:
    ratio = _share(rows, "hits", "references")
    interval = wilson(int(_sum(rows, "hits")), int(_sum(rows, "references")))
    is_offline = policy in (OPTIMUM, *OFFLINE)
    calls, groups, events = (_sum(rows, name) for name in ("calls", "groups", "events"))
    known = policy != OPTIMUM
    return Standing(
        policy=policy,
        write_back=write_back,
        object_hit=ratio,
        low=interval.low,
        high=interval.high,
        token_hit=_share(rows, "hit_tokens", "reference_tokens"),
        evidence_recall=_sum(rows, "groups_recall") / groups if known and groups else None,
        regret=None if best_possible is None else max(0.0, best_possible - ratio),
        gap_closed=None if best_possible is None or is_offline else gap_closed(ratio, best_known, best_possible),
        cost_per_call=_sum(rows, "cost") / calls if known and calls else None,
        memory_cost=_sum(rows, "memory_cost"),
        cpu_ns_per_event=_sum(rows, "cpu_ns") / events if known and events else None,
    )


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(sum(row[name] or 0 for row in rows))


def _share(rows: Sequence[Mapping[str, Any]], part: str, whole: str) -> float:
    total = _sum(rows, whole)
    return _sum(rows, part) / total if total else 1.0


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The rows of a finished sweep.  Raises ``PolicyError`` if there are none, ``MissingExtra`` without polars."""
    file = folder / "results.parquet"
    if not file.exists():
        raise PolicyError("FOLDER", str(folder), "the folder of a finished sweep, which has results.parquet")
    polars = analysis("polars", purpose=PURPOSE)
    rows: list[dict[str, Any]] = polars.read_parquet(file).to_dicts()
    return rows


def write_report(folder: Path, rows: Sequence[Mapping[str, Any]], cells: Sequence[Cell]) -> Path:
    """Write ``report.html`` and its pictures.  ``cells`` are those that were run: some are played once more,
    to draw who was resident when.

    Raises ``MissingExtra`` without matplotlib.
    """
    pictures = _Pictures(folder / "figures")
    parts = []
    families = list(dict.fromkeys(row["family"] for row in rows))
    for family in families:
        mine = [row for row in rows if row["family"] == family]
        parts.append(f'<h2 id="{_id(family)}">{_text(family)}</h2>')
        parts.extend(_family(family, mine, [cell for cell in cells if cell.family == family], pictures))
    links = "".join(f'<a href="#{_id(family)}">{_text(family)}</a>' for family in families)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Memory policies</title><style>{STYLE}</style></head><body>"
        f"<h1>Memory policies</h1><nav>{links}</nav>{_LEGEND}{''.join(parts)}</body></html>\n"
    )
    file = folder / "report.html"
    making = file.with_suffix(".making")
    making.write_text(page, encoding="utf-8")
    making.replace(file)
    return file


_LEGEND = (
    '<p class="note">Hit ratios are of references; the first insertion of a page is none. Intervals are Wilson\'s '
    "at 95 %. Regret is the distance to the exact offline optimum; the gap closed is of the gap between the best "
    "online policy and the optimum. Cost a call is in input tokens, with a cached prefix read at the lower price "
    "and what follows the first change written at the higher one; memory cost counts tokens that stay, and faults.</p>"
)


def _family(
    family: str, rows: Sequence[Mapping[str, Any]], cells: Sequence[Cell], pictures: _Pictures
) -> Iterable[str]:
    budgets = sorted({row["budget"] for row in rows})
    boards = {budget: leaderboard(row for row in rows if row["budget"] == budget) for budget in budgets}
    unit = "budget, as a share of all tokens" if budgets[-1] <= 1 else "budget, tokens"
    yield pictures.add(f"{family}-curves", curves_figure(family, unit, _curves(boards)), "Hit ratio over budget.")
    for budget, board in boards.items():
        yield f"<h3>Budget {budget:g}</h3>{_table(board)}"
    yield from _residency(family, boards, cells, pictures)


def _curves(boards: Mapping[float, Sequence[Standing]]) -> list[Curve]:
    means: dict[tuple[str, str], list[float]] = {}
    for board in boards.values():
        for each in board:
            means.setdefault((each.policy, each.write_back), []).append(each.object_hit)
    ranked = sorted(means, key=lambda key: -float(np.mean(means[key])))
    curves = []
    for policy, write_back in ranked:
        points = [
            (budget, each)
            for budget, board in boards.items()
            for each in board
            if (each.policy, each.write_back) == (policy, write_back)
        ]
        curves.append(
            Curve(
                policy if write_back == "none" else f"{policy} + {write_back}",
                [budget for budget, _ in points],
                [each.object_hit for _, each in points],
                [each.low for _, each in points],
                [each.high for _, each in points],
            )
        )
    return curves


def _table(board: Sequence[Standing]) -> str:
    heads = (
        "policy", "object hit", "95 %", "token hit", "evidence recall", "regret", "gap closed", "cost a call",
        "memory cost", "CPU an event",
    )  # fmt: skip
    best = next((each for each in board if each.is_online), None)
    lines = []
    for each in board:
        name = each.policy if each.write_back == "none" else f"{each.policy} + {each.write_back}"
        cells = (
            _text(name),
            f"{each.object_hit:.4f}",
            f"{each.low:.3f} to {each.high:.3f}" if each.policy != OPTIMUM else "",
            f"{each.token_hit:.4f}",
            _number(each.evidence_recall, ".4f"),
            _number(each.regret, ".4f"),
            _number(each.gap_closed, "+.2f"),
            _number(each.cost_per_call, ",.0f"),
            _number(each.memory_cost, ",.0f"),
            _number(each.cpu_ns_per_event, ",.0f", " ns"),
        )
        kind = "optimum" if each.policy == OPTIMUM else "best" if each is best else ""
        lines.append(f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _residency(
    family: str, boards: Mapping[float, Sequence[Standing]], cells: Sequence[Cell], pictures: _Pictures
) -> Iterable[str]:
    """Who was resident when, for the best and the usual, on the family's first trace at its second budget."""
    budgets = list(boards)
    budget = budgets[min(1, len(budgets) - 1)]
    online = [each for each in boards[budget] if each.is_online and each.write_back == "none"]
    wanted = list(dict.fromkeys([*(each.policy for each in online[:1]), "lru", "belady"]))
    others = [each.policy for each in online[1:] if each.policy not in wanted]
    runs: list[Replay] = []
    for label in [*wanted, *others][:LIVES_MAX]:
        cell = next(
            (each for each in cells if (each.label, each.budget, each.write_back) == (label, budget, "none")), None
        )
        traces = traces_of(cell) if cell is not None else ()
        if cell is not None and traces:
            runs.append(play(cell, max(traces, key=len)))
    for ran in runs[:2]:
        text = f"Pages over time under {ran.policy}: a line while resident, a green dot a hit, a red one a fault."
        yield pictures.add(f"{family}-residency-{ran.policy}", residency_figure(ran), text)
    if runs and runs[0].trace.references:
        trace = runs[0].trace
        page = int(np.bincount(trace.events.page[trace.is_reference]).argmax())
        facts = trace.pages[page]
        text = f"The life of page {facts.id} ({facts.tokens} tokens), the one that was needed most."
        yield pictures.add(f"{family}-life", life_figure(runs, page), text)
        rows = "".join(
            f"<tr><td>{each['event']:,}</td><td>{each['turn']:,}</td><td>{_text(each['what'])}</td></tr>"
            for each in life_events(runs[0], page)[:40]
        )
        yield (
            f"<details><summary>Its life under {_text(runs[0].policy)}, step by step</summary><table><thead><tr>"
            f"<th>event</th><th>turn</th><th>what</th></tr></thead><tbody>{rows}</tbody></table></details>"
        )


class _Pictures:
    """Pictures go into the page, and beside it as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, png: bytes, caption: str) -> str:
        """Keep a picture, and return the HTML that shows it."""
        (self._folder / f"{_id(name)}.png").write_bytes(png)
        data = base64.b64encode(png).decode("ascii")
        text = _text(caption)
        return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


def _text(value: object) -> str:
    return html.escape(str(value))


def _id(name: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in name.lower())
