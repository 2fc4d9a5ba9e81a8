"""What is otherwise in an agent's context at one moment than at another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff

from pagefault.runtime.host.records import Inspection, PageState
from pagefault.runtime.values import Message

CONTEXT_LINES = 2


@dataclass(frozen=True, slots=True)
class PageChange:
    """A page that is otherwise.

    ``change``: ``came``, ``went`` (with what it left), ``fidelity`` (shown otherwise), ``pinned``, ``unpinned``, or
    ``moved`` (it is at another place of the queue now, as it was paged in again).  ``before`` and ``after`` are its
    fidelities, empty where it is not shown; ``tokens`` is by how much its cost grew.
    """

    id: str
    change: str
    kind: str
    author: str
    before: str
    after: str
    tokens: int
    text: str


@dataclass(frozen=True, slots=True)
class TextChange:
    """A block (``name`` is its label) or the ``summary``, as lines of a unified diff without its head."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MessageChange:
    """A stretch of messages: ``same`` (only how many there are), ``gone`` or ``new``, with ``(role, text)`` of each."""

    change: str
    count: int
    messages: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """An agent at two moments, ``before`` and ``after`` in steps; ``prefix_messages`` is how many messages both begin
    with alike: what a provider's prefix cache would serve."""

    agent: str
    before: int
    after: int
    tokens_before: int
    tokens_after: int
    pages: tuple[PageChange, ...]
    texts: tuple[TextChange, ...]
    messages: tuple[MessageChange, ...]
    prefix_messages: int
    statistics: dict[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether the context is the same."""
        return not self.pages and not self.texts and all(each.change == "same" for each in self.messages)


def difference(
    before: Inspection,
    after: Inspection,
    sent_before: Sequence[Message] = (),
    sent_after: Sequence[Message] = (),
) -> Difference:
    """What changed.  Messages are what was sent at either moment, where that is known, else what would be sent."""
    one = tuple(sent_before or before.messages)
    other = tuple(sent_after or after.messages)
    texts = [_text_change(name, old, new) for name, old, new in _texts(before, after) if old != new]
    prefix = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    grown = {key: after.statistics[key] - before.statistics.get(key, 0) for key in after.statistics}
    return Difference(
        agent=after.agent,
        before=before.statistics["steps"],
        after=after.statistics["steps"],
        tokens_before=before.tokens,
        tokens_after=after.tokens,
        pages=tuple(_page_changes(before.pages, after.pages)),
        texts=tuple(texts),
        messages=tuple(_message_changes(one, other)),
        prefix_messages=min(len(one), len(other)) if prefix is None else prefix,
        statistics={key: count for key, count in grown.items() if count},
    )


def _page_changes(before: Sequence[PageState], after: Sequence[PageState]) -> list[PageChange]:
    old = {page.id: page for page in before}
    new = {page.id: page for page in after}
    kept = [page.id for page in before if page.id in new]
    order = {page_id: place for place, page_id in enumerate(kept)}
    moved = _moved([order[page.id] for page in after if page.id in order], kept)
    changes = [_page_change("went", page, None) for page in before if page.id not in new]
    for page in after:
        was = old.get(page.id)
        if was is None:
            changes.append(_page_change("came", None, page))
        elif change := _change(was, page, is_moved=page.id in moved):
            changes.append(_page_change(change, was, page))
    return changes


def _page_change(change: str, was: PageState | None, now: PageState | None) -> PageChange:
    page = now or was
    assert page is not None, "a page that is at neither moment"
    return PageChange(
        id=page.id,
        change=change,
        kind=page.kind,
        author=page.author,
        before="" if was is None else was.fidelity,
        after="" if now is None else now.fidelity,
        tokens=(0 if now is None else now.tokens) - (0 if was is None else was.tokens),
        text=" ".join([page.text, *page.calls]).lstrip(),
    )


def _change(was: PageState, now: PageState, *, is_moved: bool) -> str:
    if was.fidelity != now.fidelity:
        return "fidelity"
    if was.pinned != now.pinned:
        return "pinned" if now.pinned else "unpinned"
    return "moved" if is_moved else ""


def _moved(places: Sequence[int], kept: Sequence[str]) -> set[str]:
    """Of pages that were kept, those that are not in their old order: a page that is paged in goes to the end."""
    moved: set[str] = set()
    least = len(kept)
    for place in reversed(places):
        if place > least:
            moved.add(kept[place])
        least = min(least, place)
    return moved


def _texts(before: Inspection, after: Inspection) -> list[tuple[str, str, str]]:
    old, new = dict(before.blocks), dict(after.blocks)
    pairs = [(label, old.get(label, ""), new.get(label, "")) for label in {**old, **new}]
    return [*pairs, ("summary", before.summary, after.summary)]


def _text_change(name: str, old: str, new: str) -> TextChange:
    lines = unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=CONTEXT_LINES)
    return TextChange(name, tuple(lines)[2:])  # the first two name files


def _message_changes(before: Sequence[Message], after: Sequence[Message]) -> list[MessageChange]:
    changes = []
    for what, first, last, begin, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            changes.append(MessageChange("same", last - first))
            continue
        if first < last:
            changes.append(MessageChange("gone", last - first, tuple(map(_plain, before[first:last]))))
        if begin < end:
            changes.append(MessageChange("new", end - begin, tuple(map(_plain, after[begin:end]))))
    return changes


def _plain(message: Message) -> tuple[str, str]:
    calls = "".join(f"\n{call.name}({call.arguments})" for call in message.calls)
    return message.role, f"{message.text}{calls}".lstrip("\n")
