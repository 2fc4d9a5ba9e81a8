"""What the operating system says of our memory moves with it."""

from __future__ import annotations

from pagefault.runtime.host.memory import give_back, resident_bytes

MEBIBYTE = 2**20


def test_memory_that_is_taken_and_freed_is_seen() -> None:
    give_back()
    before = resident_bytes()
    assert before > MEBIBYTE
    taken = [bytes([number % 251]) * 1000 for number in range(64 * 1024)]
    during = resident_bytes()
    assert during - before > 40 * MEBIBYTE
    taken.clear()
    give_back()
    assert resident_bytes() < during - 30 * MEBIBYTE
