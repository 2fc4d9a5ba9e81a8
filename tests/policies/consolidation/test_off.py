from pagefault.policies.consolidation.off import Off
from pagefault.policies.contract import Rest


def test_it_leaves_agents_in_peace() -> None:
    assert Off().wait_ms(Rest(10**6, 10.0**6, 0, 10**12)) is None
