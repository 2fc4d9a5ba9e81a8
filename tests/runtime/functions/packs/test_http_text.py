"""Types, characters, and bodies that are packed."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.functions.packs.http_text import Unpacker, decoded, is_text, read_type


@pytest.mark.parametrize(
    ("header", "kind", "charset", "is_one"),
    [
        ("text/html; charset=ISO-8859-1", "text/html", "iso-8859-1", True),
        ('TEXT/Plain; Charset="UTF-8"', "text/plain", "utf-8", True),
        ("application/json", "application/json", "utf-8", True),
        ("application/problem+json", "application/problem+json", "utf-8", True),
        ("application/atom+xml;charset=shift_jis", "application/atom+xml", "shift_jis", True),
        ("text/plain; charset=idna", "text/plain", "utf-8", True),
        ("text/plain; charset=bz2_codec", "text/plain", "utf-8", True),
        ("text/plain; charset=punycode", "text/plain", "utf-8", True),
        ("application/octet-stream", "application/octet-stream", "utf-8", False),
        ("application/pdf", "application/pdf", "utf-8", False),
        ("image/png", "image/png", "utf-8", False),
        ("application/jsonx", "application/jsonx", "utf-8", False),
        ("", "", "utf-8", False),
        ("html", "", "utf-8", False),
    ],
)
def test_types_and_charsets(header: str, kind: str, charset: str, is_one: bool) -> None:
    assert (*read_type(header), is_text(kind)) == (kind, charset, is_one)


def test_characters_that_cannot_be_are_replaced() -> None:
    assert decoded("\ufeffgr\u00fcn".encode(), "utf-8") == "gr\u00fcn"
    assert decoded("gr\u00fcn".encode("latin-1"), "iso-8859-1") == "gr\u00fcn"
    assert decoded(b"gr\xfcn\0", "utf-8") == "gr\ufffdn\ufffd"
    assert decoded(b"abc", "iso-8859-99") == "abc"


@given(st.binary(max_size=3_000), st.integers(1, 4_000), st.integers(1, 500), st.integers(0, 2_000))
def test_no_more_is_unpacked_than_asked_for(data: bytes, bytes_max: int, step: int, cut: int) -> None:
    packed = gzip.compress(data[:cut]) + gzip.compress(data[cut:])
    unpacker, found = Unpacker("gzip"), b""
    for begin in range(0, len(packed), step):
        if len(found) == bytes_max:
            break
        found += unpacker.feed(packed[begin : begin + step], bytes_max - len(found))
    assert found == data[:bytes_max]
    assert unpacker.is_whole or len(found) == bytes_max


def test_what_is_not_packed_passes_and_what_is_no_gzip_is_an_error() -> None:
    assert Unpacker("").feed(b"abcdef", 4) == b"abcd"
    assert Unpacker("identity").is_whole
    with pytest.raises(zlib.error):
        Unpacker("gzip").feed(b"no gzip at all", 100)
