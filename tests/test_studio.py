"""The studio's server: pages and interface, by a client in this process."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from starlette.testclient import TestClient

import footage.studio
from footage.library.additions import ClipDetails
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.machines.local import cores
from footage.studio.app import application
from footage.studio.catalog import Catalog
from footage.studio.locales import LANGUAGES, preferred, read_locale
from footage.studio.security import Bucket, Keys, Limits, is_loopback
from footage.studio.state import Studio
from footage.studio.stream_process import LiveStream
from tests.clips import moving, write

BASE = "http://127.0.0.1"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sources")
    return [write(folder / f"clip {i}.mp4", moving(12, seed=i)) for i in range(6)]


@pytest.fixture
def studio(tmp_path: Path, sources: list[Path]) -> Iterator[Studio]:
    library = Library(tmp_path / "library")
    for number, path in enumerate(sources):
        library.add(path, ClipDetails(label="walk" if number % 2 else "run", tags=("first",) if number < 3 else ()))
    (tmp_path / "models").mkdir()
    made = Studio(library, Catalog(tmp_path / "models"), Keys())
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> TestClient:
    return entered(TestClient(application(studio), base_url=BASE), studio)


def entered(client: TestClient, studio: Studio) -> TestClient:
    client.headers["x-csrf-token"] = studio.keys.csrf
    return client


def test_pages_are_whole_and_hold_no_script_or_style_of_their_own(client: TestClient) -> None:
    names = ["/", "/?bin=true", "/clip/1", "/compare?ids=1&ids=2", "/duplicates", "/generate", "/activity", "/live"]
    names += ["/talk", "/rate", "/rate/x", "/training", "/reports", "/enter", "/parts/clips?text=clip", "/parts/facets"]
    for name in [*names, "/parts/cards?ids=1&ids=2", "/parts/jobs"]:
        answer = client.get(name)
        assert answer.status_code == 200, name
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        scripts = re.findall(r"<script[^>]*>", answer.text)
        assert all("src=" in tag or "application/json" in tag for tag in scripts), name
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://(?!127)", answer.text), name


def test_finding(client: TestClient) -> None:
    first = client.get("/api/clips", params={"limit": 4, "sort": "oldest"}).json()
    rest = client.get("/api/clips", params={"limit": 4, "sort": "oldest", "cursor": first["cursor"]}).json()
    assert [clip["id"] for clip in first["clips"] + rest["clips"]] == [1, 2, 3, 4, 5, 6] and rest["cursor"] is None
    assert client.get("/api/clips/ids", params={"label": "walk"}).json() == [6, 4, 2]
    assert client.get("/api/clips/ids", params={"text": '"clip 3"'}).json() == [4]
    assert [c["id"] for c in client.get("/api/clips", params={"ids": [3, 1]}).json()["clips"]] == [3, 1]
    assert client.get("/api/clips/facets").json()["label"] == [["run", 3], ["walk", 3]]
    like = client.get("/api/clips/1/similar").json()
    assert len(like) == 5 and like[0]["likeness"] >= like[-1]["likeness"]
    assert client.get("/api/clips/77").status_code == 404
    assert client.get("/api/clips", params={"sort": "nonsense"}).status_code == 400


def test_judging_undo_and_the_bin(client: TestClient, studio: Studio) -> None:
    assert client.patch("/api/clips/2", json={"stars": 4, "verdict": "keep"}).json()["stars"] == 4
    assert client.post("/api/clips/bulk", json={"ids": [1, 2, 3], "changes": {}, "tag": ["good"]}).json() == {
        "clips": 3
    }
    assert client.get("/api/clips/ids", params={"tag": ["first", "good"]}).json() == [3, 2, 1]
    assert client.post("/api/undo").json()["what"] == "tag good"
    assert client.get("/api/clips/ids", params={"tag": "good"}).json() == []
    client.post("/api/clips/bin", json={"query": {"label": "run"}})
    assert client.get("/api/clips/ids").json() == [6, 4, 2]
    client.post("/api/clips/restore", json={"ids": [1]})
    assert client.post("/api/clips/purge", json={"query": {"bin": True}}).json() == {"clips": 2}
    assert studio.library.count() == 4
    assert client.post("/api/clips/bin", json={}).status_code == 400
    assert client.patch("/api/clips/2", json={"stars": 9}).status_code == 422
    assert client.patch("/api/clips/2", json={"digest": "x"}).status_code == 422


def test_albums_and_views(client: TestClient) -> None:
    album = client.post("/api/albums", json={"name": "best"}).json()["id"]
    assert client.post(f"/api/albums/{album}/clips", json={"ids": [3, 1]}).json()["clips"] == 2
    assert client.put(f"/api/albums/{album}/order", json={"ids": [1, 3]}).json() == [1, 3]
    assert client.get("/api/clips/ids", params={"album": album}).json() == [3, 1]
    assert client.request("DELETE", f"/api/albums/{album}/clips", json={"ids": [3]}).json()["clips"] == 1
    view = {"text": "clip", "tag": ["first"], "min_stars": 0, "metric": ["motion:0.1:"], "sort": "title"}
    assert client.put("/api/views/mine", json=view).status_code == 200
    (saved,) = client.get("/api/views").json()
    assert saved["query"]["metric"] == ["motion:0.1:"] and saved["query"]["tag"] == ["first"]
    assert "/?text=clip" in client.get("/parts/facets").text
    assert client.delete("/api/views/mine").status_code == 200 and client.delete("/api/views/mine").status_code == 404
    assert client.delete(f"/api/albums/{album}").status_code == 200
    assert client.delete(f"/api/albums/{album}").status_code == 404


def test_a_view_may_name_its_album(client: TestClient, studio: Studio) -> None:
    album = client.post("/api/albums", json={"name": "best"}).json()["id"]
    client.post(f"/api/albums/{album}/clips", json={"ids": [3, 1]})
    studio.library.views.save("mine", ClipQuery(album="best"))  # as the command line does
    (saved,) = client.get("/api/views").json()
    assert saved["query"]["album"] == "best" and "/?album=best" in client.get("/parts/facets").text
    for name in ("best", album):
        assert client.get("/api/clips/ids", params={"album": name}).json() == [3, 1]
        assert client.get("/", params={"album": name}).status_code == 200


def test_deleting_albums_and_views_is_undone(client: TestClient) -> None:
    album = client.post("/api/albums", json={"name": "best"}).json()["id"]
    client.post(f"/api/albums/{album}/clips", json={"ids": [3, 1]})
    client.put("/api/views/mine", json={"text": "clip"})
    client.delete(f"/api/albums/{album}")
    client.delete("/api/views/mine")
    assert client.get("/api/albums").json() == [] == client.get("/api/views").json()
    assert client.post("/api/undo").json()["what"] == "view mine deleted"
    assert client.post("/api/undo").json()["what"] == "album best deleted"
    (back,) = client.get("/api/albums").json()
    assert back["id"] == album and back["clips"] == 2
    assert client.get("/api/views").json()[0]["query"]["text"] == "clip"
    assert "data-delete-album" in client.get("/parts/facets").text
    assert "album best deleted" in client.get("/activity").text
    assert client.post("/api/redo").json()["what"] == "album best deleted" and client.get("/api/albums").json() == []


BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    "path", ["/nowhere", "/clip/99", "/clip/abc", "/parts/none", "/reports/view?name=x", "/static/x.js"]
)
def test_an_unknown_address_is_a_page_for_people_and_json_for_programs(client: TestClient, path: str) -> None:
    for language in LANGUAGES:
        texts = read_locale(language).texts
        answer = client.get(path, headers=BROWSER | {"accept-language": language})
        assert answer.status_code == 404 and answer.headers["content-type"].startswith("text/html")
        assert texts["not_found"] in answer.text and f'<html lang="{language}">' in answer.text
        assert 'href="/"' in answer.text and texts["home"] in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    answer = client.get(path, headers={"accept": "application/json"})
    assert answer.status_code in (404, 422) and answer.headers["content-type"] == "application/json"


def test_programs_are_answered_in_json(client: TestClient) -> None:
    for path in ("/api/nowhere", "/api/clips/99"):
        answer = client.get(path, headers=BROWSER)
        assert answer.status_code == 404 and answer.json()["problem"]
    assert client.post("/nowhere", headers=BROWSER).json()["problem"] == "Not Found"
    shown = client.get("/?stars=1&sort=odd%3Cb%3E", headers=BROWSER)
    assert (
        shown.status_code == 400 and read_locale("en").texts["not_shown"] in shown.text and "odd&lt;b&gt;" in shown.text
    )
    assert client.get("/?sort=odd").json()["remedy"]


def test_files_and_parts_of_them(client: TestClient, sources: list[Path]) -> None:
    whole = client.get("/api/clips/1/file")
    assert whole.content == sources[0].read_bytes() and whole.headers["content-type"] == "video/mp4"
    part = client.get("/api/clips/1/file", headers={"range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole.content[10:20]
    assert client.get("/api/clips/1/thumbnail").headers["content-type"] == "image/webp"
    assert "attachment" in client.get("/api/clips/1/file?download=true").headers["content-disposition"]


def test_missing_pictures_are_drawn_in_turn_and_stop_nothing_else(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More requests than threads wait; few pictures are drawn at a time, and the rest of the studio answers."""
    studio: Studio = client.app.state.studio  # type: ignore[attr-defined]
    library, inside, most, going = studio.library, [0], [0], threading.Event()
    draw = library.thumbnail

    def slow(clip: int | str) -> Path:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        assert going.wait(200)
        inside[0] -= 1
        return draw(clip)

    monkeypatch.setattr(library, "thumbnail", slow)
    draw(1).unlink()
    monkeypatch.setattr(library, "drawn", lambda *_, **__: False)

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app=client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
            waiting = [asyncio.create_task(browser.get("/api/clips/1/thumbnail")) for _ in range(60)]
            try:
                while not inside[0]:
                    await asyncio.sleep(0.01)
                assert (await asyncio.wait_for(browser.get("/api/clips/1"), 100)).status_code == 200
            finally:
                going.set()
            return [answer.status_code for answer in await asyncio.gather(*waiting)]

    assert asyncio.run(ask()) == [200] * 60 and 1 <= most[0] <= max(1, cores() - 1)


def test_export(client: TestClient, tmp_path: Path) -> None:
    import io
    import zipfile

    for form in ("zip", "csv", "json"):
        ready = client.post("/api/exports", json={"ids": [2, 1], "format": form}).json()
        content = client.get(ready["url"])
        assert len(content.content) == ready["bytes"]
        if form == "zip":
            assert sorted(zipfile.ZipFile(io.BytesIO(content.content)).namelist())[:2] == ["clip 0.mp4", "clip 1.mp4"]
    for form in ("fcpxml", "xml", "otio", "edl"):
        if form in ("otio", "edl"):
            pytest.importorskip("opentimelineio")
        ready = client.post("/api/exports", json={"ids": [2, 1], "format": form}).json()
        with zipfile.ZipFile(io.BytesIO(client.get(ready["url"]).content)) as packed:
            assert packed.namelist() == [f"footage.{form}", "footage-media/clip 1.mp4", "footage-media/clip 0.mp4"]
            text = packed.read(f"footage.{form}").decode()
        assert "footage-media/clip%201.mp4" in text and "file:" not in text, (
            "paths lead beside the list, wherever it lies"
        )
    assert client.get("/api/exports/..%2f..%2fetc%2fpasswd").status_code == 404
    assert client.post("/api/exports", json={"ids": []}).status_code == 400


def test_hostile_texts_are_shown_as_texts(client: TestClient) -> None:
    evil = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    client.patch("/api/clips/1", json={"title": evil, "notes": evil, "label": evil, "tags": [evil]})
    client.post("/api/albums", json={"name": evil})
    client.put(f"/api/views/{'%3Cscript%3E'}", json={"text": evil})
    for name in ("/", "/clip/1", "/parts/facets", "/compare?ids=1&ids=2", "/rate/%3Cscript%3Ealert(3)"):
        text = client.get(name).text
        assert "<img src=x" not in text and "<script>alert" not in text, name
        assert "alert" in text
    assert "%3Cscript" in client.get("/parts/facets").text or "&lt;script" in client.get("/parts/facets").text


def test_languages(client: TestClient) -> None:
    english = read_locale("en").texts
    for language in LANGUAGES:
        texts = read_locale(language).texts
        assert english.keys() == texts.keys()
        for name, text in english.items():
            assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", texts[name])), name
    assert "素材库" in client.get("/", headers={"accept-language": "zh-TW,zh;q=0.9,en;q=0.5"}).text
    assert preferred("", "fr, en;q=0.3, zh;q=0.1") == "en" and preferred("zh-CN", "en") == "zh-CN"
    answer = client.get("/language/zh-CN", headers={"referer": "http://evil.example//x"}, follow_redirects=False)
    assert answer.headers["location"] == "/" and client.get("/language/xx").status_code == 404
    assert "素材库" in client.get("/").text


def test_every_text_that_is_used_is_there() -> None:
    folder = Path(footage.studio.__file__).parent
    used: set[str] = set()
    for path in [*folder.glob("templates/*.html"), *folder.glob("static/*.js")]:
        if path.name != "htmx.min.js":
            used |= set(re.findall(r"""\bt\("(\w*[a-z])["]""", path.read_text()))
    assert len(used) > 100 and used <= read_locale("en").texts.keys()


def test_every_text_that_is_there_is_used() -> None:
    folder = Path(footage.studio.__file__).parent
    sources = [*folder.parent.rglob("*.py"), *folder.glob("templates/*.html"), *folder.glob("static/[!h]*.js")]
    said = "".join(path.read_text() for path in sources)
    quoted = set(re.findall(r"""["'`](\w+)["'`]""", said))
    # Beginnings of names whose ends are known when the page is made; settings of clips have parts.
    begun = {*re.findall(r"""["'`]([a-z]+_(?:[a-z]+_)?)["'`{$]""", said), "novel_", "taste_"}
    begun |= {f"{kind}_" for kind in re.findall(r"""term\(.*?, "(\w+)"\)""", said)}
    names = read_locale("en").texts.keys()
    unused = {name for name in names if name.removesuffix("_hint") not in quoted and not name.startswith(tuple(begun))}
    assert len(begun) > 20 and not unused - quoted


def test_the_vendored_library_is_what_it_was() -> None:
    import hashlib

    folder = Path(footage.studio.__file__).parent / "static"
    digest = hashlib.sha256((folder / "htmx.min.js").read_bytes()).hexdigest()
    assert digest in (folder / "VENDORED.md").read_text() and (folder / "htmx.LICENSE").is_file()


def test_the_server_needs_no_torch() -> None:
    code = "import sys; import footage.studio.app, footage.studio.upload_check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=200).returncode == 0


def test_a_comparison_is_given_a_name_that_is_free(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = SimpleNamespace(today=lambda: date(2026, 2, 3))  # it may be midnight in between
    monkeypatch.setattr("footage.studio.routes.pages.date", day)

    def suggested() -> str:
        return re.findall(r'name="campaign".* value="([^"]*)"', client.get("/rate").text)[0]

    with studio.library._database.write() as connection:
        connection.execute("UPDATE clips SET model = CASE WHEN id <= 3 THEN 'a' ELSE 'b' END, origin = 'generated'")
    first = suggested()
    pair = client.post("/api/ratings/pairs", json={"campaign": first, "models": ["a", "b"]}).json()["pair"]
    client.post(f"/api/ratings/pairs/{pair}", json={"question": "fidelity", "choice": "tie"})
    assert first == "2026-02-03" and suggested() == f"{first}-2"


def test_rating_blindly(client: TestClient, studio: Studio, sources: list[Path]) -> None:
    with studio.library._database.write() as connection:  # two makers
        connection.execute("UPDATE clips SET model = 'a', origin = 'generated' WHERE id <= 3")
        connection.execute("UPDATE clips SET model = 'b', origin = 'generated' WHERE id > 3")
    assert client.post("/api/ratings/pairs", json={"campaign": "x"}).status_code == 400, "it has not begun"
    for _ in range(12):
        asking = client.post("/api/ratings/pairs", json={"campaign": "x", "models": ["a", "b"]}).json()
        assert not re.search(r"clips/|model|seed", str(asking))
        sides = [client.get(asking[side]) for side in ("a", "b")]
        assert all("content-disposition" not in side.headers for side in sides)
        contents = [path.read_bytes() for path in sources]
        left = contents.index(sides[0].content) < 3  # the rater likes a
        for question in ("fidelity", "motion"):
            answer = {"question": question, "choice": "a" if left == (question == "fidelity") else "b"}
            assert client.post(f"/api/ratings/pairs/{asking['pair']}", json=answer).status_code == 200
    found = client.get("/api/ratings/campaigns/x/results").json()
    assert [row["model"] for row in found["fidelity"]] == ["a", "b"] and found["motion"][0]["model"] == "b"
    best = found["fidelity"][0]
    assert best["wins"] == 12 and 0 < best["low"] < best["strength"] < best["high"]
    assert client.get("/api/ratings/campaigns/x/answers.csv").text.count("\n") == 25
    assert client.get("/api/ratings/campaigns/x/report").json()["answers"] == {"fidelity": 12, "motion": 12}
    assert client.get("/rate/x/results").status_code == 200 and client.get("/rate/nobody/results").status_code == 404
    assert client.post("/api/ratings/pairs/nonsense", json=answer).status_code == 404


def test_wrong_tokens_and_clients_are_counted() -> None:
    keys = Keys("right", tries=2)
    assert keys.enter("wrong") is None and keys.enter("right") is not None and keys.visitor("") is None
    keys.enter("wrong")
    with pytest.raises(Exception, match="wait"):
        keys.enter("right")
    bucket = Bucket(0.0, 2)
    assert [bucket.take("a") for _ in range(3)] == [True, True, False] and bucket.take("b")
    assert is_loopback("127.0.0.3") and is_loopback("localhost") and not is_loopback("0.0.0.0")


def test_limits_of_jobs(client: TestClient, studio: Studio) -> None:
    studio.worker.close()  # no worker: what is queued stays
    asked = {"model": "stream-shapes", "count": 2, "seconds": 1}
    job = client.post("/api/jobs/generate", json=asked).json()
    assert job["state"] == "queued" and client.get(f"/api/jobs/{job['id']}").json()["request"]["count"] == 2
    assert client.post("/api/jobs/generate", json={**asked, "count": 10_000}).status_code == 400
    assert client.post("/api/jobs/generate", json={**asked, "seconds": 80_000}).status_code == 400
    assert client.post("/api/jobs/generate", json={**asked, "model": "../../etc"}).status_code == 400
    assert client.post("/api/jobs/between", json={"model": "stream-shapes", "a": 1, "b": 2}).status_code == 400
    assert client.post(f"/api/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    for _ in range(Limits().queue):
        assert client.post("/api/jobs/verify").status_code == 200
    assert client.post("/api/jobs/verify").status_code == 400, "the queue is full"


def test_a_stream_refuses_what_cannot_be_and_goes_on() -> None:
    stream = LiveStream.__new__(LiveStream)
    stream.number, stream.problem, stream.request = 0, "", {"seed": 1}
    frames = iter(())
    assert stream.change({"nonsense": 1}, frames, 0.0) is frames and stream.problem and stream.number == 1


def test_no_function_is_too_long() -> None:
    for path in Path(footage.studio.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}: {node.name}"


def test_blind_pairs_differ_in_their_makers_alone(client: TestClient, studio: Studio) -> None:
    """Clips of equal label, size and length stand beside each other: what differs otherwise would tell the maker."""

    def draw(*models: str) -> tuple[int, int]:
        body = {"campaign": "y", "models": models}
        waiting = studio.pairs.get(client.post("/api/ratings/pairs", json=body).json()["pair"])
        return waiting.a, waiting.b

    kinds = [("a", "walk", 64, 2.0), ("a", "run", 32, 2.0), ("b", "walk", 64, 2.02), ("b", "run", 32, 2.5)]
    with studio.library._database.write() as connection:
        for clip, (model, label, side, seconds) in enumerate([*kinds, ("c", "run", 128, 1.0)], 1):
            connection.execute(
                "UPDATE clips SET model = ?, label = ?, width = ?, height = ?, seconds = ?, fps = 25, "
                "origin = 'generated', codec = 'h264' WHERE id = ?",
                (model, label, side, side, seconds, clip),
            )
    assert {frozenset(draw("a", "b", "c")) for _ in range(12)} == {frozenset({1, 3})}, "c has none that is alike"
    assert {draw("a", "b") for _ in range(40)} == {(1, 3), (3, 1)}, "either side"
    refused = client.post("/api/ratings/pairs", json={"campaign": "y", "models": ["a", "c"]})
    assert refused.status_code == 400 and "the same label, size and length: a, c" in refused.json()["problem"]
    with studio.library._database.write() as connection:  # an unconditional model has no labels
        connection.execute("UPDATE clips SET label = NULL, width = 32, height = 32, seconds = 2.0 WHERE model = 'c'")
    assert set(draw("a", "c")) == {2, 5}


def test_between_begins_with_the_model_that_made_both(client: TestClient, studio: Studio) -> None:
    weights = {model.name: model.weights for model in studio.catalog.models()}
    with studio.library._database.write() as connection:
        for clip, model in ((1, "stream-digits"), (2, "stream-digits"), (3, "stream-shapes")):
            connection.execute("UPDATE clips SET weights = ?, seed = id WHERE id = ?", (weights[model], clip))

    def chosen(a: str, b: str) -> list[str]:
        form = client.get("/generate", params={"a": a, "b": b, "model": "stream-signs"}).text.split('id="between"')[1]
        return re.findall(r'<option value="([^"]*)" selected', form.split("</select>")[0])

    assert chosen("1", "2") == ["stream-digits"] and chosen("2", "") == ["stream-digits"]
    assert chosen("1", "3") == ["stream-signs"], "they share none: what was chosen stays"
    assert chosen("77", "x") == ["stream-signs"]


def test_only_what_can_be_written_is_offered(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = re.compile(r'<button value="(\w+)"')
    assert set(offered.findall(client.get("/").text)) == {"zip", "csv", "json", "otio", "fcpxml", "xml", "edl"}
    found = importlib.util.find_spec
    for lacking, left in (("otio_cmx3600_adapter", {"otio", "fcpxml", "xml"}), ("opentimelineio", {"fcpxml", "xml"})):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, gone=lacking: None if name == gone else found(name)
        )
        assert set(offered.findall(client.get("/").text)) == {"zip", "csv", "json"} | left
    page = client.get("/?text=nothing-is-called-this").text
    assert "data-export hidden" in page, "there is nothing to export"


def test_curves_of_one_point_are_seen_and_said_in_plain_words(
    client: TestClient, studio: Studio, tmp_path: Path
) -> None:
    run = tmp_path / "models" / "young"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"config": {"preset": "stream-64"}, "data": {"name": "walks"}}))
    row = {"clips": 5000, "clip_patch2_loss": 0.5, "motion_ratio": 0.25, "memory_gib": 1.5, "heldout_psnr": 20.0}
    (run / "metrics.jsonl").write_text(json.dumps(row | {"my_own": 0.1}) + "\n")
    page = client.get("/training/run?name=young").text
    for dot in ("Clips in patches 2: loss: 0.5 at 5,000 clips", "Motion: 0.25 at 5,000 clips", "my own: 0.1 at"):
        assert f"<title>{dot}" in page
    assert page.count("<circle") == 5 and page.count(">5,000</text>") == 5, "one number under each"
    for unit in ("loss", "times real clips", "GiB", "dB"):
        assert re.search(rf'<text[^>]*transform="rotate[^>]*>{unit}</text>', page), unit
    assert page.count(">Clips seen</text>") == 5 and "Signal to noise (PSNR), held-out clips" in page
    assert not re.search(r">[^<]*\w_\w[^<]*<", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)), "no raw name"


def test_scripts_of_an_older_version_are_not_kept(client: TestClient) -> None:
    first = client.get("/static/player.js")
    assert "no-cache" in first.headers["cache-control"]
    again = client.get("/static/player.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content, "what is as it was is not sent again"
