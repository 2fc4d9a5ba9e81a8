from __future__ import annotations

import pytest

from pagefault.policies.contract import FetchPolicy, PageFacts, PolicyError, SearchingFetch
from pagefault.policies.fetch.demand import Demand
from pagefault.policies.fetch.related import Related
from pagefault.policies.registry import make_fetch


def spoken(number: int, text: str, kind: str = "message") -> PageFacts:
    return PageFacts(f"p{number}", kind, 9, number, text=text)


def test_it_searches_for_what_was_said_last() -> None:
    recent = [
        spoken(1, "the harbour"),
        spoken(2, "a boat", "reply"),
        spoken(3, "found 3 pages", "result"),
        spoken(4, " "),
    ]
    assert Related().query(recent) == "the harbour\na boat"
    assert Related(recent=1).query(recent) == "a boat"
    assert Related(characters=3).query(recent) == "oat"
    assert not Related().query([spoken(1, "warned", "notice")])


def test_it_is_a_fetch_policy_that_searches() -> None:
    made = make_fetch("related", pages=5)
    assert isinstance(made, SearchingFetch)
    assert made.pages_max == 5
    assert made.companions("p3", 3, 1000) == ()
    assert isinstance(Demand(), FetchPolicy)
    assert not isinstance(Demand(), SearchingFetch)


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(PolicyError, match=r"related\.pages: found 0"):
        Related(pages=0)
