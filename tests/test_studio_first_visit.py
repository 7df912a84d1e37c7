"""The studio as somebody sees it who comes for the first time."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from footage.studio.app import Address, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.nightly
def test_the_way_of_a_first_visitor_takes_ten_clicks_at_most(visitor: Browser, tmp_path: Path) -> None:
    """As docs/studio.md describes it: from an empty library to an exported favourite, with a model that comes along."""
    server = Server(tmp_path / "library", tmp_path, Address(port=0, token=True))
    server.start()
    page = visitor.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB").new_page()
    page.set_default_timeout(60_000)
    clicks = 0

    def click(role: str, name: str) -> None:
        nonlocal clicks
        clicks += 1
        page.get_by_role(role, name=name, exact=True).first.click()  # type: ignore[arg-type]

    try:
        page.goto(server.entrance)
        page.wait_for_url(server.address)
        click("button", "Skip the tour")
        click("link", "Generate the first clips")
        page.wait_for_url("**/generate")
        page.locator("[name=seconds]").first.fill("0.5")  # shorter than what stands there, for the test's sake
        click("button", "Generate")
        page.wait_for_selector(".job.done", timeout=120_000)
        click("link", "Library")
        page.wait_for_selector("#grid.placed .card")
        clicks += 2
        page.locator(".card").nth(2).click()
        page.locator(".card.current i[data-star='5']").click()
        page.wait_for_selector(".card[data-stars='5']")
        clicks += 1
        page.locator(".pill", has_text="5★").click()
        expect(page.locator("#total")).to_have_text("1 clip")
        click("button", "Export")
        with page.expect_download() as waiting:
            click("button", "Zip: clips and tables")
        assert sum(name.endswith(".mp4") for name in zipfile.ZipFile(waiting.value.path()).namelist()) == 1
        assert clicks <= 10
    finally:
        page.context.close()
        server.stop()


def test_a_token_that_is_pasted_into_the_open_entrance_is_taken(browser: Browser, tmp_path: Path) -> None:
    server = Server(tmp_path / "library", tmp_path, Address(port=0, token=True))
    server.start()
    page = browser.new_page()
    try:
        page.goto(f"{server.address}enter")
        page.wait_for_function("() => document.activeElement?.name === 'token'")
        page.goto(server.entrance)  # another fragment: the page is not loaded anew
        page.wait_for_url(server.address)
    finally:
        page.close()
        server.stop()
