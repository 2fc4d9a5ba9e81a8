"""What a page costs, where nobody counted."""

from __future__ import annotations

from collections.abc import Callable

Count = Callable[[str], int]
"""From a text to its cost in tokens, as a message of a context."""

CHARACTERS_PER_TOKEN = 4
MESSAGE_OVERHEAD_TOKENS = 4


def estimated_tokens(text: str) -> int:
    """A token for every four characters, and four for the message around it: no tokenizer is needed."""
    return len(text) // CHARACTERS_PER_TOKEN + MESSAGE_OVERHEAD_TOKENS
