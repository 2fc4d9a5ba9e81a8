from dataclasses import replace

import pytest

from pagefault.policies.contract import Leave
from pagefault.policies.writeback.summarize import Summarize
from tests.policies.facts import facts


@pytest.mark.parametrize(
    ("kind", "left"), [("message", Leave.SUMMARY), ("result", Leave.SUMMARY), ("notice", Leave.NOTHING)]
)
def test_the_gist_of_all_but_notices_is_kept(kind: str, left: Leave) -> None:
    assert Summarize().choose(facts("p1", kind=kind), 3) is left


def test_results_may_leave_handles_but_not_twice() -> None:
    policy = Summarize(handle_results=True)
    result = facts("p1", kind="result")
    assert policy.choose(result, 3) is Leave.HANDLE
    assert policy.choose(replace(result, fidelity="handle"), 3) is Leave.SUMMARY
    assert policy.choose(facts("p2"), 3) is Leave.SUMMARY
