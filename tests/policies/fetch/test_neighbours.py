import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.fetch.neighbours import Neighbours


def test_the_nearest_come_first() -> None:
    assert list(Neighbours(before=2, after=3).companions("p7", 7, 10_000)) == [6, 8, 5, 9, 10]


def test_the_history_has_a_beginning() -> None:
    assert list(Neighbours(before=3, after=0).companions("p1", 1, 10_000)) == [0]


@pytest.mark.parametrize(("room_tokens", "ordinals"), [(-5, []), (0, []), (99, []), (100, [6]), (250, [6, 8])])
def test_no_more_than_would_fit(room_tokens: int, ordinals: list[int]) -> None:
    assert list(Neighbours(before=2, after=2, tokens_expected=100).companions("p7", 7, room_tokens)) == ordinals


@pytest.mark.parametrize("given", [{"before": -1}, {"after": 65}, {"tokens_expected": 0}, {"before": True}])
def test_settings_are_checked(given: dict[str, int]) -> None:
    with pytest.raises(PolicyError, match=rf"neighbours\.{next(iter(given))}: found"):
        Neighbours(**given)
