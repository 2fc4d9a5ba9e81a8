"""Blocks put together into passages: as long as a search result should be, and never across a heading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pagefault.cluster.documents.blocks import Block
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.kernel.functions import TokenCounter

PASSAGE_TOKENS = 256
PASSAGE_TOKENS_MIN = 32
PASSAGE_TOKENS_MAX = 1024
"""More would be cut again when the archive takes it."""
HEADINGS_SHARE = 4
"""Headings may take this part of a passage: 1 / 4."""
_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+|\n+")  # noqa: RUF001 - the full stops of other scripts


@dataclass(frozen=True, slots=True)
class Passage:
    """What is filed: its text begins with the headings it is under; ``place`` says where in the document it is."""

    text: str
    place: str


def make_passages(blocks: Sequence[Block], counter: TokenCounter, tokens_max: int = PASSAGE_TOKENS) -> list[Passage]:
    """Passages of at most ``tokens_max`` tokens, headings included, in the document's order.

    Blocks under the same headings share a passage while they fit; one that is longer is cut between sentences, and a
    sentence that is longer between words of the token counter.  Raises
    :class:`~pagefault.runtime.errors.ConfigError` for a limit out of bounds.
    """
    if not PASSAGE_TOKENS_MIN <= tokens_max <= PASSAGE_TOKENS_MAX:
        raise ConfigError("passage_tokens", tokens_max, f"from {PASSAGE_TOKENS_MIN} to {PASSAGE_TOKENS_MAX}")
    made: list[Passage] = []
    waiting: list[Block] = []
    for block in blocks:
        if waiting and waiting[0].headings != block.headings:
            made += _section(waiting, counter, tokens_max)
            waiting = []
        waiting.append(block)
    return made + list(_section(waiting, counter, tokens_max))


def _section(blocks: Sequence[Block], counter: TokenCounter, tokens_max: int) -> Iterator[Passage]:
    """The passages of blocks that are under the same headings."""
    if not blocks:
        return
    headings = blocks[0].headings
    title = counter.cut(" > ".join(headings), tokens_max // HEADINGS_SHARE)[0]
    head = f"{title}\n" if title else ""
    room = tokens_max - counter.count(head)
    text = ""
    pages: list[int] = []
    for part, page in [(part, block.page) for block in blocks for part in _parts(block.text, counter, room)]:
        joined = f"{text}\n{part}" if text else part
        if text and counter.count(joined) > room:
            yield Passage(head + text, _place(headings, pages))
            text, pages = part, [page]
        else:
            text = joined
            pages.append(page)
    if text:
        yield Passage(head + text, _place(headings, pages))


def _parts(text: str, counter: TokenCounter, room: int) -> Iterator[str]:
    """A block, or what it has to be cut into to fit."""
    if counter.count(text) <= room:
        yield text
        return
    part = ""
    for sentence in filter(None, _SENTENCE.split(text)):
        joined = f"{part} {sentence}" if part else sentence
        if counter.count(joined) <= room:
            part = joined
            continue
        if part:
            yield part
        rest = sentence
        while counter.count(rest) > room:
            first, rest = counter.cut(rest, room)
            yield first
        part = rest
    if part:
        yield part


def _place(headings: Sequence[str], pages: Sequence[int]) -> str:
    """``Installing > Linux, pages 3-4``."""
    first, last = min(pages), max(pages)
    page = "" if not last else f"page {first}" if first == last else f"pages {first}-{last}"
    return ", ".join(filter(None, (" > ".join(headings), page)))
