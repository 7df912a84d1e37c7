"""A models folder full of what is damaged or hostile: each entry is marked, none costs another, no page is a fault."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from footage.errors import ModelError
from footage.library.additions import ClipDetails
from footage.library.library import Library
from footage.models.card import read_info
from footage.studio.app import application
from footage.studio.catalog import Catalog
from footage.studio.locales import read_locale
from footage.studio.security import Keys, Limits
from footage.studio.state import Studio
from tests import hostile
from tests.clips import moving, write

SHIPPED = ("lens-8", "stream-digits", "stream-shapes", "stream-signs", "upscale-x4", "upscale-x4-fast")
HTML = {"accept": "text/html"}
NAMELESS = "no-unicode-\ufffd"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("hostile")
    hostile.save_all(folder / "all")
    made = Studio(Library(folder / "library"), Catalog(folder / "all"), Keys(), Limits(job_frames=1000))
    made.worker.close()
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(studio: Studio) -> TestClient:
    client = TestClient(application(studio), base_url="http://127.0.0.1", raise_server_exceptions=False)
    client.headers["x-csrf-token"] = studio.keys.csrf
    return client


def rows(client: TestClient, kind: str) -> dict[str, str]:
    """Return what is wrong with each entry of a kind, by its name."""
    return {row["name"]: row["damaged"] for row in client.get(f"/api/{kind}").json()}


def test_each_damaged_model_is_marked_and_costs_no_other(client: TestClient, studio: Studio) -> None:
    found = rows(client, "models")
    folders = {
        f"models/{os.fsencode(path.name).decode(errors='replace')}"
        for path in (studio.catalog.folder / "models").iterdir()
    }
    assert found.keys() == folders | set(SHIPPED) and len(found) > 90
    whole = {name for name, damage in found.items() if not damage}
    # no harm is in a name of one's own
    assert whole == {f"models/{hostile.GOOD}", f"models/{NAMELESS}", *SHIPPED}
    assert "finite" in found["models/card fps nan"] and "fps is 0" in found["models/card fps 0"]
    assert found["models/linked"] == found["models/linked"] and "link" in found["models/linked"]
    assert "missing" in found["models/card gone"] and "not a file of the folder" in found["models/card outside"]
    assert client.get("/live?model=models/card+fps+0&seed=1e999&sliders=x&fps=NaN", headers=HTML).status_code == 200
    page = client.get("/generate?model=models/pipe&seed=1e999&seconds=NaN&count=x", headers=HTML).text
    for name in whole:
        assert f'<option value="{name}"' in page or name in ("lens-8", "upscale-x4", "upscale-x4-fast")
    assert all(f"<b>{name}</b>" in page.replace("&#39;", "'") for name in found.keys() - whole)


def test_a_damaged_model_makes_nothing_and_says_why(client: TestClient) -> None:
    for name in ("models/card fps 0", "models/card fps nan", "models/linked", "models/file deep"):
        for address, more in (("jobs/generate", {}), ("jobs/between", {"a": 1, "b": 2})):
            answer = client.post(f"/api/{address}", json={"model": name, **more})
            assert answer.status_code == 400 and answer.json()["remedy"], name
        assert client.post("/api/live", json={"model": name}).status_code == 400
    assert client.post("/api/jobs/generate", json={"model": "models/good", "frames": 2}).status_code == 200


def test_reading_a_card_never_fails_in_another_way(studio: Studio) -> None:
    """Whatever stands in it: the command line says the same, in a sentence."""
    for place in sorted((studio.catalog.folder / "models").iterdir()):
        if place.name.startswith(("card", "file")) and "gone" not in place.name and "outside" not in place.name:
            with pytest.raises(ModelError):
                read_info(place)


@pytest.mark.nightly
def test_each_damaged_run_is_marked_and_shows_what_is_left(client: TestClient) -> None:
    found = rows(client, "runs")
    assert len(found) > 35
    assert {name for name, damage in found.items() if not damage} == {f"runs/{hostile.GOOD}"}
    figures = client.get("/api/runs/figures", params={"run": "runs/row clips 1e999"}).json()["figures"]
    assert figures["a_loss"] == [[5000.0, 5001.0], [10000.0, 10001.0]]
    names = client.get("/api/runs/figures", params={"run": "runs/row names"}).json()["figures"]
    assert len(names) <= 200
    for name, damage in found.items():
        page = client.get("/training/run", params={"name": name}, headers=HTML)
        assert page.status_code == 200 and ('class="bad"' in page.text) == bool(damage or name.endswith("good"))
    shown = client.get("/training", headers=HTML).text
    assert shown.count('class="bad"') == len(found) - 1


def test_each_damaged_report_is_marked_and_is_not_shown(client: TestClient) -> None:
    found = rows(client, "reports")
    good = {"reports/good/comparison.md", "reports/good/report.html"}
    assert {name for name, damage in found.items() if not damage} == good and len(found) == 7
    for name in found:
        for address in ("/reports/view", "/api/reports/file"):
            answer = client.get(address, params={"name": name}, headers=HTML)
            assert answer.status_code == (200 if name in good else 400), name
            assert "secret" not in answer.text
    picture = client.get(
        "/api/reports/picture", params={"report": "reports/good/comparison.md", "name": "comparison.png"}
    )
    assert picture.status_code == 404
    assert client.get("/reports").text.count("/reports/view?") == len(good)


SWAPPED = ("comparison.md", "comparison.png", "audit.html", "metrics.jsonl", "config.json", "samples")
SWAPS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda path, secret: path.symlink_to(secret / path.name.replace("samples", ".")),
    "folder": lambda path, secret: path.mkdir(),
    "pipe": lambda path, secret: os.mkfifo(path),
    "gone": lambda path, secret: None,
}


@pytest.mark.parametrize("swap", [*SWAPS, "parent"])
def test_what_is_swapped_after_it_was_found_is_not_followed(tmp_path: Path, swap: str) -> None:
    place, secret = tmp_path / "all" / "x", tmp_path / "secret"
    hostile.save_run(place, "")
    (place / "samples").mkdir()
    secret.mkdir()
    for name in (*SWAPPED[:-1], "1.png"):
        (secret / name).write_text('{"secret": "secret"}')
    for name in ("comparison.md", "comparison.png", "audit.html", "samples/1.png"):
        (place / name).write_text("whole")
    made = Studio(Library(tmp_path / "library"), Catalog(tmp_path / "all"), Keys())
    made.worker.close()
    client = TestClient(application(made), base_url="http://127.0.0.1", raise_server_exceptions=False)
    assert not any({**rows(client, "runs"), **rows(client, "reports")}.values())
    assert client.get("/api/runs/sample?run=x&name=1.png").text == "whole"
    if swap == "parent":
        shutil.rmtree(place)
        place.symlink_to(secret)
    for name in SWAPPED if swap in SWAPS else ():
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).unlink(missing_ok=True)
        SWAPS[swap](place / name, secret)
    assert all(rows(client, "runs").values()) and all(rows(client, "reports").values())
    for _ in range(2):  # what was found a moment ago is believed, and then it is looked for again
        for address in ("/training", "/reports", "/generate"):
            assert client.get(address, headers=HTML).status_code == 200
        asked = [f"/reports/view?name=x/{name}" for name in ("comparison.md", "audit.html")]
        asked += [f"/api/reports/file?name=x/{name}" for name in ("comparison.md", "audit.html")]
        asked += ["/api/reports/picture?report=x/comparison.md&name=comparison.png", "/training/run?name=x"]
        for address in [*asked, "/api/runs/sample?run=x&name=1.png"]:
            answer = client.get(address, headers=HTML)
            assert answer.status_code in (400, 404) or address.startswith("/training"), address
            assert answer.status_code < 500 and "secret" not in answer.text
        made.catalog._seen = (-1e9, {})
    made.close()


def test_every_reason_has_a_translation(client: TestClient) -> None:
    chinese = read_locale("zh-CN")
    reasons = [reason for kind in ("models", "runs", "reports") for reason in rows(client, kind).values() if reason]
    assert len(reasons) > 130
    assert not [reason for reason in reasons if chinese.message(reason) == reason]


@pytest.mark.parametrize(
    ("asked", "frames"),
    [
        ({"timing": {"loop": "30s"}}, 750),
        ({"timing": {"loop": "10s", "slow": "4x"}}, 1000),
        ({"timing": {"loop": "10s"}, "seconds": None, "fps": 100}, 1000),
        ({"seconds": None, "frames": 1000}, 1000),
        ({"seconds": "40s"}, 1000),
        ({"seconds": 20, "fps": 50}, 1000),
        ({"seconds": None}, 16),
        ({"between": [1, 2], "seconds": 40}, 1000),
    ],
)
def test_the_limit_of_frames_holds_however_they_are_asked_for(
    client: TestClient, asked: dict[str, object], frames: int
) -> None:
    for count, code in ((1000 // frames, 200), (1000 // frames + 1, 400)):
        form = {"model": "stream-shapes", "count": count, **asked}
        answer = client.post("/api/jobs/generate", json=form)
        assert answer.status_code == code, (form, answer.text)
        if code == 200:
            client.post(f"/api/jobs/{answer.json()['id']}/cancel")
        else:
            assert "1,000" in answer.json()["remedy"]


@pytest.mark.parametrize("seconds", ["", " ", "0", 0, -1, "-1s", "nan", "inf", "1e999", 1e300, {}, []])
def test_lengths_that_are_none_are_refused(client: TestClient, seconds: object) -> None:
    form = {"model": "stream-shapes", "count": 1, "seconds": seconds}
    assert client.post("/api/jobs/generate", json=form).status_code in (400, 422)


def test_the_way_between_two_clips_has_the_limit_too(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    form = {"model": "stream-shapes", "a": 1, "b": 2}
    card = json.loads((studio.catalog.folder / "models" / "good" / "model.json").read_text())
    made = {"made_with": "footage 1", "weights_sha256": card["weights_sha256"]}
    for seed in (1, 2):
        path = write(tmp_path / f"{seed}.mp4", moving(4, seed=seed))
        assert studio.library.add(path, ClipDetails(made={**made, "seed": seed})).id == seed
    assert client.post("/api/jobs/between", json={**form, "seconds": 40}).status_code == 200
    assert client.post("/api/jobs/between", json=form).json()["request"]["seconds"] == 4
    assert client.post("/api/jobs/between", json={**form, "seconds": 41}).status_code == 400
