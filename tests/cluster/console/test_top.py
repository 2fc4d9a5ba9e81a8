"""``pagefault top`` before it has a screen."""

from __future__ import annotations

import sys

import pytest

from pagefault.cluster.console.top import load_screens
from tests.cluster.console.conftest import Pagefault


def test_elsewhere_than_on_a_terminal_it_says_what_to_use(pagefault: Pagefault) -> None:
    assert "pagefault ps" in pagefault("top", "--folder", "nowhere").error


def test_without_its_extra_it_says_how_to_get_it(pagefault: Pagefault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual", None)
    assert "pip install 'pagefault[tui]'" in pagefault("top").error


def test_the_screens_are_there() -> None:
    assert load_screens().Top.TITLE == "pagefault top"
