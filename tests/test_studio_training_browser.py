"""A training in a real browser: begun, seen to move, stopped, gone on with, measured; its report and figures read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from footage.config import differences
from footage.config.presets import preset, tiny
from footage.library.library import Library
from footage.studio.app import Address, Server
from tests.clips import moving, write
from tests.ingesting import ingest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATIENCE = 90_000
"""Milliseconds for what a process does that has to start first."""
TINY = preset("stream-32")
KNOBS = {name: value for name, (_, value) in differences(TINY, tiny(TINY)).items() if value is not None}
KNOBS |= {"clip.frames": 8, "train.sample_clips": 16, "train.threads": 1}
del KNOBS["train.device"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    for number in range(6):
        write(folder / "videos" / f"{number}.mp4", moving(16, (32, 32), seed=number))
    ingest([folder / "videos"], folder / "data" / "moving", height=32, width=32, min_frames=8, workers=0)
    Library(folder / "library").close()
    made = Server(folder / "library", folder, Address(port=0))
    made.start()
    yield made
    made.stop()


def test_a_model_is_trained_stopped_gone_on_with_and_measured(browser: Browser, server: Server) -> None:
    from playwright.sync_api import expect

    context = browser.new_context(base_url=server.address, locale="en-GB", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto("/training")
    page.get_by_role("link", name="New training").first.click()
    expect(page.locator(".preset:has(input:checked)")).to_contain_text("suits these data", timeout=PATIENCE)
    page.goto(f"/training/new?{urlencode([('knob', f'{name}:{value}') for name, value in KNOBS.items()])}")
    page.locator("[data-knob='gan.r1']").wait_for()
    page.get_by_label("Search").fill("learning rate")
    assert page.locator("[data-knob='gan.lr']").is_visible() and not page.locator("[data-knob='gan.r1']").is_visible()
    page.locator("[data-knob='gan.lr']").fill("0.001")
    page.locator("[name=run]").fill("first")
    page.locator("[name=amount]").fill("1000000")
    page.locator("[name=unit]").select_option("clips")
    page.locator("[name=device]").select_option("cpu")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/training/run?name=runs%2Ffirst")
    expect(page.locator("#state .run-state")).to_have_text("Being trained", timeout=PATIENCE)
    page.wait_for_function("() => Number(document.querySelector('.numbers dd').textContent.replace(/\\D/g, '')) > 8")
    page.locator("#stop").click()
    expect(page.locator("#state .run-state")).to_have_text("Stopped", timeout=PATIENCE)
    video = page.locator("#sheets video")
    expect(video).to_be_visible(timeout=PATIENCE)
    page.wait_for_function("video => video.readyState > 1", arg=video.element_handle())
    (stored,) = [entry for entry in server.studio.catalog.runs() if entry.name == "runs/first"]
    page.locator("#extend [name=amount]").fill("16")
    page.locator("#extend [name=unit]").select_option("clips")
    page.locator("#extend button").click()
    expect(page.locator("#state .run-state")).to_have_text("Finished", timeout=PATIENCE)
    (ended,) = [entry for entry in server.studio.catalog.runs() if entry.name == "runs/first"]
    assert ended.clips >= stored.clips + 16
    page.reload()
    page.get_by_role("link", name="Evaluate").click()
    expect(page.locator("[name=real]")).to_have_value("data/moving", timeout=PATIENCE)
    chosen = page.locator("[name=metric]").evaluate_all("boxes => boxes.filter(b => b.checked).map(b => b.value)")
    for metric in set(chosen) - {"pictures"}:
        page.locator(f"[name=metric][value={metric}]").uncheck()
    page.locator("[name=clips]").fill("4")
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("link", name="Open the report").click()
    expect(page.frame_locator("iframe.document").locator("body")).to_contain_text("sharpness", timeout=PATIENCE)
    page.goto("/models")
    expect(page.locator(".figures").first).to_contain_text("Sharpness", timeout=PATIENCE)
    context.close()
    assert not errors, errors
