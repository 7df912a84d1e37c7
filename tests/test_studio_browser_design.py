"""How the studio looks and is reached: two layouts of the grid, what a card offers, tour, swiping, narrow toolbars."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from footage.library.library import Library
from footage.studio.app import Address, Server
from tests.clips import moving, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHAPES = [(32, 32), (32, 64), (32, 96), (64, 32), (48, 64), (32, 48), (32, 32), (32, 64), (40, 32), (32, 56), (32, 32)]
"""Height and width of each clip."""
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
PICTURES = """() => [...document.querySelectorAll('#grid .card')].map(card => {
    const [box, picture] = [card.getBoundingClientRect(), card.querySelector('img')];
    const frame = card.querySelector('.frame').getBoundingClientRect();
    return { id: Number(card.dataset.id), left: box.left, right: box.right, top: box.top,
        shown: frame.width / frame.height, shape: picture.getAttribute('width') / picture.getAttribute('height') };
}).sort((a, b) => b.id - a.id)"""
"""Where the cards of the grid stand, with the shapes of their pictures as they are and as they are shown."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("design")
    with Library(folder / "library") as library:
        for number, size in enumerate(SHAPES):
            library.add(write(folder / f"clip {number}.mp4", moving(6, size, seed=number)))
    made = Server(folder / "library", folder / "models", Address(port=0))
    made.studio.worker.close()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    contexts = []

    def opened(address: str = "/", **options: Any) -> Page:
        settings = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options}
        context = browser.new_context(base_url=server.address, **settings)
        contexts.append(context)
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("#grid.placed .card")
        return page

    yield opened
    for context in contexts:
        context.close()


def test_rows_show_whole_pictures_and_cells_are_filled(visit: Callable[..., Page], server: Server) -> None:
    page = visit()
    expect(page.locator("#grid .card")).to_have_count(len(SHAPES))
    rows: dict[float, list[Any]] = {}
    for picture in page.evaluate(PICTURES):
        assert picture["shown"] == pytest.approx(max(0.6, min(3, picture["shape"])), rel=0.02)
        rows.setdefault(round(picture["top"]), []).append(picture)
    width = page.locator("#grid").bounding_box()["width"]  # type: ignore[index]
    assert len(rows) > 1
    for row in list(rows.values())[:-1]:
        assert row[-1]["right"] - row[0]["left"] == pytest.approx(width, abs=2), "a row is as wide as the grid"
    page.get_by_role("button", name="Cells of one size, filled").click()
    page.wait_for_function(
        "() => new Set([...document.querySelectorAll('#grid .card')].map(c => c.style.width)).size === 1"
    )
    assert {round(picture["shown"], 1) for picture in page.evaluate(PICTURES)} == {1.3}
    expect(page.locator(".card img").first).to_have_css("object-fit", "cover")
    page.reload()
    page.wait_for_selector("#grid.placed .card")
    chosen = page.get_by_role("group", name="Layout").locator("[aria-pressed=true]")
    expect(chosen).to_have_attribute("data-layout", "cells")  # what was chosen is kept
    assert server.studio.library.shapes([3, 1, 99]) == [(3, 3.0), (1, 1.0)]


def test_arrows_go_to_the_nearest_above_and_below(visit: Callable[..., Page]) -> None:
    page = visit()
    expect(page.locator("#grid .card")).to_have_count(len(SHAPES))
    middles = {p["id"]: ((p["left"] + p["right"]) / 2, p["top"]) for p in page.evaluate(PICTURES)}
    page.locator("#grid").focus()
    page.keyboard.press("ArrowRight")
    here = len(SHAPES) - 1
    page.wait_for_selector(f"#clip-{here}.current")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(f".card.current:not(#clip-{here})")
    there = int(page.locator(".card.current").get_attribute("data-id") or 0)
    below = [clip for clip, (_, top) in middles.items() if top == middles[there][1]]
    assert middles[there][1] > middles[here][1]
    assert there == min(below, key=lambda clip: abs(middles[clip][0] - middles[here][0]))


def test_a_card_offers_to_select_and_to_look_at_it(visit: Callable[..., Page]) -> None:
    page = visit()
    card = page.locator("#clip-5")
    pick, enlarge = card.locator("[data-pick]"), card.locator("[data-enlarge]")
    expect(pick).to_have_css("opacity", "0")
    card.hover()
    expect(enlarge).to_have_css("opacity", "1")
    for part in (pick, enlarge):
        box = part.bounding_box()
        assert box and min(box["width"], box["height"]) >= 24
    pick.click()
    page.wait_for_selector("#clip-5[aria-selected=true]")
    page.locator("#clip-6 [data-pick]").click()
    expect(page.locator("#chosen-count")).to_have_text("2 selected")
    page.locator("#clip-6 [data-enlarge]").click()
    page.wait_for_selector("#loupe[open]")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")  # nothing is selected then
    page.wait_for_selector("#chosen", state="hidden")
    page.mouse.move(0, 0)
    expect(page.locator("#clip-6 [data-pick]")).to_have_css("opacity", "1")  # it has the keyboard's focus


def swipe(page: Page, across: int) -> None:
    """Move a finger across the large view."""
    page.evaluate(
        """across => {
            const surface = document.querySelector('#loupe .screen');
            const send = (name, x) => surface.dispatchEvent(new PointerEvent(name, { pointerId: 1, pointerType: 'touch',
                isPrimary: true, bubbles: true, clientX: x, clientY: 300 }));
            surface.setPointerCapture = () => {};
            send('pointerdown', 180);
            for (const part of [0.2, 0.6, 1]) send('pointermove', 180 + part * across);
            window.moved = surface.firstElementChild.style.translate;
            send('pointerup', 180 + across);
        }""",
        across,
    )


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_on_a_phone_one_swipes_from_clip_to_clip(visit: Callable[..., Page], motion: str) -> None:
    page = visit(reduced_motion=motion, **PHONE)
    first = len(SHAPES)
    page.locator(f"#clip-{first} .name").tap()
    page.wait_for_selector(f"#loupe[open] .screen[data-id='{first}']")
    swipe(page, -120)
    page.wait_for_selector(f"#loupe .screen[data-id='{first - 1}']")
    assert page.evaluate("window.moved") == ("-120px" if motion == "no-preference" else "")
    swipe(page, 20)
    swipe(page, 120)
    page.wait_for_selector(f"#loupe .screen[data-id='{first}']")
    page.get_by_role("button", name="Next clip").tap()  # without a swipe too
    page.wait_for_selector(f"#loupe .screen[data-id='{first - 1}']")
    page.get_by_role("button", name="Close").tap()
    page.wait_for_selector("#loupe", state="hidden")
    page.locator("#clip-3 [data-pick]").tap()
    page.wait_for_selector("#clip-3[aria-selected=true]")


ONE_LINE = """names => names.filter(name => [...document.querySelectorAll(name)].some(bar => {
    const parts = [...bar.children].filter(e => e.checkVisibility() && !e.matches('.visually-hidden'));
    const middles = parts.map(e => e.getBoundingClientRect()).filter(b => b.width > 1).map(b => (b.top + b.bottom) / 2);
    return Math.max(...middles) - Math.min(...middles) > 12;
}))"""
"""Those of several toolbars whose parts do not stand in one line."""


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_toolbars_do_not_wrap_on_a_phone(visit: Callable[..., Page], locale: str) -> None:
    page = visit(locale=locale, **PHONE)
    page.locator("#clip-3 [data-pick]").tap()
    page.wait_for_selector("#chosen:not([hidden])")
    page.wait_for_selector("#facets fieldset", state="attached")
    assert page.evaluate(ONE_LINE, [".tools", "#chosen", ".rail"]) == []
    assert page.locator(".bar").bounding_box()["height"] < 110  # type: ignore[index]
    page.locator("#clip-4 .name").tap()
    page.wait_for_selector("#loupe[open]")
    close = page.locator("#loupe [data-close]").bounding_box()
    assert close and close["x"] + close["width"] <= 360 and close["y"] >= 0
    height = page.locator("#loupe .under:not(form)").bounding_box()["height"]  # type: ignore[index]
    assert height < 70
    page.goto("/clip/1")
    assert page.evaluate(ONE_LINE, [".ways", ".judge"]) == []


def test_the_tour_is_shown_once_and_again_when_it_is_asked_for(visitor: Browser, server: Server) -> None:
    context = visitor.new_context(base_url=server.address, locale="en-GB", reduced_motion="reduce")
    page = context.new_page()
    try:
        page.goto("/clip/1")
        assert not page.locator("#tour").is_visible(), "somebody was sent to a clip"
        page.goto("/")
        tour = page.get_by_role("dialog", name="All clips are here")
        tour.wait_for()
        for _ in range(5):  # what is behind cannot be reached
            page.keyboard.press("Tab")
            inside = "() => document.activeElement === document.body || !!document.activeElement?.closest('#tour')"
            assert page.evaluate(inside)
        seen = []
        for number in range(5):
            expect(page.locator("#tour-place")).to_have_text(re.compile(rf"^\D*{number + 1}\b"))
            seen.append(page.locator("#tour h2:visible").inner_text())
            expect(page.locator(".rail a.shown")).to_have_count(1)
            page.locator("#tour [data-turn='1']").click()
        assert len(set(seen)) == 5
        page.wait_for_selector("#tour", state="hidden")
        expect(page.locator(".rail a.shown")).to_have_count(0)
        page.reload()
        page.wait_for_selector("#grid.placed .card")
        assert not page.locator("#tour").is_visible(), "it is shown once"
        page.keyboard.press("?")
        page.get_by_role("button", name="Show the tour").click()
        tour.wait_for()
        page.keyboard.press("Escape")
        page.wait_for_selector("#tour", state="hidden")
    finally:
        context.close()
