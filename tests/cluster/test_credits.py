from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pagefault.cluster.credits import CREDIT_BYTES_MIN, CREDIT_MIN, LATELY_MS, Credits

BATCHES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.integers(1, 4_000), st.integers(0, 2_000), st.booleans()),
    max_size=40,
)


@given(BATCHES)
def test_the_books_balance_and_nobody_is_left_without_any_credit(
    batches: list[tuple[str, int, int, int, bool]],
) -> None:
    books = Credits(count_max=100, bytes_max=10_000)
    here: list[tuple[str, int, int]] = []
    now_ms = 0
    for sender, count, size_bytes, passed_ms, settles in batches:
        now_ms += passed_ms
        others = books.count
        if not books.enter(sender, count, size_bytes, now_ms):
            assert others > 0, "a host with nothing in its hands takes whatever comes"
            assert books.count > 200 or books.size_bytes > 20_000
        here.append((sender, count, size_bytes))
        if settles:
            share, share_bytes = books.leave(*here.pop(0), now_ms)
            assert CREDIT_MIN <= share <= 100
            assert share_bytes >= CREDIT_BYTES_MIN
    for batch in here:
        books.leave(*batch, now_ms)
    assert (books.count, books.size_bytes) == (0, 0)


def test_credit_is_shared_among_those_that_sent_lately() -> None:
    books = Credits(count_max=1_000)
    books.enter("a", 10, 100, 0)
    assert books.leave("a", 10, 100, 0)[0] == 1_000
    books.enter("b", 10, 100, 1)
    assert books.leave("b", 10, 100, 1)[0] == 500
    books.enter("b", 10, 100, 1 + LATELY_MS)
    assert books.leave("b", 10, 100, 1 + LATELY_MS)[0] == 1_000


def test_what_is_in_its_hands_lessens_what_a_host_takes() -> None:
    books = Credits(count_max=1_000)
    books.enter("a", 600, 100, 0)
    books.enter("a", 10, 100, 0)
    assert books.leave("a", 10, 100, 0)[0] == 400
    assert not books.enter("b", 1_500, 100, 0)
    books.leave("b", 1_500, 100, 0)
    assert books.enter("b", 100, 100, 0)
