"""What the studio makes of clips: models that fit, jobs that continue, enlarge, translate, cut and join, previews."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from footage.library.additions import ClipDetails
from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.media.cuts import SOUND_RATE, Cut, write_cuts
from footage.media.encode import write_clip
from footage.media.reader import Footage
from footage.media.sheets import save_picture
from footage.studio.app import application
from footage.studio.catalog import Catalog
from footage.studio.security import Keys
from footage.studio.state import Studio
from footage.studio.worker import Worker
from tests.clips import add_sound, moving, write
from tests.libraries import save_clip
from tests.models import save_tiny_model
from tests.streams import save_tiny_stream

LONG, SHORT, PICTURE, FOREIGN = 1, 2, 3, 4
"""Clips of the library: one of 24 frames, one of 4, a still, and one of the stream model."""


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
    return TestClient(application(studio), base_url="http://127.0.0.1", headers={"x-csrf-token": studio.keys.csrf})


def do(studio: Studio, kind: str) -> BackgroundJob:
    job = studio.library.jobs.claim("worker", [kind])
    assert job is not None
    ended = Worker(studio.library, studio.catalog).do(job)
    assert ended.state == "done", ended.message
    return ended


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
    clips = do(studio, kind).result["clips"]
    assert len(clips) == len(set(clips)) == request_.get("futures", 1)
    source = studio.library.get(request_["clip"])
    for clip in clips:
        entry = studio.library.get(clip)
        assert ((entry.width, entry.height), entry.frames, entry.tags) == (size, frames, ("made",))
        (parent,) = studio.library.provenance(clip).parents
        assert (parent.relation, parent.digest) == (relation, source.digest) and source.title in entry.title
    assert {child.id for child in studio.library.provenance(source.id).children} >= {*clips}


def test_what_does_not_fit_is_refused(client: TestClient) -> None:
    for kind, request in (
        ("predict", {"model": "svg", "clip": PICTURE}),
        ("predict", {"model": "simvp", "clip": LONG, "futures": 2}),
        ("predict", {"model": "vae", "clip": LONG}),
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


def test_a_part_of_a_clip_becomes_a_clip_and_clips_become_one(client: TestClient, studio: Studio) -> None:
    assert client.post("/api/jobs/trim", json={"clip": LONG, "first": 3, "last": 9}).status_code == 200
    (part,) = do(studio, "trim").result["clips"]
    entry = studio.library.get(part)
    assert entry.frames == 7 and entry.audio and entry.origin == "imported"
    assert entry.settings["trimmed"] == [3, 9] and studio.library.provenance(part).parents[0].relation == "trimmed"
    generated = studio.library.get(FOREIGN)
    client.post("/api/jobs/trim", json={"clip": FOREIGN, "first": 0, "last": 3})
    trimmed = studio.library.get(do(studio, "trim").result["clips"][0])
    assert (trimmed.model, trimmed.weights, trimmed.frames) == (generated.model, generated.weights, 4)
    client.post("/api/jobs/join", json={"clips": [SHORT, part]})
    joined = studio.library.get(do(studio, "join").result["clips"][0])
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
        resampler = av.AudioResampler("fltp", "mono", SOUND_RATE)
        with av.open(str(path)) as container:
            parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        return np.concatenate(parts, axis=1)[0]

    whole, cut = sound(source), sound(tmp_path / "cut.mp4")
    begin, length = SOUND_RATE // 4, SOUND_RATE // 5
    same = np.corrcoef(whole[begin + 2000 : begin + length - 500], cut[2000 : length - 500])[0, 1]
    assert same > 0.999
