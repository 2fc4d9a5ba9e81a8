"""Failpoints: only those that are listed, only while armed, and each of them is in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pagefault
from pagefault.runtime.errors import UsageError
from pagefault.runtime.failpoints import FAILPOINTS, armed, failpoint

PLACE = r"\bfailpoint\(\"([^\"]+)\"\)"


def test_an_armed_failpoint_does_what_it_is_told_until_the_block_ends() -> None:
    reached: list[str] = []
    with armed("journal.close", lambda: reached.append("closing")):
        failpoint("journal.close")
        failpoint("journal.append.begun")
    failpoint("journal.close")
    assert reached == ["closing"]


def test_what_an_armed_failpoint_raises_comes_out() -> None:
    def fail() -> None:
        raise OSError("the disk is gone")

    with armed("archive.write.before", fail), pytest.raises(OSError, match="gone"):
        failpoint("archive.write.before")


def test_unknown_names_and_arming_twice_are_refused() -> None:
    with pytest.raises(UsageError, match=r"failpoint: found 'journal\.clothes'"), armed("journal.clothes", print):
        pass
    with armed("journal.close", print):
        with pytest.raises(UsageError, match="found 'typo'"):
            failpoint("typo")
        with pytest.raises(UsageError, match="is armed already"), armed("journal.close", print):
            pass


def test_each_name_is_in_the_code_and_once_in_a_file() -> None:
    folder = Path(pagefault.__file__).parent
    files = [re.findall(PLACE, file.read_text(encoding="utf-8")) for file in sorted(folder.rglob("*.py"))]
    assert {name for found in files for name in found} == set(FAILPOINTS)
    assert all(len(set(found)) == len(found) for found in files), "two drivers may have a name, one has it once"
