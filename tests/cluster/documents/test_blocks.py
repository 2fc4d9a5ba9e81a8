"""Blocks: what each format says about its own structure, and what cannot be read said in one line."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagefault.cluster.documents.blocks import FILE_BYTES_MAX, READERS, Block, find_documents, read_blocks
from pagefault.policies.lab.extras import MissingExtra
from pagefault.runtime.errors import ConfigError
from tests.cluster.documents.samples import HTML, MARKDOWN, pdf


def test_plain_text_has_paragraphs() -> None:
    assert read_blocks("\ufeffOne\r\nline.\r\n \r\n\r\nTwo.".encode(), ".TXT", "f") == [
        Block("One\nline."),
        Block("Two."),
    ]


def test_markdown_has_headings_lists_code_and_tables() -> None:
    under = ("Boiler", "Valves")
    assert read_blocks(MARKDOWN.encode(), ".md", "f") == [
        Block("It heats two houses.", ("Boiler",)),
        Block("- the red one", under),
        Block("- the blue one", under),
        Block("open --slowly", under),
        Block("part | number", under),
        Block("lid | 7", under),
    ]


@pytest.mark.parametrize("piece", ["<div>", "<p><b>", "<a><table>", "<div class=x ", "<font>x"])
def test_html_that_would_take_a_parser_minutes_is_refused_at_once(piece: str) -> None:
    began_s = time.process_time()
    with pytest.raises(ConfigError, match="elements in each other"):
        read_blocks((piece * 200_000).encode(), ".html", "f")
    assert time.process_time() - began_s < 2
    fine = "".join(f"<p>Number {number}.<br><b>bold</b><li><i>item</i>" for number in range(10_000))
    assert len(read_blocks(fine.encode(), ".html", "f")) >= 10_000, "ends may be left out"


def test_html_has_what_a_reader_sees() -> None:
    under = ("Boiler", "Valves")
    assert read_blocks(HTML.encode(), ".html", "f") == [
        Block("It heats two houses.", ("Boiler",)),
        Block("and a shed", ("Boiler",)),
        Block("with a roof", ("Boiler",)),
        Block("- the red one", under),
        Block("- the blue one", under),
        Block("open\n  --slowly", under),
        Block("It smokes.", ("Stove",)),
    ]


def test_a_pdf_has_pages() -> None:
    assert read_blocks(pdf("The lid is heavy.", "The fire is out."), ".pdf", "f") == [
        Block("The lid is heavy.", (), 1),
        Block("The fire is out.", (), 2),
    ]


@pytest.mark.parametrize(
    ("data", "suffix", "said"),
    [
        (b"x", ".exe", "f: found '.exe', allowed: a document: .txt"),
        (b"x", "", "a name without a suffix"),
        (b"caf\xe9", ".txt", "byte 0xe9 at 3"),
        (b"a\0b", ".md", "a NUL character"),
        (b" \n\n ", ".txt", "no text"),
        (b"<script>x</script>", ".html", "no text"),
        (b"%PDF-1.4 nothing", ".pdf", "a PDF that can be read"),
        (pdf(), ".pdf", "no text"),
        (b"x" * (FILE_BYTES_MAX + 1), ".txt", "at most 64 MB"),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, suffix: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_blocks(data, suffix, "f")
    assert said in str(raised.value)


@pytest.mark.parametrize("suffix", [each for each in READERS if each != ".pdf"])
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300) | st.text(alphabet="<>/#-*| \nabhlipru1`&;", max_size=200).map(str.encode))
def test_any_bytes_give_blocks_or_one_error(suffix: str, data: bytes) -> None:
    try:
        blocks = read_blocks(data, suffix, "f")
    except ConfigError:
        return
    assert all(block.text.strip() for block in blocks)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingExtra, match=r"pip install 'pagefault\[documents\]'"):
        read_blocks(pdf("x"), ".pdf", "f")


def test_documents_of_a_folder_are_named_by_their_place_in_it(tmp_path: Path) -> None:
    (tmp_path / "in" / ".git").mkdir(parents=True)
    for name in ("b.md", "in/a.txt", "in/.git/c.txt", "photo.jpg"):
        (tmp_path / name).write_text("x")
    assert find_documents([tmp_path, tmp_path / "b.md"]) == [
        (tmp_path / "b.md", "b.md"),
        (tmp_path / "in" / "a.txt", "in/a.txt"),
    ]
    for wrong in (tmp_path / "photo.jpg", tmp_path / "nowhere", tmp_path / "in" / ".git"):
        if wrong.name == ".git":
            (wrong / "c.txt").unlink()
        with pytest.raises(ConfigError, match="PATH"):
            find_documents([wrong])
