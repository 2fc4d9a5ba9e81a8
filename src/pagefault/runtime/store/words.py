"""From text to words: what counts as one, which carry no meaning, and what is the same word.

English first: the stop words and the stemmer are English.  Other languages are split and matched as they
stand; scripts written without spaces are split into characters.
"""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Any, Final

__all__ = ["STOP_WORDS", "split_words", "stem"]

STOP_WORDS: Final = frozenset(
    """
    a about above after again against all am an and any are aren't as at be because been before being below
    between both but by can can't cannot could couldn't d did didn't do does doesn't doing don't down during
    each few for from further had hadn't has hasn't have haven't having he he'd he'll he's her here here's
    hers herself him himself his how how's i i'd i'll i'm i've if in into is isn't it it's its itself just
    let's ll m me more most my myself no nor not now of off on once only or other our ours ourselves out over
    own re s same she she'd she'll she's should shouldn't so some such t than that that's the their theirs
    them themselves then there there's these they they'd they'll they're they've this those through to too
    under until up ve very was wasn't we we'd we'll we're we've were weren't what what's when when's where
    where's which while who who's whom why why's will with won't would wouldn't you you'd you'll you're
    you've your yours yourself yourselves
    """.split()
)
"""The stop words of the Snowball project's English list, and the pieces that contractions leave."""

ASCII: Final = bytes(ord(character.lower()) if (character := chr(code)).isalnum() else 32 for code in range(128))
ASCII_TABLE: Final = (ASCII[:39] + b"'" + ASCII[40:]).ljust(256)
"""What stands in words as it is in lower case, all else as a space; for texts of ASCII only."""
ANY_WORD: Final = re.compile(
    # One character where words are not set apart by spaces: kana, ideographs, hangul.
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]"
    r"|[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+(?:'[^\W_]+)*"
)
WORD_CHARS_MAX: Final = 64
"""Longer runs are data, not words; their first characters stand for them."""

_STEMMER_LOCK: Final = threading.Lock()


def split_words(text: str) -> list[str]:
    """The words of a text in lower case and in order, apostrophes inside them kept."""
    if not text.isascii():
        return ANY_WORD.findall(text.lower().replace("\u2019", "'"))
    # A third of the time of the expression, and most texts are such.
    words = text.encode("ascii").translate(ASCII_TABLE).decode("ascii").split()
    if "'" not in text:
        return words
    return [stripped for word in words if (stripped := word.strip("'"))]


def stem(word: str) -> str:
    """What the inflections of a word share, possessives too (Snowball's English stemmer, after Porter 1980).

    Pure Python and slow (tens of microseconds): callers keep what they get.
    """
    with _STEMMER_LOCK:  # the stemmer keeps the word it works on in itself
        stemmed: str = _stemmer().stemWord(word[:WORD_CHARS_MAX].removesuffix("'s"))
    return stemmed


@cache
def _stemmer() -> Any:
    import snowballstemmer  # noqa: PLC0415 - reads all languages: a tenth of what a host imports to start

    return snowballstemmer.stemmer("english")
