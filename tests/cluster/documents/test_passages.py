"""Passages: within their limit, under their headings, and nothing of the document lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.cluster.documents.blocks import Block
from pagefault.cluster.documents.passages import Passage, make_passages
from pagefault.runtime.errors import ConfigError
from pagefault.runtime.models.tokens import BpeTokenCounter

COUNTER = BpeTokenCounter()
WORDS = st.text(alphabet="ab .\n", min_size=1, max_size=300).filter(str.strip)
BLOCKS = st.lists(
    st.builds(Block, WORDS, st.sampled_from([(), ("One",), ("One", "Two")]), st.integers(0, 3)), max_size=8
)


def test_blocks_share_a_passage_but_not_over_headings() -> None:
    blocks = [Block("Alpha.", ("A",), 1), Block("Beta.", ("A",), 2), Block("Gamma.", ("A", "B"), 2), Block("Delta.")]
    assert make_passages(blocks, COUNTER) == [
        Passage("A\nAlpha.\nBeta.", "A, pages 1-2"),
        Passage("A > B\nGamma.", "A > B, page 2"),
        Passage("Delta.", ""),
    ]


def test_a_long_block_is_cut_between_sentences() -> None:
    sentences = [f"Sentence number {number} says nothing of use to anybody here." for number in range(12)]
    made = make_passages([Block(" ".join(sentences), (), 4)], COUNTER, 40)
    assert len(made) > 3
    assert " ".join(passage.text for passage in made) == " ".join(sentences)
    assert all(passage.text.endswith(".") and passage.place == "page 4" for passage in made)


@settings(max_examples=80, deadline=None)
@given(blocks=BLOCKS, limit=st.integers(32, 60))
def test_passages_hold_everything_and_are_within_the_limit(blocks: list[Block], limit: int) -> None:
    made = make_passages(blocks, COUNTER, limit)
    assert all(COUNTER.count(passage.text) <= limit for passage in made)
    wanted = "".join("".join(block.text.split()) for block in blocks)
    heads = {" > ".join(block.headings) for block in blocks if block.headings}
    bodies = (
        passage.text.split("\n", 1)[1] if passage.text.split("\n", 1)[0] in heads else passage.text for passage in made
    )
    assert "".join("".join(body.split()) for body in bodies) == wanted


def test_endless_headings_leave_room_for_text() -> None:
    made = make_passages([Block("Text.", ("very " * 500,))], COUNTER, 64)
    assert [passage.text.endswith("\nText.") for passage in made] == [True]
    assert COUNTER.count(made[0].text) <= 64


def test_limits_have_bounds() -> None:
    for wrong in (31, 1025):
        with pytest.raises(ConfigError, match="passage_tokens"):
            make_passages([], COUNTER, wrong)
