"""WCAG 2.2 AA by axe-core: every page of the studio, in both languages, light and dark, wide and narrow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from footage.library.additions import ClipDetails
from footage.library.library import Library
from footage.library.timelines import Timeline, TimelinePart
from footage.studio.app import ROUTERS, Address, Server
from footage.studio.roles import Role, Visitor
from tests.clips import moving, write
from tests.models import save_tiny_model
from tests.people import make_accounts
from tests.streams import save_tiny_stream
from tests.studios import LOADED
from tests.test_studio_locales import save_dataset, save_run
from tests.volumes import save_volumes, write_phantom

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

WIDTHS = (1280, 360)
LANGUAGES = ("en-GB", pytest.param("zh-CN", marks=pytest.mark.nightly))  # the markup is the same, only texts differ
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES = {"runOnly": {"type": "tag", "values": LEVELS}, "rules": {"target-size": {"enabled": True}}}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""The rules that a colour scheme can break."""

PAGES = {
    "/": ("/", "/?bin=true", "/?text=nothing", "/?label=walk"),
    "/clip/{clip}": ("/clip/1", "/clip/4", "/clip/5"),
    "/compare": ("/compare", "/compare?ids=1&ids=2"),
    "/duplicates": ("/duplicates",),
    "/timeline": ("/timeline",),
    "/generate": ("/generate", "/generate?a=1&b=2"),
    "/activity": ("/activity",),
    "/live": ("/live",),
    "/talk": ("/talk",),
    "/data": ("/data", "/data?add=数据集"),
    "/data/audit": ("/data/audit?name=数据集",),
    "/data/volume": ("/data/volume?name=体",),
    "/rate": ("/rate",),
    "/rate/{campaign}": ("/rate/calm?model=one&model=two",),
    "/rate/{campaign}/results": ("/rate/calm/results",),
    "/training": ("/training",),
    "/training/run": ("/training/run?name=训练",),
    "/training/new": ("/training/new", "/training/new?data=digits-2&knob=gan.lr:0.001"),
    "/models": ("/models",),
    "/evaluate": ("/evaluate",),
    "/reports": ("/reports",),
    "/reports/view": ("/reports/view?name=比较/comparison.md", "/reports/view?name=数据集/audit.html"),
    "/enter": ("/enter",),
    "/nowhere": ("/nowhere",),  # what is shown for a page that there is not
}
"""Addresses of each page, by the route that they go to: full and, where that looks otherwise, empty."""
PEOPLE = {
    "/account": ("/account",),
    "/people": ("/people",),
    "/log": ("/log",),
    "/join": ("/join", "/join?name=ann"),
}
"""Pages of a studio that has accounts, to an administrator."""
EMPTY = (
    "/",
    "/timeline",
    "/generate",
    "/live",
    "/talk",
    "/rate",
    "/data",
    "/training",
    "/models",
    "/evaluate",
    "/reports",
    "/activity",
    "/duplicates",
)
"""Pages that say what to do next where there is nothing yet."""
NO_PAGES = ("/api/", "/parts/", "/static", "/language/", "/favicon.ico")
"""Routes that answer with no page of their own."""


def save_reports(models: Path) -> None:
    (models / "比较").mkdir()
    (models / "比较" / "comparison.md").write_text("# 比较")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("accessible")
    with Library(folder / "library") as library:
        for number in range(4):
            path = write(folder / "in" / f"clip {number}.mp4", moving(8, (32, 48), seed=number))
            library.add(path, ClipDetails(label="walk" if number % 2 else "run", tags=("good",)))
        library.add(write_phantom(folder / "体.nii.gz"))
        with library._database.write() as connection:
            connection.execute("UPDATE clips SET model = CASE WHEN id < 3 THEN 'one' ELSE 'two' END")
        library.update(1, stars=4, verdict="keep", notes="a note")
        library.update(2, verdict="reject")
        library.albums.put(library.albums.create("album").id, [1, 2])
        effects = [{"kind": "speed", "ramp": [[0, 2]]}, {"kind": "reframe", "shape": "1:1"}]
        library.edited.add(1, {"version": 1, "effects": effects})
        library.ratings.add("calm", "fidelity", 1, 3, "a", "rater")
        library.timelines.save("film", Timeline((TimelinePart(clip=1), TimelinePart(title="title"))))
        for state in ("failed", "cancelled"):
            job = library.jobs.submit("generate", {"model": "tiny", "seed": 3, "count": 2})
            library.jobs.claim("worker")
            library.jobs.cancel(job.id) if state == "cancelled" else None
            library.jobs.finish(
                job.id, None, error='there is no model "tiny": see the list' if state == "failed" else None
            )
    models = folder / "models"
    save_tiny_stream(models / "tiny", ("walk", "run"))
    save_tiny_model(models / "speaker", (), preset="talk-64", clip__frames=5, clip__height=16, clip__width=16)
    save_run(models / "训练")
    save_dataset(models)
    save_volumes(models)
    save_reports(models)
    made = Server(folder / "library", models, Address(port=0))
    made.studio.worker.close()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("empty")
    made = Server(folder / "library", folder / "models", Address(port=0))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Server]:
    with Library(tmp_path / "library") as library:
        accounts = make_accounts(library.folder)
    accounts.invite("rate", "administer")
    accounts.invite("make", "administer", 2)
    accounts.change(3, disabled=True)
    accounts.make_token(4, "backup", "look")
    accounts.record(Visitor(Role.make, "make"), "POST", "/api/undo", [], 403, "10.0.0.1")
    accounts.close()
    made = Server(tmp_path / "library", tmp_path, Address(port=0, accounts=True))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page of a server in a language, with axe-core in it."""
    from axe_playwright_python.base import AXE_SCRIPT

    contexts = []

    def opened(server: Server, language: str = "en-GB") -> Page:
        context = browser.new_context(base_url=server.address, locale=language, reduced_motion="reduce")
        context.add_init_script(AXE_SCRIPT)
        contexts.append(context)
        page = context.new_page()
        return page

    yield opened
    for context in contexts:
        context.close()


def violations(page: Page, options: Any = RULES) -> list[str]:
    """Return what axe-core finds wrong with a page, each with the place and what to do about it."""
    found = page.evaluate("options => axe.run(document, {...options, resultTypes: ['violations']})", options)
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']} {node['html'][:200]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def looked_at(page: Page, address: str) -> dict[str, list[str]]:
    """Return what is wrong with a page, wide and narrow, light, and wide and dark."""
    wrong = {}
    page.set_viewport_size({"width": WIDTHS[0], "height": 800})
    page.emulate_media(color_scheme="light")
    page.goto(address)
    page.wait_for_function(LOADED, timeout=120_000)  # a signature takes a process
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in ("light", "dark")[: 1 + (width == WIDTHS[0])]:  # colours are the same, however wide
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")  # where what sticks covers nothing
            page.wait_for_function("() => document.getAnimations().every(a => a.playState !== 'running')")
            wrong[f"{address} {width} {scheme}"] = violations(page, RULES if scheme == "light" else COLOURS)
            if folder := os.environ.get("FOOTAGE_SCREENSHOTS"):
                name = quote(address.strip("/") or "library", safe="").replace("%", "_")
                language = page.evaluate("document.documentElement.lang")
                page.evaluate("scrollTo(0, 0)")
                page.screenshot(path=f"{folder}/{name}-{language}-{width}-{scheme}.png")
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if overflow > 1:
            wrong[f"{address} {width}"] = [f"the page is {overflow} pixels wider than the window"]
    return {where: what for where, what in wrong.items() if what}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("half", [0, 1])
def test_axe_finds_nothing_wrong_with_any_page(
    visit: Callable[..., Page], server: Server, language: str, half: int
) -> None:
    addresses = [address for several in PAGES.values() for address in several]
    page = visit(server, language)
    wrong: dict[str, list[str]] = {}
    for address in addresses[half::2]:
        wrong |= looked_at(page, address)
    assert not wrong, "\n".join(f"{where}\n  " + "\n  ".join(what) for where, what in wrong.items())


@pytest.mark.nightly
@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_wrong_with_empty_pages(visit: Callable[..., Page], empty: Server, language: str) -> None:
    page = visit(empty, language)
    wrong: dict[str, list[str]] = {}
    for address in EMPTY:
        wrong |= looked_at(page, address)
    assert not wrong, "\n".join(f"{where}\n  " + "\n  ".join(what) for where, what in wrong.items())


@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_wrong_with_pages_of_accounts(
    visit: Callable[..., Page], shared: Server, language: str
) -> None:
    page, keys = visit(shared, language), shared.studio.keys
    assert keys.accounts is not None
    wrong = looked_at(page, "/enter")
    for _ in range(2):  # two sessions
        session = keys.accounts.enter(next(account for account in keys.accounts.all() if account.role == "administer"))
    page.context.add_cookies([{"name": keys.cookie, "value": session, "url": shared.address}])
    for address in [address for several in PEOPLE.values() for address in several]:
        wrong |= looked_at(page, address)
    assert not wrong, "\n".join(f"{where}\n  " + "\n  ".join(what) for where, what in wrong.items())


OPENED = {
    "keys": ("/", "?"),
    "large view": ("/", "Enter"),
    "selected": ("/", " "),
    "a question": ("/", "t"),
    "export": ("/", "e"),
}
"""What a key opens on a page."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_wrong_with_what_is_opened(visit: Callable[..., Page], server: Server, language: str) -> None:
    page = visit(server, language)
    wrong: dict[str, list[str]] = {}

    def look(name: str) -> None:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                wrong[f"{name} {width} {scheme}"] = violations(page, RULES if scheme == "light" else COLOURS)

    for name, (address, key) in OPENED.items():
        page.set_viewport_size({"width": WIDTHS[0], "height": 800})
        page.goto(address)
        page.wait_for_selector("#grid.placed .card")
        page.locator("#grid").focus()
        page.keyboard.press(key)
        page.wait_for_selector("#chosen:not([hidden])" if key == " " else "dialog[open]")
        look(name)
        if name == "keys":
            page.locator("[data-tour]").click()
            page.wait_for_selector("#tour[open]")
            look("tour")
    page.goto("/")
    page.locator("#filters").click()
    page.wait_for_selector("#facets fieldset")
    look("filters")
    wrong = {where: what for where, what in wrong.items() if what}
    assert not wrong, "\n".join(f"{where}\n  " + "\n  ".join(what) for where, what in wrong.items())


def test_every_page_is_in_the_table() -> None:
    paths = {
        route.path  # type: ignore[attr-defined]
        for router in ROUTERS
        for route in router.routes
        if "GET" in route.methods  # type: ignore[attr-defined]
    }
    assert {path for path in paths if not path.startswith(NO_PAGES)} == {*PAGES, *PEOPLE} - {"/nowhere"}
