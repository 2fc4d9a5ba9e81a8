"""Small windows over a screen: a line to write, a yes or no, something to read."""

from __future__ import annotations

from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

_FRAME = """
{name} {{ align: center middle; }}
{name} > * {{ width: 90%; max-width: 120; height: auto; max-height: 90%; border: round $primary; padding: 0 1; }}
"""


class Line(ModalScreen[str | None]):
    """A line to write; ``None`` if it was not."""

    DEFAULT_CSS = _FRAME.format(name="Line")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Back")]

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__()
        self._question = question
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Text(self._question))
            yield Input(self._value)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        await self.action_dismiss(event.value)


class Sure(ModalScreen[bool]):
    """A yes or no."""

    DEFAULT_CSS = _FRAME.format(name="Sure")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes"),
        Binding("n,escape", "dismiss(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Text(f"{self._question}  (y / n)"))


class Reading(ModalScreen[None]):
    """Something to read."""

    DEFAULT_CSS = _FRAME.format(name="Reading")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Back")]

    def __init__(self, what: RenderableType) -> None:
        super().__init__()
        self._what = what

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(self._what)
