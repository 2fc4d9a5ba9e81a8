"""The words of pages, among them such as are made to take long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagefault.runtime.functions.packs.http_page import page_text

PAGE = """<!doctype html><html><head><title>A &amp; B</title><script>if (a<b) x="</p>"</script>
<style>p{}</style></head><body><!-- c > d <p>hidden</p> --><?php x ?><h1>Hi</h1><p title=it's>a <b>c</b>
 d <a href='/x?a=1&amp;b=2'>li<i>nk</i></a> after</p>tail 1 < 2<pre>
def f():
    return 1
</pre><ul><li>one<li>two</ul><table><tr><td>a<td>b</tr><tr><th>c</th><th>d</th></table>
<a href="javascript:x">no</a> <a href="#top">up</a> <a data-href="/y">none</a><br>
<p title="a>b">q</p><svg><text>drawn</text></svg><svg/>seen<template>later</template></body></html>"""


def test_words_links_and_preformatted_lines_are_kept() -> None:
    assert page_text(PAGE).split("\n") == [
        "A & B", "Hi", "a c d link (/x?a=1&b=2) after", "tail 1 < 2", "def f():", "    return 1", "one", "two", "a b",
        "c d", "no up none", "q", "seen",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a <", "a <"),
        ("a <b", "a <b"),
        ("<script>x", ""),
        ("a<script src=x></SCRIPT >b", "a\nb"),
        ("<p>one<p>two", "one\ntwo"),
        ("</p></pre>x", "x"),
        ('<a href="x', '<a href="x'),
        ('<p class="a>b <i>c</i>', "b c"),
        ("<!-- never ends <p>x", ""),
        ("&lt;script&gt;&#x41;&nbsp;&unknown;", "<script>A &unknown;"),
    ],
)
def test_broken_pages_have_words_too(page: str, words: str) -> None:
    assert page_text(page) == words


@pytest.mark.parametrize(
    "part",
    ["<b>", "<div>", "<a href=x>t", "<p><table>", "<", "<a", '<a ="', "<a =\"'", "<!--", "<script>", "<script", "&#x26",
     "<pre>x", "<a b='", "<1", "<a href=", "<svg></svg", "<a href = ", "<b a='>", '<i x=""', "<![CDATA["],
)  # fmt: skip
def test_time_grows_with_length_alone(part: str) -> None:
    began_s = time.process_time()
    page_text(part * (300_000 // len(part)))
    assert time.process_time() - began_s < 3, "0.15 s are usual; anything quadratic takes minutes"


@given(
    st.lists(st.sampled_from(["<p>", "</p>", "<a href='", "'", '"', ">", "<", "x", "<!--", "-->", "<pre>", " ", "="]))
)
def test_every_page_has_words(parts: list[str]) -> None:
    page_text("".join(parts))
