"""Jobs of the studio that are commands of footage: a folder becomes a data set, a model, a report."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from starlette.testclient import TestClient

from footage.config import differences
from footage.config.presets import preset, tiny
from footage.library.library import Library
from footage.studio.catalog import Catalog
from footage.studio.command_jobs import FollowedCommand
from footage.studio.routes.jobs import report_name
from footage.studio.security import Keys
from footage.studio.state import Studio
from footage.training.run_folder import RunFolder, read_status
from tests.clips import moving, write
from tests.studios import client_of, work_off

TINY = preset("stream-32")
KNOBS = {name: value for name, (_, value) in differences(TINY, tiny(TINY)).items() if value is not None}
KNOBS |= {"clip.frames": 8, "train.sample_minutes": 0.0, "train.threads": 1}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    for number in range(6):
        write(folder / "videos" / f"{number}.mp4", moving(24, seed=number))
    (folder / "elsewhere").mkdir()
    (folder / "models").mkdir()
    sources = [folder / "videos"]
    made = Studio(Library(folder / "library"), Catalog(folder / "models"), Keys(), sources=sources)
    made.worker.close()  # what is queued stays, until a test does it
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return client_of(studio)


@pytest.fixture(scope="module")
def dataset(studio: Studio) -> str:
    """The name of a data set that was made by a job."""
    client = client_of(studio)
    sizes = {"size": "32x32", "min_frames": 8}
    form = {"sources": [str(studio.sources[0])], "name": "moving", "options": sizes, "advise": False}
    answer = client.post("/api/jobs/ingest", json=form)
    assert answer.status_code == 200, answer.text
    again = client.post("/api/jobs/ingest", json=form)
    assert again.status_code == 400 and "waits or runs already" in again.text
    job = work_off(studio, "ingest")
    assert job.result == {"dataset": "data/moving", "report": "data/moving/audit.html"}
    (entry,) = client.get("/api/datasets").json()
    assert (entry["name"], entry["clips"], entry["width"]) == ("data/moving", 6, 32) and entry["audit"]
    return "data/moving"


@pytest.mark.nightly
def test_a_folder_becomes_a_data_set_a_model_and_a_report(studio: Studio, client: TestClient, dataset: str) -> None:
    form = {"data": dataset, "run": "first", "preset": "stream-32", "knobs": KNOBS, "clips": 10**9, "device": "cpu"}
    assert client.post("/api/jobs/train", json=form).status_code == 200
    run = RunFolder(studio.catalog.folder / "runs" / "first")

    def stop() -> None:
        """Look at the run as the page does once it goes, then stop it."""
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            status = read_status(run)
            if status is not None and status.clips > 8:
                break
            time.sleep(0.1)
        studio.catalog.refresh()
        (entry,) = client.get("/api/runs").json()
        seen.append(entry)
        answer = client.post("/api/runs/stop", params={"run": "runs/first"})
        seen.append(answer.status_code)

    seen: list[object] = []
    stopping = threading.Thread(target=stop)
    stopping.start()
    job = work_off(studio, "train")
    stopping.join()
    entry, answered = seen
    assert answered == 200 and isinstance(entry, dict) and entry["status"]["state"] == "running"
    assert entry["status"]["target_clips"] == 10**9 and entry["status"]["device"] == "cpu"
    assert job.result["ended"] == "interrupted" and job.result["seen"] > 8
    status = read_status(run)
    assert status is not None and not status.running and run.state.exists()
    refused = client.post("/api/runs/stop", params={"run": "runs/first"})
    assert refused.status_code == 400 and "not being trained" in refused.text

    more = job.result["seen"] + 4
    assert client.post("/api/jobs/train", json={**form, "clips": more}).status_code == 200
    job = work_off(studio, "train")
    assert job.result["ended"] == "done" and job.result["seen"] >= more
    assert client.get("/api/models").json()[0]["name"] == "runs/first"

    form = {"made": ["runs/first"], "real": dataset, "options": {"metrics": "pictures", "clips": 4, "resamples": 0}}
    assert client.post("/api/jobs/evaluate", json=form).status_code == 200
    job = work_off(studio, "evaluate")
    page = client.get("/api/reports/file", params={"name": job.result["report"]})
    assert page.status_code == 200 and "sharpness" in page.text


def test_what_is_measured_before_a_training_is_said(studio: Studio, client: TestClient, dataset: str) -> None:
    form = {"data": dataset, "run": "other", "preset": "stream-32", "knobs": KNOBS, "minutes": 1, "device": "cpu"}
    assert client.post("/api/jobs/plan", json=form).status_code == 200
    plan = work_off(studio, "plan").result["plan"]
    assert plan["clips_per_second"] > 0 and plan["memory_gib"] > 0 and plan["batch_size"] == 2
    assert not (studio.catalog.folder / "runs" / "other").exists()


@pytest.mark.parametrize(
    ("address", "form", "problem"),
    [
        ("ingest", {"sources": ["/etc"], "name": "x"}, "outside the folders of this studio"),
        ("ingest", {"sources": ["VIDEOS/../elsewhere"], "name": "x"}, "outside the folders of this studio"),
        ("ingest", {"sources": ["VIDEOS/none"], "name": "x"}, "does not exist"),
        ("ingest", {"sources": ["VIDEOS"], "name": "x", "options": {"width": 3}}, "width is 3"),
        ("ingest", {"sources": ["VIDEOS"], "name": "x", "options": {"workers": 9}}, 'has no \\"workers\\"'),
        ("ingest", {"sources": ["VIDEOS"], "name": "x", "options": {"labels": "/etc/passwd"}}, "outside the folders"),
        ("train", {"data": "data/none", "run": "x"}, "there is no data set"),
        ("train", {"data": "shapes", "run": "x", "preset": "stream-46"}, "stream-64"),
        ("train", {"data": "shapes", "run": "x", "preset": "stream-32", "knobs": {"gan.lrr": 1}}, "gan.lr"),
        ("train", {"data": "shapes", "run": "x", "device": "cuda:77"}, "there is no device"),
        ("evaluate", {"made": ["runs/none"], "real": "shapes"}, "there is no data set"),
        ("evaluate", {"made": ["shapes"], "real": "shapes", "options": {"weights": "/etc"}}, 'has no \\"weights\\"'),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    studio: Studio, client: TestClient, address: str, form: dict[str, object], problem: str
) -> None:
    videos = str(studio.sources[0])
    if "sources" in form:
        form = {**form, "sources": [str(path).replace("VIDEOS", videos) for path in form["sources"]]}  # type: ignore
    answer = client.post(f"/api/jobs/{address}", json=form)
    assert answer.status_code == 400 and problem in answer.text, answer.text
    assert client.post("/api/jobs/train", json={"data": "shapes", "run": "../x"}).status_code == 422


def test_a_command_ends_when_nobody_follows_it_and_says_its_errors(tmp_path: Path) -> None:
    said: list[dict[str, object]] = []
    command = FollowedCommand(["ingest", str(tmp_path / "none"), "--to", str(tmp_path / "data")])
    if os.name == "posix":
        assert psutil.Process(command.process.pid).nice() >= 10
    assert command.follow(said.append) == 2
    with pytest.raises(Exception, match="does not exist"):
        command.refuse_failure()


def test_jobs_of_one_device_leave_those_of_another_alone(studio: Studio) -> None:
    jobs = studio.library.jobs
    first, second = (jobs.submit("train", {"device": device, "run": device}) for device in ("cuda:0", "cuda:1"))
    claimed = jobs.claim("worker 2", ["train"], ["cuda:1"])
    assert claimed is not None and claimed.id == second.id and jobs.claim("worker 2", ["train"], ["cuda:1"]) is None
    assert jobs.revive(0.0, ["worker 1"]) == 0 and jobs.revive(0.0, ["worker 2"]) == 1
    for job in (first, second):
        jobs.cancel(job.id)


def test_no_report_takes_the_name_of_another_or_one_that_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.studio.routes.jobs.time.strftime", lambda form: "2026-01-02 030405")
    assert report_name(["runs/a b", "other"], ()) == "2026-01-02-030405-runs-a-b-other"
    assert report_name(["."], ()) == "2026-01-02-030405", "the folder itself is a model"
    long = report_name(["模型" * 60, "模型" * 60], ())
    assert long.startswith("2026-01-02-030405-模") and 100 < len(long.encode()) <= 120
    taken = {long, f"{long}-2"}
    assert report_name(["模型" * 60], taken) == f"{long}-3"


def test_names_that_disks_do_not_take_are_refused(client: TestClient) -> None:
    for kind, name, form in (
        ("jobs/train", "run", {"data": "shapes"}),
        ("jobs/ingest", "name", {"sources": ["x"]}),
        ("sources/uploads", "name", {"files": [{"path": "a.mp4", "size": 1}]}),
    ):
        answer = client.post(f"/api/{kind}", json={**form, name: "模" * 70})
        assert answer.status_code == 400 and "has 210 bytes" in answer.text, (kind, answer.text)
        assert client.post(f"/api/{kind}", json={**form, name: "模" * 101}).status_code == 422
