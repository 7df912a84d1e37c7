"""Figures that speak, in the studio: sounds, texts and scripts, by the interface and in a browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from footage.library.additions import ClipDetails
from footage.library.library import Library
from footage.media import narrator
from footage.media.reader import Footage
from footage.media.sheets import save_picture
from footage.media.sound import read_sound, write_sound
from footage.studio.app import Address, Server
from footage.studio.catalog import Catalog
from footage.studio.locales import read_locale
from footage.studio.security import Keys, Limits
from footage.studio.state import Studio
from tests.clips import add_sound, moving, write
from tests.models import save_tiny_model
from tests.studios import client_of, opened_page, work_off
from tests.test_talking import RATE, SPEECH_PROGRAM, tone

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STILL, OTHER, SPOKEN = 1, 2, 3
"""Clips of the library: two pictures, and a video with a second of sound."""
SECONDS = 400 / 8000
"""Of a character, as the speech program of the tests says it."""


@pytest.fixture
def speech(tmp_path: Path) -> str:
    program = tmp_path / "say.py"
    program.write_text(SPEECH_PROGRAM)
    return f"{sys.executable} {program} {{text}} {{out}}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library and models, one of which lets figures speak."""
    tmp_path = tmp_path_factory.mktemp("talk")
    size = {"clip__frames": 5, "clip__height": 16, "clip__width": 16}
    save_tiny_model(tmp_path / "models" / "speaker", (), preset="talk-64", **size)
    save_tiny_model(tmp_path / "models" / "shapes")
    with Library(tmp_path / "library") as library:
        for number, name in enumerate(("anna", "bob")):
            save_picture(tmp_path / f"{name}.png", moving(1, (32, 24), seed=number)[0])
            library.add(tmp_path / f"{name}.png", ClipDetails(title=name))
        library.add(add_sound(write(tmp_path / "film.mp4", moving(24, (32, 32)))), ClipDetails(title="film"))
    return tmp_path


@pytest.fixture
def studio(folder: Path, speech: str) -> Iterator[Studio]:
    made = Studio(Library(folder / "library"), Catalog(folder / "models"), Keys(), Limits(), speech=speech)
    made.worker.close()  # what is queued stays, until a test does it
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return client_of(studio)


def asked(**said: Any) -> dict[str, Any]:
    return {"model": "speaker", "figures": [{"clip": STILL}], "tags": ["spoken"], **said}


CAST = [{"clip": STILL, "name": "anna"}, {"clip": OTHER, "name": " 小明 "}]


@pytest.mark.parametrize(
    ("said", "seconds", "width", "parents"),
    [
        ({"audio": "SENT", "begin": 0.4}, 0.6, 16, ["anna"]),
        ({"audio": str(SPOKEN), "seed": 5}, 1.0, 16, ["anna"]),
        ({"text": "Good morning."}, 13 * SECONDS, 16, ["anna"]),
        ({"script": "anna: hey\n\n小明：oh, you\n", "figures": CAST}, (3 + 7) * SECONDS + 0.8, 32, ["anna", "bob"]),
    ],
)
def test_what_is_said_becomes_a_clip_with_its_sound(
    client: TestClient,
    studio: Studio,
    speech: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, Any],
    seconds: float,
    width: int,
    parents: list[str],
) -> None:
    monkeypatch.setenv(narrator.VARIABLE, speech)  # as the studio tells its workers
    if said.get("audio") == "SENT":
        write_sound(tmp_path / "speech.wav", [tone(1.0)], RATE)
        sent = client.post("/api/sounds?name=speech.wav", content=(tmp_path / "speech.wav").read_bytes()).json()
        said = {**said, "audio": f"sound:{sent['id']}"}
    answer = client.post("/api/jobs/talk", json=asked(**said))
    assert answer.status_code == 200, answer.text
    assert speech not in answer.text, "what program reads is nobody's business"
    (clip,) = work_off(studio, "talk").result["clips"]
    entry, heard = studio.entry(clip), read_sound(studio.library.path(clip))
    assert heard is not None and np.abs(heard.samples).max() > 0.05
    assert entry.audio and entry.seconds == pytest.approx(seconds, abs=0.1)
    assert (entry.width, entry.height, entry.tags) == (width, 16, ("spoken",))
    relations = {(parent.relation, parent.name) for parent in studio.library.provenance(clip).parents}
    assert relations == {("speaking", name) for name in parents}
    (frame,) = next(iter(Footage(studio.library.path(clip)).chunks(height=16, width=width, channels=3, fps=12.5)))[:1]
    assert frame.shape == (16, width, 3)
    assert f'href="/clip/{clip}"' in client.get("/parts/jobs?kind=talk").text


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "what is spoken is not clear"),
        ({"audio": str(SPOKEN), "text": "both"}, "what is spoken is not clear"),
        ({"audio": str(STILL)}, "clip 1 has no sound"),
        ({"audio": str(SPOKEN), "begin": 1.5}, "begin is 1.5, and the sound has 0.96 seconds"),
        ({"text": " \n"}, "there is no text to speak"),
        ({"text": "word " * 990, "limited": True}, "frames are asked for"),
        ({"script": "anna hey", "figures": CAST}, 'line 1 of the script is "anna hey"'),
        ({"script": "# nobody", "figures": CAST}, "the script holds no line"),
        ({"script": "eve: hey", "figures": CAST}, '"eve" speaks in the script'),
        ({"script": "anna: hey", "figures": [CAST[0], CAST[0]]}, "figures of a script need names of their own"),
        ({"script": "anna: hey"}, "figures of a script need names of their own"),
        ({"audio": str(SPOKEN), "figures": CAST}, "2 figures are given"),
        ({"audio": str(SPOKEN), "model": "shapes"}, "shapes cannot talk"),
        ({"text": "hello", "program": False}, "espeak-ng is not installed"),
    ],
)
def test_what_cannot_be_said_is_refused_at_once(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], words: str
) -> None:
    if not said.pop("program", True):
        studio.speech = None
        monkeypatch.setenv("PATH", "")
    if said.pop("limited", False):
        studio.limits = Limits(job_frames=1000)
    answer = client.post("/api/jobs/talk", json=asked(**said))
    problem = answer.json()["problem"]
    assert answer.status_code == 400 and words in problem
    assert read_locale("zh-CN").message(problem) != problem, problem


def test_what_is_no_request_is_refused(client: TestClient) -> None:
    for bad in ({"figures": []}, {"figures": [{"clip": 99}]}, {"audio": "/etc/passwd"}, {"text": "a" * 5001}):
        assert client.post("/api/jobs/talk", json=asked(**{"audio": str(SPOKEN)} | bad)).status_code in (404, 422), bad


def test_the_page_says_what_reads_texts(
    client: TestClient, studio: Studio, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = client.get(f"/talk?still={OTHER}").text
    assert Path(sys.executable).name in page and str(folder) not in page and f'value="{OTHER}" required' in page
    assert "disabled" not in page[page.index('id="ways"') : page.index('id="sound"')]
    assert (
        'value="shapes"' not in page and f'href="/talk?still={STILL}"' in client.get(f"/parts/more?clip={STILL}").text
    )
    assert 'href="/talk?model=speaker"' in client.get("/models").text
    studio.speech = None
    monkeypatch.setenv("PATH", "")
    page = client.get("/talk").text
    assert page[page.index('id="ways"') : page.index('id="sound"')].count("disabled") == 2 and "--speech" in page


def test_a_worker_is_told_the_program_and_nobody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []

    def start(command: list[str], **options: Any) -> None:
        started.append((command, options["env"]))
        raise OSError

    monkeypatch.setattr("footage.studio.state.subprocess.Popen", start)
    made = Studio(Library(folder / "library"), Catalog(folder / "models"), Keys(), speech="say {text} {out}")
    job = made.library.jobs.submit("talk", {}, 9)
    made.worker.wake(job)
    made.close()
    ((command, environment),) = started
    assert environment[narrator.VARIABLE] == "say {text} {out}" and not any("{text}" in word for word in command)


@pytest.mark.nightly
def test_a_figure_speaks_in_a_browser_by_keyboard(browser: Browser, folder: Path, speech: str) -> None:
    server = Server(folder / "library", folder / "models", Address(port=0), speech=speech)
    server.start()
    try:
        with opened_page(browser, server.address, 120_000) as page:
            page.goto("/talk")
            page.focus("[name=way][value=audio]")
            page.keyboard.press("ArrowRight")
            expect(page.locator("[name=text]")).to_be_visible()
            expect(page.locator("[name=sent]")).to_be_hidden()
            page.keyboard.press("Tab")
            page.keyboard.type("Good morning.")
            page.keyboard.press("Tab")
            page.keyboard.type(str(STILL))
            page.keyboard.press("Enter")
            page.wait_for_selector("#spoken:not([hidden]) video[src*='/api/clips/']")
            video = page.locator("#spoken video")
            page.wait_for_function("() => document.querySelector('#spoken video')?.readyState >= 2")
            seconds, pixels, muted = video.evaluate("v => [v.duration, v.videoWidth, v.muted]")
            assert seconds == pytest.approx(13 * SECONDS, abs=0.15) and (pixels, muted) == (16, False)
            page.check("[name=way][value=script]")
            expect(page.locator(".figure")).to_have_count(2)
            expect(page.locator(".figure").nth(1)).to_be_visible()
            with page.expect_file_chooser() as chosen:
                page.locator(".figure").nth(1).locator("[data-send-still]").click()
            chosen.value.set_files(folder / "bob.png")
            page.locator(f".figure img[src='/api/clips/{OTHER}/thumbnail']").wait_for()  # it is known already
            expect(page.locator("[name=still]").nth(1)).to_have_value(str(OTHER))
            page.set_viewport_size({"width": 400, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
    finally:
        server.stop()
