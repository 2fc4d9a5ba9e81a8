"""Words of agents, models and servers, made harmless for whoever reads them on a terminal."""

from __future__ import annotations


def one_line(text: str) -> str:
    """A text without line breaks, or control characters that a terminal would obey."""
    words = " ".join(text.split())
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in words)


def printable(text: str) -> str:
    """A text of several lines without control characters that a terminal would obey."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\N{REPLACEMENT CHARACTER}" for sign in text)
