import pytest

from pagefault.policies.eviction.queues import TokenQueue, filled


def test_knows_its_order_and_its_tokens() -> None:
    queue = filled("abc", {"a": 1, "b": 2, "c": 4, "d": 8})
    queue.touch("a")
    queue.add_first("d", 8)
    assert list(queue) == ["d", "b", "c", "a"]
    assert (queue.tokens, len(queue), "d" in queue) == (15, 4, True)
    assert queue.remove("b") == 2
    assert queue.tokens == 13
    assert queue.first({"d"}) == "c"
    assert queue.rank("a") == 3


def test_a_page_that_is_not_there_is_the_callers_mistake() -> None:
    queue = TokenQueue()
    for mistake in (queue.remove, queue.touch):
        with pytest.raises(KeyError):
            mistake("a")
    assert queue.first() is None
