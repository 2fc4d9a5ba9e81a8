"""What people and programs are shown."""

from __future__ import annotations

import io
import json
import time

import pytest
from rich.console import Console

from pagefault.cluster.console import show
from pagefault.cluster.console.show import RunProgress, say, show_report
from pagefault.cluster.plain_text import one_line
from pagefault.cluster.worlds.contract import Report, Row

LONG = "what this figure means, in as many words as the longest of the explanations has"
REPORT = Report("Title", {"agents": 3, "by": {"1": 0.5}}, [Row("a rather long name of a row", "1,234,567 / 89", LONG)])


def test_a_pipe_gets_whole_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show_report(REPORT, as_json=False)
    row = next(line for line in capsys.readouterr().out.splitlines() if "rather long name of a row" in line)
    assert "1,234,567 / 89" in row
    assert LONG in row


def test_a_program_gets_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(REPORT, as_json=True)
    out, errors = capsys.readouterr()
    assert json.loads(out) == {"agents": 3, "by": {"1": 0.5}}
    assert (out.count("\n"), errors) == (1, "")


def test_progress_is_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    written = io.StringIO()
    with RunProgress(Console(file=written, width=20)) as progress:
        progress.begin("a long stretch of work to be done", 5000)
        progress.advance(7)
        now_s += show.PLAIN_EVERY_S
        progress.advance(1193)
        progress.advance()
    assert written.getvalue().splitlines() == [
        "a long stretch of work to be done: 5,000 to do",
        "a long stretch of work to be done: 1,200 of 5,000",
    ]


def test_progress_is_a_bar_on_a_terminal() -> None:
    written = io.StringIO()
    with RunProgress(Console(file=written, force_terminal=True, width=80)) as progress:
        progress.begin("work", 4)
        progress.advance(3)
    assert "3/4" in written.getvalue()
    assert "━" in written.getvalue()


def test_an_error_is_one_line_that_a_terminal_does_not_obey() -> None:
    assert one_line("two\nlines,\t and \x1b[31mred") == "two lines, and \N{REPLACEMENT CHARACTER}[31mred"
    written = io.StringIO()
    say(Console(file=written, width=10), "[bold]not markup[/bold] but words\nin one line")
    assert written.getvalue() == "[bold]not markup[/bold] but words in one line\n"
