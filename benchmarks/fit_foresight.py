"""Fit the weights that the eviction policy ``foresight`` ships, and say how it does on what it was not fitted on.

    python -m benchmarks.fit_foresight --dialogues locomo.json --trajectories episodes.json.gz \
        --out src/pagefault/policies/eviction/foresight.json

``--dialogues`` is a file of LoCoMo conversations, ``--trajectories`` one of chat logs with tool calls; what they
look like is said in ``pagefault.policies.lab.makers``.  With ``--folds N`` nothing is written: N times, the
weights are fitted without one part of the conversations and of the tasks, and the policy is run on that part.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from pagefault.policies.contract import EvictionPolicy
from pagefault.policies.eviction.foresight import Foresight
from pagefault.policies.eviction.foresight_features import FEATURES, Reader
from pagefault.policies.eviction.foresight_model import FORMAT, Model
from pagefault.policies.lab.bounds import intervals_of
from pagefault.policies.lab.makers.chat_log import chat_log
from pagefault.policies.lab.makers.locomo import Asked, locomo
from pagefault.policies.lab.measures import bootstrap, gap_closed, measure
from pagefault.policies.lab.replay import replay
from pagefault.policies.lab.trace import Budget, Trace
from pagefault.policies.offline.exact import optimum
from pagefault.policies.registry import make_policy, policy_names

DIALOGUE_BUDGET = 0.1
"""Share of a conversation's tokens."""
TRAJECTORY_BUDGET_TOKENS = 1_000
TRAJECTORY_PROSE_WEIGHT = 1.0
"""What a page of an episode without identifiers counts in the fit: what people say in dialogues is referred to
in other ways than by a call's arguments, and should not be unlearned."""
SEEDS = (0, 1, 2)
"""Placements of spread questions that a held-out figure is the mean of."""
TREES = 130
BAGS = 2
NEWTON_STEPS = 20
LINE_PENALTY = 100.0
"""Of the squared slopes, with features scaled to a standard deviation of 1."""
SETTINGS: Mapping[str, Any] = {
    "objective": "poisson",
    "learning_rate": 0.06,
    "num_leaves": 8,
    "min_data_in_leaf": 20,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "feature_fraction": 0.4,
    "lambda_l2": 5.0,
    "num_threads": 1,
    "deterministic": True,
    "verbose": -1,
}

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation or episode: traces of it, what the pages look like, and how often each was referred to."""

    part: int  # what is held out together has one number
    family: int  # 0 dialogues, 1 trajectories
    traces: tuple[tuple[str, Trace, int], ...]  # name of the setting, trace, budget in tokens
    features: Numbers  # a row a page
    uses: Numbers


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fit_foresight", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--dialogues", type=Path, required=True, help="a file of LoCoMo conversations")
    parser.add_argument("--trajectories", type=Path, required=True, help="a file of chat logs with tool calls")
    parser.add_argument("--out", type=Path, help="where the weights go")
    parser.add_argument("--folds", type=int, default=0, help="report on held-out parts instead")
    given = parser.parse_args(arguments)
    if (given.out is None) == (given.folds == 0):
        parser.error("either --out FILE or --folds N, of 2 or more")
    samples = [*dialogues(given.dialogues), *trajectories(given.trajectories)]
    if given.folds:
        print(json.dumps(held_out(samples, given.folds), indent=1))
        return
    document = fit(samples)
    text = json.dumps(document, separators=(",", ":"))
    given.out.write_text(text + "\n", encoding="ascii")
    print(json.dumps({"pages": sum(len(each.uses) for each in samples), "bytes": len(text)}))


def dialogues(path: Path) -> Iterator[Sample]:
    """A sample a conversation, each a part of its own."""
    at_end = locomo(path, asked=Asked.END)
    spread = [locomo(path, asked=Asked.SPREAD, seed=seed) for seed in SEEDS]
    for part, trace in enumerate(at_end):
        budget = max(1, int(trace.inserted_tokens * DIALOGUE_BUDGET))
        others = [("spread", placed[part], budget) for placed in spread]
        yield _sample(part, 0, [("end", trace, budget), *others])


def trajectories(path: Path) -> Iterator[Sample]:
    """A sample an episode that overflows its budget; episodes of one task are one part."""
    tasks: dict[str, int] = {}
    for trace in chat_log(path):
        task = trace.name.rpartition("-")[0]
        part = tasks.setdefault(task, len(tasks))
        if trace.inserted_tokens > TRAJECTORY_BUDGET_TOKENS:
            yield _sample(part, 1, [("trajectories", trace, TRAJECTORY_BUDGET_TOKENS)])


def fit(samples: Sequence[Sample]) -> dict[str, Any]:
    """The document of weights for some samples."""
    features = np.vstack([each.features for each in samples])
    uses = np.concatenate([each.uses for each in samples])
    family = np.concatenate([np.full(len(each.uses), each.family) for each in samples])
    # What separates the families is how many questions somebody asked: each has a rate of its own to start from.
    rate = np.array([uses[family == each].mean() if (family == each).any() else 1.0 for each in (0, 1)])
    prose = features[:, FEATURES.index("identifiers")] == 0
    weight = np.where((family == 1) & prose, TRAJECTORY_PROSE_WEIGHT, 1.0)
    trees: list[list[list[float]]] = []
    for bag in range(BAGS):
        data = lightgbm.Dataset(
            features, uses, weight=weight, init_score=np.log(rate[family]), feature_name=list(FEATURES)
        )
        booster = lightgbm.train({**SETTINGS, "seed": bag}, data, num_boost_round=TREES)
        trees += [_nodes(tree["tree_structure"], 1 / BAGS) for tree in booster.dump_model()["tree_info"]]
    trees.append([[-1, 0.0, -1, -1, round(float(np.log(rate[0])), 6)]])
    talk = family == 0
    line = _line(features[talk], uses[talk] > 0)
    return {"format": FORMAT, "features": list(FEATURES), "trees": trees, "line": line}


def held_out(samples: Sequence[Sample], folds: int) -> dict[str, Any]:
    """By setting, how the policy does on the parts that it was not fitted on, and how all others do."""
    models = [Model(fit([each for each in samples if each.part % folds != fold])) for fold in range(folds)]
    settings: dict[str, list[tuple[int, Trace, Budget]]] = {}
    for sample in samples:
        for setting, trace, tokens in sample.traces:
            settings.setdefault(setting, []).append((sample.part % folds, trace, Budget(tokens)))
    return {setting: _compared(runs, models) for setting, runs in settings.items()}


def _compared(runs: Sequence[tuple[int, Trace, Budget]], models: Sequence[Model]) -> dict[str, Any]:
    references = [trace.references for _, trace, _ in runs]
    best = [optimum(intervals_of(trace, budget)).hits for _, trace, budget in runs]
    ours = [_hits(Foresight(model=models[fold]), trace, budget) for fold, trace, budget in runs]
    others = {
        name: sum(_hits(make_policy(name), trace, budget) for _, trace, budget in runs) / sum(references)
        for name in policy_names()
        if name != Foresight.name
    }
    best_known = max(others, key=lambda name: others[name])
    ratio, bound = sum(ours) / sum(references), sum(best) / sum(references)
    spread = bootstrap(ours, references)
    folds = [
        [
            sum(
                row[at]
                for row, (fold, _, _) in zip(zip(ours, best, references, strict=True), runs, strict=True)
                if fold == each
            )
            for at in range(3)
        ]
        for each in range(len(models))
    ]
    return {
        "object_hit": round(ratio, 4),
        "interval": [round(spread.low, 4), round(spread.high, 4)],
        "best_known": {best_known: round(others[best_known], 4)},
        "optimum": round(bound, 4),
        "gap_closed": round(gap_closed(ratio, others[best_known], bound), 4),
        "by_fold": [[round(mine / count, 3), round(most / count, 3)] for mine, most, count in folds if count],
    }


def _hits(policy: EvictionPolicy, trace: Trace, budget: Budget) -> int:
    return measure(replay(trace, policy, budget), prices=None).hits


def _sample(part: int, family: int, traces: Sequence[tuple[str, Trace, int]]) -> Sample:
    trace = traces[0][1]
    reader = Reader()
    features = np.array([reader.read(page) for page in trace.pages])
    uses = np.bincount(trace.events.page[trace.is_reference], minlength=len(trace.pages)).astype(np.float64)
    return Sample(part, family, tuple(traces), features, uses)


def _line(features: Numbers, needed: NDArray[np.bool_]) -> dict[str, Any]:
    """Logistic regression with a penalty on its slopes, by Newton's method."""
    means, deviations = features.mean(axis=0), features.std(axis=0)
    deviations[deviations == 0] = np.inf  # a feature that never changes gets no slope
    scaled = np.column_stack([(features - means) / deviations, np.ones(len(features))])
    penalty = np.diag([*[LINE_PENALTY] * features.shape[1], 1e-9])
    slopes = np.zeros(scaled.shape[1])
    for _ in range(NEWTON_STEPS):
        share = 1 / (1 + np.exp(-scaled @ slopes))
        gradient = scaled.T @ (needed - share) - penalty @ slopes
        curvature = (scaled.T * (share * (1 - share))) @ scaled + penalty
        slopes += np.linalg.solve(curvature, gradient)
    own = slopes[:-1] / deviations
    return {
        "intercept": round(float(slopes[-1] - own @ means), 6),
        "slopes": [round(float(each), 6) for each in own],
        "means": [round(float(each), 4) for each in means],
    }


def _nodes(root: Mapping[str, Any], share: float) -> list[list[float]]:
    """A tree of LightGBM as rows, parents before children."""
    rows: list[list[float]] = []

    def add(node: Mapping[str, Any]) -> int:
        at = len(rows)
        rows.append([-1, 0.0, -1, -1, 0.0])
        if "split_feature" not in node:
            rows[at][4] = round(share * node["leaf_value"], 6)
            return at
        low, high = add(node["left_child"]), add(node["right_child"])
        value = round(share * node["internal_value"], 6)
        rows[at] = [node["split_feature"], round(node["threshold"], 6), low, high, value]
        return at

    add(root)
    return rows


if __name__ == "__main__":
    main()
