from collections import Counter

import pytest

from pagefault.policies.eviction.chance import DrawingSet, Numbers, drawn


def test_numbers_are_even_and_follow_from_the_seed() -> None:
    numbers = Numbers(7)
    found = Counter(numbers.below(5) for _ in range(5000))
    assert set(found) == set(range(5))
    assert all(850 <= count <= 1150 for count in found.values())
    again, other = Numbers(7), Numbers(8)
    assert [again.below(100) for _ in range(5)] != [other.below(100) for _ in range(5)]


def test_numbers_go_on_from_their_state() -> None:
    numbers = Numbers(7)
    numbers.below(10)
    copy = Numbers(numbers.state)
    assert [numbers.below(1000) for _ in range(5)] == [copy.below(1000) for _ in range(5)]


def test_what_is_drawn_for_an_occasion_is_even_and_does_not_change() -> None:
    found = [drawn(1, f"p{number}", turn) for number in range(100) for turn in range(20)]
    assert all(0 <= each < 1 for each in found)
    assert 0.47 < sum(found) / len(found) < 0.53
    assert len(set(found)) > 1990
    assert drawn(1, "p3", 4) == found[3 * 20 + 4] != drawn(2, "p3", 4)


def test_a_set_that_is_drawn_from_forgets_in_one_step() -> None:
    pages = DrawingSet("abcd")
    pages.remove("b")
    pages.remove("c")
    pages.add("e")
    assert sorted(pages) == ["a", "d", "e"]
    assert {pages.draw(Numbers(seed)) for seed in range(50)} == {"a", "d", "e"}
    assert ("b" in pages, len(pages)) == (False, 3)
    with pytest.raises(KeyError):
        pages.remove("b")
