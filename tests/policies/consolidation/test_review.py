from __future__ import annotations

from typing import Any

import pytest

from pagefault.policies.consolidation.review import Review
from pagefault.policies.contract import Consolidation, PolicyError, Rest
from pagefault.policies.registry import UnknownPolicy, consolidation_names, make_consolidation


def test_enough_passages_and_then_some_rest() -> None:
    review = Review(pages=3, idle_s=1.5)
    assert review.wait_ms(Rest(2, 0.0, 2, 10**9)) is None
    assert review.wait_ms(Rest(3, 0.0, 3, 0)) == 1_500
    assert "3 passages are new" in review.instructions(Rest(3, 0.0, 3, 0))


@pytest.mark.parametrize("given", [{"pages": 0}, {"pages": 1.5}, {"idle_s": -1}, {"idle_s": float("nan")}])
def test_settings_are_checked(given: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match=rf"review\.{next(iter(given))}: found"):
        Review(**given)


def test_it_is_found_by_its_name() -> None:
    assert consolidation_names() == ("off", "reflect", "review")
    assert all(isinstance(make_consolidation(name), Consolidation) for name in consolidation_names())
    with pytest.raises(UnknownPolicy, match="one of off, reflect, review"):
        make_consolidation("nightly")
