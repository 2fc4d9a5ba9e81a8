from collections.abc import Iterator

import pytest

from pagefault.policies.eviction.selection import first_to_leave, rank


def test_stops_as_soon_as_the_tokens_suffice() -> None:
    def order() -> Iterator[tuple[str, int]]:
        yield "a", 10
        yield "b", 10
        pytest.fail("read further than it had to")

    assert first_to_leave(order(), 11, ()) == ["a", "b"]


@pytest.mark.parametrize("needed", [0, -5])
def test_nothing_leaves_when_nothing_is_needed(needed: int) -> None:
    assert first_to_leave([("a", 10)], needed, ()) == []


def test_everything_unprotected_leaves_when_it_does_not_suffice() -> None:
    assert first_to_leave([("a", 1), ("b", 1), ("c", 1)], 100, ["b"]) == ["a", "c"]


def test_empty_pages_on_the_way_leave_too() -> None:
    assert first_to_leave([("a", 0), ("b", 5), ("c", 0)], 5, ()) == ["a", "b"]


def test_rank_counts_from_one() -> None:
    assert rank("b", ["a", "b"]) == 2
    with pytest.raises(KeyError):
        rank("z", ["a", "b"])
