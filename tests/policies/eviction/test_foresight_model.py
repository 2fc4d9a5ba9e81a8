import math
from typing import Any

import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.foresight_features import FEATURES
from pagefault.policies.eviction.foresight_model import Model, shipped

NAMES, CALLING = FEATURES.index("names"), FEATURES.index("calling")


def document(**changes: Any) -> dict[str, Any]:
    slopes = [0.0] * len(FEATURES)
    slopes[NAMES] = 2.0
    tree = [[NAMES, 1.0, 1, 2, 0.5], [-1, 0.0, -1, -1, 0.1], [-1, 0.0, -1, -1, 0.9]]
    line = {"intercept": -1.0, "slopes": slopes, "means": [0.0] * len(FEATURES)}
    return {"format": 1, "features": list(FEATURES), "trees": [tree, tree], "line": line, **changes}


def values(names: float, calling: float = 0.0) -> list[float]:
    row = [0.0] * len(FEATURES)
    row[NAMES], row[CALLING] = names, calling
    return row


def test_an_agent_that_calls_functions_is_judged_by_the_trees_alone() -> None:
    rate, added = Model(document()).rate(values(2.0, calling=0.5))
    assert rate == pytest.approx(math.exp(1.8))
    assert added[NAMES] == pytest.approx(0.8)  # from 0.5 to 0.9, twice
    assert Model(document()).rate(values(1.0, calling=0.5))[0] == pytest.approx(math.exp(0.2))


def test_another_by_the_trees_and_the_line() -> None:
    rate, added = Model(document()).rate(values(2.0))
    share = 1 / (1 + math.exp(-3))
    assert rate == pytest.approx(math.sqrt(math.exp(1.8) * share))
    assert added[NAMES] == pytest.approx((0.8 + (1 - share) * 2 * 2) / 2)
    assert sum(map(abs, added)) == abs(added[NAMES])


def test_what_ships_tells_pages_apart() -> None:
    plain, named = (shipped().rate(values(names)) for names in (0.0, 2.0))
    assert 0 < plain[0] < named[0] < 10
    assert shipped() is shipped()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"format": 2}, "foresight.weights.format"),
        ({"features": ["names"]}, "foresight.weights.features"),
        ({"trees": [[]]}, "foresight.weights.trees[0]"),
        ({"trees": [[[0, 1.0, 0, 0, 0.0]]]}, "foresight.weights.trees[0][0]"),
        ({"trees": [[[10_000, 1.0, 1, 1, 0.0], [-1, 0, -1, -1, 0]]]}, "foresight.weights.trees[0][0]"),
        ({"line": {"slopes": [1.0]}}, "foresight.weights.line.slopes"),
    ],
)
def test_weights_that_are_none_are_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Model(document(**changes))
    assert caught.value.field == field
