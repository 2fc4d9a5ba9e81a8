"""A look at a context for programs that think: what came in, what calls gave, what is in the blocks.

It reads the text that the kernel renders (:mod:`pagefault.runtime.kernel.pages`), as a language model would.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from pagefault.runtime.kernel.trust import WAITS, unquoted
from pagefault.runtime.values import FunctionCall, ModelRequest

_HEADING = re.compile(
    r"\[(?P<id>p\d+|[^\s\]]+:) (?P<at>-?\d+-\d\d-\d\d \d\d:\d\d|-?\d+ ms)(?P<rest>[^\]]*)\] ?(?P<text>.*)", re.DOTALL
)
_REST = re.compile(
    r"(?: (?P<author>[^(].*?))?(?: \((?P<session>[^()]*)\))?"
    r"(?P<note>, paged in|, paged out: (?P<kind>\w+), (?P<tokens>\d+) tokens| result)?"
)
_RESULT = re.compile(r"\[(?P<id>p\d+)\] (?P<status>OK|Failed): ?(?P<text>.*)", re.DOTALL)
_BLOCK = re.compile(
    r"^<(?P<label>[^\n>]+) \(\d+/\d+ characters(?:, read-only)?\)>\n(?P<text>.*?)\n</(?P=label)>$",
    re.DOTALL | re.MULTILINE,
)
_SHOWING = re.compile(r"Showing (\d+) of (\d+) results \(page (\d+)/(\d+)\):")
_CUT = " […cut; page_in it]"
_NOTES = {", paged in": "paged_in", " result": "result", "": "message"}


@dataclass(frozen=True, slots=True)
class Line:
    """A page as the context or a search result shows it.

    ``form``: ``message`` (somebody said it, or it was observed), ``paged_in``, ``handle`` (only an excerpt),
    ``result`` (of a call whose reply is gone) or ``hit``.  ``id`` is empty for pages of shared spaces.
    ``waits``: the sender waits for an answer.  ``cut``: only the beginning is shown.
    """

    id: str
    at: str
    author: str
    session: str
    text: str
    form: str = "message"
    waits: bool = False
    cut: bool = False

    @property
    def at_ms(self) -> int:
        """The time in milliseconds since the epoch, to the minute."""
        if self.at.endswith(" ms"):
            return int(self.at[:-3])
        year, month, day, hour, minute = map(int, re.split("[- :]", self.at))  # the year may have fewer digits
        return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1_000


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a call of this agent gave."""

    name: str
    ok: bool
    text: str
    arguments: dict[str, Any]
    page_id: str = ""


@dataclass(frozen=True, slots=True)
class Hits:
    """One page of search results; ``page`` and ``pages`` count from 1, as the text does."""

    lines: tuple[Line, ...]
    total: int
    page: int
    pages: int


def read_line(text: str) -> Line | None:
    """A line with a page's heading, or ``None`` for other text."""
    match = _HEADING.match(text)
    rest = _REST.fullmatch(match["rest"]) if match else None
    if match is None or rest is None:
        return None
    note = rest["note"] or ""
    body = unquoted(match["text"])
    cut = body.endswith(_CUT)
    waits = body.endswith(WAITS)
    body = body.removesuffix(_CUT).removesuffix(WAITS)
    page_id = "" if match["id"].endswith(":") else match["id"]
    return Line(
        id=page_id,
        at=match["at"],
        author=rest["author"] or "",
        session=rest["session"] or "",
        text=body,
        form="handle" if rest["kind"] else _NOTES[note],
        waits=waits,
        cut=cut,
    )


def read_hits(text: str) -> Hits:
    """The hits in the text of a search's result; none where it found nothing."""
    found = _SHOWING.search(text)
    if found is None:
        return Hits((), 0, 1, 0)
    _, total, page, pages = map(int, found.groups())
    lines = []
    for part in text[found.end() :].split("\n"):
        line = read_line(part)
        if line is not None:
            lines.append(Line(line.id, line.at, line.author, line.session, line.text, "hit", cut=line.cut))
    return Hits(tuple(lines), total, page, pages)


class View:
    """What a request shows, read when asked for."""

    def __init__(self, request: ModelRequest) -> None:
        self.request = request

    @property
    def agent(self) -> str:
        """The id of the agent that thinks."""
        return self.request.agent

    @cached_property
    def functions(self) -> frozenset[str]:
        """Names that may be called."""
        return frozenset(each.name for each in self.request.functions)

    @cached_property
    def blocks(self) -> dict[str, str]:
        """Core memory: the text of every block."""
        head = self.request.messages[0].text if self.request.messages else ""
        return {match["label"]: unquoted(match["text"]) for match in _BLOCK.finditer(head)}

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Every page in the queue that is not a reply of this agent's own, oldest place first."""
        found = (read_line(message.text) for message in self.request.messages if message.role == "user")
        return tuple(line for line in found if line is not None)

    @cached_property
    def _incoming(self) -> tuple[int, Line | None]:
        messages = self.request.messages
        for place in range(len(messages) - 1, -1, -1):
            if messages[place].role == "user":
                line = read_line(messages[place].text)
                if line is not None and line.form == "message":
                    return place, line
        return -1, None

    @property
    def incoming(self) -> Line | None:
        """The newest message or observation: what this chain is about."""
        return self._incoming[1]

    @cached_property
    def results(self) -> tuple[CallResult, ...]:
        """What the calls since then gave, in order."""
        return tuple(self._results())

    @property
    def result(self) -> CallResult | None:
        """What the last of them gave."""
        return self.results[-1] if self.results else None

    @property
    def steps(self) -> int:
        """How many replies this agent has made since then."""
        return sum(message.role == "assistant" for message in self.request.messages[self._incoming[0] + 1 :])

    @cached_property
    def paged_in(self) -> tuple[Line, ...]:
        """Pages that came back since then."""
        since = self.request.messages[self._incoming[0] + 1 :]
        found = (read_line(message.text) for message in since if message.role == "user")
        return tuple(line for line in found if line is not None and line.form == "paged_in")

    @cached_property
    def notices(self) -> tuple[str, ...]:
        """What the runtime has told the agent (memory pressure and the like)."""
        told = (message.text for message in self.request.messages if message.role == "user")
        return tuple(text.removeprefix("[system] ") for text in told if text.startswith("[system] "))

    def hits(self) -> Hits:
        """The hits of the last search since then; none if there was no search."""
        for result in reversed(self.results):
            if _SHOWING.search(result.text):
                return read_hits(result.text)
        return read_hits("")

    def _results(self) -> Iterator[CallResult]:
        calls: dict[str, FunctionCall] = {}
        for message in self.request.messages[self._incoming[0] + 1 :]:
            calls.update((call.id, call) for call in message.calls)
            if message.role != "tool":
                continue
            call = calls.get(message.answers)
            read = _RESULT.match(message.text)
            yield CallResult(
                name=message.name or (call.name if call else ""),
                ok=read is not None and read["status"] == "OK",
                text=unquoted(read["text"]) if read else message.text,
                arguments=_arguments(call),
                page_id=read["id"] if read else "",
            )


def _arguments(call: FunctionCall | None) -> dict[str, Any]:
    try:
        found = json.loads(call.arguments) if call else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
