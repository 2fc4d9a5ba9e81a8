"""What each part of a memory map looks like: a colour, a letter where there are no colours, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass

from pagefault.cluster.console.views.memory_map import FREE, HANDLES, PAGED_IN, QUEUE, REGIONS, REPLY


@dataclass(frozen=True, slots=True)
class Look:
    """``shades`` are two colours of one hue: neighbours that are alike take turns, so that each can be seen."""

    shades: tuple[str, str]
    letter: str
    title: str


LOOKS: dict[str, Look] = {
    "schemas": Look(("#7a5fb5", "#8b70c6"), "F", "functions"),
    "system": Look(("#3f6fb5", "#5080c6"), "S", "system prompt"),
    "block": Look(("#2e8b57", "#45a06c"), "B", "blocks"),
    "summary": Look(("#c8a02c", "#d9b13d"), "Z", "summary"),
    HANDLES: Look(("#8a6d5a", "#9b7e6b"), "h", "handles of pages that left"),
    QUEUE: Look(("#2a9db0", "#1f7f90"), "q", "queue"),
    PAGED_IN: Look(("#c2568a", "#d3679b"), "i", "paged in"),
    FREE: Look(("#30343b", "#30343b"), ".", "free"),
    REPLY: Look(("#585d66", "#585d66"), "r", "kept for the reply"),
}
GOES, PINNED = "x", "o"
"""What is written on the cells of pages that a flush would take, and of those that are pinned."""
FULL, WARM, COOL = "red", "yellow", "green"
CAME, WENT, CHANGED = "green", "red", "yellow"

assert tuple(LOOKS) == REGIONS, "every kind of region has a look"


def pressure(tokens: int, warn_tokens: int, high_tokens: int) -> str:
    """The colour of a context that holds so much: green, yellow from the warning on, red when it is full."""
    if tokens >= high_tokens:
        return FULL
    return WARM if tokens >= warn_tokens else COOL
