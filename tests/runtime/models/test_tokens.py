"""Counting and cutting, for any text."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.kernel.functions import TokenCounter
from pagefault.runtime.models.tokens import (
    BpeTokenCounter,
    ByteTokenCounter,
    make_counter,
    message_tokens,
    request_tokens,
    schema_tokens,
)
from pagefault.runtime.values import AgentId, FunctionCall, FunctionSchema, Message, ModelRequest

BPE = BpeTokenCounter()
BYTES = ByteTokenCounter()
ANY_TEXT = st.text(alphabet=st.characters(codec=None, exclude_categories=[]))  # half characters included


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("hello world", 2),
        ("antidisestablishmentarianism", 6),
        ("<|endoftext|>", 7),  # as text, not as the special token
        (" " * 1_000, 9),
        ("世界", 1),
    ],
)
def test_counts_of_the_vocabulary(text: str, tokens: int) -> None:
    assert BPE.count(text) == tokens


def test_long_texts_and_half_characters_are_counted() -> None:
    assert BPE.count("word " * 300_000) == pytest.approx(300_000, rel=0.01)
    assert BPE.count("a\ud800b") == BPE.count("a\ufffdb")
    assert BYTES.count("a\ud800b") == 2


@pytest.mark.parametrize("counter", [BPE, BYTES], ids=["bpe", "bytes"])
@settings(max_examples=300, deadline=None)
@given(text=ANY_TEXT | st.text(alphabet="ab \n\U0001f469\u200d", max_size=80), tokens=st.integers(-1, 40))
def test_a_cut_fits_and_loses_nothing(counter: TokenCounter, text: str, tokens: int) -> None:
    head, rest = counter.cut(text, tokens)
    assert head + rest == text
    assert counter.count(head) <= max(tokens, 0)
    # No slightly longer prefix would have fitted.
    for more in range(1, min(4, len(rest)) + 1):
        assert tokens <= 0 or counter.count(text[: len(head) + more]) > tokens


def test_a_cut_of_a_long_text_is_quick_and_full() -> None:
    text = "The cat sat on the mat. " * 50_000
    head, _ = BPE.cut(text, 1_000)
    assert BPE.count(head) == 1_000
    head, rest = BPE.cut(text, 10**9)
    assert (head, rest) == (text, "")


def test_bytes_are_an_upper_estimate_of_english() -> None:
    text = "It was the best of times, it was the worst of times. " * 10
    assert BPE.count(text) <= BYTES.count(text) <= 2 * BPE.count(text)


def test_counters_by_name() -> None:
    assert isinstance(make_counter(), BpeTokenCounter)
    assert isinstance(make_counter("bytes"), ByteTokenCounter)
    with pytest.raises(ConfigError, match=r"context\.counter: found 'guess', allowed: 'bpe' or 'bytes'"):
        make_counter("guess")
    with pytest.raises(ConfigError, match="bytes_per_token: found 0"):
        ByteTokenCounter(0)


def test_a_request_costs_what_its_parts_cost() -> None:
    schema = FunctionSchema("f", "Do.", '{"type":"object"}')
    called = Message("assistant", "", calls=(FunctionCall("c", "f", '{"a":1}'),))
    messages = (Message("user", "hello world"), called)
    request = ModelRequest(AgentId("a"), messages, (schema,), 0, 10)
    assert message_tokens(BPE, messages[:1]) == 2 + 4
    parts = message_tokens(BPE, messages) + schema_tokens(BPE, (schema,))
    assert 0 < request_tokens(BPE, request) - parts < 10
    assert message_tokens(BPE, [called]) > 4 + BPE.count('{"a":1}')


def test_only_the_compiled_part_is_loaded() -> None:
    script = (
        "import sys; from pagefault.runtime.models.tokens import BpeTokenCounter as B;"
        "assert B().count('hello world') == 2; print('bpe_openai' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
