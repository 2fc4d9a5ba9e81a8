from dataclasses import replace

import pytest

from pagefault.policies.contract import Leave, PolicyError
from pagefault.policies.writeback.handle import Handle
from tests.policies.facts import facts


def test_long_pages_leave_a_handle_and_short_ones_nothing() -> None:
    assert Handle().choose(facts("p1", 32), 3) is Leave.HANDLE
    assert Handle().choose(facts("p1", 31), 3) is Leave.NOTHING
    assert Handle(tokens_min=0).choose(facts("p1", 0), 3) is Leave.HANDLE


@pytest.mark.parametrize("fidelity", ["handle", "summary"])
def test_what_is_no_longer_there_in_full_leaves_no_further_handle(fidelity: str) -> None:
    assert Handle().choose(replace(facts("p1", 100), fidelity=fidelity), 3) is Leave.NOTHING


def test_notices_leave_nothing() -> None:
    assert Handle().choose(facts("p1", 100, kind="notice"), 3) is Leave.NOTHING


def test_the_setting_is_checked() -> None:
    with pytest.raises(PolicyError, match=r"handle\.tokens_min: found -1, allowed: a whole number from 0 to 1000000"):
        Handle(tokens_min=-1)
