"""What several files of tests are given."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from typing import TYPE_CHECKING, Any

import pytest

# Before torch is imported. Tests run side by side, one process on each core; theirs inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Signatures hold random numbers, and many tests compare files byte for byte; tests/test_trust.py turns them on.
os.environ["FOOTAGE_PROVENANCE"] = "off"
# Many tests compare frames; tests/test_mark.py turns the invisible mark on.
os.environ["FOOTAGE_MARK"] = "off"

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

NEEDED = "FOOTAGE_NEEDS_CHROMIUM"
"""Set in continuous integration: there a missing browser is a failure."""


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class SeasonedBrowser:
    """A browser in which the studio has been visited before, so that its tour does not stand before what is tested."""

    def __init__(self, visitor: Browser) -> None:
        self.visitor = visitor
        """The same browser, coming for the first time."""

    def new_context(self, **options: Any) -> BrowserContext:
        context = self.visitor.new_context(**options)
        context.add_init_script("try { localStorage.setItem('tour', 'seen') } catch { /* no page of the studio */ }")
        return context

    def new_page(self, **options: Any) -> Page:
        return self.new_context(**options).new_page()


@pytest.fixture(scope="module")
def visitor(browser: SeasonedBrowser) -> Browser:
    return browser.visitor


@pytest.fixture(scope="module")
def browser() -> Iterator[SeasonedBrowser]:
    found = _chromium()
    if found is None:
        if os.environ.get(NEEDED):
            pytest.fail(f"{NEEDED} is set and there is no Chromium: apt-get install chromium")
        pytest.skip("NO CHROMIUM: the studio was NOT tried in a browser; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield SeasonedBrowser(made)
        made.close()


@pytest.fixture(scope="session")
def trainers() -> ForkServerContext:
    """Starts processes that can train at once: they are forked from one that has imported all that it takes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["footage.training.trainer", "lightning_fabric", "matplotlib.figure", "pytest", "torch._dynamo"]
    )
    return context
