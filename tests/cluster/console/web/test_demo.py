"""The village of the demo lives: its agents talk, fill their contexts, lose pages and fetch them back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from pagefault.cluster.console.web.demo import Pace, living_village
from pagefault.cluster.console.web.serving import Address
from tests.cluster.console.web.conftest import NEEDS_CHROMIUM, Page

pytestmark = NEEDS_CHROMIUM
MANY = re.compile(r"^([6-9][0-9]|[0-9]{3,})$")
PACE = Pace(villagers=48, awake_max=40, latency_ms=15, first=900, first_per_s=250, per_s=15)


@pytest.fixture(scope="module")
def village() -> Iterator[Page]:
    with Page(living_village(PACE), Address(port=0)) as page:
        yield page


@pytest.mark.soak
def test_the_village_is_alive_and_its_memories_are_full(browser: Browser, village: Page, pictures: Path) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(village.url)
    expect(page.locator("#status")).to_contain_text("48 agents")
    page.get_by_label("Order").select_option("steps")
    busiest = page.locator("tbody tr").first
    expect(busiest.locator("td").nth(3)).to_have_text(MANY, timeout=60_000)
    expect(page.locator(".chip", has_text="asleep")).to_be_visible()
    busiest.locator("a").click()
    expect(page.locator(".bar-evictions").first).to_be_attached()
    expect(page.locator(".bar-faults").first).to_be_attached()
    page.get_by_role("button", name="One step back").click()
    going = page.locator(".block.going[role=option]")
    going.first.click()
    expect(page.get_by_role("complementary", name="Page")).to_contain_text("a flush takes it")
    page.screenshot(path=pictures / "ui-agent.png")
    page.goto(f"{village.url}#/graph")
    expect(page.locator("tbody tr").nth(10)).to_be_visible()
    context.close()
