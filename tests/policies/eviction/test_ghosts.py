from collections import OrderedDict

import pytest

from pagefault.policies.eviction.ghosts import Ghosts


def test_remembers_within_a_limit_at_the_expense_of_the_oldest() -> None:
    ghosts = Ghosts()
    for page_id, tokens in (("a", 4), ("b", 3), ("c", 5)):
        ghosts.add_within(page_id, tokens, 9)
    assert ghosts.rows() == [["b", 3], ["c", 5]]
    ghosts.add_within("d", 10, 9)
    assert (ghosts.tokens, "d" in ghosts, "b" in ghosts) == (8, False, True)


def test_forgets_once() -> None:
    ghosts = Ghosts(OrderedDict(a=4, b=3))
    assert ghosts.discard("a")
    assert not ghosts.discard("a")
    assert ghosts.drop_oldest() == "b"
    assert (len(ghosts), ghosts.tokens) == (0, 0)
    with pytest.raises(KeyError):
        ghosts.drop_oldest()
