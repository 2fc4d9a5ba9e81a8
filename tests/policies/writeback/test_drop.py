import pytest

from pagefault.policies.contract import Leave
from pagefault.policies.writeback.drop import Drop
from tests.policies.facts import facts


@pytest.mark.parametrize("kind", ["message", "result", "summary", "notice"])
def test_everything_is_forgotten(kind: str) -> None:
    assert Drop().choose(facts("p1", kind=kind), 3) is Leave.FORGOTTEN
