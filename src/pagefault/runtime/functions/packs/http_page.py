"""The words of a page of HTML, in one pass whose time grows with the page's length and with nothing else.

A tree as browsers build it is of no use here: the rules for broken pages let a megabyte of opened elements take minutes
(each looks through all that are open), or build a tree of gigabytes (formatting that is never closed begins again in
every paragraph).  Words need no tree.
"""

from __future__ import annotations

import html
import re
from typing import Final

HTML_TYPES: Final = ("text/html", "application/xhtml+xml")
LINK_CHARS: Final = 500
TAG_CHARS: Final = 10_000
"""In longer tags nobody looks for a link."""
_INLINE: Final = frozenset(
    "a abbr b bdi bdo cite code data del dfn em font i img ins kbd label mark q s samp small span strong sub sup time "
    "u var wbr".split()
)
_UNSEEN: Final = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in ("script", "style", "template", "svg", "iframe")
}
"""Elements that no reader sees, with what ends them."""
_TAG: Final = re.compile(r"""<(/?)([a-zA-Z][^\s/>]*+)((?:=\s*+(?:"[^"]*+"|'[^']*+')|[^>])*+)>""")
_LOOSE_TAG: Final = re.compile(r"<(/?)([a-zA-Z][^\s/>]*+)([^>]*+)>")
_LINK: Final = re.compile(r"""(?:^|[\s/])href\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""", re.IGNORECASE)
_LEADS_NOWHERE: Final = ("#", "javascript:", "data:")


class _Lines:
    """The lines that have been made; words gather until a block begins or ends."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._words: list[str] = []
        self._link = ""
        self._preformatted = 0

    def add(self, text: str) -> None:
        if text:
            self._words.append(html.unescape(text))

    def tag(self, name: str, attributes: str, *, ends: bool) -> None:
        if name == "a":
            self._lead(attributes, ends=ends)
        elif name == "pre":
            self.flush()
            self._preformatted = max(0, self._preformatted + (-1 if ends else 1))
        elif name == "br" and self._preformatted:
            self._words.append("\n")
        elif name in {"td", "th"}:
            self._words.append(" " if not ends else "")
        elif name not in _INLINE:
            self.flush()

    def _lead(self, attributes: str, *, ends: bool) -> None:
        """The address of a link comes after its words."""
        if ends:
            self._words.append(self._link)
            self._link = ""
        else:
            found = _LINK.search(attributes) if len(attributes) <= TAG_CHARS else None
            target = html.unescape(next(filter(None, found.groups()), "")).strip() if found else ""
            leads = target and not target.lower().startswith(_LEADS_NOWHERE)
            self._link = f" ({target[:LINK_CHARS]})" if leads else ""

    def flush(self) -> None:
        """End a line, or the lines of preformatted text."""
        text = "".join(self._words)
        self._words.clear()
        if self._preformatted:
            self.done += [line.rstrip() for line in text.strip("\r\n").splitlines()]
        elif words := " ".join(text.split()):
            self.done.append(words)


def page_text(page: str) -> str:
    """The words of a page: a line for each block, links with where they lead, preformatted text as it is."""
    lines = _Lines()
    tag, position = _TAG, 0
    while True:
        begin = page.find("<", position)
        lines.add(page[position:] if begin < 0 else page[position:begin])
        if begin < 0:
            break
        if page.startswith(("<!", "<?"), begin):
            position = _after_comment(page, begin)
            continue
        found = tag.match(page, begin)
        if found is None and tag is _TAG and page[begin + 1 : begin + 2].isalpha():
            # A quote that is opened and never closed: looked for once, since each look may go to the page's end.
            tag = _LOOSE_TAG
            found = tag.match(page, begin)
        if found is None:
            lines.add("<")
            position = begin + 1
            if page.find(">", position) < 0:
                lines.add(page[position:])
                break
            continue
        slash, name, attributes = found.groups()
        lines.tag(name.lower(), attributes, ends=bool(slash))
        position = found.end()
        unseen = None if slash or attributes.endswith("/") else _UNSEEN.get(name.lower())
        if unseen is not None:
            end = unseen.search(page, position)
            position = len(page) if end is None else end.start()
    lines.flush()
    return "\n".join(lines.done)


def _after_comment(page: str, begin: int) -> int:
    """Where a comment, declaration or instruction has ended."""
    ending = "-->" if page.startswith("<!--", begin) else ">"
    end = page.find(ending, begin + 2)
    return len(page) if end < 0 else end + len(ending)
