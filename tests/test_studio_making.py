"""What the studio makes of clips: models that fit, jobs that continue, enlarge, translate, cut and join, previews."""

from __future__ import annotations

import concurrent.futures
import errno
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from footage.library.additions import ClipDetails
from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.media.cuts import Cut, write_cuts
from footage.media.encode import write_clip
from footage.media.reader import Footage
from footage.media.sheets import save_picture
from footage.media.sound import TRACK_RATE
from footage.studio.app import Address, Server
from footage.studio.catalog import Catalog
from footage.studio.locales import read_locale
from footage.studio.preview_process import Preview, Previews
from footage.studio.security import Keys
from footage.studio.state import Studio, WorkerProcess
from footage.studio.worker import Worker
from tests.clips import add_sound, moving, write
from tests.libraries import save_clip
from tests.models import save_tiny_model
from tests.streams import save_tiny_stream
from tests.studios import client_of, work_off

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LONG, SHORT, PICTURE, FOREIGN = 1, 2, 3, 4
"""Clips of the library: one of 24 frames, one of 4, a still, and one of the stream model."""
WORDS = {"text__encoder": "own", "text__size": 8, "text__width": 8, "text__pieces": 64}
"""Knobs of a model that is told captions."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    small: dict[str, Any] = {"clip__frames": 8, "clip__height": 32, "clip__width": 32}
    for name, preset, knobs in (
        ("svg", "svg-64", {"task__past": 4}),
        ("simvp", "simvp-64", {"task__past": 4}),
        ("vae", "vae-64", {}),
        ("edges", "translate-64", {}),
        ("life", "animate-64", {}),
        ("larger", "upscale-x2", {}),
        ("told", "simvp-64", {"task__past": 4, **WORDS}),
        ("painted", "translate-64", WORDS),
    ):
        save_tiny_model(folder / "models" / name, preset=preset, **small, **knobs)
    stream = save_tiny_stream(folder / "models" / "stream")
    library = Library(folder / "library")
    library.add(add_sound(write(folder / "long.mp4", moving(24, (32, 40), seed=1))), ClipDetails(title="long"))
    library.add(write(folder / "short.mp4", moving(4, (32, 32), seed=2)), ClipDetails(title="short"))
    save_picture(folder / "still.png", moving(1, (32, 32), seed=3)[0])
    library.add(folder / "still.png", ClipDetails(title="still"))
    library.add(save_clip(folder / "s.mp4", seed=5, weights_sha256=stream.info.weights_sha256), ClipDetails(title="s"))
    made = Studio(library, Catalog(folder / "models"), Keys())
    made.worker.close()  # what is queued stays, until a test does it
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return client_of(studio)


def test_models_and_live_pages_offer_the_same_models(client: TestClient) -> None:
    offered = set(re.findall(r'href="/live\?model=([^"]+)"', client.get("/models").text))
    assert offered == set(re.findall(r'<option value="([^"]+)" data-labels', client.get("/live").text))
    assert "stream" in offered and not offered & {"svg", "larger"}


def frames_of(path: Path) -> np.ndarray[Any, Any]:
    footage = Footage(path)
    height, width = footage.size()
    rate = footage.rate()
    assert rate is not None
    return np.concatenate(list(footage.chunks(height=height, width=width, channels=3, fps=rate)))


def test_only_models_that_fit_are_offered_and_the_others_say_why(client: TestClient) -> None:
    def told(clip: int) -> dict[tuple[str, str], str]:
        found = client.get(f"/api/clips/{clip}/uses").json()
        return {(use["verb"], use["model"]["name"]): use["reason"] for use in found}

    long = told(LONG)
    assert {"predict", "animate", "upscale", "translate", "reconstruct", "interpolate"} <= {
        verb for (verb, _), reason in long.items() if not reason
    }
    assert long["generate", "stream"] == "use_seedless" and ("embed", "vae") not in long
    short = told(SHORT)
    assert short["interpolate", "vae"] == "use_short" and not short["translate", "edges"]
    still = told(PICTURE)
    assert not still["animate", "life"] and not still["upscale", "larger"]
    assert still["predict", "svg"] == still["translate", "edges"] == "use_still"
    assert not told(FOREIGN)["generate", "stream"]
    uses = {u["model"]["name"]: u for u in client.get(f"/api/clips/{LONG}/uses").json() if u["verb"] == "predict"}
    assert uses["svg"]["several"] and not uses["simvp"]["several"]
    shown = {clip: client.get(f"/parts/more?clip={clip}").text for clip in (LONG, SHORT, PICTURE, FOREIGN)}
    assert "make-predict" in shown[LONG] and "make-trim" in shown[SHORT] and "make-trim" not in shown[PICTURE]
    assert "make-animate" in shown[PICTURE] and "make-vary" in shown[FOREIGN] and "vary=motion" in shown[FOREIGN]


@pytest.mark.parametrize(
    ("kind", "request_", "size", "frames", "relation"),
    [
        ("predict", {"model": "svg", "futures": 2, "frames": 3}, (32, 32), 7, "continued"),
        ("translate", {"model": "edges", "own_size": True}, (40, 32), 12, "translated"),
        ("animate", {"model": "life", "clip": PICTURE, "futures": 2, "frames": 5}, (32, 32), 5, "animated"),
        ("reconstruct", {"model": "vae"}, (32, 32), 12, "reconstructed"),
        ("upscale", {"model": "larger"}, (80, 64), 24, "enlarged"),
    ],
)
def test_what_is_made_of_a_clip_is_filed_with_its_origin(
    client: TestClient,
    studio: Studio,
    kind: str,
    request_: dict[str, Any],
    size: tuple[int, int],
    frames: int,
    relation: str,
) -> None:
    request_ = {"clip": LONG, "tags": ["made"], **request_}
    answer = client.post(f"/api/jobs/{kind}", json=request_)
    assert answer.status_code == 200, answer.text
    clips = work_off(studio, kind).result["clips"]
    assert len(clips) == len(set(clips)) == request_.get("futures", 1)
    source = studio.library.get(request_["clip"])
    for clip in clips:
        entry = studio.library.get(clip)
        assert ((entry.width, entry.height), entry.frames, entry.tags) == (size, frames, ("made",))
        (parent,) = studio.library.provenance(clip).parents
        assert (parent.relation, parent.digest) == (relation, source.digest) and source.title in entry.title
    assert {child.id for child in studio.library.provenance(source.id).children} >= {*clips}


@pytest.mark.parametrize(("kind", "model"), [("predict", "told"), ("translate", "painted")])
def test_what_is_made_of_a_clip_is_told_in_words(client: TestClient, studio: Studio, kind: str, model: str) -> None:
    shown = client.get(f"/parts/more?clip={LONG}").text
    form = shown[shown.index(f'id="make-{kind}"') :].partition("</form>")[0]
    assert 'name="text"' in form and form.count("data-text") == 1  # of the models that do this one reads text
    made = {}
    for text in ("a red circle moves left", "向左", None):
        assert client.post(f"/api/jobs/{kind}", json={"model": model, "clip": LONG, "text": text}).status_code == 200
        job = work_off(studio, kind)
        (clip,) = job.result["clips"]
        made[text] = frames_of(studio.library.path(clip))
        assert studio.library.get(clip).prompt == (text or "")
        unknown = {"a red circle moves left": ["a", "red", "circle", "moves", "left"], "向左": ["向", "左"]}.get(
            text or "", []
        )
        said = [f'"{word}" stands in no caption that tiny learned from' for word in unknown]
        assert job.result.get("told", []) == said
        assert all(read_locale("zh-CN").message(one) != one for one in said)
    assert (made["a red circle moves left"] != made["向左"]).any()


def test_what_does_not_fit_is_refused(client: TestClient) -> None:
    for kind, request in (
        ("predict", {"model": "svg", "clip": PICTURE}),
        ("predict", {"model": "simvp", "clip": LONG, "futures": 2}),
        ("predict", {"model": "vae", "clip": LONG}),
        ("predict", {"model": "simvp", "clip": LONG, "text": "left"}),
        ("translate", {"model": "edges", "clip": LONG, "text": "left"}),
        ("generate", {"model": "stream", "count": 1, "text": "left"}),
        ("translate", {"model": "edges", "clip": LONG, "futures": 2}),
        ("translate", {"model": "edges", "clip": LONG, "frames": 4}),
        ("upscale", {"model": "larger", "clip": LONG, "size": "8p"}),
        ("upscale", {"model": "larger", "clip": LONG, "size": "huge"}),
        ("trim", {"clip": LONG, "first": 3, "last": 24}),
        ("trim", {"clip": LONG, "first": 3, "last": 2}),
        ("trim", {"clip": PICTURE, "first": 0, "last": 0}),
        ("join", {"clips": [LONG, PICTURE]}),
    ):
        answer = client.post(f"/api/jobs/{kind}", json=request)
        assert answer.status_code == 400 and answer.json()["problem"], (kind, request, answer.text)
    assert client.post("/api/jobs/trim", json={"clip": 99, "first": 0, "last": 1}).status_code == 404
    answer = client.post("/api/live", json={"model": "stream", "text": "left"})
    assert answer.status_code == 400 and "was trained without captions" in answer.json()["problem"]


def test_a_part_of_a_clip_becomes_a_clip_and_clips_become_one(client: TestClient, studio: Studio) -> None:
    assert client.post("/api/jobs/trim", json={"clip": LONG, "first": 3, "last": 9}).status_code == 200
    (part,) = work_off(studio, "trim").result["clips"]
    entry = studio.library.get(part)
    assert entry.frames == 7 and entry.audio and entry.origin == "imported"
    assert entry.settings["trimmed"] == [3, 9] and studio.library.provenance(part).parents[0].relation == "trimmed"
    generated = studio.library.get(FOREIGN)
    client.post("/api/jobs/trim", json={"clip": FOREIGN, "first": 0, "last": 3})
    trimmed = studio.library.get(work_off(studio, "trim").result["clips"][0])
    assert (trimmed.model, trimmed.weights, trimmed.frames) == (generated.model, generated.weights, 4)
    client.post("/api/jobs/join", json={"clips": [SHORT, part]})
    joined = studio.library.get(work_off(studio, "join").result["clips"][0])
    assert (joined.frames, joined.width, joined.audio) == (11, 32, True)
    assert {parent.relation for parent in studio.library.provenance(joined.id).parents} == {"joined"}


def test_cuts_are_exact_to_the_frame_and_to_the_sample(tmp_path: Path) -> None:
    import av

    steps = [np.full((32, 32, 3), 10 * number, np.uint8) for number in range(20)]
    source = tmp_path / "steps.mp4"
    write_clip(source, [np.stack(steps)], fps=20, metadata={})
    add_sound(source)
    told: list[int] = []
    count = write_cuts([Cut(source, 5, 8), Cut(source, 17)], tmp_path / "cut.mp4", metadata={}, watch=told.append)
    shown = frames_of(tmp_path / "cut.mp4").mean((1, 2, 3))
    assert count == len(shown) == 7 and told == [*range(1, 8)]
    assert np.abs(shown - [50, 60, 70, 80, 170, 180, 190]).max() < 4

    def sound(path: Path) -> np.ndarray[Any, Any]:
        resampler = av.AudioResampler("fltp", "mono", TRACK_RATE)
        with av.open(str(path)) as container:
            parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        return np.concatenate(parts, axis=1)[0]

    whole, cut = sound(source), sound(tmp_path / "cut.mp4")
    begin, length = TRACK_RATE // 4, TRACK_RATE // 5
    same = np.corrcoef(whole[begin + 2000 : begin + length - 500], cut[2000 : length - 500])[0, 1]
    assert same > 0.999


def test_what_a_cancelled_job_has_made_stays_and_is_said_to_be_partial(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/api/jobs/generate", json={"model": "stream", "count": 5, "frames": 4})
    job = studio.library.jobs.claim("worker", ["generate"])
    assert job is not None
    worker = Worker(studio.library, studio.catalog)
    file = studio.library.add

    def add(*given: Any, **named: Any) -> Any:
        entry = file(*given, **named)
        if len(studio.library.jobs.get(job.id).result["clips"]) == 1:  # the second is there
            studio.library.jobs.cancel(job.id)
        return entry

    monkeypatch.setattr(studio.library, "add", add)
    ended = worker.do(job)
    assert ended.state == "cancelled" and len(ended.result["clips"]) == 2 and ended.result["of"] == 5
    page = client.get("/parts/jobs").text
    assert "2 of 5 made, then cancelled" in page and f"/compare?ids={ended.result['clips'][0]}" in page
    waiting = client.post("/api/jobs/verify").json()["id"]
    assert 'class="badge">1<' in client.get("/parts/badge").text
    client.post(f"/api/jobs/{waiting}/cancel")
    badge = client.get("/parts/badge").text
    assert 'class="badge"' not in badge and f'data-newest="{ended.result["clips"][-1]}"' in badge


def test_a_job_that_says_nothing_for_long_does_not_begin_again(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.studio.worker.TOLD", 0.01)
    jobs, heard = studio.library.jobs, list[bool]()

    def silent(job: BackgroundJob) -> dict[str, Any]:
        with studio.library._database.write() as connection:
            connection.execute("UPDATE jobs SET heard = 0 WHERE id = ?", (job.id,))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not heard:
            with studio.library._database.read() as connection:
                heard.extend(
                    [True] * connection.execute("SELECT heard > 0 FROM jobs WHERE id = ?", (job.id,)).fetchone()[0]
                )
        assert jobs.revive() == 0
        return {}

    jobs.submit("verify", {})
    job = jobs.claim("worker", ["verify"])
    worker = Worker(studio.library, studio.catalog)
    worker.kinds["verify"] = silent
    assert job is not None and worker.do(job).state == "done" and heard
    assert not [thread for thread in threading.enumerate() if thread.name == "heard"]


def test_a_part_of_a_clip_has_the_limits_of_a_job(studio: Studio, client: TestClient) -> None:
    limits = studio.limits
    studio.limits = replace(limits, job_frames=10)
    try:
        answers = [client.post("/api/jobs/trim", json={"clip": LONG, "first": 2, "last": last}) for last in (11, 12)]
    finally:
        studio.limits = limits
    assert [answer.status_code for answer in answers] == [200, 400] and "11 frames" in answers[1].text
    studio.library.jobs.cancel(answers[0].json()["id"])


def test_a_worker_that_cannot_be_started_now_is_started_later(
    studio: Studio, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "too many processes")

    worker = WorkerProcess(studio.library, studio.catalog.folder)
    monkeypatch.setattr(studio, "worker", worker)
    monkeypatch.setattr("footage.studio.state.subprocess.Popen", refuse)
    answer = client.post("/api/jobs/trim", json={"clip": LONG, "first": 0, "last": 3})
    assert answer.status_code == 200
    worker.tend()
    assert client.get("/api/jobs").json()[0]["state"] == "queued"
    studio.library.jobs.cancel(answer.json()["id"])


def test_of_sliders_that_are_named_at_once_none_loses_its_name(studio: Studio) -> None:
    presets, weights = studio.library.presets, "ef" * 32
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: presets.name_slider(weights, number, f"name {number}"), range(1, 41)))
    assert len(presets.slider_names(weights)) == 40


def test_a_preview_shows_what_the_batch_will_be(studio: Studio) -> None:
    import io

    from PIL import Image

    from footage.generation.model import Model

    folder = studio.catalog.model("stream")
    assert folder is not None
    variants = [{"seed": 3}, {"seed": 3, "motion_seed": 9}, {"seed": 4, "sliders": {"1": 2.0}}]
    previews = Previews()
    said, content = previews.make(Preview(str(folder), {"timing": {"strength": 1.5}}, variants, frames=4, length=16))
    sheet = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    assert (said["rows"], said["columns"], sheet.shape) == (3, 4, (3 * 32, 4 * 32, 3))
    from footage.models.requests import Timing

    (clip,) = Model(folder).generate(1, seed=3, frames=16, timing=Timing(strength=1.5))
    whole = np.concatenate(list(clip.array()[::4]), axis=1).astype(int)
    cells = sheet.reshape(3, 32, 128, 3)
    errors = [np.abs(cells[row] - whole).mean() for row in range(3)]
    assert errors[0] < 8 and min(errors[1:]) > errors[0], errors


def test_a_preview_shows_the_whole_way_to_another_seed(studio: Studio) -> None:
    import io

    from PIL import Image

    from footage.generation.model import Model

    folder = studio.catalog.model("stream")
    assert folder is not None
    variants = [{"seed": 3, "to_seed": 40}, {"seed": 3}]
    _, content = Previews().make(Preview(str(folder), {}, variants, frames=4, length=61))
    sheet = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    (clip,) = Model(folder).generate(1, seed=3, to_seed=40, frames=61)
    whole = np.concatenate(list(clip.array()[::20]), axis=1).astype(int)
    errors = [np.abs(cells - whole).mean() for cells in sheet.reshape(2, 32, 128, 3)]
    assert errors[0] < 8 and errors[1] > 2 * errors[0], errors


def test_settings_and_names_of_sliders_are_kept(client: TestClient) -> None:
    weights = "ab" * 32
    assert client.put(f"/api/sliders/{weights}", json={"number": 2, "name": "size"}).json() == {"2": "size"}
    client.put(f"/api/sliders/{weights}", json={"number": 1, "name": "colour"})
    assert client.put(f"/api/sliders/{weights}", json={"number": 2, "name": ""}).json() == {"1": "colour"}
    assert client.get(f"/api/sliders/{'cd' * 32}").json() == {}
    assert client.put("/api/presets/slow ones", json={"values": {"slow": "4"}}).json() == {"slow ones": {"slow": "4"}}
    assert 'value="slow ones"' in client.get("/generate").text
    assert client.delete("/api/presets/other").status_code == 404
    assert client.delete("/api/presets/slow ones").json() == {}


def test_a_grid_is_looked_at_taken_and_kept_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    save_tiny_stream(tmp_path / "models" / "tiny")
    with Library(tmp_path / "library") as library:
        library.add(write(tmp_path / "clip.mp4", moving(12, (32, 32))))
    server = Server(tmp_path / "library", tmp_path / "models", Address(port=0))
    server.start()
    context = browser.new_context(base_url=server.address, locale="en-GB", viewport={"width": 360, "height": 780})
    page, errors = context.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto("/generate?model=tiny")
    page.locator(".cell").nth(11).wait_for()
    page.locator(".cell").nth(5).click()
    expect(page.locator("#generate [name=seed]")).to_have_value("5")
    page.locator("#preview [data-vary=motion]").click()
    page.get_by_label("Take Motion seed 7").click()
    expect(page.locator("#generate [name=motion_seed]")).to_have_value("7")
    page.locator("#generate [name=to_seed]").fill("20")
    page.locator("#generate [name=to_seed]").blur()
    page.locator("#preview [data-vary=seeds]").click()
    page.get_by_label("Take Seed 8", exact=True).click()
    expect(page.locator("#generate [name=to_seed]")).to_have_value("23")
    page.locator("[name=tags]").fill("one, two")
    page.locator("[name=novel]").check()
    page.locator("[data-rename='1']").click()
    page.locator("#ask input").fill("colour")
    page.keyboard.press("Enter")
    page.locator(".latent", has_text="colour").wait_for()
    page.locator(".latent canvas").first.wait_for()
    page.locator("[data-preset=save]").click()
    page.locator("#ask input").fill("mine")
    page.keyboard.press("Enter")
    page.locator("#toasts", has_text="Saved").wait_for()
    page.goto("/generate")
    page.locator("#presets").select_option("mine")
    page.wait_for_url("**preset=mine")
    expect(page.locator("#generate [name=motion_seed]")).to_have_value("7")
    expect(page.locator("[name=tags]")).to_have_value("one, two")
    expect(page.locator("[name=novel]")).to_be_checked()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto("/clip/1")
    page.locator("#make-trim summary").click()
    page.evaluate("document.querySelector('video')?.pause()")
    for frame, key in ((3, "i"), (8, "o")):
        page.locator(".scrub").evaluate("(e, frame) => { e.value = frame; e.dispatchEvent(new Event('input')) }", frame)
        page.wait_for_function(f"() => document.querySelector('.place')?.textContent.startsWith('{frame + 1} ')")
        page.wait_for_function("() => document.querySelector('video')?.seeking === false")
        page.keyboard.press(key)
    expect(page.locator("#make-trim [name=first]")).to_have_value("4")
    expect(page.locator("#make-trim [name=last]")).to_have_value("9")
    page.locator("#make-trim button.primary").click()
    page.locator("#more + #jobs .job").wait_for()
    context.close()
    (job,) = server.studio.library.jobs.all()
    server.stop()
    assert (job.kind, job.request["first"], job.request["last"]) == ("trim", 3, 8) and not errors


def test_clips_follow_the_sound_of_a_clip_of_the_library(studio: Studio, client: TestClient, tmp_path: Path) -> None:
    from footage.media.sound import RATE, as_stereo, read_sound
    from tests.sounds import play

    song = tmp_path / "song.mp4"
    sound = as_stereo([play("rock", 120, 3).samples], RATE)
    write_clip(song, [np.stack(moving(75, (32, 32), seed=9))], fps=25, metadata={}, sound=sound)
    number = studio.library.add(song, ClipDetails(title="song")).id
    asked = {"model": "stream", "count": 1, "audio": str(number), "react": "kick:strength", "bpm_lock": "2"}
    assert client.post("/api/jobs/generate", json=asked).status_code == 200
    made = work_off(studio, "generate")
    (clip,) = made.result["clips"]
    entry = studio.entry(clip)
    assert entry.seconds == pytest.approx(3, abs=0.1) and entry.audio
    heard = read_sound(studio.library.path(clip))
    assert heard is not None and np.abs(heard.samples).max() > 0.2
    for bad in ({"audio": str(SHORT)}, {"audio": "999"}, {"audio": "/etc/passwd"}, {"react": "x:y"}):
        assert client.post("/api/jobs/generate", json={**asked, **bad}).status_code in (400, 404, 422), bad
    for bad in (str(SHORT), "999", "/etc/passwd"):
        assert client.post("/api/live", json={"model": "stream", "audio": bad}).status_code in (400, 404, 422), bad
