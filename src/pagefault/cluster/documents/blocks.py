"""Files read into blocks: paragraphs, lists and code, each with the headings above it and the page it is on.

What a format says about its own structure is kept; nothing is guessed from how a text looks.  Plain text has
paragraphs, Markdown and HTML have headings besides, PDF has page numbers.
"""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pagefault.policies.lab.extras import MissingExtra
from pagefault.runtime.errors import ConfigError

FILE_BYTES_MAX = 64 * 2**20
EXTRA = "documents"
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_BROKEN_WORD = re.compile(r"(?<=\w)-\n(?=[a-z])")
_HEADING = re.compile(r"h([1-6])")
_HTML_BLOCKS = frozenset(
    "address article aside blockquote body caption dd details div dl dt fieldset figcaption figure footer form h1 h2 h3"
    " h4 h5 h6 header hr legend li main nav ol p pre section summary table tbody td tfoot th thead title tr ul".split()
)
_HTML_UNENDED = frozenset(
    "area base br col embed hr img input link meta source track wbr"  # never have an end
    " body caption colgroup dd dt head html li optgroup option p rp rt tbody td tfoot th thead tr".split()  # may lack
)
OPEN_MAX = 4_000
"""Elements that may be open at once; browsers themselves show no more than 512 in each other."""
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_HTML_DROPPED = frozenset("head script style noscript template svg nav button select textarea".split())


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document that belongs together.

    ``headings`` are those above it, the outermost first; ``page`` counts from 1, and is 0 where the format has none.
    """

    text: str
    headings: tuple[str, ...] = ()
    page: int = 0


def read_blocks(data: bytes, suffix: str, field: str) -> list[Block]:
    """The blocks of a document, in order; ``field`` names it in errors.

    Raises :class:`~pagefault.runtime.errors.ConfigError` for a document that cannot be read or holds no text, and
    :class:`~pagefault.policies.lab.extras.MissingExtra` when the format needs a package that is not installed.
    """
    reader = READERS.get(suffix.lower())
    if reader is None:
        raise ConfigError(field, suffix or "a name without a suffix", f"a document: {', '.join(READERS)}")
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(field, f"{len(data) / 2**20:.0f} MB", f"at most {FILE_BYTES_MAX // 2**20} MB")
    blocks = list(reader(data, field))
    if not blocks:
        raise ConfigError(field, "no text", "a document with text in it (a scanned one has only pictures)")
    return blocks


def _text(data: bytes, field: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(field, f"byte {data[error.start]:#04x} at {error.start}", "text in UTF-8") from None
    if "\0" in text:
        raise ConfigError(field, "a NUL character", "text in UTF-8, not a binary file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _paragraphs(text: str) -> Iterator[str]:
    for part in _BLANK_LINES.split(text):
        if part.strip():
            yield part.strip()


def _plain(data: bytes, field: str) -> Iterator[Block]:
    for paragraph in _paragraphs(_text(data, field)):
        yield Block(paragraph)


class _Headings:
    """The headings that a place in a document is under."""

    def __init__(self) -> None:
        self._levels: list[tuple[int, str]] = []

    def enter(self, level: int, text: str) -> None:
        self._levels = [(above, title) for above, title in self._levels if above < level]
        if text:
            self._levels.append((level, text))

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(title for _, title in self._levels)


def _markdown(data: bytes, field: str) -> Iterator[Block]:
    parser = _extra("markdown_it", "Markdown").MarkdownIt("commonmark").enable("table")
    headings = _Headings()
    level = 0  # of the heading that is open
    cells: list[str] = []
    is_in_row = False
    items = 0
    for token in parser.parse(_text(data, field)):
        match token.type:
            case "heading_open":
                level = int(token.tag[1:])
            case "inline" if level:
                headings.enter(level, _one_line(_spoken(token)))
                level = 0
            case "inline" if is_in_row:
                cells.append(_one_line(_spoken(token)))
            case "inline":
                text = _spoken(token).strip()
                if text:
                    yield Block(f"- {text}" if items else text, headings.path)
            case "list_item_open" | "list_item_close":
                items += token.nesting
            case "tr_open":
                cells, is_in_row = [], True
            case "tr_close":
                is_in_row = False
                yield Block(" | ".join(cells), headings.path)
            case "fence" | "code_block" if token.content.strip():
                yield Block(token.content.rstrip(), headings.path)
            case _:
                pass


def _spoken(token: Any) -> str:
    """The words of an inline token, without its marks."""
    breaks = {"softbreak": "\n", "hardbreak": "\n", "html_inline": ""}
    return "".join(breaks.get(child.type, child.content) for child in token.children or ())


def _check_nesting(text: str, field: str) -> None:
    """Refuse HTML in which too many elements are open at once: what a parser does for each grows with them."""
    still_open: Counter[str] = Counter()
    count = 0
    for ends, name in _TAG.findall(text):
        tag = name.lower()
        if tag in _HTML_UNENDED:
            continue
        if not ends:
            still_open[tag] += 1
            count += 1
            if count > OPEN_MAX:
                raise ConfigError(field, f"more than {OPEN_MAX:,} elements in each other", "a page that browsers show")
        elif still_open[tag]:
            still_open[tag] -= 1
            count -= 1


def _html(data: bytes, field: str) -> Iterator[Block]:
    text = _text(data, field)
    _check_nesting(text, field)
    body = _extra("selectolax.lexbor", "HTML").LexborHTMLParser(text).body
    headings = _Headings()
    parts: list[str] = []
    holder: Any = None  # the innermost block element that the parts are in
    for node in body.traverse(include_text=True) if body is not None else ():
        if node.tag == "br":
            parts.append("\n")
        if node.tag != "-text":
            continue
        block = _block_of(node)
        if block is None:
            continue
        if holder is not None and block.mem_id != holder.mem_id:
            yield from _html_block(holder.tag, "".join(parts), headings)
            parts = []
        holder = block
        parts.append(node.text_content or "")
    if holder is not None:
        yield from _html_block(holder.tag, "".join(parts), headings)


def _block_of(node: Any) -> Any:
    """The innermost block element around a text; ``None`` for what no reader sees."""
    found = None
    above = node.parent
    while above is not None:
        if above.tag in _HTML_DROPPED:
            return None
        if found is None and above.tag in _HTML_BLOCKS:
            found = above
        above = above.parent
    return found


def _html_block(tag: str, text: str, headings: _Headings) -> Iterator[Block]:
    words = text.strip("\n").rstrip() if tag == "pre" else "\n".join(filter(None, map(_one_line, text.split("\n\n"))))
    if not words.strip():
        return
    heading = _HEADING.fullmatch(tag)
    if heading:
        headings.enter(int(heading[1]), _one_line(words))
    else:
        yield Block(f"- {words}" if tag == "li" else words, headings.path)


def _pdf(data: bytes, field: str) -> Iterator[Block]:
    pypdf = _extra("pypdf", "PDF")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what is wrong with a file is our one error
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        texts = [page.extract_text() for page in reader.pages]
    except Exception as error:  # a malformed file makes the reader raise whatever its bytes lead it into
        raise ConfigError(field, f"{type(error).__name__}: {error}", "a PDF that can be read") from error
    for number, text in enumerate(texts, 1):
        for paragraph in _paragraphs(_BROKEN_WORD.sub("", text.replace("\0", ""))):
            yield Block(paragraph, (), number)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _extra(module: str, purpose: str) -> Any:
    try:
        return import_module(module)
    except ImportError as problem:
        package = module.partition(".")[0]
        raise MissingExtra(
            f"reading {purpose} needs {package}, which is not installed: pip install 'pagefault[{EXTRA}]'", name=package
        ) from problem


Reader = Callable[[bytes, str], Iterator[Block]]
READERS: Mapping[str, Reader] = MappingProxyType({
    ".txt": _plain,
    ".text": _plain,
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
})  # fmt: skip


def find_documents(paths: list[Path]) -> list[tuple[Path, str]]:
    """The documents of files and folders, each once, with the name that its passages will carry.

    A file that is named itself keeps its name; one of a folder has its path within it.  In folders, what is hidden or
    of another format is passed over.  Raises :class:`~pagefault.runtime.errors.ConfigError` for a path that is not
    there, and for one with nothing to read.
    """
    found: dict[Path, str] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in READERS and each.is_file())
            seen = [each for each in inside if not any(part.startswith(".") for part in each.relative_to(path).parts)]
            if not seen:
                raise ConfigError("PATH", str(path), f"a folder with documents: {', '.join(READERS)}")
            for each in seen:
                found.setdefault(each.resolve(), each.relative_to(path).as_posix())
        elif path.is_file():
            if path.suffix.lower() not in READERS:
                raise ConfigError("PATH", str(path), f"a document: {', '.join(READERS)}")
            found.setdefault(path.resolve(), path.name)
        else:
            raise ConfigError("PATH", str(path), "a file or folder that is there")
    return list(found.items())
