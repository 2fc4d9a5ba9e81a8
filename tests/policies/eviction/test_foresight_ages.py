import math

import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.foresight_ages import PRIOR, SCALES, Ages


def test_the_chances_of_all_pages_add_up_to_one() -> None:
    ages = Ages()
    for pages in (1, 40, 900):
        assert sum(ages.chance(age, pages) for age in range(pages)) == pytest.approx(1, abs=0.05)
    assert sum(PRIOR) == pytest.approx(1)
    assert SCALES[-1] == math.inf


def test_uses_of_young_pages_teach_that_the_young_are_used() -> None:
    young, old = Ages(), Ages()
    for _ in range(40):
        young.used(3, 500)
        old.used(450, 500)

    def preference(ages: Ages) -> float:
        return ages.chance(1, 500) / ages.chance(499, 500)

    assert preference(young) > 3
    assert preference(old) < preference(Ages()) < preference(young)


def test_habits_may_change() -> None:
    ages = Ages()
    for age in (3, 450):
        for _ in range(300):
            ages.used(age, 500)
    assert ages.chance(1, 500) / ages.chance(499, 500) < 1.5


def test_a_dump_brings_back_what_was_learned() -> None:
    learned, fresh = Ages(), Ages()
    for age in (1, 2, 3, 200, 5):
        learned.used(age, 300)
    fresh.load(learned.dump())
    assert [fresh.chance(age, 301) for age in range(300)] == [learned.chance(age, 301) for age in range(300)]
    with pytest.raises(PolicyError, match=r"foresight\.state\.ages"):
        fresh.load([0.0])
