"""The estimate that stands in for a tokenizer."""

from pagefault.policies.lab.makers.sizes import estimated_tokens


def test_a_token_for_four_characters_and_four_for_the_message() -> None:
    assert [estimated_tokens("x" * length) for length in (0, 3, 4, 41)] == [4, 4, 5, 14]
