"""The studio's data: folders that are looked through, files that are sent in pieces, data sets and their audits."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from footage.config import IngestConfig
from footage.data.audit import Audit
from footage.errors import ConfigError
from footage.library.library import Library
from footage.studio.app import application
from footage.studio.catalog import Catalog
from footage.studio.routes import datasets
from footage.studio.routes.jobs import INGEST_OPTIONS
from footage.studio.security import Keys, Limits
from footage.studio.state import Studio
from footage.studio.uploads import PromisedFile, SourceUploads, safe_path
from tests.clips import moving, still, write
from tests.ingesting import ingest
from tests.studios import client_of


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    videos = folder / "videos"
    for number in range(3):
        write(videos / "walk" / f"{number}.mp4", moving(12, (48, 64), seed=number))
    write(videos / "run" / "still.mp4", still(12, (48, 64)))
    (videos / "run" / "broken.mp4").write_bytes(b"x" * 50)
    (videos / "notes.md").write_text("nothing")
    (videos / ".hidden").mkdir()
    (folder / "elsewhere").mkdir()
    write(folder / "elsewhere" / "secret.mp4", moving(12))
    (folder / "models").mkdir()
    made = Studio(
        Library(folder / "library"),
        Catalog(folder / "models"),
        Keys(),
        Limits(sent_file=1000, sent_files=5, sent_bytes=3000),
        sources=[videos],
    )
    made.worker.close()
    options: dict[str, Any] = {"height": 32, "width": 32, "min_frames": 8, "workers": 0}
    dataset = ingest([videos], folder / "models" / "data" / "moving", **options).dataset
    Audit(dataset, {"batch size": "8"}).write(dataset.folder / "audit.html")
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return client_of(studio)


def test_folders_are_shown_and_none_outside_or_hidden(
    studio: Studio, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = studio.sources[0]

    def start() -> dict[str, Any]:
        shown = {folder["path"]: folder for folder in client.get("/api/sources").json()["folders"]}
        assert shown.keys() <= {str(videos), str(studio.uploads.folder)}, "the second once something was sent"
        return shown[str(videos)]

    assert start() == {"path": str(videos), "name": "videos", "media": 5, "more": False}
    os.symlink(videos.parent / "elsewhere", videos / "way out")
    os.symlink(videos / "walk", videos / "run" / "again")
    os.symlink(videos.parent / "elsewhere" / "secret.mp4", videos / "run" / "link.mp4")
    try:
        page = client.get("/api/sources", params={"path": str(videos)}).json()
        assert [(f["name"], f["media"]) for f in page["folders"]] == [("run", 2), ("walk", 3)] and page["media"] == 0
        assert page["above"] == "", "the list of allowed folders is above it"
        run = client.get("/api/sources", params={"path": str(videos / "run")}).json()
        assert [f["path"] for f in run["folders"]] == [str(videos / "walk")] and run["media"] == 2
        for path in (videos / "way out", videos / ".." / "elsewhere", "/", videos / ".hidden", videos / "notes.md"):
            assert client.get("/api/sources", params={"path": str(path)}).status_code == 400, path
        monkeypatch.setattr(datasets, "FOLDERS", 1)
        second = client.get("/api/sources", params={"path": str(videos), "page": 2}).json()
        assert [f["name"] for f in second["folders"]] == ["walk"] and second["pages"] == 2
        monkeypatch.setattr(datasets, "LOOKED", 2)
        assert start()["more"]
    finally:
        for link in (videos / "way out", videos / "run" / "again", videos / "run" / "link.mp4"):
            link.unlink()


def test_the_size_that_suits_is_said(studio: Studio, client: TestClient) -> None:
    walk = str(studio.sources[0] / "walk")
    assert client.get("/api/sources/size", params={"path": walk}).json() == {"width": 64, "height": 48, "videos": 3}
    smaller = client.get("/api/sources/size", params={"path": walk, "most": 32}).json()
    assert max(smaller["width"], smaller["height"]) == 32
    assert client.get("/api/sources/size", params={"path": "/etc"}).status_code == 400


def test_files_come_in_pieces_and_go_on_after_a_break(tmp_path: Path) -> None:
    content = bytes(range(250)) * 4
    files = [PromisedFile("walk/a.mp4", 1000, 1_700_000_000_123), PromisedFile("b.mp4", 0, 5)]
    uploads = SourceUploads(tmp_path / "uploads", Limits())
    state = uploads.begin("clips", files)
    assert (state.folder, state.offsets, state.whole) == ("clips", (0, 0), 0)
    assert uploads.write("clips", files[0], 0, content[:300]) == 300
    again = SourceUploads(tmp_path / "uploads", Limits())  # the server was killed
    (waiting,) = again.unfinished()
    assert (waiting.folder, waiting.received, waiting.bytes, waiting.whole) == ("clips", 300, 1000, 0)
    assert again.begin("clips", files).offsets == (300, 0)
    assert again.write("clips", files[0], 0, content[:300]) == 300, "a piece that came already is not taken twice"
    assert again.write("clips", files[0], 500, content[500:]) == 300, "nor one that is too early"
    with pytest.raises(ConfigError, match="more comes"):
        again.write("clips", files[0], 300, content)
    assert again.write("clips", files[0], 300, content[300:]) == 1000
    assert again.write("clips", files[1], 0, b"") == 0
    assert (tmp_path / "uploads/clips/walk/a.mp4").read_bytes() == content and not again.unfinished()
    assert (tmp_path / "uploads/clips/b.mp4").exists()
    state = again.begin("clips", files)
    assert state.offsets == (1000, 0) and state.whole == 2
    last = PromisedFile("c.mp4", 4, 7)
    again.begin("clips", [last], into=True)
    (tmp_path / "uploads/clips/.parts" / last.part).write_bytes(b"abcd")  # killed before it was put in its place
    assert again.begin("clips", [last]).whole == 3 and (tmp_path / "uploads/clips/c.mp4").read_bytes() == b"abcd"
    with pytest.raises(ConfigError, match="was not announced"):
        again.write("clips", replace(files[0], size=9), 0, b"")
    again.remove("clips")
    assert not (tmp_path / "uploads/clips").exists()


def test_another_folder_of_the_same_name_is_another_upload(tmp_path: Path) -> None:
    uploads = SourceUploads(tmp_path, Limits())
    one, other = PromisedFile("a.mp4", 3, 1), PromisedFile("a.mp4", 3, 900_000)
    assert uploads.begin("clips", [one]).folder == "clips"
    assert uploads.begin("clips", [other]).folder == "clips 2"
    assert uploads.begin("clips", [one]).folder == "clips" and uploads.begin("clips", [other]).folder == "clips 2"
    assert uploads.begin("clips", [PromisedFile("b.mp4", 2, 0)], into=True).files == 2
    (tmp_path / "mine").mkdir()  # somebody's own
    assert uploads.begin("mine", [one]).folder == "mine 2"


def test_names_are_made_safe_and_no_two_become_the_same() -> None:
    assert safe_path("walk/äé 1.mp4") == "walk/äé 1.mp4"
    changed = [safe_path(f"a{sign}b.mp4") for sign in '<>:"|?*\x07\u202e']
    assert len({*changed}) == len(changed) and all(name.isprintable() and name.endswith(".mp4") for name in changed)
    assert all(safe_path(name) == name for name in changed), "once is enough"
    assert len(safe_path("夜" * 200 + ".mp4").encode()) < 255 and safe_path("a\\b.mp4") == "a/b.mp4"
    for path in ("../a.mp4", "a/../b.mp4", ".a.mp4", "", "a.exe", "/".join("a" * 20) + ".mp4", "model.json"):
        with pytest.raises(ConfigError):
            safe_path(path)


def test_uploads_keep_within_their_limits_and_their_folder(studio: Studio, client: TestClient) -> None:
    def begin(*files: tuple[str, int], name: str = "new") -> Any:
        form = {"name": name, "files": [{"path": path, "size": size} for path, size in files]}
        return client.post("/api/sources/uploads", json=form)

    assert begin(("a.mp4", 1001)).status_code == 400 and begin(*[(f"{i}.mp4", 1) for i in range(6)]).status_code == 400
    assert "bytes are to be sent" in begin(*[(f"{i}.mp4", 900) for i in range(4)]).text
    assert begin(("a.mp4", 1), name="../x").status_code == 422 and begin(name="x").status_code == 422
    state = begin(("walk/a.mp4", 4)).json()
    address = {"folder": "new", "path": "walk/a.mp4", "size": 4}
    assert client.put("/api/sources/uploads", params={**address, "offset": 0}, content=b"ab").json() == {"received": 2}
    assert [waiting["folder"] for waiting in client.get("/api/sources/uploads").json()] == ["new"]
    assert client.put("/api/sources/uploads", params={**address, "offset": 2}, content=b"cd").json() == {"received": 4}
    assert Path(state["path"], "walk", "a.mp4").read_bytes() == b"abcd"
    assert studio.source(state["path"]) == Path(state["path"]), "it may be ingested, wherever the sources are"
    outside = studio.catalog.folder / "outside"
    outside.mkdir()
    begin(("way/a.mp4", 1), name="linked")
    (studio.uploads.folder / "linked" / "way").symlink_to(outside)
    refused = client.put(
        "/api/sources/uploads", params={"folder": "linked", "path": "way/a.mp4", "size": 1}, content=b"x"
    )
    assert refused.status_code == 400 and not any(outside.iterdir())
    job = {"sources": [state["path"]], "name": "sent", "options": {"size": "32x32"}}
    number = client.post("/api/jobs/ingest", json=job).json()["id"]
    assert client.delete("/api/sources/uploads", params={"folder": "new"}).status_code == 400
    client.post(f"/api/jobs/{number}/cancel")
    again = client.post(f"/api/jobs/{number}/again").json()
    assert again["kind"] == "ingest" and again["request"]["to"] == "data/sent" and again["state"] == "queued"
    client.post(f"/api/jobs/{again['id']}/cancel")
    assert client.post(f"/api/jobs/{again['id'] + 9}/again").status_code == 404
    for name in ("new", "linked"):
        assert client.delete("/api/sources/uploads", params={"folder": name}).json() == {"removed": name}
    assert client.delete("/api/sources/uploads", params={"folder": "new"}).status_code == 400


def test_a_data_set_is_seen_and_its_audit_read(studio: Studio, client: TestClient) -> None:
    name = {"name": "data/moving"}
    strip = client.get("/api/datasets/strip", params=name)
    picture = Image.open(io.BytesIO(strip.content))
    assert strip.headers["content-type"] == "image/webp" and picture.size == (3 * 34 - 2, 32)
    assert picture.n_frames > 1  # type: ignore[attr-defined]
    still_strip = client.get("/api/datasets/strip", params={**name, "still": True}).content
    assert Image.open(io.BytesIO(still_strip)).n_frames == 1  # type: ignore[attr-defined]
    facts = client.get("/api/datasets/audit", params=name).json()
    assert ["clips", "3 from 3 of 5 sources"] in facts["summary"] and facts["recommendation"] == [["batch size", "8"]]
    reasons = {group["reason"]: group["rows"] for group in facts["rejected"]}
    assert reasons.keys() == {"not a video", "static"} and facts["not_taken"] == [[".md", 1, "videos/notes.md"]]
    what, why, seen = reasons["static"][0]
    assert what == "videos/run/still.mp4 0.00–0.48 s" and "nothing changes" in why and seen
    source = client.get("/api/datasets/source", params={**name, "source": what})
    assert source.content == (studio.sources[0] / "run" / "still.mp4").read_bytes()
    assert source.headers["content-type"] == "video/mp4" and "sandbox" in source.headers["content-security-policy"]
    for path in ("videos/../elsewhere/secret.mp4", "videos/notes.md", "elsewhere/secret.mp4", "videos/none.mp4"):
        assert client.get("/api/datasets/source", params={**name, "source": path}).status_code == 404, path
    assert client.get("/api/datasets/audit?name=none").status_code == 404
    page = client.get("/data/audit", params=name).text
    assert "videos/run/still.mp4" in page and 'href="/training/new?data=data/moving"' in page and "data-look" in page
    form = client.get("/data", params={"add": "data/moving"}).text
    assert (
        str(studio.sources[0]) in form and 'value="32x32"' in form and 'value="moving"' in form and "readonly" in form
    )


def test_a_shard_that_lies_elsewhere_is_not_read(studio: Studio, client: TestClient) -> None:
    place = studio.catalog.folder / "data" / "moving" / "clips.jsonl"
    before = place.read_text()
    place.write_text(before.replace('"shard-', '"../moving/shard-'))
    try:
        assert client.get("/api/datasets/strip?name=data/moving").status_code == 400
    finally:
        place.write_text(before)


def test_clips_are_added_to_a_data_set_wherever_it_lies(studio: Studio, client: TestClient) -> None:
    form = {"sources": [str(studio.sources[0])], "name": "moving", "into": "data/moving", "advise": False}
    job = client.post("/api/jobs/ingest", json=form).json()
    client.post(f"/api/jobs/{job['id']}/cancel")
    assert job["request"]["to"] == "data/moving" and job["request"]["advise"] is False
    for name in ("elsewhere", "../x", "data"):
        assert client.post("/api/jobs/ingest", json={**form, "into": name}).status_code == 400, name


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        *[("dataset.json", "fps", value) for value in (0, "fast", -1)],
        *[("dataset.json", key, 10**12) for key in ("width", "clips")],
        *[("dataset.json", key, [[]]) for key in ("labels", "settings", "levels")],
        *[("clips.jsonl", "frames", value) for value in (0, "many", 10**15, None)],
        *[("clips.jsonl", key, 7) for key in ("shard", "source", "label")],
        *[("rejected.jsonl", key, {}) for key in ("source", "start", "detail")],
    ],
)
def test_a_damaged_data_set_costs_no_other(tmp_path: Path, studio: Studio, table: str, key: str, value: object) -> None:
    bad = tmp_path / "models" / "bad"
    shutil.copytree(studio.catalog.folder / "data" / "moving", bad)
    rows = [json.loads(line) for line in (bad / table).read_text().splitlines() if table.endswith("l")]
    rows = rows or [json.loads((bad / table).read_text())]
    (bad / table).write_text("\n".join(json.dumps({**row, key: value}) for row in rows))
    made = Studio(studio.library, Catalog(tmp_path / "models"), Keys())
    made.worker.close()
    client = TestClient(application(made), base_url="http://127.0.0.1")
    for address in ("/data", "/api/datasets", "/data/audit?name=bad", "/api/datasets/strip?name=bad"):
        answer = client.get(address, headers={"accept": "text/html"})
        assert answer.status_code < 500, (address, answer.text)
    assert client.get("/data").status_code == 200


def test_every_option_has_its_help_and_kind() -> None:
    fields = {item.name: item for item in datasets.option_fields(IngestConfig, INGEST_OPTIONS)}
    assert fields.keys() == {*INGEST_OPTIONS} and all(item.text for item in fields.values())
    assert fields["cuts"].kind == "flag" and fields["fit"].choices == ("crop", "letterbox", "stretch")
    assert (fields["fps"].kind, fields["fps"].default, fields["fps"].whole) == ("number", None, False)
    assert (fields["quality"].least, fields["quality"].most, fields["quality"].whole) == (1, 100, True)
    assert fields["layout"].kind == "text"


def test_what_is_sent_is_not_removed_while_some_of_it_is_ingested(studio: Studio, client: TestClient) -> None:
    studio.uploads.begin("people", [PromisedFile("walk/a.mp4", 4, 0)])
    folder = studio.uploads.folder / "people"
    for source in (folder / "walk", folder, folder.parent):
        job = studio.library.jobs.submit("ingest", {"to": "data/x", "sources": [str(source)]})
        refused = client.delete("/api/sources/uploads", params={"folder": "people"})
        assert refused.status_code == 400 and "waits or runs already" in refused.text, source
        studio.library.jobs.cancel(job.id)
    job = studio.library.jobs.submit("ingest", {"to": "data/x", "sources": [f"{folder} 2"]})
    assert client.delete("/api/sources/uploads", params={"folder": "people"}).status_code == 200
    studio.library.jobs.cancel(job.id)
