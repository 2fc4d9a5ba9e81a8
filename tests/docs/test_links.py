"""Every link of README and docs leads somewhere, and every document can be found from the index."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.walk import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def targets(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [one or other for one, other in LINK.findall(text)]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    found = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_link_leads_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in targets(page):
            if re.match(r"[a-z]+:", target):
                continue
            place, _, anchor = target.partition("#")
            path = (page.parent / place).resolve() if place else page
            if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken


def test_every_document_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in targets(index)}
    missing = [str(page.relative_to(ROOT)) for page in PAGES[2:] if page != index and page.resolve() not in linked]
    assert not missing
