"""Off: what was filed stays as it was filed."""

from __future__ import annotations

from pagefault.policies.contract import Capability, Rest


class Off:
    """Never."""

    name = "off"
    capabilities: frozenset[Capability] = frozenset()

    def wait_ms(self, rest: Rest) -> int | None:
        return None

    def instructions(self, rest: Rest) -> str:
        return ""
