"""From the features of a page to how often it will be needed: boosted regression trees, and a line.

Their weights are data, ``foresight.json`` beside this module, made by ``python -m benchmarks.fit_foresight`` as its
docstring says.  The trees give the logarithm of a rate (a Poisson model): gradient boosting after Friedman
2001, "Greedy function approximation: a gradient boosting machine".  The line is a logistic regression on whether
a page is needed at all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from operator import mul
from typing import Any

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.foresight_features import FEATURES

FORMAT = 1
WEIGHTS = ("pagefault.policies.eviction", "foresight.json")
"""Package and name of the file with the weights that ship."""

_Node = tuple[int, float, Any, Any, float]
"""Feature, threshold, the node below if the feature is at most that, the node if it is above, and what the node
says itself.  A leaf has feature -1 and no nodes below."""


class Model:
    """Trees and a logistic line over :data:`~pagefault.policies.eviction.foresight_features.FEATURES`.

    ``document`` is what the weights' file holds::

        {
            "format": 1,
            "features": [name, ...],
            "trees": [[node, ...], ...],
            "line": {"intercept": number, "slopes": [number, ...], "means": [number, ...]},
        }

    with nodes ``[feature, threshold, low, high, value]``; feature -1 is a leaf, children are places in the same
    tree, after their parent.  Raises ``PolicyError`` for anything else.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        if document.get("format") != FORMAT:
            raise PolicyError("foresight.weights.format", document.get("format"), f"{FORMAT}")
        if tuple(document.get("features", ())) != FEATURES:
            raise PolicyError("foresight.weights.features", document.get("features"), "the features of this version")
        self._trees = [_grown(place, tree) for place, tree in enumerate(document.get("trees", ()))]
        line = document.get("line", {})
        self._intercept = float(line.get("intercept", 0.0))
        self._slopes, self._means = (
            _numbers(f"foresight.weights.line.{name}", line.get(name)) for name in ("slopes", "means")
        )

    def rate(self, values: Sequence[float]) -> tuple[float, list[float]]:
        """The uses to be expected of a page, and what each feature adds to their logarithm.

        For agents that call no functions it is the geometric mean of what the trees and the line say: each is
        right about pages that the other is wrong about.  What a feature adds in the trees is the change of a
        node's own value on the way down, at nodes that ask for the feature (Saabas 2014, "Interpreting random
        forests"), and in the line its slope times the distance from its mean.
        """
        total, added = self._climb(values)
        if values[_CALLING] > 0:
            return math.exp(total), added
        height = self._intercept + math.fsum(map(mul, self._slopes, values))
        share = 1 / (1 + math.exp(-height))
        steepness = 1 - share
        added = [
            (each + steepness * slope * (value - mean)) / 2
            for each, slope, value, mean in zip(added, self._slopes, values, self._means, strict=True)
        ]
        return math.sqrt(math.exp(total) * share), added

    def _climb(self, values: Sequence[float]) -> tuple[float, list[float]]:
        total = 0.0
        added = [0.0] * len(FEATURES)
        for node in self._trees:
            feature = node[0]
            while feature >= 0:
                below = node[2] if values[feature] <= node[1] else node[3]
                added[feature] += below[4] - node[4]
                node = below  # noqa: PLW2901  # climbing is what the loop does; it runs hundreds of times a page
                feature = node[0]
            total += node[4]
        return total, added


_CALLING = FEATURES.index("calling")


@cache
def shipped() -> Model:
    """The weights that ship with the package, read once."""
    text = resources.files(WEIGHTS[0]).joinpath(WEIGHTS[1]).read_text(encoding="ascii")
    return Model(json.loads(text))


def _grown(place: int, tree: Sequence[Sequence[float]]) -> _Node:
    """The root of a tree whose nodes come as rows, parents before their children."""
    nodes: dict[int, _Node] = {}
    for at in reversed(range(len(tree))):
        feature, low, high = (int(tree[at][column]) for column in (0, 2, 3))
        inner = 0 <= feature < len(FEATURES) and low in nodes and high in nodes
        if not inner and feature != -1:
            allowed = "a feature, and children after it in the same tree"
            raise PolicyError(f"foresight.weights.trees[{place}][{at}]", list(tree[at]), allowed)
        nodes[at] = (feature, float(tree[at][1]), nodes.get(low), nodes.get(high), float(tree[at][4]))
    if not nodes:
        raise PolicyError(f"foresight.weights.trees[{place}]", [], "at least one node")
    return nodes[0]


def _numbers(field: str, found: object) -> tuple[float, ...]:
    if not isinstance(found, list) or len(found) != len(FEATURES):
        raise PolicyError(field, found, f"a number for each of the {len(FEATURES)} features")
    return tuple(map(float, found))
