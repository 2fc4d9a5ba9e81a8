from pagefault.policies.fetch.demand import Demand


def test_nothing_comes_along_however_much_room_there_is() -> None:
    assert list(Demand().companions("p7", 7, 1_000_000)) == []
