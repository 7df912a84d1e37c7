"""Sounds that are sent to the studio, clips that follow them, and streams that do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from footage.errors import FootageError
from footage.generation.model import Model
from footage.library.library import Library
from footage.media.sound import RATE, read_sound, write_sound
from footage.studio import sounds as sent_sounds
from footage.studio.app import application
from footage.studio.catalog import Catalog
from footage.studio.routes.live import LiveStreams
from footage.studio.schemas import LiveForm
from footage.studio.security import Keys, Limits
from footage.studio.state import Studio
from footage.studio.stream_process import LiveStream
from tests.sounds import play
from tests.streams import save_tiny_stream


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "my song.wav"
    write_sound(path, [play("rock", 120, 4).samples], RATE)
    return path


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    save_tiny_stream(tmp_path / "models" / "tiny")
    made = Studio(Library(tmp_path / "library"), Catalog(tmp_path / "models"), Keys(), Limits(sound=10**6))
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> TestClient:
    client = TestClient(application(studio), base_url="http://127.0.0.1")
    client.headers["x-csrf-token"] = studio.keys.csrf
    return client


def test_a_sound_is_sent_and_clips_follow_it(studio: Studio, client: TestClient, song: Path, tmp_path: Path) -> None:
    said = client.post("/api/sounds?name=my song.wav", content=song.read_bytes()).json()
    assert said["name"] == "my song.wav" and said["seconds"] == 4.0 and abs(said["tempo"] - 120) < 1
    assert client.post("/api/sounds?name=again.wav", content=song.read_bytes()).json() == said, "the same is known"
    assert client.get("/api/sounds").json() == [said]
    back = client.get(f"/api/sounds/{said['id']}/file", headers={"range": "bytes=0-3"})
    assert (back.status_code, back.content) == (206, b"RIFF")
    for page in ("/generate", "/live"):
        assert f'value="sound:{said["id"]}"' in client.get(page).text and "0:04 · 120" in client.get(page).text
    form = {"model": "tiny", "count": 1, "audio": f"sound:{said['id']}", "react": "kick:strength"}
    job = client.post("/api/jobs/generate", json=form).json()
    assert job["request"]["audio"] == str(studio.sounds.find(said["id"])[0])
    (clip,) = Model(tmp_path / "models" / "tiny").generate(1, audio=job["request"]["audio"], frames=5)
    heard = read_sound(clip.save(tmp_path / "clip.mp4"))
    assert heard is not None and np.abs(heard.samples).max() > 0.1
    assert client.delete(f"/api/sounds/{said['id']}").json() == {"removed": said["id"]}
    assert client.get("/api/sounds").json() == [] and not list(studio.sounds.folder.iterdir())
    assert client.delete(f"/api/sounds/{said['id']}").status_code == 404
    assert client.post("/api/jobs/generate", json=form).status_code == 404


def test_what_is_no_sound_is_refused(
    studio: Studio, client: TestClient, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sound(tmp_path / "silent.wav", [np.zeros(RATE, np.float32)], RATE)
    for name, content, status, said in (
        ("a.exe", b"MZ", 415, "is no ending of a sound"),
        ("a.wav", b"no sound at all", 422, 'no sound can be read from \\"a.wav\\"'),
        ("a.wav", (tmp_path / "silent.wav").read_bytes(), 422, "is silent"),
        ("a.wav", b"0" * (10**6 + 1), 413, "more than 1,000,000 bytes"),
    ):
        answer = client.post(f"/api/sounds?name={name}", content=content)
        assert answer.status_code == status and said in answer.text, answer.text
        assert not list(studio.sounds.folder.glob("*")), "nothing stays"
    monkeypatch.setattr(sent_sounds, "MOST", 0)
    answer = client.post("/api/sounds?name=a.wav", content=song.read_bytes())
    assert answer.status_code == 400 and "sounds are kept already" in answer.text
    for audio in ("../x", "sound:zz", "sound:" + "0" * 15, "-1"):
        assert client.post("/api/jobs/generate", json={"model": "tiny", "audio": audio}).status_code == 422
    assert client.get("/api/sounds/..%2f..%2fx/file").status_code == 404


def test_a_stream_follows_a_sound_and_begins_anew_with_it(studio: Studio, client: TestClient, song: Path) -> None:
    said = client.post("/api/sounds?name=a.wav", content=song.read_bytes()).json()
    told = LiveStreams(studio).told(LiveForm(audio=f"sound:{said['id']}", react="kick:strength", seed=3), "tiny")
    path = str(studio.sounds.find(said["id"])[0])
    assert (told["audio"], told["react"]) == (path, "kick:strength")
    refused = client.post("/api/live", json={"model": "tiny", "audio": "sound:" + "0" * 16})
    assert refused.status_code == 404 and "send it again" in refused.text

    model = Model(studio.catalog.folder / "tiny")
    live = LiveStream(model, {"seed": 3})
    frames = live.change(told, iter(()), 1.5)
    assert live.heard == 1.5 and not live.problem
    direct = model.stream(seed=3, audio=path, react="kick:strength", chunk=1)
    for _ in range(6):  # no time of the stream before counts: the sound begins anew
        assert np.abs(next(frames).astype(int) - next(direct)).max() <= 2
    assert live.change(told | {"react": "nonsense"}, frames, 2.0) is frames
    assert "HEARD:MOVED" in live.problem and live.heard == 1.5
    live.change({"seed": 3}, frames, 3.0)
    assert live.heard is None
    with pytest.raises(FootageError):
        next(live.source({"seed": 3, "audio": "missing.wav"}, 0.0))
