"""A folder becomes a data set in a real browser: dropped, sent in pieces over a broken line, made, its audit read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from footage.studio.app import Address, Server
from footage.studio.uploads import PromisedFile
from tests.clips import moving, still, write
from tests.studios import drop, make_data_set, opened_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

PIECE = 500
"""Bytes of a piece, here."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("here") / "people"
    for number in range(2):
        write(folder / "run" / f"{number}.mp4", moving(12, (48, 64), seed=number))
        write(folder / "walk" / f"{number}.mp4", moving(12, (48, 64), seed=7 + number))
    write(folder / "walk" / "still.mp4", still(12, (48, 64)))
    (folder / "notes.md").write_text("no clip")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    (folder / "models").mkdir()
    made = Server(folder / "library", folder / "models", Address(port=0), sources=[videos.parent])
    made.start()
    yield made
    made.stop()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with opened_page(browser, server.address) as page:
        yield page


def test_a_dropped_folder_becomes_a_data_set_whose_audit_is_read(page: Page, server: Server, videos: Path) -> None:
    broken: list[str] = []

    def send_smaller(route: Route) -> None:
        source = route.fetch().text()
        route.fulfill(body=source.replace("2 * 2 ** 20", str(PIECE)), content_type="text/javascript")

    def break_twice(route: Route) -> None:
        if len(broken) < 2 and f"offset={PIECE}" in route.request.url:
            broken.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/static/data.js*", send_smaller)
    page.route("**/api/sources/uploads?*", break_twice)
    page.goto("/data")
    drop(page, videos)
    page.wait_for_selector("#sources li")
    assert len(broken) == 2, "the line broke, and what had come was gone on with"
    sent = server.studio.uploads.folder / "people"
    files = sorted(str(path.relative_to(sent)) for path in sent.rglob("*.mp4"))
    assert files == sorted(str(path.relative_to(videos)) for path in videos.rglob("*.mp4"))
    assert all((sent / name).read_bytes() == (videos / name).read_bytes() for name in files)
    expect(page.locator("[name=name]")).to_have_value("people")
    make_data_set(page)
    page.wait_for_selector(".job")
    page.wait_for_selector("[data-dataset='data/people'] img", timeout=120_000)
    page.locator(
        ".film"
    ).first.scroll_into_view_if_needed()  # pictures that are out of sight are fetched when they are not
    page.wait_for_function("() => document.querySelector('.film')?.naturalWidth > 0")
    page.get_by_role("link", name="Audit", exact=True).first.click()
    page.wait_for_url("**/data/audit?**")  # its script is there
    page.wait_for_selector("#rejected table")
    expect(page.locator("main")).to_contain_text("5 sources", use_inner_text=True)
    expect(page.locator("#rejected summary")).to_have_count(1)
    page.locator("[data-look]").click()
    page.wait_for_function("() => document.querySelector('#look video')?.readyState > 1")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Train on it").first.click()
    page.wait_for_url("**/training/new?data=data/people")


def test_a_closed_browser_is_gone_on_with_and_a_folder_here_is_chosen(page: Page, server: Server, videos: Path) -> None:
    path = videos / "walk" / "1.mp4"
    file = PromisedFile(path.name, path.stat().st_size, path.stat().st_mtime_ns // 10**6)
    server.studio.uploads.begin("1", [file])
    server.studio.uploads.write("1", file, 0, path.read_bytes()[:1000])  # then the browser was closed
    page.goto("/data")
    expect(page.locator(".waiting")).to_have_count(1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "PUT" else None)
    drop(page, path)
    page.wait_for_selector("#sources li")
    assert all("offset=1000" in url for url in asked) and asked, "what had come was not sent again"
    assert (server.studio.uploads.folder / "1" / "1.mp4").read_bytes() == path.read_bytes()
    expect(page.locator(".waiting")).to_have_count(0)
    page.locator("#browse").click()
    page.get_by_role("button", name=videos.parent.name, exact=True).click()
    page.get_by_role("button", name="Take people", exact=True).click()
    expect(page.locator("#sources li")).to_have_count(2)
    page.select_option("[name=size]", "128")
    page.wait_for_function("() => /\\d+×\\d+/.test(document.querySelector('#suits')?.textContent)")
