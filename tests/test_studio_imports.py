"""Zip files that are uploaded to the studio: taken in by a job, a clip after another, within limits for each."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.studio import worker
from footage.studio.catalog import Catalog
from footage.studio.locales import read_locale
from footage.studio.security import Keys, Limits
from footage.studio.state import LANES, Studio
from footage.studio.upload_check import Upload
from footage.studio.worker import Worker
from tests.libraries import save_clip
from tests.studios import client_of


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    (tmp_path / "models").mkdir()
    made = Studio(Library(tmp_path / "library"), Catalog(tmp_path / "models"), Keys(), Limits(upload=100_000))
    made.worker.close()  # what is queued stays, until a test does it
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return client_of(studio)


def zipped(tmp_path: Path, clips: int, **other: bytes) -> bytes:
    packed, scratch = io.BytesIO(), tmp_path / "scratch.mp4"
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(clips):
            archive.writestr(f"{number}.mp4", save_clip(scratch, number).read_bytes())
        for name, content in other.items():
            archive.writestr(f"{name}.mp4", content)
    return packed.getvalue()


def done(studio: Studio) -> BackgroundJob:
    """Do the job that waits, as a worker would."""
    job = studio.library.jobs.claim("worker", LANES[1])
    assert job is not None
    return Worker(studio.library, studio.catalog).do(job)


def waiting(studio: Studio) -> list[Path]:
    return list((studio.library.folder / "partial").glob("*.zip"))


def test_a_zip_file_is_taken_in_by_a_job(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    content = zipped(tmp_path, 4, broken=b"no video", empty=b"", padded=bytes(200_000))
    said = client.post("/api/uploads?name=my clips.zip", content=content).json()
    job = client.get(f"/api/jobs/{said['job']}").json()
    assert said["added"] == [] and (job["kind"], job["state"]) == ("import", "queued")
    assert str(tmp_path) not in json.dumps(job), "no path of the server is told"
    assert studio.library.count() == 0 and len(waiting(studio)) == 1
    ended = done(studio)
    assert ended.state == "done", ended.message
    result = ended.result
    assert (len(result["clips"]), result["added"], result["known"], result["refused"]) == (4, 4, 0, 3)
    entry = studio.library.get(result["clips"][0])
    assert (entry.title, entry.source) == ("0", "my clips.zip/0.mp4")
    assert not waiting(studio)
    page = client.get("/activity").text
    assert "my clips.zip" in page and "broken" in page and f"/clip/{entry.id}" in page
    chinese = read_locale("zh-CN")
    assert all(chinese.message(text) != text for text in result["told"])
    assert chinese.message(result["told"][1]).startswith("没有收入“broken.mp4”（不是视频：数据无效：")
    client.post("/api/uploads?name=again.zip", content=content)
    assert done(studio).result["known"] == 4


def test_each_clip_of_a_zip_file_has_time_of_its_own(studio: Studio, tmp_path: Path) -> None:
    """What all take together is more than one may take; a whole zip has no limit of time."""
    path = studio.library.upload_path("x.zip")
    path.write_bytes(zipped(tmp_path, 40))
    studio.library.jobs.submit("import", {"file": "x.zip", "title": "x", "seconds": 1, "memory": 2**32, "most": 2**30})
    ended = done(studio)
    assert ended.state == "done" and ended.result["added"] == 40 and ended.result["refused"] == 0


SCRIPT = """
import json, os, sys
first = int(sys.argv[1])
for at in range(first, 5):
    print(json.dumps({"at": at, "of": 5, "name": f"{at}.mp4", "used": 10 * at}), flush=True)
    if at in (1, 4): os._exit(9)
    print(json.dumps({"added": at + 1} if at != 3 else {"known": 1}), flush=True)
print(json.dumps({"ended": True}))
"""


def test_a_clip_that_its_process_dies_of_costs_no_other(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, int]] = []

    def command(upload: Upload) -> list[str]:
        begun.append((upload.first, upload.used))
        return [sys.executable, "-c", SCRIPT, str(upload.first)]

    monkeypatch.setattr(Upload, "command", command)
    request = {"title": "x", "seconds": 5, "memory": 2**32, "most": 2**30}
    studio.library.upload_path("x.zip").write_bytes(b"")
    studio.library.jobs.submit("import", {"file": "x.zip", **request})
    ended = done(studio)
    assert ended.result["clips"] == [1, 3] and ended.result["known"] == 1 and ended.result["refused"] == 2
    assert begun == [(0, 0), (2, 10), (5, 40)] and "1.mp4" in ended.result["told"][2]
    # one that says nothing is given up, and one that dies before the first file ends the job
    monkeypatch.setattr(worker, "PATIENCE", 0.5)
    for script, seconds in (("import time; time.sleep(60)", 0), ("import os; os._exit(9)", 5)):
        monkeypatch.setattr(Upload, "command", lambda upload, script=script: [sys.executable, "-c", script])
        studio.library.upload_path("y.zip").write_bytes(b"")
        studio.library.jobs.submit("import", {"file": "y.zip", **request, "seconds": seconds})
        ended = done(studio)
        assert ended.state == "failed" and "too much time or memory" in ended.message and not waiting(studio)


def test_an_import_that_is_given_up_leaves_nothing(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    content = zipped(tmp_path, 1)
    job = client.post("/api/uploads?name=x.zip", content=content).json()["job"]
    assert len(waiting(studio)) == 1
    assert client.post(f"/api/jobs/{job}/cancel").json()["state"] == "cancelled" and not waiting(studio)
    client.post("/api/uploads?name=x.zip", content=content)
    running = studio.library.jobs.claim("worker")
    assert running is not None
    client.post(f"/api/jobs/{running.id}/cancel")
    assert len(waiting(studio)) == 1, "its worker does that"
    assert Worker(studio.library, studio.catalog).do(running).state == "cancelled" and not waiting(studio)


def test_uploads_have_limits_of_their_kind(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    assert client.post("/api/uploads?name=x.mp4", content=bytes(100_001)).status_code == 413
    assert client.post("/api/uploads?name=x.zip", content=bytes(100_001)).status_code == 422, (
        "no zip file, but no limit"
    )
    assert client.post("/api/uploads?name=x.zip", content=zipped(tmp_path, 1)).status_code == 200
    path = waiting(studio)[0]
    path.unlink()
    ended = done(studio)
    assert ended.state == "failed" and "upload it again" in ended.message


def test_a_full_disk_is_told(client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from footage.studio.routes import clips

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(clips, "open", full, raising=False)
    answer = client.post("/api/uploads?name=x.zip", content=b"x")
    assert answer.status_code == 507 and "disk is full" in answer.json()["problem"]
