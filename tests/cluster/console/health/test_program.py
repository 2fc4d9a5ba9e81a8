from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from pagefault.cluster.console.health.contract import Asked
from pagefault.cluster.console.health.program import judged, packages, python


def test_this_python_will_do() -> None:
    (found,) = python(Asked(Path()))
    assert found.status == "ok"


def test_what_is_too_old_or_missing_fails_and_an_extra_that_is_not_there_is_passed_over() -> None:
    found = judged(
        [
            "msgpack>=1",
            "rich<1",
            "no-such-package-of-anybody>=2",
            'pywin32; sys_platform == "win32"',
            'starlette>=1; extra == "ui"',
            'no-such-package-of-anybody>=2; extra == "local"',
            'starlette<0.1; extra == "broken"',
            'pytest>=9; extra == "dev"',
        ]
    )
    assert [(each.name, each.status) for each in found] == [
        ("packages", "failed"),
        ("extra broken", "warning"),
        ("extra local", "skipped"),
        ("extra ui", "ok"),
    ]
    assert found[0].seen == f"rich is {version('rich')}, needed is <1; no-such-package-of-anybody is missing"
    assert found[2].seen.endswith("pip install 'pagefault[local]'")


def test_all_that_is_needed_is_one_line() -> None:
    (found,) = judged(["msgpack>=1", "rich>=14"])
    assert (found.status, found.seen) == ("ok", "all 2 that are needed")
    assert packages(Asked(Path()))
