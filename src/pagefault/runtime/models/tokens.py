"""Token counters: exact for OpenAI's vocabulary, an upper estimate for everything else.  No downloads.

The kernel's count is what decides *and* what is verified, so it must be the same in every process and for
ever; it is corrected by the usage that servers report, not here.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from pagefault.runtime.errors import ConfigError
from pagefault.runtime.kernel.context import REPLY_PRIMING_TOKENS, SCHEMA_OVERHEAD_TOKENS
from pagefault.runtime.kernel.functions import TokenCounter
from pagefault.runtime.kernel.pages import CALL_OVERHEAD_TOKENS, MESSAGE_OVERHEAD_TOKENS, cost
from pagefault.runtime.values import FunctionSchema, Message, ModelRequest

__all__ = [
    "CALL_OVERHEAD_TOKENS",
    "MESSAGE_OVERHEAD_TOKENS",
    "REPLY_PRIMING_TOKENS",
    "SCHEMA_OVERHEAD_TOKENS",
    "BpeTokenCounter",
    "ByteTokenCounter",
    "make_counter",
    "message_tokens",
    "request_tokens",
    "schema_tokens",
]

ENCODING = "o200k_base"
TOKEN_CHARS_MAX = 128  # no token of the vocabulary is longer (its longest are runs of blanks)
TEXT_CHARS_MAX = 500_000  # the tokenizer is handed pieces: it refuses a million characters at once
_LOOKAHEAD_CHARS = 8
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Backend(Protocol):
    def count(self, text: str) -> int: ...
    def count_till_limit(self, text: str, token_limit: int) -> int | None: ...


class BpeTokenCounter:
    """Counts with OpenAI's ``o200k_base`` vocabulary.

    Texts that look like special tokens count as the ordinary text that they are; half characters (lone
    surrogates) count as the replacement character that is sent in their place.
    """

    __slots__ = ("_backend",)

    def __init__(self) -> None:
        self._backend = _load_backend()

    def count(self, text: str) -> int:
        try:
            if len(text) <= TEXT_CHARS_MAX:
                return self._backend.count(text)
        except UnicodeEncodeError:
            return self.count(_SURROGATE.sub("\ufffd", text))
        return sum(self.count(text[start : start + TEXT_CHARS_MAX]) for start in range(0, len(text), TEXT_CHARS_MAX))

    def cut(self, text: str, tokens: int) -> tuple[str, str]:
        """The longest prefix of at most ``tokens`` tokens, and the rest.

        Counts do not grow evenly with length, as a further character may complete a shorter spelling; the
        cut is where no longer prefix within a few characters fits.
        """
        if tokens <= 0:
            return "", text
        clean = _SURROGATE.sub("\ufffd", text)  # of the same length, so places in it are places in the text
        return _cut(text, min(len(text), tokens * TOKEN_CHARS_MAX), lambda end: self._fits(clean[:end], tokens))

    def _fits(self, text: str, tokens: int) -> bool:
        if len(text) > TEXT_CHARS_MAX:
            return self.count(text) <= tokens
        return self._backend.count_till_limit(text, tokens) is not None


class ByteTokenCounter:
    """Counts a token for every ``bytes_per_token`` bytes: an estimate for models with another vocabulary.

    With the default of 3 it is above the true count for English, and near it for most other languages.
    """

    __slots__ = ("_bytes_per_token",)

    def __init__(self, bytes_per_token: int = 3) -> None:
        if type(bytes_per_token) is not int or bytes_per_token < 1:
            raise ConfigError("bytes_per_token", bytes_per_token, "a whole number above 0")
        self._bytes_per_token = bytes_per_token

    def count(self, text: str) -> int:
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        return -(-size // self._bytes_per_token)

    def cut(self, text: str, tokens: int) -> tuple[str, str]:
        if tokens <= 0:
            return "", text
        limit = min(len(text), tokens * self._bytes_per_token)
        return _cut(text, limit, lambda end: self.count(text[:end]) <= tokens)


def _cut(text: str, limit: int, fits: Callable[[int], bool]) -> tuple[str, str]:
    """Search for the last place where the prefix still fits; ``limit`` is past every such place."""
    if fits(limit):
        return text[:limit], text[limit:]
    low, high = 0, limit  # the prefix of length ``low`` fits, that of ``high`` does not
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    for end in range(min(low + _LOOKAHEAD_CHARS, limit), low, -1):
        if fits(end):
            return text[:end], text[end:]
    return text[:low], text[low:]


@cache
def _load_backend() -> _Backend:
    return cast("_Backend", _bindings().tokenizer_for_encoding(ENCODING))


def _bindings() -> ModuleType:
    """The compiled part of ``bpe_openai`` alone.

    Importing the package reads every vocabulary into Python dictionaries that are not needed here: 0.7 s
    and 70 MB in each host process.
    """
    package = importlib.util.find_spec("bpe_openai")
    for folder in package.submodule_search_locations or () if package else ():
        for path in sorted(Path(folder).glob("_bindings*.so")):
            spec = importlib.util.spec_from_file_location("bpe_openai._bindings", path)
            if spec is not None and spec.loader is not None:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    return importlib.import_module("bpe_openai._bindings")


def make_counter(name: str = "bpe") -> TokenCounter:
    """A counter by name: ``bpe`` (OpenAI's vocabulary) or ``bytes`` (an estimate).

    Raises:
        ConfigError: there is no such counter.
    """
    if name == "bpe":
        return BpeTokenCounter()
    if name == "bytes":
        return ByteTokenCounter()
    raise ConfigError("context.counter", name, "'bpe' or 'bytes'")


def message_tokens(counter: TokenCounter, messages: Iterable[Message]) -> int:
    """What messages cost, overhead included."""
    return sum(cost(counter, message) for message in messages)


def schema_tokens(counter: TokenCounter, schemas: Iterable[FunctionSchema]) -> int:
    """What functions cost when they are offered, overhead included."""
    return sum(
        SCHEMA_OVERHEAD_TOKENS
        + counter.count(schema.name)
        + counter.count(schema.description)
        + counter.count(schema.parameters)
        for schema in schemas
    )


def request_tokens(counter: TokenCounter, request: ModelRequest) -> int:
    """Everything that a request sends: what the kernel counts before it asks."""
    return REPLY_PRIMING_TOKENS + message_tokens(counter, request.messages) + schema_tokens(counter, request.functions)
