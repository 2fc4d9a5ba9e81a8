"""The drawn pictures are what their script draws."""

from __future__ import annotations

import runpy
from xml.etree import ElementTree as ET

from tests.docs.walk import ROOT

FOLDER = ROOT / "docs" / "pictures"


def test_they_are_up_to_date_and_well_formed() -> None:
    drawn = runpy.run_path(str(FOLDER / "draw.py"))["pictures"]()
    assert len(drawn) == 4
    for name, content in drawn.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == content, "made anew by: python docs/pictures/draw.py"
        ET.fromstring(content)  # noqa: S314 - our own file
