from dataclasses import replace

import pytest

from pagefault.policies.contract import Leave, PolicyError
from pagefault.policies.writeback.archive import Archive
from tests.policies.facts import facts


@pytest.mark.parametrize("kind", ["message", "observation", "reply", "result", "passage", "summary", "notice"])
def test_leaves_nothing(kind: str) -> None:
    assert Archive().choose(facts("p1", kind=kind), 3) is Leave.NOTHING


def test_results_may_leave_handles_but_not_twice() -> None:
    policy = Archive(handle_results=True)
    result = facts("p1", kind="result")
    assert policy.choose(result, 3) is Leave.HANDLE
    assert policy.choose(replace(result, fidelity="handle"), 3) is Leave.NOTHING
    assert policy.choose(facts("p2"), 3) is Leave.NOTHING


def test_the_setting_is_checked() -> None:
    with pytest.raises(PolicyError, match=r"archive\.handle_results: found 'yes', allowed: true or false"):
        Archive(handle_results="yes")  # type: ignore[arg-type]  # wrong on purpose
