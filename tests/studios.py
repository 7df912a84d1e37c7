"""The studio for the tests: its interface without a server, its jobs without a worker, its pages in a browser."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.testclient import TestClient

from footage.library.jobs import BackgroundJob
from footage.studio.app import application
from footage.studio.state import Studio
from footage.studio.worker import Worker

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOADED = """() => document.readyState === 'complete' && !document.querySelector('.htmx-request') &&
    ![...document.querySelectorAll('.volume [data-state]')].some(part => part.textContent) &&
    [...document.querySelectorAll('[hx-trigger^=load]')].every(part => performance.getEntriesByType('resource')
        .some(asked => asked.responseEnd && asked.name.includes(part.getAttribute('hx-get'))))"""
"""Whether a page has all of its parts."""
PARTS = "() => !document.querySelector('.htmx-request:not([hx-get*=signature]), #grid:not(.placed)')"
"""Whether a page has all of its parts but what a signature says, which takes a process."""


def client_of(studio: Studio) -> TestClient:
    """Return a client of a studio's interface that may change things."""
    return TestClient(application(studio), base_url="http://127.0.0.1", headers={"x-csrf-token": studio.keys.csrf})


def work_off(studio: Studio, kind: str) -> BackgroundJob:
    """Do the job that waits, as a worker would; it went well."""
    job = studio.library.jobs.claim("worker", [kind])
    assert job is not None
    ended = Worker(studio.library, studio.catalog).do(job)
    assert ended.state == "done", ended.message
    studio.catalog.refresh()
    return ended


def eventually(page: Page, holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds that a page has asked a server for; what the page shows `expect` waits for."""
    until = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < until:
        page.wait_for_timeout(20)
    assert found


@contextlib.contextmanager
def opened_page(browser: Browser, address: str, patience: int | None = None) -> Iterator[Page]:
    """Open a page of a desktop's size in which no script fails; `patience` is how long it is waited for, in ms."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=address, locale="en-GB")
    page = context.new_page()
    if patience is not None:
        page.set_default_timeout(patience)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors, errors


def drop(page: Page, path: Path) -> None:
    """Drop a file or a folder of this computer on a page, as a hand would."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 500, "y": 400, "data": data})


def make_data_set(page: Page) -> None:
    """Ask, on the page of data sets, for one of small clips of what stands in the form."""
    page.wait_for_selector("#sources li")
    page.select_option("[name=size]", "")
    page.wait_for_selector("[name=other]")
    page.fill("[name=other]", "32x32")
    page.locator("#new summary").click()
    page.fill("[data-option=min_frames]", "8")
    page.locator("[name=advise]").uncheck()
    page.locator("#new button.primary").click()
