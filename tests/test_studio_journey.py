"""The whole job in a real browser, with no terminal: from an empty folder to a cutting list of clips that were chosen.

Clips are dropped, a data set is made and its audit read; a model is trained, stopped, gone on with and measured; clips
are judged by keyboard, 20 of 60 made by the taste that is learned from it, one is made larger, two are joined, all
exported.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import numpy as np
import opentimelineio as otio
import pytest
from playwright.sync_api import expect

from footage.config import differences
from footage.config.presets import preset, tiny
from footage.studio.app import Address, Server
from tests.clips import moving, write
from tests.studios import drop, eventually, make_data_set, opened_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 240_000
"""Milliseconds for what a process does that has to start first."""
TINY = preset("stream-32")
KNOBS = {name: value for name, (_, value) in differences(TINY, tiny(TINY)).items() if value is not None}
KNOBS |= {"clip.frames": 8, "train.sample_clips": 16, "train.threads": 1}
del KNOBS["train.device"]
JUDGED = 24
"""Clips that are judged: the bright ones are kept."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of videos, half of them dark."""
    folder = tmp_path_factory.mktemp("mine") / "moving"
    for number in range(JUDGED):
        level, kind = (0, "dark") if number % 2 else (120, "bright")
        frames = [(frame // 2 + level).astype(np.uint8) for frame in moving(16, (32, 32), seed=number)]
        write(folder / f"{kind} {number}.mp4", frames)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    made = Server(folder / "library", folder, Address(port=0))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with opened_page(browser, server.address, PATIENCE) as page:
        yield page


@pytest.mark.timeout(900)
def test_from_an_empty_folder_to_a_cutting_list(page: Page, server: Server, videos: Path) -> None:
    """One test, as every step needs what the step before it made, and processes share tests out one by one."""
    make_a_data_set_and_read_its_audit(page, videos)
    train_stop_go_on_and_measure(page, server)
    judge_and_make_twenty_of_sixty_by_taste(page, server, videos)
    make_one_larger_join_two_export_all(page, server)
    check_where_it_comes_from(server)


def make_a_data_set_and_read_its_audit(page: Page, videos: Path) -> None:
    page.goto("/data")
    drop(page, videos)
    make_data_set(page)
    page.wait_for_selector("[data-dataset='data/moving'] img")
    page.get_by_role("link", name="Audit", exact=True).first.click()
    expect(page.locator("main")).to_contain_text(f"{JUDGED} sources", timeout=PATIENCE)
    page.get_by_role("link", name="Train on it").first.click()
    page.wait_for_url(re.compile(r"/training.*data=data(/|%2F)moving"))


def train_stop_go_on_and_measure(page: Page, server: Server) -> None:
    page.goto("/training")
    page.get_by_role("link", name="New training").first.click()
    expect(page.locator(".preset:has(input:checked)")).to_contain_text("suits these data", timeout=PATIENCE)
    page.goto(f"/training/new?{urlencode([('knob', f'{name}:{value}') for name, value in KNOBS.items()])}")
    page.locator("[data-knob='gan.r1']").wait_for()
    page.get_by_label("Search").fill("learning rate")
    expect(page.locator("[data-knob='gan.lr']")).to_be_visible()
    expect(page.locator("[data-knob='gan.r1']")).to_be_hidden()
    page.locator("[data-knob='gan.lr']").fill("0.001")
    page.locator("[name=run]").fill("first")
    page.locator("[name=amount]").fill("1000000")
    page.locator("[name=unit]").select_option("clips")
    page.locator("[name=device]").select_option("cpu")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/training/run?name=runs%2Ffirst")
    expect(page.locator("#state .run-state")).to_have_text("Being trained", timeout=PATIENCE)
    page.wait_for_function("() => Number(document.querySelector('.numbers dd')?.textContent.replace(/\\D/g, '')) > 8")
    page.locator("#stop").click()
    expect(page.locator("#state .run-state")).to_have_text("Stopped", timeout=PATIENCE)
    video = page.locator("#sheets video")
    expect(video).to_be_visible(timeout=PATIENCE)
    page.wait_for_function("() => document.querySelector('#sheets video')?.readyState > 1")
    (stored,) = [entry for entry in server.studio.catalog.runs() if entry.name == "runs/first"]
    page.locator("#extend [name=amount]").fill("16")
    page.locator("#extend [name=unit]").select_option("clips")
    page.locator("#extend button").click()
    expect(page.locator("#state .run-state")).to_have_text("Finished", timeout=PATIENCE)
    (ended,) = [entry for entry in server.studio.catalog.runs() if entry.name == "runs/first"]
    assert ended.clips >= stored.clips + 16
    page.reload()
    page.get_by_role("link", name="Evaluate").click()
    page.wait_for_url("**/evaluate?**")
    expect(page.locator("[name=real]")).to_have_value("data/moving", timeout=PATIENCE)
    chosen = page.locator("[name=metric]").evaluate_all("boxes => boxes.filter(b => b.checked).map(b => b.value)")
    for metric in set(chosen) - {"pictures"}:
        page.locator(f"[name=metric][value={metric}]").uncheck()
    page.locator("#evaluation [name=clips]").fill("4")
    page.locator("#evaluation button.primary").click()
    page.get_by_role("link", name="Open the report").click()
    expect(page.frame_locator("iframe.document").locator("body")).to_contain_text("sharpness", timeout=PATIENCE)
    page.goto("/models")
    expect(page.locator(".figures").first).to_contain_text("Sharpness", timeout=PATIENCE)


def judge_and_make_twenty_of_sixty_by_taste(page: Page, server: Server, videos: Path) -> None:
    library = server.studio.library
    page.goto("/")
    page.locator("#file").set_input_files(sorted(videos.glob("*.mp4")))
    expect(page.locator("#total")).to_have_text(f"{JUDGED} clips", timeout=PATIENCE)
    page.goto("/?sort=oldest")
    page.wait_for_selector("#grid.placed .card")
    page.locator("#grid").focus()
    for number in range(JUDGED):
        if number:
            page.keyboard.press("ArrowRight")
        page.keyboard.press("k" if library.get(number + 1).title.startswith("bright") else "x")
    page.wait_for_selector(f"#clip-{JUDGED}:not([data-verdict=undecided])")
    eventually(page, lambda: all(library.get(number + 1).verdict != "undecided" for number in range(JUDGED)))
    page.goto("/generate?model=runs/first")
    page.locator("#generate [name=model]").select_option("runs/first")
    page.locator("#generate [name=count]").fill("20")
    page.locator("#generate [name=seconds]").fill("0.5")
    page.locator("#generate [name=best]").check()
    page.locator("#generate [name=of]").fill("60")
    page.locator("#generate button.primary").click()
    made = [library.get(clip) for clip in made_by(page, server, "generate")]
    page.wait_for_selector(".job.done .made a")
    assert len(made) == 20 and all(entry.model == "first" for entry in made)


def made_by(page: Page, server: Server, kind: str) -> list[int]:
    """Wait until the last job, which is of this kind, is done; return the clips that it has made."""
    last = server.studio.library.jobs.all
    eventually(page, lambda: (last()[0].kind, last()[0].state) == (kind, "done"), seconds=PATIENCE / 1000)
    return list(last()[0].result["clips"])


def make_one_larger_join_two_export_all(page: Page, server: Server) -> None:
    library = server.studio.library
    first, second = library.jobs.all()[0].result["clips"][:2]
    page.goto(f"/clip/{first}")
    page.locator("#make-upscale summary").click()
    page.locator("#make-upscale [name=model]").select_option("upscale-x4-fast")
    page.locator("#make-upscale button.primary").click()
    (larger,) = made_by(page, server, "upscale")
    assert (library.get(larger).width, library.get(larger).height) == (128, 128)
    page.goto(f"/clip/{first}")
    page.locator("#make-job_join summary").click()
    page.locator("#make-job_join [name=clips]").fill(str(second))
    page.locator("#make-job_join button.primary").click()
    (joined,) = made_by(page, server, "join")
    parts = [library.get(clip).frames for clip in (first, second)]
    assert library.get(joined).frames == sum(parts)
    page.goto("/?origin=generated")
    page.wait_for_selector("#grid.placed .card")
    page.get_by_role("button", name="Export").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="OpenTimelineIO").click()
    with zipfile.ZipFile(waiting.value.path()) as packed:
        (list_name,) = [name for name in packed.namelist() if name.endswith(".otio")]
        timeline = otio.adapters.read_from_string(packed.read(list_name).decode(), "otio_json")
    assert len(list(timeline.find_clips())) >= 20


def check_where_it_comes_from(server: Server) -> None:
    library = server.studio.library
    (joined,) = library.jobs.all()[0].result["clips"]
    provenance = library.provenance(joined)
    assert len(provenance.parents) == 2 and all(parent.provenance for parent in provenance.parents)
