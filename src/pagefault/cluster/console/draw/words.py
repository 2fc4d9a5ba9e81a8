"""Small words of the views: texts made harmless, counts, shares, spans of time."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.text import Text

from pagefault.cluster.plain_text import one_line

EXCERPT_CHARS = 400
"""Of a text that is shown in one line: a table cuts it to its own width."""


def plain(text: str, style: str = "") -> Text:
    """Somebody's words in one line, harmless."""
    return Text(one_line(text[:EXCERPT_CHARS]), style=style, no_wrap=True, overflow="ellipsis")


def lines(text: str, style: str = "") -> Text:
    """Somebody's words as they are, line by line, harmless."""
    return Text("\n".join(clean(line) for line in text.splitlines()), style=style)


def clean(line: str) -> str:
    """A line with its spaces, but without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line.replace("\t", "    "))


def share(part: float) -> str:
    """``12 %``, ``0.4 %``."""
    percent = 100 * part
    return f"{percent:.1f} %" if 0 < percent < 1 else f"{percent:.0f} %"


def moment(at_ms: int) -> str:
    """``2023-05-08 13:56:07``, UTC."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"


def age(length_ms: int) -> str:
    """``12 s``, ``5 min``, ``3 h``, ``9 d``."""
    seconds = length_ms // 1000
    for unit, size in (("d", 2 * 86_400), ("h", 7_200), ("min", 120)):
        if seconds >= size:
            return f"{seconds * 2 // size} {unit}"
    return f"{seconds} s"
