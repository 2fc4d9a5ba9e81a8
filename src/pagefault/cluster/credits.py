"""How much a host takes: what every answer to a sender says.

A host bounds what it has taken and not yet settled, by count and bytes, and shares the rest among those that
have sent to it lately.  Pure: time comes in from outside.
"""

from __future__ import annotations

from dataclasses import dataclass, field

COUNT_MAX = 20_000
BYTES_MAX = 64 * 2**20
"""Interrupts in the hands of one host that have no receipt yet."""
CREDIT_MIN = 8
"""What a sender may always have under way, so that it learns of better times."""
CREDIT_BYTES_MIN = 64 * 2**10
LATELY_MS = 5_000
"""Whoever has sent in this time has a share."""


@dataclass(slots=True)
class Credits:
    """The books of one host.

    Call :meth:`enter` when a batch arrives and :meth:`leave` when it is settled; the latter gives the sender's
    credit: how many interrupts, of how many bytes, it may have under way to this host.
    """

    count_max: int = COUNT_MAX
    bytes_max: int = BYTES_MAX
    count: int = 0
    size_bytes: int = 0
    _senders: dict[str, int] = field(default_factory=dict)

    def enter(self, sender: str, count: int, size_bytes: int, now_ms: int) -> bool:
        """A batch is here.  ``False``: it is far more than this host may hold, and must be refused (it counts
        all the same until :meth:`leave`)."""
        is_too_much = self.count + count > 2 * self.count_max or self.size_bytes + size_bytes > 2 * self.bytes_max
        alone = self.count == 0
        self.count += count
        self.size_bytes += size_bytes
        self._senders[sender] = now_ms
        return alone or not is_too_much

    def leave(self, sender: str, count: int, size_bytes: int, now_ms: int) -> tuple[int, int]:
        """A batch is settled; the credit of its sender, as ``(count, bytes)``."""
        self.count -= count
        self.size_bytes -= size_bytes
        self._senders[sender] = now_ms
        for name in [name for name, seen_ms in self._senders.items() if seen_ms < now_ms - LATELY_MS]:
            del self._senders[name]
        shares = len(self._senders)
        return (
            max(CREDIT_MIN, (self.count_max - self.count) // shares),
            max(CREDIT_BYTES_MIN, (self.bytes_max - self.size_bytes) // shares),
        )
