"""The studio in a real browser, as somebody uses it: look, judge, find, compare, generate, watch live, rate, export."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from footage.library.additions import ClipDetails
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.studio.app import Address, Server
from tests.clips import add_sound, moving, write
from tests.streams import save_tiny_stream
from tests.studios import LOADED, PARTS, eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 780}}
CLIPS = 90
JOB = 120_000
"""Milliseconds for what a worker does, which has to start first."""
EXPECTED = re.compile(r"\b(400|404|503)\b").search
"""What tests let the server answer that a browser reports as an error."""
SOUNDING = 31
"""The clip that has sound."""
NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, textarea, video, img')].filter(e =>
    e.checkVisibility() && !e.closest('[aria-hidden=true], .card')
    && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length || e.alt)
    && !e.querySelector('img[alt]')).map(e => e.outerHTML)"""
"""What can be used on a page and has no name for a screen reader."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    with Library(folder / "library") as library:
        for i in range(CLIPS):
            path = write(folder / "in" / f"clip {i:03}.mp4", moving(12, (32, 32), seed=i % 30 + 7 * (i // 30)))
            if i == SOUNDING - 1:
                add_sound(path)
            path.write_bytes(path.read_bytes() + b"\0\0\0\x0cfree" + i.to_bytes(4, "big"))  # another file for each
            library.add(path, ClipDetails(label="walk" if i % 3 else "run"))
        with library._database.write() as connection:
            connection.execute("UPDATE clips SET model = 'other', origin = 'generated' WHERE id <= 20")
    save_tiny_stream(folder / "models" / "tiny", ("walk", "run"))
    made = Server(folder / "library", folder / "models", Address(port=0))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(viewport=SIZES["desktop"], base_url=server.address, locale="en-GB")
    made = context.new_page()
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on(
        "console", lambda said: errors.append(said.text) if said.type == "error" and not EXPECTED(said.text) else None
    )
    yield made
    context.close()
    # what was asked for when the page was left
    errors = [said for said in errors if not said.startswith(("htmx:sendAbort", "htmx:afterRequest"))]
    assert not errors, errors


def cards(page: Page) -> int:
    return page.locator("#grid .card").count()


def says(page: Page, total: str) -> None:
    """Wait until the page says how many clips there are; else what it said instead is in the error."""
    expect(page.locator("#total")).to_have_text(total)


def opened(page: Page, address: str = "/") -> None:
    page.goto(address)
    page.wait_for_selector("#grid.placed .card")
    page.wait_for_selector("#facets fieldset")
    page.locator("#grid").focus()


def go_to_the_end(page: Page) -> None:
    """Go to the oldest clip, which stands last, in a grid that may still get longer."""

    def ended() -> int:
        page.keyboard.press("End")
        return page.locator("#clip-1").count()

    eventually(page, ended)


def test_the_grid_scrolls_and_plays(page: Page) -> None:
    opened(page)
    says(page, f"{CLIPS} clips")
    assert cards(page) < CLIPS
    go_to_the_end(page)
    assert cards(page) < CLIPS, "what is out of sight is not in the page"
    page.locator("#clip-1").hover()
    video = page.wait_for_selector("#clip-1 video")
    page.wait_for_function("video => video.currentTime > 0.05", arg=video)
    page.keyboard.press("Home")
    page.wait_for_selector(f"#clip-{CLIPS}")


def test_triage_by_keyboard_alone(page: Page, server: Server) -> None:
    library = server.studio.library
    opened(page)
    first, second, third = CLIPS, CLIPS - 1, CLIPS - 2
    page.keyboard.press("4")
    page.wait_for_selector(f"#clip-{first}[data-stars='4']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("k")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.wait_for_selector(f"#clip-{third}[data-verdict=reject]")
    page.keyboard.press("Enter")  # large
    page.wait_for_selector("#loupe[open] .screen video")
    page.keyboard.press("u")
    page.keyboard.press("5")
    page.wait_for_selector(f"#clip-{third}[data-verdict=undecided][data-stars='5']", state="attached")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#loupe [data-verdict=keep][aria-pressed=true]")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.querySelector('#loupe')?.open === false")
    eventually(page, lambda: library.get(third).stars == 5)
    eventually(page, lambda: library.get(first).stars == 4 and library.get(second).verdict == "keep")
    page.keyboard.press("Control+z")
    page.wait_for_selector(f"#clip-{third}[data-stars='0']")
    eventually(page, lambda: library.get(third).stars == 0)
    assert library.get(third).verdict == "undecided", "one step is undone, not two"


def test_many_clips_are_captioned_by_keyboard(page: Page, server: Server) -> None:
    library = server.studio.library
    opened(page)
    first, second, third = CLIPS, CLIPS - 1, CLIPS - 2
    page.keyboard.press("Enter")
    page.wait_for_selector("#loupe[open] .screen video")
    page.keyboard.press("w")
    for clip, typed in ((first, ("a disc goes left", "圆向左")), (second, ("another one",))):
        page.wait_for_selector(f"#caption textarea[data-id='{clip}']:enabled")
        page.keyboard.type(typed[0])
        for line in typed[1:]:
            page.keyboard.press("Shift+Enter")
            page.keyboard.insert_text(line)
        page.keyboard.press("Enter")
    page.wait_for_selector(f"#caption textarea[data-id='{third}']:enabled")
    page.keyboard.press("Escape")
    page.wait_for_selector("#caption", state="hidden")
    eventually(page, lambda: library.get(second).prompt == "another one")
    eventually(page, lambda: library.get(first).prompt == "a disc goes left\n圆向左")
    assert page.locator("#loupe[open]").count() == 1, "the clip stays large"
    assert library.get(third).prompt == ""


def test_filter_search_tag_and_album(page: Page, server: Server) -> None:
    opened(page)
    page.get_by_role("checkbox", name="run").check()
    says(page, "30 clips")
    page.wait_for_url("**label=run**")
    page.keyboard.press("/")
    expect(page.locator("#text")).to_be_focused()
    page.locator("#text").fill('"clip 00"')  # the name of the test's folder may hold 00
    says(page, "4 clips")
    page.locator("#grid").focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("t")
    page.locator("#ask input").fill("chosen, 好")
    page.keyboard.press("Enter")
    page.get_by_role("checkbox", name="chosen").wait_for()
    page.get_by_role("toolbar").get_by_role("button", name="Album").click()
    page.locator("#ask input").fill("best")
    page.keyboard.press("Enter")
    page.get_by_role("checkbox", name="best").wait_for()
    opened(page, "/?tag=好")
    expect(page.locator("#grid .card")).to_have_count(4)
    assert server.studio.library.albums.get("best").clips == 4
    page.reload()
    says(page, "4 clips")


def test_the_bin_says_what_it_is_and_gives_back(page: Page, server: Server) -> None:
    library = server.studio.library
    library.remove([21, 22, 23])
    page.goto("/?bin=true")
    page.wait_for_selector("#grid.placed .card")
    expect(page.get_by_role("heading", name="Bin")).to_be_visible()
    assert page.locator("[data-upload]:visible").count() == 0 and page.locator("[data-save-view]").count() == 0
    page.locator("#clip-23").click(modifiers=["Control"])
    page.get_by_role("toolbar").get_by_role("button", name="Restore").click()
    page.wait_for_selector("#clip-23", state="detached")
    assert library.get(23).deleted is None and library.get(22).deleted is not None
    page.locator("#clip-22").dblclick()
    page.locator("#loupe").get_by_role("button", name="Restore").click()
    page.wait_for_selector("#clip-22", state="detached")
    assert library.get(22).deleted is None
    page.get_by_role("button", name="Restore all").click()
    page.get_by_text("The bin is empty.").wait_for()
    assert library.get(21).deleted is None
    library.remove([21])
    page.goto("/clip/21")
    expect(page.locator("nav [aria-current]")).to_have_text("Bin")
    page.get_by_role("button", name="Restore").click()
    page.wait_for_selector("[data-bin]")


def test_an_album_is_deleted_and_brought_back(page: Page, server: Server) -> None:
    library = server.studio.library
    album = library.albums.create("mistake")
    library.albums.put(album.id, [11, 12])
    opened(page, f"/?album={album.id}")
    says(page, "2 clips")
    page.get_by_role("button", name="Delete the album; its clips stay: mistake").click()
    page.locator(".toast", has_text="mistake").hover()  # so it stays
    says(page, f"{library.count()} clips")
    assert "mistake" not in {known.name for known in library.albums.all()}
    page.locator(".toast").get_by_role("button", name="Undo").click()
    page.locator(".toast", has_text="Undone").wait_for()
    page.get_by_role("checkbox", name="mistake").wait_for()
    assert library.albums.clips(album.id) == [11, 12]
    page.goto("/nowhere/at/all")
    page.get_by_role("link", name="Back to the library").click()
    page.wait_for_selector("#grid.placed .card")


def test_a_clip_is_looked_at_frame_by_frame(page: Page, server: Server) -> None:
    page.goto("/clip/5")
    page.wait_for_function("() => document.querySelector('video')?.readyState > 2")
    page.keyboard.press("p")
    page.wait_for_function("() => document.querySelector('video')?.paused")
    page.locator(".scrub").fill("3")
    page.keyboard.press(".")
    page.wait_for_function("() => document.querySelector('.place')?.textContent === '5 / 12'")
    page.get_by_role("button", name="Keep").click()
    page.wait_for_selector("[data-verdict=keep][aria-pressed=true]")
    page.locator("#notes").fill("<b>note</b>")
    page.locator("#notes").blur()
    expect(page.locator(".toast")).to_have_text("Saved")
    assert server.studio.library.get(5).notes == "<b>note</b>" and server.studio.library.get(5).verdict == "keep"
    expect(page.locator(".strip .card").nth(3)).to_be_attached()


def test_sound_is_off_at_first_and_what_was_chosen_is_remembered(page: Page) -> None:
    video = page.locator("video").first
    page.goto(f"/clip/{SOUNDING}")
    page.wait_for_function("() => document.querySelector('video')?.readyState > 2")
    assert video.evaluate("v => v.muted")
    page.get_by_role("button", name="Sound on").click()
    page.get_by_role("slider", name="Volume").fill("0.3")
    eventually(page, lambda: video.evaluate("v => [v.muted, v.volume]") == [False, 0.3])
    page.goto(f"/clip/{SOUNDING}")
    page.wait_for_function("() => document.querySelector('video')?.paused === false")
    page.locator("#notes").click()  # what browsers wait for before they let a page be heard
    page.wait_for_function("() => document.querySelector('video')?.muted === false")
    eventually(page, lambda: video.evaluate("v => [v.paused, v.volume]") == [False, 0.3])
    opened(page, f"/#clip-{SOUNDING}")
    page.wait_for_selector(f"#clip-{SOUNDING}.current")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#loupe video')?.muted === false")
    page.keyboard.press("m")
    page.wait_for_function("() => document.querySelector('#loupe video')?.muted")
    page.keyboard.press("ArrowRight")  # a clip without sound
    page.wait_for_function(f"() => document.querySelector('#loupe .screen')?.dataset.id === '{SOUNDING - 1}'")
    expect(page.locator("#loupe [data-play]")).to_be_visible()
    expect(page.locator("#loupe [data-sound]")).to_be_hidden()


def test_full_screen_and_time_code(page: Page) -> None:
    page.goto("/clip/5")
    full = page.get_by_role("button", name="Full screen")
    full.wait_for()
    assert page.locator("[data-sound], [data-volume]").count() == 0, "there is nothing to be heard"
    full.click()
    page.wait_for_function("() => document.fullscreenElement?.matches('.player')")
    expect(page.locator(".controls")).to_be_visible()
    page.keyboard.press("f")
    page.wait_for_function("() => !document.fullscreenElement")
    page.keyboard.press("p")
    page.locator(".scrub").fill("7")
    page.wait_for_function("() => document.querySelector('.timecode')?.textContent === '00:00:00:07'")
    # SMPTE ST 12-1: of each minute but every tenth two numbers are left out at 30000/1001, and four at 60000/1001.
    numbers = [(1799, 30000 / 1001), (1800, 30000 / 1001), (17981, 30000 / 1001), (17982, 30000 / 1001)]
    numbers += [(107892, 30000 / 1001), (3600, 60000 / 1001), (7193, 24000 / 1001), (90000, 25), (59, 12.5)]
    said = page.evaluate(
        "numbers => import('/static/player.js').then(player => numbers.map(n => player.timecode(...n)))", numbers
    )
    assert said[:4] == ["00:00:59;29", "00:01:00;02", "00:09:59;29", "00:10:00;00"]
    assert said[4:] == ["01:00:00;00", "00:01:00;04", "00:04:59:17", "01:00:00:00", "00:00:04:07"]


def test_the_page_of_a_clip_knows_from_where_one_comes(page: Page, server: Server) -> None:
    library = server.studio.library
    runs = [clip for clip in range(1, CLIPS + 1) if clip % 3 == 1]
    opened(page, "/?label=run&sort=oldest")
    page.wait_for_function("() => Number(document.querySelector('#grid')?.dataset.total) === 30")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("o")
    page.wait_for_url(f"**/clip/{runs[1]}?**")
    expect(page.locator(".ways")).to_have_text(re.compile(r"(^|\s)2 / 30\s*$"))
    page.get_by_role("link", name="Next clip").click()
    page.wait_for_url(f"**/clip/{runs[2]}?**")
    page.get_by_role("button", name="To the bin").click()  # and on to the next
    page.wait_for_url(f"**/clip/{runs[3]}?**")
    assert library.get(runs[2]).deleted is not None
    with page.expect_event("load"):
        page.locator(".toast").get_by_role("button", name="Undo").click()
    page.locator(".toast", has_text="Undone").wait_for()
    assert library.get(runs[2]).deleted is None
    page.keyboard.press("[")
    page.wait_for_url(f"**/clip/{runs[2]}?**")
    page.keyboard.press("Escape")
    page.wait_for_selector(f"#clip-{runs[2]}.current")
    says(page, "30 clips")
    page.goto(f"/clip/{runs[0]}?label=run&sort=oldest")
    page.get_by_role("link", name="Next clip").wait_for()
    assert page.get_by_role("link", name="Previous clip").count() == 0, "it would lead nowhere"


def test_filters_follow_keep_and_reject_at_once(page: Page, server: Server) -> None:
    library = server.studio.library
    library.bulk([51, 52, 53, 54], {"label": "jump", "verdict": "undecided", "stars": 0})
    opened(page, "/?label=jump&verdict=undecided&sort=oldest")
    says(page, "4 clips")
    for key, clip in (("x", 51), ("k", 52)):  # one after the other: their notices come in the order of the answers
        page.keyboard.press(key)
        page.wait_for_selector(f"#clip-{clip}", state="detached")
    says(page, "2 clips")
    page.wait_for_selector("#clip-53.current")
    toast = page.locator(".toast", has_text="No longer among these")
    toast.get_by_role("button", name="Undo").click()  # the last of them has it
    page.wait_for_selector("#clip-52")
    says(page, "3 clips")
    verdicts = ["reject", "undecided", "undecided"]
    eventually(page, lambda: [library.get(clip).verdict for clip in (51, 52, 53)] == verdicts)
    page.goto("/?label=jump&sort=oldest")
    page.wait_for_selector("#grid.placed .card")
    page.locator("#clip-52").click()
    expect(page.locator("#clip-52")).not_to_have_css("box-shadow", "none")  # a click shows
    page.keyboard.press("k")
    page.locator(".facet", has_text="Keep").locator("small").get_by_text("1", exact=True).wait_for()
    page.keyboard.press("Delete")
    page.wait_for_selector("#clip-52", state="detached")
    says(page, "3 clips")
    page.locator(".toast", has_text="Moved to the bin: 1").get_by_role("button", name="Undo").click()
    page.wait_for_selector("#clip-52")
    page.keyboard.press("Enter")
    page.wait_for_selector("#loupe[open]")
    page.keyboard.press("Delete")
    page.wait_for_selector("#clip-52", state="detached")
    page.locator("#loupe .toast").get_by_role("button", name="Undo").click()  # in reach over what is open
    page.wait_for_selector("#clip-52", state="attached")
    assert library.get(52).deleted is None
    library.bulk([51, 52, 53, 54], {"label": "walk", "verdict": "undecided"})


def test_what_cannot_work_is_not_shown(page: Page, server: Server) -> None:
    (weights,) = {model.weights for model in server.studio.catalog.models() if model.name == "tiny"}
    with server.studio.library._database.write() as connection:
        connection.execute("UPDATE clips SET weights = ?, seed = id WHERE id IN (61, 62)", (weights,))
        connection.execute("UPDATE clips SET missing = 1 WHERE id = 63")
    opened(page, "/?sort=oldest#clip-61")
    page.wait_for_selector("#clip-61.current")
    compare, between = page.locator("[data-do=compare]"), page.locator("[data-do=between]")
    page.keyboard.press(" ")
    page.wait_for_selector("#chosen:not([hidden])")
    expect(page.locator("#chosen-count")).to_have_text("1 selected")
    assert not compare.is_visible() and not between.is_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    between.wait_for()
    expect(compare).to_be_visible()
    between.click()
    page.wait_for_url("**/generate?a=61&b=62**")
    expect(page.locator("#between select")).to_have_value("tiny")
    page.goto("/clip/63")
    expect(page.get_by_text("The file of this clip is gone.")).to_be_visible()
    assert page.get_by_role("link", name="Download").count() == 0 and page.locator("video").count() == 0
    with server.studio.library._database.write() as connection:
        connection.execute("UPDATE clips SET missing = 0 WHERE id = 63")


CONTRAST = """element => {
    const drawn = (colour, under) => {
        const pixel = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d');
        for (const fill of [...under, colour]) { pixel.fillStyle = fill; pixel.fillRect(0, 0, 1, 1); }
        return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = rgb => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const under = [];
    for (let e = element; e; e = e.parentElement) under.unshift(getComputedStyle(e).backgroundColor);
    const colour = getComputedStyle(element).color;
    const pair = [light(drawn(colour, under)), light(drawn('#0000', under))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
}"""
"""Contrast of an element's text with what lies under it, as WCAG 2.2 defines it."""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_empty_stars_are_seen_and_nothing_moves_that_should_not(browser: Browser, server: Server, scheme: str) -> None:
    context = browser.new_context(base_url=server.address, color_scheme=scheme, reduced_motion="reduce", locale="en-GB")  # type: ignore[arg-type]
    page = context.new_page()
    try:
        opened(page)
        page.keyboard.press(" ")
        page.wait_for_selector(".card[aria-selected=true]")
        stars = [".card[aria-selected=true] i", ".card[aria-selected=false] i", "#chosen .star"]
        for star in stars:
            eventually(page, lambda star=star: page.locator(star).first.evaluate(CONTRAST) >= 3)
        page.locator(".card").nth(1).hover()
        page.keyboard.press("Enter")
        page.wait_for_selector("#loupe[open] video")
        eventually(page, lambda: page.locator("#loupe .star").first.evaluate(CONTRAST) >= 3)
        page.wait_for_function("() => document.querySelector('#loupe video')?.readyState > 2")
        assert page.locator(".card video").count() == 0 and page.locator("#loupe video").evaluate("v => v.paused")
        page.locator("#loupe [data-play]").click()
        page.wait_for_function("() => document.querySelector('#loupe video')?.currentTime > 0")
        for address in ("/clip/5", "/compare?ids=5&ids=6", "/rate/calm?model=other&model=imported"):
            page.goto(address)
            page.wait_for_function("() => [...document.querySelectorAll('video')].filter(v => v.readyState > 2).length")
            assert page.evaluate("() => [...document.querySelectorAll('video')].every(v => v.paused && !v.autoplay)")
        page.goto("/clip/5")
        eventually(page, lambda: page.locator(".judge .star").first.evaluate(CONTRAST) >= 3)
    finally:
        context.close()


def test_compare_side_by_side(page: Page) -> None:
    opened(page)
    page.keyboard.press(" ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    page.keyboard.press("c")
    page.wait_for_url("**/compare?**")
    page.wait_for_function("() => [...document.querySelectorAll('video')].filter(v => v.currentTime > 0).length === 2")
    page.locator("figure").first.get_by_role("button", name="3 ★").click()
    page.wait_for_selector("figure[data-stars='3']")


def test_generate_then_between_two(page: Page, server: Server) -> None:
    page.goto("/generate")
    page.locator("#generate select[name=model]").select_option("tiny")
    page.locator("#generate [name=count]").fill("2")
    page.locator("#generate [name=seconds]").fill("0.6")
    page.locator("#labels input").first.fill("1")
    page.locator("#generate button.primary").click()
    page.wait_for_selector(".job.done .made img", timeout=JOB)
    library = server.studio.library
    made = [entry for entry in library.query(limit=2).entries if entry.model == "tiny"]
    assert [entry.seed for entry in made] == [1, 0] and made[0].label == "walk"
    assert library.provenance(made[0].id).model.dataset == "noise"  # type: ignore[union-attr]
    form = page.locator("#between")
    form.locator("[name=model]").select_option("tiny")
    form.locator("[name=a]").fill(str(made[0].id))
    form.locator("[name=b]").fill(str(made[1].id))
    form.locator("[name=seconds]").fill("0.6")
    form.locator("button").click()
    expect(page.locator(".job.done")).to_have_count(2, timeout=JOB)
    (between,) = [entry for entry in library.query(limit=1).entries]
    assert {relation.relation for relation in library.provenance(between.id).parents} == {"begin", "end"}
    page.locator("#generate [name=count]").fill("900")
    page.locator("#generate [name=seconds]").fill("10")
    page.locator("#generate button.primary").click()
    page.wait_for_selector(".job.running progress")
    page.get_by_role("button", name="Cancel").first.click()
    page.wait_for_selector(".job.cancelled", timeout=JOB)


def test_clips_that_are_gone_are_asked_for_once(page: Page, server: Server) -> None:
    gone, asked = range(5000, 5003), list[str]()

    def with_gone(route: Route) -> None:
        """Answer as if somebody had these purged a moment later."""
        answer = route.fetch()
        shaped = "shapes" in route.request.url
        route.fulfill(response=answer, json=[*answer.json(), *([number, 1.0] if shaped else number for number in gone)])

    page.route(re.compile("/api/clips/(ids|shapes)"), with_gone)
    page.on("request", lambda request: asked.append(request.url) if f"ids={gone[0]}" in request.url else None)
    opened(page)
    go_to_the_end(page)
    says(page, f"{server.studio.library.count() - len(gone)} clips")
    page.wait_for_selector("#clip-1")
    assert len(asked) == 1, asked


def test_knobs_that_another_preset_lacks_are_dropped_and_named(page: Page) -> None:
    page.route("**/api/jobs/train", lambda route: route.fulfill(json={"id": 1, "request": {"run": "x"}}))
    page.goto("/training/new?data=shapes")
    page.locator("#settings > summary").click()
    page.locator("[data-knob='gan.lr']").fill("0.001")
    page.locator("[data-knob='train.batch_size']").fill("4")
    page.locator("#settings > summary").click()
    page.locator("[name=preset][value=vae-64]").check(force=True)
    page.locator("#toasts", has_text="gan.lr").wait_for()
    with page.expect_request("**/api/jobs/train") as asked:
        page.locator("#training button.primary").click()
    sent = asked.value.post_data_json
    assert sent["preset"] == "vae-64" and sent["knobs"] == {"train.batch_size": 4}
    page.wait_for_url("**/training/run?name=x")


def test_latent_sliders_are_moved_and_kept(page: Page, server: Server) -> None:
    page.goto("/generate")
    page.locator("#generate select[name=model]").select_option("tiny")
    page.locator("#generate [name=count]").fill("1")
    page.locator("#generate [name=seconds]").fill("0.6")
    page.locator("#labels input").first.fill("1")
    sliders = page.locator("#sliders input[type=range]")
    expect(sliders).to_have_count(8)
    expect(page.get_by_role("slider", name="Slider 2")).to_have_count(1)
    first = page.get_by_role("slider", name="Slider 1")
    first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(first).to_have_value("0.3")
    expect(first.locator("xpath=..").locator("[data-value]")).to_have_text("0.3")
    page.get_by_role("button", name="All to 0").click()
    expect(first).to_have_value("0")
    expect(first.locator("xpath=..").locator("[data-value]")).to_have_text("0")
    first.fill("2")
    page.get_by_role("slider", name="Slider 3").fill("-1.5")
    page.locator("#generate button.primary").click()
    page.wait_for_function("() => document.querySelector('.job')?.classList.contains('done')", timeout=JOB)
    library = server.studio.library
    (entry,) = library.query(limit=1).entries
    assert entry.settings["sliders"] == {"1": 2.0, "3": -1.5} and entry.label == "walk"
    page.goto(f"/clip/{entry.id}")
    page.locator("a[href^='/generate?']").first.click()
    page.wait_for_selector("#sliders input")
    expect(page.get_by_role("slider", name="Slider 1")).to_have_value("2")
    expect(page.get_by_role("slider", name="Slider 3")).to_have_value("-1.5")
    expect(page.locator("#labels input").first).to_have_value("1")
    page.wait_for_selector(".job.done")
    done = page.locator(".job.done").count()
    page.locator("#generate button.primary").click()
    page.wait_for_function("before => document.querySelectorAll('.job.done').length > before", arg=done, timeout=JOB)
    jobs = [job for job in library.jobs.all() if job.kind == "generate"]
    assert jobs[0].result == {"clips": [entry.id]}, "the same clip was made again"


WATCHED = """() => {
    const live = document.getElementById('live'), canvas = document.createElement('canvas');
    canvas.width = canvas.height = 16;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    const look = () => { context.drawImage(live, 0, 0, 16, 16); return context.getImageData(0, 0, 16, 16).data; };
    let since, seen;
    window.mark = () => { [since, seen] = [live.currentTime, look()]; };
    window.played = () => live.currentTime - since;
    window.changed = () => look().reduce((sum, value, place) => sum + Math.abs(value - seen[place]), 0);
    window.drift = 0;
    addEventListener('input', mark, true);
    mark();
}"""
"""Compares the picture with what it was at the last input; seconds are the stream's, whatever this machine does."""


def test_live_frames_change_and_controls_act(page: Page) -> None:
    page.goto("/live")
    page.locator("[name=model]").select_option("tiny")
    page.locator("#start").click()
    page.wait_for_function("() => document.getElementById('live')?.currentTime > 0.4", timeout=JOB)
    page.evaluate(WATCHED)
    page.wait_for_function("() => { drift = Math.max(drift, changed()); return played() > 2; }")
    assert page.evaluate("drift") > 0, "frames change"

    def act(fill: Callable[[str], None], values: Sequence[str]) -> bool:
        """Say whether one of some values shows within a second, as is promised; a neighbour may delay one."""
        soon = "() => changed() > 4 * drift ? 'soon' : played() > 1 ? 'late' : ''"
        for value in values:
            fill(value)
            if page.wait_for_function(soon).json_value() == "soon":
                return True
        return False

    assert act(page.locator("[name=seed]").fill, ("77", "78", "79")), "another seed shows"
    slider = page.get_by_role("slider", name="Slider 1")
    assert act(slider.fill, ("5", "-5", "4")), "a latent slider acts"
    assert f"sliders=1={slider.input_value()}" in str(page.locator("#keep").get_attribute("href"))
    page.wait_for_function("() => Number(document.getElementById('state')?.dataset.change) >= 1")
    page.wait_for_function(
        "() => { const v = document.getElementById('live'); return v.buffered.end(0) - v.currentTime < 1; }"
    )
    page.locator("#stop").click()


def test_rate_blindly(page: Page, server: Server) -> None:
    page.goto("/rate")
    page.locator("[name=campaign]").fill("spring")
    page.get_by_role("button", name="Begin").click()
    for number in range(3):
        page.wait_for_selector("#rating[data-question=fidelity] #side-b video")
        page.wait_for_function(f"() => document.getElementById('answers')?.textContent.startsWith('{2 * number} ')")
        assert "other" not in page.locator("#rating").inner_text()
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector("#rating[data-question=motion]")
        page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.getElementById('answers')?.textContent.startsWith('6 ')")
    page.get_by_role("link", name="Results").click()
    expect(page.locator("table")).to_have_count(2)
    expect(page.locator("svg.interval").nth(3)).to_be_attached()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Answers (CSV)").click()
    assert waiting.value.path().read_text().count("\n") == 7


def test_where_no_two_can_be_compared_one_is_told_before_and_led_on(page: Page) -> None:
    refused = {"problem": "no two of these have clips of the same label, size and length", "remedy": "generate such"}
    page.route("**/api/ratings/pairs", lambda route: route.fulfill(status=400, json=refused))
    page.goto("/rate")
    page.get_by_role("button", name="Begin").click()
    expect(page.locator(".toast.bad", has_text=refused["problem"])).to_be_visible()
    expect(page).to_have_url(re.compile("/rate$"))
    page.goto("/rate/x?model=other&model=imported")
    expect(page.locator("#problem", has_text=refused["problem"])).to_be_visible()
    page.locator("#ways-on").get_by_role("link", name="Rate", exact=True).click()
    expect(page).to_have_url(re.compile("/rate$"))


def test_export_what_was_kept(page: Page, server: Server, tmp_path: Path) -> None:
    server.studio.library.bulk([7, 8], {"verdict": "keep", "stars": 2})
    opened(page, "/?verdict=keep&min_stars=2")
    page.get_by_role("button", name="Export").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Zip").click()
    names = zipfile.ZipFile(waiting.value.path()).namelist()
    assert {"library.json", "clips.csv"} < set(names) and sum(name.endswith(".mp4") for name in names) >= 2


def test_a_clip_is_dropped_on_the_page(page: Page, tmp_path: Path) -> None:
    opened(page)
    page.locator("#file").set_input_files(write(tmp_path / "mine.mp4", moving(10, seed=999)))
    page.wait_for_selector(".card[data-title=mine]")
    assert page.evaluate("scrollY") < 100, "the page stays where it was, whatever is put in the place of the grid"
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as packed:
        for name, seed in (("packed.mp4", 998), ("other.mp4", 997)):
            packed.write(write(tmp_path / name, moving(10, seed=seed)), name)
    page.locator("#file").set_input_files(tmp_path / "more.zip")  # a job takes that in
    expect(page.locator(".toast", has_text="2 added")).to_be_visible(timeout=JOB)  # before or after its clips show
    page.wait_for_selector(".card[data-title=packed]")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_page_fits_and_has_names(browser: Browser, server: Server, size: str, scheme: str) -> None:
    context = browser.new_context(viewport=SIZES[size], base_url=server.address, color_scheme=scheme, locale="zh-CN")  # type: ignore[arg-type]
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    for address in (
        "/",
        "/clip/3",
        "/compare?ids=1&ids=2",
        "/generate",
        "/live",
        "/talk",
        "/rate",
        "/rate/x?model=other&model=imported",
    ):
        page.goto(address)
        page.wait_for_function(PARTS)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth + 1"), (address, "too wide")
        nameless = page.evaluate(NAMELESS)
        assert not nameless, (address, nameless)
        if folder := os.environ.get("FOOTAGE_SCREENSHOTS"):
            name = address.strip("/").split("?")[0].replace("/", "-") or "library"
            page.screenshot(path=f"{folder}/{name}-{size}-{scheme}.png")
    assert page.locator("nav").inner_text().count("生成") == 1
    assert not errors
    context.close()


def test_what_scripts_say_is_chinese_in_the_chinese_studio(browser: Browser, server: Server) -> None:
    context = browser.new_context(viewport=SIZES["desktop"], base_url=server.address, locale="zh-CN")
    page = context.new_page()
    ask = """values => import('/static/app.js')
        .then(app => app.api('POST', '/api/jobs/generate', values).catch(() => null))"""
    try:
        opened(page)
        page.keyboard.press("4")
        page.wait_for_selector(".card.current[data-stars='4']")
        page.keyboard.press("Control+z")
        expect(page.locator(".toast").last).to_have_text("已撤销：4 星")
        page.evaluate(ask, {"model": "无"})
        expect(page.locator(".toast").last).to_have_text("没有模型“无”：请查看 GET /api/models")
        page.evaluate(ask, {"model": "无", "count": 0})
        expect(page.locator(".toast").last).to_have_text("数量：应不小于 1")
    finally:
        context.close()


def test_a_grid_asks_for_more_clips_as_it_is_scrolled(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.library.query.COMMON", 5)  # more are not counted for the page

    def shorter(route: Route) -> None:
        answer = route.fetch()
        text = answer.text()
        assert "const LISTED = 5000;" in text
        route.fulfill(response=answer, body=text.replace("const LISTED = 5000;", "const LISTED = 10;"))

    page.route("**/static/library.js*", shorter)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, "/?text=clip")
    says(page, f"{CLIPS} clips")
    eventually(page, lambda: sum("/api/clips/shapes" in url for url in asked) >= 1)
    before = sum("/api/clips/shapes" in url for url in asked)
    assert before < (CLIPS - 60) / 10 and any("/api/clips/count" in url for url in asked)
    go_to_the_end(page)
    page.keyboard.press("Home")
    page.keyboard.press("Control+a")
    expect(page.locator("#chosen-count")).to_have_text(f"{CLIPS} selected")


def test_a_page_that_is_put_off_asks_again(page: Page, server: Server) -> None:
    opened(page)
    left = [2]

    def put_off(route: Route) -> None:
        if left[0]:
            left[0] -= 1
            route.fulfill(status=503, headers={"retry-after": "0.1"}, json={"problem": "busy", "remedy": ""})
        else:
            route.continue_()

    clip = int(page.locator(".card.current").get_attribute("data-id") or 0)
    page.route("**/api/clips/*", put_off)
    page.keyboard.press("2")
    page.wait_for_selector(".card.current[data-stars='2']")
    eventually(page, lambda: server.studio.library.get(clip).stars == 2)
    assert left == [0] and page.locator(".toast.bad").count() == 0
    left[0] = 1
    page.route("**/parts/clips*", put_off)
    page.locator("#text").fill("clip 01")
    eventually(page, lambda: not left[0])
    found = server.studio.library.count(text="clip 01")  # paths of this run may hold 01 too
    says(page, f"{found} clips")
    server.studio.library.undo()


def test_changes_are_sent_in_order_and_none_is_lost_when_the_page_is_left(page: Page, server: Server) -> None:
    library = server.studio.library
    opened(page)
    clip = int(page.locator(".card.current").get_attribute("data-id") or 0)
    held: list[Route] = []
    page.route(f"**/api/clips/{clip}", lambda route: held.append(route))
    with page.expect_request("**/api/undo") as undone:
        page.keyboard.press("4")
        page.keyboard.press("5")
        page.keyboard.press("Control+z")
        for stars in (4, 5):
            eventually(page, lambda: held)
            route = held.pop()
            assert route.request.post_data_json == {"stars": stars} and not held
            route.continue_()
    assert undone.value.response()
    eventually(page, lambda: library.get(clip).stars == 4)
    page.unroute_all()
    page.evaluate("""() => {
        const real = window.fetch;
        let answered = false;
        window.fetch = (...asked) => {
            if (answered) return real(...asked);
            answered = true;
            return new Promise(() => {});
        };
    }""")
    page.keyboard.press("2")
    page.keyboard.press("k")
    page.wait_for_selector(f"#clip-{clip}[data-verdict=keep]")
    page.goto("/rate")
    eventually(page, lambda: library.get(clip).verdict == "keep")
    library.update(clip, stars=0, verdict="undecided")


def test_answers_that_are_late_overwrite_nothing(page: Page, server: Server) -> None:
    library = server.studio.library
    holding: set[str] = set()
    held: list[Route] = []

    def hold(route: Route) -> None:
        if urlsplit(route.request.url).path in holding:
            held.append(route)
        else:
            route.continue_()

    def held_one(path: str) -> Route:
        eventually(page, lambda: held)
        holding.remove(path)
        return held.pop()

    opened(page)
    page.route(re.compile("/parts/|/api/clips/shapes"), hold)
    holding |= {"/parts/facets"}
    runs = library.count(ClipQuery(label="run"))
    page.get_by_role("checkbox", name="run").check()
    says(page, f"{runs} clips")
    filters = held_one("/parts/facets")
    holding |= {"/parts/clips"}
    page.get_by_role("checkbox", name="walk").check()
    found = held_one("/parts/clips")
    with page.expect_response("**/parts/facets*"):
        filters.continue_()
    with page.expect_response("**/parts/facets*"):
        found.continue_()
    says(page, f"{runs + library.count(ClipQuery(label='walk'))} clips")
    expect(page.get_by_role("checkbox", name="walk")).to_be_checked()
    expect(page.get_by_role("checkbox", name="run")).to_be_checked()
    library.update(7, stars=1)
    holding |= {"/api/clips/shapes"}
    page.locator("#grid").focus()
    page.keyboard.press("Control+z")  # all is looked up again
    looked_up = held_one("/api/clips/shapes")
    page.locator("#text").fill('"clip 00"')
    few = library.count(text='"clip 00"')
    says(page, f"{few} clips")
    with page.expect_response("**/api/clips/shapes*"):
        looked_up.continue_()
    page.wait_for_function(LOADED)
    says(page, f"{few} clips")
    expect(page.locator("#grid .card")).to_have_count(few)
