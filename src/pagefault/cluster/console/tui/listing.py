"""A table of any number of rows, of which only those on the screen are ever made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

T = TypeVar("T")
GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """``width`` in cells; 0 for what is left, shared evenly."""

    title: str
    width: int = 0
    right: bool = False


class Listing(ScrollView, Generic[T], can_focus=True):
    """Rows under a head that stays.  ``cells`` draws one row, ``key`` names it: the cursor stays on its row when others
    come and go."""

    DEFAULT_CSS = """
    Listing { height: 1fr; overflow-x: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "go(-1)", "Up", show=False),
        Binding("down,j", "go(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "end(False)", "First", show=False),
        Binding("end", "end(True)", "Last", show=False),
        Binding("enter", "choose", "Open"),
    ]

    class Chosen(Message):
        """Somebody wants to see more of a row."""

        def __init__(self, listing: ScrollView, key: str) -> None:
            super().__init__()
            self.listing = listing
            self.key = key

        @property
        def control(self) -> ScrollView:
            return self.listing

    def __init__(
        self,
        columns: Sequence[Column],
        cells: Callable[[T], Sequence[Text]],
        key: Callable[[T], str],
        *,
        id: str | None = None,  # noqa: A002 - as every widget calls it
    ) -> None:
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._cells = cells
        self._key = key
        self._rows: Sequence[T] = ()
        self._cursor = 0

    @property
    def rows(self) -> Sequence[T]:
        return self._rows

    @property
    def current(self) -> T | None:
        """The row that the cursor is on."""
        return self._rows[self._cursor] if self._rows else None

    @property
    def current_key(self) -> str:
        return "" if self.current is None else self._key(self.current)

    def show(self, rows: Sequence[T], *, at: str = "") -> None:
        """Show these rows; the cursor stays on its row, or goes to the one named ``at``."""
        wanted = at or self.current_key
        self._rows = rows
        place = next((place for place, row in enumerate(rows) if self._key(row) == wanted), None) if wanted else None
        self._cursor = min(self._cursor, max(0, len(rows) - 1)) if place is None else place
        self.virtual_size = Size(0, len(rows) + 1)
        if place is not None and at:
            self._reveal()
        self.refresh()

    # --- keys and mouse

    def action_go(self, by: int) -> None:
        self._to(self._cursor + by)

    def action_page(self, by: int) -> None:
        self._to(self._cursor + by * max(1, self.size.height - 2))

    def action_end(self, is_last: bool) -> None:
        self._to(len(self._rows) - 1 if is_last else 0)

    def action_choose(self) -> None:
        if self._rows:
            self.post_message(self.Chosen(self, self.current_key))

    def on_click(self, event: events.Click) -> None:
        """A click goes to a row; a second one opens it."""
        place = int(event.y) + int(self.scroll_offset.y) - 1
        if event.y < 1 or not 0 <= place < len(self._rows):
            return
        is_again = place == self._cursor
        self._to(place)
        if is_again:
            self.action_choose()

    def _to(self, place: int) -> None:
        self._cursor = max(0, min(place, len(self._rows) - 1))
        self._reveal()
        self.refresh()

    def _reveal(self) -> None:
        """Scroll as far as the row under the cursor demands; the head hides one line."""
        height = max(1, self.size.height - 1)
        top = int(self.scroll_offset.y)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False, force=True)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False, force=True)

    # --- drawing

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y == 0:
            return self._line([Text(column.title) for column in self._columns], width, "bold underline")
        place = int(self.scroll_offset.y) + y - 1
        if place >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        style = "reverse" if place == self._cursor else ""
        return self._line(self._cells(self._rows[place]), width, style)

    def _line(self, cells: Sequence[Text], width: int, style: str) -> Strip:
        line = Text(no_wrap=True, end="")
        for text, column, room in zip(cells, self._columns, self._widths(width), strict=True):
            cell = text.copy()
            cell.truncate(room, overflow="ellipsis")
            cell.align("right" if column.right else "left", room)
            line.append_text(cell).append(" " * GAP)
        line.truncate(width, pad=True)
        if style:
            line.stylize(style)
        strip = Strip(line.render(self.app.console), width)
        return strip.apply_style(self.rich_style)

    def _widths(self, width: int) -> list[int]:
        fixed = sum(column.width for column in self._columns) + GAP * len(self._columns)
        open_columns = sum(not column.width for column in self._columns)
        rest = max(4, (width - fixed) // open_columns) if open_columns else 0
        return [column.width or rest for column in self._columns]
