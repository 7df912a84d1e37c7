"""Trainings, models and evaluations in the studio: forms that are filled, runs that go on, figures beside models."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from starlette.testclient import TestClient

import footage.pages
from footage.config import Config, differences
from footage.config.presets import PRESETS, override, preset
from footage.config.registry import USES
from footage.data.clips import BUILT_IN
from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.studio.catalog import Catalog, head_kind
from footage.studio.command_jobs import CommandJobs
from footage.studio.locales import LANGUAGES, read_locale
from footage.studio.routes.pages import seconds_left
from footage.studio.routes.training_pages import training_jobs
from footage.studio.routes.trainings import last_signs, own_device
from footage.studio.security import Keys
from footage.studio.state import Studio, same_device
from footage.studio.training_form import family, knobs, preset_choices, run_settings
from footage.training.diagnostics import GAN_REMEDIES, SUPERVISED_REMEDIES, helpful_changes
from footage.training.run_folder import DataNote, RunFolder, write_config
from tests.clips import moving, write
from tests.ingesting import ingest
from tests.models import save_tiny_model
from tests.studios import client_of

STATIC = Path(__file__).parent.parent / "src" / "footage" / "studio" / "static"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("studio")
    for number in range(2):
        write(made / "videos" / f"{number}.mp4", moving(12, (32, 32), seed=number))
    for place in (made / "models" / "data" / "moving", made / "elsewhere"):
        ingest([made / "videos"], place, height=32, width=32, min_frames=8, workers=0)
    save_tiny_model(made / "models" / "tiny", preset="stream-32")
    return made


@pytest.fixture
def studio(folder: Path, tmp_path: Path) -> Iterator[Studio]:
    made = Studio(Library(tmp_path / "library"), Catalog(folder / "models"), Keys())
    made.worker.close()
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return client_of(studio)


def save_run(folder: Path, name: str, data: Path | str, config: Config | None = None, **status: Any) -> RunFolder:
    """Write a run that has begun; with values of its status where some are given."""
    run = RunFolder(folder / "models" / "runs" / name)
    run.state.parent.mkdir(parents=True, exist_ok=True)
    write_config(run, config or preset("stream-32"), DataNote(str(data), "moving", "", ()))
    run.metrics.write_text('{"clips": 100, "generator_loss": 1.0}\n')
    if status:
        usual = {"state": "interrupted", "clips": 120, "seconds": 60.0, "part": 0.5, "clips_per_second": 2.0}
        usual |= {"memory_gib": 1.0, "target_clips": 240, "target_minutes": None, "device": "cpu"}
        usual |= {"host": socket.gethostname(), "pid": 1, "began": 0.0, "written": time.time()}
        run.status.write_text(json.dumps(usual | status))
    return run


def test_a_run_goes_on_as_it_was_asked_or_for_longer(folder: Path, studio: Studio, client: TestClient) -> None:
    save_run(folder, "stopped", folder / "models" / "data" / "moving", state="interrupted")
    studio.catalog.refresh()

    def go_on(**form: Any) -> dict[str, Any]:
        answer = client.post("/api/runs/continue", params={"run": "runs/stopped"}, json=form)
        assert answer.status_code == 200, answer.text
        studio.library.jobs.cancel(answer.json()["id"])
        request: dict[str, Any] = answer.json()["request"]
        return request

    same = go_on()
    assert (same["run"], same["data"], same["clips"], same["minutes"]) == ("runs/stopped", "data/moving", 240, None)
    assert go_on(clips=50)["clips"] == 170 and go_on(clips=50)["minutes"] is None
    assert go_on(minutes=3)["minutes"] == pytest.approx(4.0) and go_on(minutes=3, device="cpu")["device"] == "cpu"
    client.post("/api/runs/continue", params={"run": "runs/stopped"}, json={})
    again = client.post("/api/runs/continue", params={"run": "runs/stopped"}, json={})
    assert again.status_code == 400 and "waits or runs already" in again.text


def test_a_run_goes_on_where_it_was_trained_and_those_of_one_device_wait_for_each_other(
    folder: Path, studio: Studio, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ["cpu", "cuda:0", "cuda:1"]
    for module in ("state", "routes.jobs", "routes.trainings", "routes.training_pages"):
        monkeypatch.setattr(f"footage.studio.{module}.devices", lambda: there)
    for name, device in (("on-cpu", "cpu"), ("on-gpu", "cuda:0")):
        save_run(folder, name, folder / "models" / "data" / "moving", device=device)
    studio.catalog.refresh()

    def go_on(name: str, **form: Any) -> BackgroundJob:
        answer = client.post("/api/runs/continue", params={"run": f"runs/{name}"}, json=form)
        assert answer.status_code == 200, answer.text
        return studio.library.jobs.get(answer.json()["id"])

    def device_of(name: str, **form: Any) -> str:
        job = go_on(name, **form)
        studio.library.jobs.cancel(job.id)
        return str(job.request["device"])

    assert (device_of("on-cpu"), device_of("on-gpu")) == ("cpu", "auto"), "by its status, where no job is known"
    assert device_of("on-gpu", device="cuda:1") == "cuda:1" == device_of("on-gpu"), "else by its last job"
    there.pop()
    assert device_of("on-gpu") == "auto", "which is not there any more"
    assert same_device("auto") == same_device("cuda") == same_device("cuda:0") == ("auto", "cuda", "cuda:0")
    assert same_device("cpu") == ("cpu",)
    first = go_on("on-gpu", device="cuda:0")
    second = client.post("/api/jobs/train", json={"data": "shapes", "run": "more", "device": "auto"}).json()
    places = {job.id: place for job, place in training_jobs(studio)}
    assert (places[first.id], places[second["id"]]) == (0, 1), "one begins in a moment, one waits for it"
    there.pop()
    assert same_device("auto") == same_device("cpu") == ("auto", "cuda", "cpu")
    assert (
        f'value="{own_device(studio, studio.catalog.runs()[0])}" selected'
        in client.get("/training/run", params={"name": studio.catalog.runs()[0].name}).text
    )


def test_what_is_set_is_a_knob_whatever_the_preset(client: TestClient, studio: Studio) -> None:
    form = {"data": "data/moving", "run": "x", "minutes": 1}
    for more in ({}, {"preset": "stream-32"}):
        for name in ("out", "guide", "begin_with", "evaluator", "preset", "gan.lrr", "out=/tmp/x.y", "critics.².width"):
            answer = client.post("/api/jobs/train", json={**form, **more, "knobs": {name: "/elsewhere"}})
            assert answer.status_code == 400 and "there is no knob" in answer.text, (name, answer.text)
    folder = client.post("/api/jobs/train", json={**form, "knobs": {"text.encoder": "clip:/etc"}})
    assert folder.status_code == 400 and "folders are for the command line" in folder.text
    answer = client.post("/api/jobs/train", json={**form, "knobs": {"gan.lr": 1e-4, "train.device": "cpu"}})
    commands = CommandJobs(studio.catalog, lambda *_: None)
    words = commands._training(answer.json()["request"] | {"knobs": {"out": "/elsewhere", "train.device": "cuda"}})
    assert words[words.index("--out") + 1] == str(studio.catalog.folder.resolve() / "runs" / "x")
    assert "/elsewhere" not in words and "--train.device" not in words


def test_a_training_says_itself_how_long_it_goes_on_and_phases_do_not(folder: Path, studio: Studio) -> None:
    process = psutil.Process()
    going = {
        "pid": process.pid,
        "began": process.create_time(),
        "seconds": 900.0,
        "clips": 180,
        "clips_per_second": 2.0,
    }
    save_run(folder, "going", "shapes", state="running", **going)
    studio.catalog.refresh()
    jobs = studio.library.jobs
    for kind, request in (("train", {"run": "runs/going", "device": "cpu"}), ("ingest", {"to": "x"}), ("embed", {})):
        job = jobs.submit(kind, request)
        jobs.claim("worker", [kind])
        jobs.report(job.id, 0.75)
    with studio.library._database.write() as connection:
        connection.execute("UPDATE jobs SET started = started - 30")
    embed, ingest_, train = jobs.all("running")
    assert seconds_left(studio, train) == 30.0, "60 clips at 2 a second"
    assert seconds_left(studio, ingest_) is None and 10 <= (seconds_left(studio, embed) or 0) < 20


def test_a_run_that_cannot_go_on_says_why(folder: Path, studio: Studio, client: TestClient) -> None:
    process, data = psutil.Process(), folder / "models" / "data" / "moving"
    save_run(folder, "busy", data, state="running", pid=process.pid, began=process.create_time())
    save_run(folder, "ended", data, state="done", part=1.0)
    save_run(folder, "old", data)
    save_run(folder, "far", folder / "elsewhere", state="interrupted")
    studio.catalog.refresh()
    for name, form, problem in (
        ("busy", {}, "being trained already"),
        ("ended", {}, "at its end"),
        ("old", {"minutes": 3}, "not known how many minutes"),
        ("far", {}, "outside the folders"),
        ("far", {"device": "cuda:77"}, "no device"),
    ):
        answer = client.post("/api/runs/continue", params={"run": f"runs/{name}"}, json=form)
        assert answer.status_code == 400 and problem in answer.text, (name, answer.text)
    assert client.post("/api/runs/continue", params={"run": "../x"}, json={}).status_code == 404
    assert client.post("/api/runs/continue", params={"run": "runs/ended"}, json={"clips": 5}).status_code == 200
    page = client.get("/training").text
    assert (
        '<span class="run-state running">Being trained' in page
        and "/api/runs/stop?run=runs/busy" in page
        and '<span class="run-state starting">Starting' in page
    )


def test_a_run_is_seen_before_its_first_figures(folder: Path, studio: Studio, client: TestClient) -> None:
    run = save_run(folder, "young", "shapes", state="interrupted")
    run.metrics.unlink()
    studio.catalog.refresh()
    (entry,) = [entry for entry in studio.catalog.runs() if entry.name == "runs/young"]
    assert entry.clips == 120 and not entry.damaged
    assert 'interrupted">Stopped' in client.get("/training/run", params={"name": "runs/young"}).text


def test_the_form_is_filled_with_what_a_run_was_asked_for(folder: Path, studio: Studio, client: TestClient) -> None:
    config = override(preset("stream-32"), {"gan.lr": 1e-4, "train.batch_size": 4, "augment.flip": True})
    critics = (*config.critics, dataclasses.replace(config.critics[0], weight=0.5))
    save_run(folder, "changed", "shapes", dataclasses.replace(config, critics=critics))
    studio.catalog.refresh()
    settings = run_settings("changed", studio.catalog.config("runs/changed"))
    assert settings.preset == "stream-32" and settings.data == "shapes"
    assert settings.knobs == {"gan.lr": 1e-4, "train.batch_size": 4, "augment.flip": True}
    assert "critics.2.weight" in settings.kept_back and override(preset("stream-32"), dict(settings.knobs)) == config
    query = {"from": "runs/changed", "knob": ["gan.lr:5e-05", "augment.flip:false"]}
    page = client.get("/training/new", params=query).text
    filled = json.loads(re.search(r"data-knobs='(.*?)'", page)[1])  # type: ignore[index]
    assert filled == {"gan.lr": 5e-05, "train.batch_size": 4, "augment.flip": False}
    assert "critics.2.net" in page and client.get("/training/new", params={"from": "none"}).status_code == 404


def test_every_built_in_data_set_has_its_text(client: TestClient) -> None:
    for language in LANGUAGES:
        page = client.get("/training/new", headers={"accept-language": language})
        assert page.status_code == 200 and all(f'<option value="{name}"' in page.text for name in BUILT_IN)


def test_every_preset_is_chosen_by_a_picture_and_what_suits_comes_first() -> None:
    pictures = set(re.findall(r'id="(\w+)"', (STATIC / "families.svg").read_text()))
    texts = read_locale("en").texts
    choices = preset_choices(32, 32)
    assert {choice.name for choice in choices} == set(PRESETS) and {choice.family for choice in choices} == pictures
    assert choices[0].name == "stream-32" and choices[1].suits and not choices[-1].suits
    assert preset_choices(384, 512)[0].name == "stream-512"
    assert all(f"does_{method}" in texts for method in USES)
    assert family(preset("animate-64")) == "animate" and family(preset("spade-64")) == "translate"


def test_every_knob_of_the_form_is_one_of_the_configuration() -> None:
    config = preset("vae-gan-64")
    listed = knobs(config)
    for knob in listed:
        assert override(config, {knob.name: knob.value}) == config and knob.help, knob
        assert knob.kind != "choice" or str(knob.value) in knob.choices
    assert {knob.section for knob in listed} >= {"train", "gan", "learn", "net", "kl", "critics.1"}
    assert not {knob.section for knob in knobs(preset("simvp-64"))} & {"gan", "critics.0", "kl"}


def test_the_knobs_that_the_form_changes_are_those_of_the_remedies() -> None:
    texts = read_locale("en").texts
    for name in ("stream-32", "conv3d-64", "vae-gan-64", "simvp-64"):
        config = override(preset(name), {"train.batch_size": 8})
        for kind in GAN_REMEDIES if config.method == "gan" else SUPERVISED_REMEDIES:
            remedies = helpful_changes(kind, config)
            assert remedies, (name, kind)
            for remedy in remedies:
                assert f"remedy_{remedy.name}" in texts
                assert set(differences(config, override(config, remedy.knobs))) <= set(remedy.knobs), remedy
    assert helpful_changes("grey", preset("stream-32"))[0].knobs == {"gan.lr": 1.5e-4}


def test_signs_come_with_what_helps(folder: Path, studio: Studio, client: TestClient) -> None:
    rows = [{"clips": 9000.0, "frames_real": 12.0, "frames_fake": -1.0}, {"clips": 9000.0, "motion_ratio": 0.1}]
    kinds = {sign["kind"]: sign for sign in last_signs(rows, preset("stream-32"))}
    assert set(kinds) == {"frozen", "critic won"} and [sign["kind"] for sign in last_signs(rows)] == ["frozen"]
    run = save_run(folder, "ill", "shapes", state="interrupted")
    run.metrics.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    studio.catalog.refresh()
    page = client.get("/training/run", params={"name": "runs/ill"}).text
    assert "knob=gan.critic_lr:0.00015" in page and '<span class="sub">a data set of fewer frames' in page


def test_reports_of_any_name_are_found_by_their_heads(tmp_path: Path) -> None:
    templates = Path(footage.pages.__file__).parent / "templates"
    for kind in ("audit", "report", "privacy", "reaction"):
        assert f"{{% block kind %}}{kind}{{% endblock %}}" in (templates / f"{kind}.html").read_text(encoding="utf-8")
    head = (templates / "base.html").read_text(encoding="utf-8").partition("<title>")[0]
    assert "{% include" not in head and len(head) < 512
    written = head.replace("{% block kind %}{% endblock %}", "report")
    (tmp_path / "cmp.html").write_text(written)
    (tmp_path / "mine.html").write_text("<html><head><title>Mine</title>")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "audit.html").write_text("<p>by an older version")
    (tmp_path / "linked.html").symlink_to(tmp_path / "cmp.html")
    found = {entry.name: entry.kind for entry in Catalog(tmp_path).reports()}
    assert found == {"cmp.html": "report", "old/audit.html": "audit"}
    before = head_kind.cache_info().misses
    (tmp_path / "mine.html").chmod(0o644)
    assert {entry.name for entry in Catalog(tmp_path).reports()} == set(found)
    assert head_kind.cache_info().misses == before, "heads are read once"
    (tmp_path / "mine.html").write_text(head.replace("{% block kind %}{% endblock %}", "privacy"))
    (tmp_path / "cmp.html").write_text("<html><head><title>Mine now, and longer</title>")
    found = {entry.name: entry.kind for entry in Catalog(tmp_path).reports()}
    assert found == {"mine.html": "privacy", "old/audit.html": "audit"}
    assert head_kind.cache_info().misses == before + 2, "what is written anew is read again"


def report_of(model: Path, weights: str, **figures: float) -> dict[str, Any]:
    """Return the part of report.json that figures beside models are read from."""
    measured = [
        {"metric": "pictures", "name": "sharpness_ratio", "value": figures["sharpness"], "floor": None, "label": "s"},
        {"metric": "fvd", "name": "frechet", "value": 6.0, "floor": {"value": 2.0}, "label": "RFD-rand"},
        {"metric": "fid", "name": "frechet", "value": 9.0, "floor": {"value": 1.0}, "label": "other"},
    ]
    spaces = [{"below": 0.1, "below_real": 0.05}, {"below": 0.3, "below_real": 0.0}]
    made = {"given": str(model), "digest": weights, "kind": "model", "name": "tiny", "clips_seen": 7}
    real = {"given": "x", "name": "moving"}
    evaluation = {"made": made, "real": real, "figures": measured, "memorisation": {"spaces": spaces}}
    return {"entries": [{"evaluation": evaluation}]}


def test_models_are_listed_with_the_figures_of_their_weights(folder: Path, studio: Studio, client: TestClient) -> None:
    model, reports = folder / "models" / "tiny", folder / "models" / "reports"
    (weights,) = [entry.weights for entry in studio.catalog.models() if entry.name == "tiny"]

    def report(name: str, value: object, when: float) -> None:
        (reports / name).mkdir(parents=True, exist_ok=True)
        (reports / name / "report.html").write_text("<p>")
        (reports / name / "report.json").write_text(json.dumps(value))
        for ending in ("html", "json"):
            os.utime(reports / name / f"report.{ending}", (when, when))
        studio.catalog.refresh()

    def listed() -> dict[str, Any]:
        (entry,) = [entry for entry in client.get("/api/models").json() if entry["name"] == "tiny"]
        figures: dict[str, Any] = entry["figures"]
        return figures

    assert listed() is None
    (reports / "before").mkdir(parents=True)
    (reports / "before" / "report.html").write_text("<p>")  # it stands there before its figures do
    os.utime(reports / "before" / "report.html", (1000.0, 1000.0))
    studio.catalog.refresh()
    assert listed() is None
    report("before", report_of(model.resolve(), "ab" * 32, sharpness=0.4), 1000.0)
    assert listed()["sharpness"] == 0.4 and "of older weights, after 7 clips" in client.get("/models").text
    report("now", report_of(Path("elsewhere"), weights, sharpness=0.8), 900.0)
    found = listed()
    assert (found["sharpness"], found["distance"], found["near_copies"]) == (0.8, 3.0, 0.3)
    assert found["report"] == "reports/now/report.html" and found["distance_label"] == "RFD-rand"
    page = client.get("/models").text
    assert "of older weights, after 7" not in page and "Distance 3 × real" in page and "Near-copies 30 %" in page
    report("now", {"entries": [{"evaluation": []}]}, 1100.0)  # written anew, and damaged
    assert listed()["sharpness"] == 0.4, "a report that cannot be read costs no other"
    (folder / "models" / "broken").mkdir()
    (folder / "models" / "broken" / "model.json").write_text("{")
    of_data = report_of(folder / "clips", "", sharpness=0.9)
    of_data["entries"][0]["evaluation"]["made"]["kind"] = "dataset"
    report("clips", of_data, 1200.0)
    (broken,) = [entry for entry in client.get("/api/models").json() if entry["name"] == "broken"]
    assert broken["damaged"] and broken["figures"] is None, "a data set's are no model's"


def test_what_was_measured_is_said_in_words(studio: Studio, client: TestClient) -> None:
    jobs = studio.library.jobs
    job = jobs.submit("plan", {"clips": 600, "minutes": None, "device": "cpu"})
    assert "every" not in client.get("/parts/plan", params={"job": job.id}).text
    jobs.claim("worker", ["plan"])
    measured = {"clips_per_second": 2.0, "memory_gib": 1.0, "memory_free_gib": 3.0, "preset": "stream-32"}
    jobs.finish(job.id, {"plan": measured | {"batch_size": 8, "weights": 5, "usable": 1, "total": 2, "labels": []}})
    page = client.get("/parts/plan", params={"job": job.id}).text
    assert "about 5 minutes, 600 clips" in page and "it fits: 3.0 GiB are free" in page
    assert client.get("/parts/plan", params={"job": 99}).status_code == 404


def test_the_form_of_an_evaluation_knows_the_data_of_its_model(client: TestClient) -> None:
    page = client.get("/evaluate", params={"made": "stream-shapes"}).text
    assert re.search(r'<option value="shapes" selected>', page)
    assert (
        re.search(r'value="stream-shapes" data-origin="shapes" selected', page)
        and '<optgroup label="To enlarge">' in page
    )
