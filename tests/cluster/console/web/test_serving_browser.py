"""The page in a real browser: what people do with it, with the keyboard alone, and what hostile words do to it.

Pictures are kept in the folder that ``PAGEFAULT_SCREENSHOTS`` names, else in pytest's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.cluster.console.web.conftest import NEEDS_CHROMIUM
from tests.cluster.console.web.conftest import Page as ServedPage

pytestmark = NEEDS_CHROMIUM
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""
CELL = "canvas.cells"
# One promise, no asking again and again: what a driver asks again is evaluated from words, which the policy forbids.
STOPPED = """() => new Promise((resolve) => {
  document.addEventListener("securitypolicyviolation", (event) => resolve(event.violatedDirective), { once: true });
  document.body.insertAdjacentHTML("beforeend", '<img src=x onerror="window.owned = 1">');
})"""


class Visit:
    """One visitor with the page open: what went wrong in it is gathered."""

    def __init__(self, context: BrowserContext, served: ServedPage) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.problems: list[str] = []
        self.base = served.url.partition("?")[0]
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self._dialog(dialog.message))
        self.page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda request: self._request(request.url))
        self.page.add_init_script(WATCH)
        self.page.goto(served.url)
        expect(self.page.locator("tbody tr")).to_have_count(33)

    def _dialog(self, text: str) -> None:
        self.problems.append(f"dialog: {text}")

    def _request(self, url: str) -> None:
        if not url.startswith((self.base, "data:")):
            self.problems.append(f"request: {url}")

    def go(self, place: str) -> None:
        self.page.evaluate("(place) => { location.hash = place; }", place)

    def check(self) -> None:
        assert self.page.evaluate("window.violations") == []
        assert self.problems == []


@pytest.fixture
def visit(browser: Browser, page: ServedPage) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    visit = Visit(context, page)
    yield visit
    visit.check()
    context.close()


def test_from_the_fleet_to_an_agent_a_step_and_a_page(visit: Visit, pictures: Path) -> None:
    page = visit.page
    assert "token" not in page.url
    expect(page.locator("#status")).to_contain_text("a test · live · 33 agents")
    page.screenshot(path=pictures / "fleet.png")
    page.get_by_role("searchbox").fill("ada")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="ada", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("ada")
    expect(page.locator(".where")).to_contain_text("step 43 of 43")
    slider = page.get_by_role("slider", name="Step")
    slider.fill("7")
    expect(page).to_have_url(f"{visit.base}#/agent/ada?step=7")
    expect(page.locator(".message-line").last).to_contain_text("Entry 6")
    expect(page.locator(".facts").first).to_contain_text("its journal")
    block = page.locator("[role=option]", has_text="Entry 6").first
    block.click()
    expect(block).to_have_attribute("aria-selected", "true")
    panel = page.get_by_role("complementary", name="Page")
    expect(panel).to_contain_text("Entry 6: the harbour was quiet")
    expect(panel).to_contain_text("Why it is here")
    page.screenshot(path=pictures / "agent.png", full_page=True)
    page.get_by_role("tab", name="What changed").click()
    expect(page.locator(".changes")).to_contain_text("came in")
    page.locator(".chart").click(position={"x": 700, "y": 60})
    expect(page.locator(".where")).not_to_contain_text("step 7 ")
    page.get_by_role("button", name="Now").click()
    expect(page.locator(".facts").first).to_contain_text("its host")
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    keys = page.keyboard
    keys.press("/")
    keys.type("villager-0")
    expect(page.locator("tbody tr")).to_have_count(10)
    for _ in range(20):
        keys.press("Tab")
        if page.evaluate("document.activeElement.className") == "cells":
            break
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    expect(page.locator("#said")).to_contain_text("villager-01: asleep")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("villager-01")
    keys.press("Escape")
    expect(page.locator(CELL)).to_be_visible()
    visit.go("#/agent/ada")
    expect(page.locator(".where")).to_contain_text("step 43 of 43")
    for _ in range(40):
        keys.press("Tab")
        if page.evaluate("document.activeElement.type") == "range":
            break
    keys.press("ArrowLeft")
    keys.press("ArrowLeft")
    expect(page).to_have_url(f"{visit.base}#/agent/ada?step=41")
    expect(page.locator(".facts").first).to_contain_text("its journal")
    for _ in range(10):
        keys.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "option":
            break
    keys.press("End")
    keys.press("ArrowLeft")
    held = page.locator("[role=option]:focus")
    expect(held).to_have_attribute("aria-selected", "true")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "whoever has the focus is seen"
    names = page.evaluate(UNNAMED)
    assert names == [], "what can be pressed says what it is"


def test_the_focus_stays_on_the_map_when_its_block_leaves_it(visit: Visit) -> None:
    """Another step is drawn under whoever is on the map with the keys: they are not thrown back to the page's start."""
    page = visit.page
    visit.go("#/agent/ada?step=41")
    expect(page.locator(".facts").first).to_contain_text("its journal")
    page.locator("[role=option]").last.click()
    held = page.locator("[role=option]:focus")
    expect(held).to_have_attribute("aria-selected", "true")
    gone = held.get_attribute("data-key")
    visit.go("#/agent/ada?step=2")
    expect(page.locator(f"[role=option][data-key='{gone}']")).to_have_count(0)
    expect(held).to_have_count(1)
    expect(held).to_have_attribute("aria-selected", "true")


UNNAMED = """
Array.from(document.querySelectorAll("button, a, input, select, canvas, [role=option], [role=tab]"))
  .filter((each) => !(each.getAttribute("aria-label") || each.textContent.trim() || each.labels?.length || each.title))
  .map((each) => each.outerHTML)
"""


def test_hostile_names_and_words_are_shown_and_not_obeyed(visit: Visit, pictures: Path) -> None:
    page = visit.page
    row = page.locator("tbody tr", has_text="eve")
    shown = row.locator("a").inner_text()
    assert "<script>" in shown
    assert "\u27e8ESC\u27e9[2J" in shown
    assert "\u27e8U+202E\u27e9" in shown
    assert not {sign for sign in shown if not sign.isprintable()}
    row.locator("a").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>")
    assert "\u202e" not in page.title()
    option = page.locator("[role=option]", has_text="owned").or_(page.get_by_role("option", name="mallory"))
    option.first.click()
    expect(page.locator(".panel .words")).to_contain_text("<script>alert(1)</script>")
    for tab in ("Messages", "What changed", "Core memory", "Story"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        expect(page.locator("#tab-panel > *").first).to_be_visible()
    page.screenshot(path=pictures / "hostile.png", full_page=True)
    visit.go("#/graph")
    expect(page.get_by_role("button", name="Worlds and users")).to_be_visible()
    page.get_by_role("button", name="Worlds and users").click()
    expect(page.locator("tbody tr").first).to_be_visible()
    assert page.locator("script").count() == 1
    assert "\u202e" not in page.evaluate("document.body.innerText")


def test_what_agents_say_cannot_become_code(visit: Visit) -> None:
    """The second wall: were something let through, the policy would stop it."""
    page = visit.page
    assert page.evaluate(STOPPED) == "script-src-attr"
    assert page.evaluate("window.owned") is None
    page.evaluate("() => { window.violations.length = 0; }")
    visit.problems.clear()


def test_an_agent_is_written_to_and_the_page_follows(visit: Visit, page: ServedPage) -> None:
    visit.go("#/agent/villager-05")
    browser = visit.page
    expect(browser.locator(".where")).to_contain_text("step 0 of 0")
    browser.get_by_role("textbox", name="Message").fill("Is anybody there?")
    browser.get_by_role("button", name="Send").click()
    expect(browser.locator("#said")).to_contain_text("accepted")
    expect(browser.locator(".where")).to_contain_text("step 1 of 1", timeout=15_000)
    expect(browser.locator(".messages")).to_contain_text("Is anybody there?")
    browser.get_by_role("button", name="Hibernate").click()
    expect(browser.locator("#said")).to_contain_text("sleeps")
    assert page.fleet is not None
    assert page.loop is not None
    rows = asyncio.run_coroutine_threadsafe(page.fleet.survey("villager-05"), page.loop).result(10)
    assert [row.phase for row in rows] == ["asleep"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(browser: Browser, page: ServedPage, pictures: Path, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]  # a plain text
    visit = Visit(context, page)
    back = "getComputedStyle(document.body).backgroundColor"
    tones = {"light": "rgb(244, 245, 247)", "dark": "rgb(13, 17, 23)"}
    assert visit.page.evaluate(back) == tones[scheme]
    visit.page.screenshot(path=pictures / f"fleet-{scheme}.png")
    visit.go("#/agent/ada")
    expect(visit.page.locator(".block").first).to_be_visible()
    visit.page.screenshot(path=pictures / f"agent-{scheme}.png")
    switch = visit.page.get_by_role("button", name="Colour scheme")
    for wanted in ("light", "dark"):
        switch.click()
        assert visit.page.evaluate(back) == tones[wanted]
    visit.page.reload()
    expect(visit.page.locator("html")).to_have_attribute("data-scheme", "dark")
    assert visit.page.evaluate(back) == tones["dark"], "what was chosen is remembered"
    visit.check()
    context.close()
