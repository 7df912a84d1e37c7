"""The studio says whether a clip is ours and what a model tells of its clips, and erases sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from footage.config import IngestConfig
from footage.data.ingest.pipeline import ingest
from footage.data.store import Dataset
from footage.library.additions import ClipDetails, Parent
from footage.library.library import Library
from footage.library.provenance import ModelCard
from footage.library.query import ClipQuery
from footage.studio.app import Address, Server
from footage.studio.catalog import Catalog
from footage.studio.command_jobs import CommandJobs, FollowedCommand
from footage.studio.security import Keys
from footage.studio.state import Studio
from tests.clips import moving, write
from tests.libraries import save_clip
from tests.models import save_tiny_model
from tests.streams import save_tiny_stream
from tests.studios import client_of, opened_page, work_off

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SECRET = "confidential-meeting"
SOURCE = f"videos/{SECRET}.mp4"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A library with one of three files, and with what was made of it; their data set; models."""
    for seed, name in enumerate([SECRET, "walk", "run"]):
        write(tmp_path / "videos" / f"{name}.mp4", moving(25, (32, 32), seed))
    models = tmp_path / "models"
    data = ingest([tmp_path / "videos"], models / "data", IngestConfig(size="32x32", heldout=0.0, workers=0)).dataset
    with Library(tmp_path / "library") as library:
        first = library.add(tmp_path / "videos" / f"{SECRET}.mp4", ClipDetails(title=SECRET))
        child = ClipDetails(title="made of it", parents=(Parent(first.digest, first.title, "trimmed"),))
        library.add(write(tmp_path / "part.mp4", moving(9, (32, 32), 9)), child)
        library.add(tmp_path / "videos" / "run.mp4", ClipDetails(title="run"))
        library.register(ModelCard("2" * 64, "gone", dataset="data", dataset_digest=data.info.content_hash))
    save_tiny_stream(models / "tiny", ("walk", "run"))
    made = Studio(Library(tmp_path / "library"), Catalog(models), Keys(), sources=[tmp_path / "videos"])
    made.worker.close()  # what is queued stays, until a test does it
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return client_of(studio)


def test_what_would_go_is_said_before_and_the_name_is_typed(studio: Studio, client: TestClient) -> None:
    asked = {"name": "data", "source": SOURCE}
    foreseen = client.get("/api/datasets/erasure", params=asked).json()
    assert foreseen == {"sources": [SOURCE], "clips": 1, "library": 2, "models": ["gone has seen it"]}
    part = client.get("/parts/erasure", params=asked).text
    assert SOURCE in part and "gone has seen it" in part and 'name="typed"' in part
    page = client.get("/data/audit", params={"name": "data"}).text
    assert f'value="{SOURCE}"' in page and f"footage lock {studio.catalog.place('data')}" in page
    nobody = client.get("/parts/erasure", params={"name": "data", "source": "nobody.mp4"})
    assert "has no source" in nobody.text and 'name="typed"' not in nobody.text
    assert "remove the whole folder" in client.get("/parts/erasure", params={"name": "data", "source": "videos"}).text
    form = {"dataset": "data", "source": SOURCE, "typed": "something else"}
    refused = client.post("/api/jobs/erase", json=form)
    assert refused.status_code == 400 and "not the source's name" in refused.text
    assert studio.library.jobs.all() == [] and len(Dataset(studio.catalog.place("data")).rows) == 3
    job = client.post("/api/jobs/erase", json=form | {"typed": SOURCE}).json()
    assert SECRET not in str(job), "what stays in the library does not name what is erased"


@pytest.mark.nightly
def test_a_source_is_erased_and_its_name_is_nowhere(studio: Studio, client: TestClient, tmp_path: Path) -> None:
    form = {"dataset": "data", "source": SOURCE, "typed": SOURCE}
    assert client.post("/api/jobs/erase", json=form).status_code == 200
    job = work_off(studio, "erase")
    assert job.result == {"erased": 3, "models": ["gone has seen it"]}
    assert "3 clips erased" in client.get("/parts/jobs").text
    assert len(Dataset(studio.catalog.place("data")).rows) == 2 and studio.library.count(ClipQuery()) == 1
    found = [
        path
        for place in (tmp_path / "library", tmp_path / "models")
        for path in place.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert not found


@pytest.mark.nightly
def test_a_copy_of_a_generated_clip_is_found(studio: Studio, client: TestClient, tmp_path: Path) -> None:
    made = studio.library.add(save_clip(tmp_path / "made.mp4", 5, frames=50, side=64, seed=7))
    assert client.post(f"/api/clips/{made.id}/origin").status_code == 200
    assert "is being looked at" in client.get("/parts/origin", params={"clip": made.id}).text
    found = work_off(studio, "detect").result or {}
    assert (found["how"], found["model"], found["clip"]) == ("library", "tiny", made.id)
    part = client.get("/parts/origin", params={"clip": made.id}).text
    assert "knows it as a clip that tiny made" in part and f"/api/clips/{made.id}/origin" in part
    assert client.post("/api/clips/3/origin").status_code == 200
    assert (work_off(studio, "detect").result or {})["how"] == "nothing"
    assert "does not say that it was filmed" in client.get("/parts/origin", params={"clip": 3}).text
    assert client.post("/api/clips/99/origin").status_code == 404


def test_each_finding_is_said_in_words(studio: Studio, client: TestClient) -> None:
    for told, words in (
        ({"how": "mark", "model": "tiny", "clip": None, "false_alarm": 1e-6}, "by the model tiny"),
        ({"how": "mark", "model": "", "clip": None, "false_alarm": 1e-6}, "it bears the invisible mark"),
        ({"how": "library", "model": "tiny", "clip": 2, "false_alarm": None}, 'href="/clip/2"'),
        ({"how": "classifier", "model": "tiny", "clip": None, "false_alarm": 0.125}, "12.5% of real clips"),
        ({"how": "nothing", "model": "", "clip": None, "false_alarm": None}, "does not say that it was filmed"),
    ):
        studio.library.jobs.submit("detect", {"clips": [1], "title": "x"})
        job = studio.library.jobs.claim("worker", ["detect"])
        assert job is not None
        studio.library.jobs.finish(job.id, told)
        for address in ("/parts/origin?clip=1", "/parts/jobs"):
            assert words in client.get(address).text, (address, told)


def test_a_detector_that_found_nothing_is_no_fault(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statuses 3 and 4 of `footage detect` are answers; detectors of the models' folder are asked."""
    (studio.catalog.folder / "detectors").mkdir()
    (studio.catalog.folder / "detectors" / "a.safetensors").touch()
    asked: list[list[str]] = []

    def answering(status: int) -> Any:
        def begin(command: FollowedCommand, words: list[str], device: str = "auto") -> None:
            asked.append([*words])
            command.lines, command.said = ["a warning", '{"findings": {"a.mp4": {"how": "nothing"}}}'], {}  # type: ignore[assignment]
            command.process = type("Ended", (), {"returncode": status})()

        return begin

    monkeypatch.setattr(FollowedCommand, "follow", lambda command, watch: 0)
    commands = CommandJobs(studio.catalog, lambda *_: None)
    job = studio.library.jobs.submit("detect", {"clips": [1]})
    for status in (0, 3, 4):
        monkeypatch.setattr(FollowedCommand, "__init__", answering(status))
        assert commands.detect(job, studio.library) == {"how": "nothing"}
    assert asked[0][-2:] == ["--detector", str(studio.catalog.folder.resolve() / "detectors" / "a.safetensors")]
    monkeypatch.setattr(FollowedCommand, "__init__", answering(2))
    with pytest.raises(Exception, match="findings"):
        commands.detect(job, studio.library)


@pytest.mark.nightly
def test_what_a_model_tells_becomes_a_report_that_is_shown(studio: Studio, client: TestClient, tmp_path: Path) -> None:
    for seed in range(6):
        write(tmp_path / "more" / f"{seed}.mp4", moving(25, (32, 32), 20 + seed))
    ingest([tmp_path / "more"], tmp_path / "models" / "more", IngestConfig(size="32x32", heldout=0.5, workers=0))
    studio.catalog.refresh()
    assert client.post("/api/jobs/privacy", json={"model": "tiny", "data": "more", "clips": 16}).status_code == 200
    report = (work_off(studio, "privacy").result or {})["report"]
    assert report.endswith("/privacy.html")
    assert "sandbox" in client.get("/reports/view", params={"name": report}).text
    assert "<html" in client.get("/api/reports/file", params={"name": report}).text
    listed = client.get("/reports").text
    assert report in listed and "What a model tells of its training clips" in listed


def test_what_cannot_be_asked_is_refused(studio: Studio, client: TestClient) -> None:
    save_tiny_model(
        studio.catalog.folder / "speaker", (), preset="talk-64", clip__frames=5, clip__height=16, clip__width=16
    )
    studio.catalog.refresh()
    for form, words in (
        ({"model": "nobody", "data": "data"}, "there is no model"),
        ({"model": "speaker", "data": "data"}, "cannot generate"),
        ({"model": "tiny", "data": "nothing"}, "there is no data set"),
    ):
        refused = client.post("/api/jobs/privacy", json=form)
        assert refused.status_code == 400 and words in refused.text, refused.text
    assert client.post("/api/jobs/privacy", json={"model": "tiny", "data": "data", "clips": 1}).status_code == 422


def test_a_source_is_erased_by_keyboard(browser: Browser, studio: Studio, tmp_path: Path) -> None:
    """From the audit's page to the queue; axe finds nothing wrong with what is shown before."""
    from axe_playwright_python.base import AXE_SCRIPT

    server = Server(studio.library.folder, studio.catalog.folder, Address(port=0))
    server.studio.worker.close()
    server.start()
    try:
        with opened_page(browser, server.address) as page:
            page.goto("/data/audit?name=data")
            page.focus("#erase [name=source]")
            page.keyboard.type(SOURCE)
            page.keyboard.press("Enter")
            page.wait_for_selector("#erasure [name=typed]")
            page.evaluate(AXE_SCRIPT)
            found = page.evaluate("() => axe.run(document.getElementById('erase'), {resultTypes: ['violations']})")
            assert found["violations"] == []
            for _ in range(9):
                page.keyboard.press("Tab")
                if page.evaluate("document.activeElement?.name") == "typed":
                    break
            page.keyboard.type(SOURCE)
            page.keyboard.press("Enter")
            page.wait_for_selector("#erase .job")
        (job,) = studio.library.jobs.all()
        assert job.kind == "erase" and job.state == "queued"
    finally:
        server.stop()
