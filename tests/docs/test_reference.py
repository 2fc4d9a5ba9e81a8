"""The reference is what the docstrings say, and everything public has one."""

from __future__ import annotations

import importlib
import inspect
import runpy

from tests.docs.walk import ROOT

GENERATE = runpy.run_path(str(ROOT / "docs" / "generate.py"))


def test_it_is_up_to_date() -> None:
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == GENERATE["document"](), (
        "made anew by: python docs/generate.py"
    )


def test_everything_public_says_what_it_is() -> None:
    for name, _ in GENERATE["MODULES"]:
        module = importlib.import_module(name)
        silent = [each for each in GENERATE["public_names"](module) if not inspect.getdoc(getattr(module, each))]
        assert not silent, (name, silent)
