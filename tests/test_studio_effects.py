"""The studio's effects on clips: through the interface, and in a real browser from a chain to a clip that keeps it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from footage.errors import ConfigError, FootageError, LibraryError
from footage.library.library import Library
from footage.media.probe import count_frames
from footage.studio import draft_process
from footage.studio.app import Address, Server
from footage.studio.catalog import Catalog
from footage.studio.routes.previews import AskedProcess
from footage.studio.security import Keys
from footage.studio.state import Studio
from tests.clips import moving, write
from tests.studios import client_of, opened_page, work_off

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATIENCE = 120_000
TALL = {"version": 1, "effects": [{"kind": "reframe", "shape": "9:16"}]}
BACK = {"version": 1, "effects": [{"kind": "reverse"}]}
TABLE = "LUT_3D_SIZE 2\n" + "\n".join(f"{r} {g} {b}" for b in (0, 1) for g in (0, 1) for r in (0, 1)) + "\n"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    library = Library(tmp_path / "library")
    for number in range(2):
        library.add(write(tmp_path / f"clip {number}.mp4", moving(20, (36, 48), number)))
    made = Studio(library, Catalog(tmp_path / "models"), Keys())
    made.worker.close()
    yield made
    made.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the processes are asked; they are not started, and answer here."""
    questions: list[dict[str, Any]] = []

    async def ask(self: AskedProcess, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        questions.append(question)
        told = draft_process.DraftQuestion(**question)
        try:
            with Library(told.library) as library:
                return draft_process.write(told, library), b""
        except FootageError as error:
            raise ConfigError(error.problem, error.remedy) from error

    monkeypatch.setattr(AskedProcess, "ask", ask)
    return questions


def test_a_chain_is_looked_at_kept_changed_and_given_out(studio: Studio, asked: list[dict[str, Any]]) -> None:
    with client_of(studio) as client:
        draft = client.post("/api/clips/1/effects/draft", json={"chain": TALL}).json()
        assert client.post("/api/clips/1/effects/draft", json={"chain": TALL}).json() == draft and len(asked) == 1
        seen = client.get(draft["url"], headers={"range": "bytes=0-99"})
        assert seen.status_code == 206 and draft["seconds"] == pytest.approx(0.8)
        client.post("/api/jobs/effects", json={"clip": 1, "chain": TALL, "title": "tall"})
        (made,) = work_off(studio, "effects").result["clips"]
        told = client.get(f"/api/clips/{made}/effects").json()
        assert told["source"] == 1 and told["rendered"] and told["chain"]["effects"][0]["seconds"] == 1.0
        assert client.get(f"/api/clips/{made}").json()["title"] == "tall"
        page = client.get(f"/clip/{made}").text
        assert "data-edited" in page and "&#34;9:16&#34;" in page
        client.post("/api/jobs/effects", json={"clip": made, "chain": BACK, "change": True})
        work_off(studio, "effects")
        assert client.get(f"/api/clips/{made}").json()["width"] == 48
        assert client.post("/api/undo").json()["what"] == "effects"
        assert client.get(f"/api/clips/{made}").json()["width"] == 20
        other = client.post("/api/jobs/effects", json={"clip": made, "chain": BACK}).json()
        assert other["request"]["clip"] == 1  # of the source, and not behind its own
        studio.library.gc(rendered=True)
        file = client.get(f"/api/clips/{made}/file")
        assert file.status_code == 200 and asked[-1] == {"library": asked[0]["library"], "clip": made}
        studio.library.gc(rendered=True)
        export = client.post("/api/exports", json={"ids": [made, 2], "format": "zip"}).json()
        assert export["told"] == ["1 clip has effects, which are fixed in the exported files"] and export["complete"]
        with zipfile.ZipFile(io.BytesIO(client.get(export["url"]).content)) as packed:
            assert packed.read("tall.mp4") == file.content
        assert len([question for question in asked if not question.get("chain")]) == 2
        timeline = {"footage": "timeline", "version": 1, "parts": [{"clip": made}, {"clip": 2}]}
        client.put("/api/timelines/film", json={"timeline": timeline})
        client.post("/api/timelines/film/draft", json={})
        assert count_frames(studio.library.path(made)).playable == 20


def test_browsers_ask_again_for_what_a_number_alone_names(studio: Studio, asked: list[dict[str, Any]]) -> None:
    made = studio.library.edited.add(1, TALL)
    with client_of(studio) as client:
        seen = []
        for chain in (BACK, TALL):
            digest = studio.library.edited.change(made.id, chain).digest[:8]
            for part in ("file", "file?download=true", "thumbnail", "preview"):
                address = f"/api/clips/{made.id}/{part}"
                told = client.get(address).headers
                assert told["cache-control"] == "private, no-cache"
                assert client.get(address, headers={"if-none-match": told["etag"]}).status_code == 304
                assert all(client.get(address, headers={"if-none-match": tag}).status_code == 200 for tag in seen)
                named = client.get(f"{address}{'&' if '?' in part else '?'}{digest}").headers["cache-control"]
                assert "immutable" in named
            seen.append(told["etag"])
        assert f"download=true&amp;{digest}" in client.get(f"/clip/{made.id}").text


def test_a_clip_that_cannot_be_rendered_is_left_out_of_an_export(studio: Studio, asked: list[dict[str, Any]]) -> None:
    made = studio.library.edited.add(1, TALL, "tall")
    studio.library.path(1).unlink()
    with client_of(studio) as client:
        for kind in ("zip", "fcpxml"):
            export = client.post("/api/exports", json={"ids": [made.id, 2], "format": kind}).json()
            assert export["told"] == [f'clip {made.id} "tall" is left out: {gone(studio)}'] and not export["complete"]
            with zipfile.ZipFile(io.BytesIO(client.get(export["url"]).content)) as packed:
                assert [name for name in packed.namelist() if name.endswith(".mp4")] != []
        alone = client.post("/api/exports", json={"ids": [made.id], "format": "zip"})
        assert alone.status_code == 400 and alone.json()["problem"] == gone(studio)


def gone(studio: Studio) -> str:
    with pytest.raises(LibraryError) as raised:
        studio.library.path(1)
    return raised.value.problem


def test_asking_where_a_clip_comes_from_renders_nothing(studio: Studio) -> None:
    made = studio.library.edited.add(1, TALL)
    with client_of(studio) as client:
        assert client.post(f"/api/clips/{made.id}/origin").status_code == 200
        assert studio.library.edited.waiting([made.id]) == [made.id]
        studio.library.path(1).unlink()
        assert client.post(f"/api/clips/{made.id}/origin").status_code == 404


def test_a_draft_that_fails_leaves_no_folder(studio: Studio, asked: list[dict[str, Any]]) -> None:
    with client_of(studio) as client:
        loop = {"version": 1, "effects": [{"kind": "loop", "least": 5, "most": 9}]}
        assert client.post("/api/clips/1/effects/draft", json={"chain": loop}).status_code == 400
        assert asked[0]["to"] and not Path(asked[0]["to"]).parent.exists()


def test_nothing_is_kept_of_what_is_gone_for_good(studio: Studio, asked: list[dict[str, Any]]) -> None:
    jobs = studio.library.jobs

    def erase() -> None:
        job = jobs.submit("erase", {"dataset": "none"})
        studio.tend()
        assert client.get(draft["url"]).status_code == 200  # not before it has ended
        claimed = jobs.claim("worker", ("erase",))
        assert claimed is not None and claimed.id == job.id
        studio.tend()
        assert client.get(draft["url"]).status_code == 200
        jobs.finish(job.id, {"erased": 1})
        studio.tend()

    def purge() -> None:
        client.post("/api/clips/bin", json={"ids": [1]})
        assert client.post("/api/clips/purge", json={"ids": [1]}).json() == {"clips": 1}

    with client_of(studio) as client:
        for remove in (erase, purge):
            draft = client.post("/api/clips/1/effects/draft", json={"chain": TALL}).json()
            export = client.post("/api/exports", json={"ids": [1], "format": "zip"}).json()
            assert all(client.get(each["url"]).status_code == 200 for each in (draft, export))
            remove()
            assert all(client.get(each["url"]).status_code == 404 for each in (draft, export))


def test_what_cannot_be_is_a_sentence(studio: Studio, asked: list[dict[str, Any]]) -> None:
    with client_of(studio) as client:

        def refused(path: str, status: int = 400, **body: Any) -> str:
            answer = client.post(path, json=body)
            assert answer.status_code == status
            return str(answer.json()["problem"])

        assert refused("/api/clips/99/effects/draft", 404, chain=TALL) == 'there is no clip "99"'
        assert refused("/api/clips/1/effects/draft", chain={}) == "the chain is no chain"
        assert refused("/api/jobs/effects", clip=1, chain={**TALL, "version": 9}) == "the chain has version 9"
        lut = {"version": 1, "effects": [{"kind": "grade", "lut": "/etc/passwd"}]}
        assert refused("/api/jobs/effects", clip=1, chain=lut) == "the chain names a file of this machine"
        assert refused("/api/jobs/effects", clip=1, chain=TALL, change=True) == "clip 1 has no effects"
        loop = {"version": 1, "effects": [{"kind": "loop", "least": 5, "most": 9}]}
        assert "longer than the video allows" in refused("/api/clips/1/effects/draft", chain=loop)
        made = studio.library.edited.add(1, TALL, "tall").id
        assert refused("/api/clips/bin", 409, ids=[1]).startswith(f'clips {made} "tall" are made by effects')
        assert client.post("/api/clips/bin", json={"ids": [1], "edits": True}).json() == {"clips": 2}
        assert client.get("/api/clips/2/effects").status_code == 404


def test_tables_are_sent(studio: Studio) -> None:
    with client_of(studio) as client:
        sent = client.post("/api/tables?name=night.cube", content=TABLE).json()
        assert sent["name"] == "night.cube" and client.get("/api/tables").json() == [sent]
        assert client.post("/api/tables?name=night.cube", content="no table").status_code == 400
        chain = {"version": 1, "effects": [{"kind": "grade", "lut": sent["lut"]}]}
        client.post("/api/jobs/effects", json={"clip": 1, "chain": chain})
        (made,) = work_off(studio, "effects").result["clips"]
        assert studio.library.edited.chain(made)["effects"] == chain["effects"]
        assert not list(studio.library.folder.glob("partial/*.cube"))


@pytest.mark.nightly
def test_effects_are_put_together_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    with Library(tmp_path / "library") as library:
        library.add(write(tmp_path / "cat.mp4", moving(20, (96, 160), 0)))
    (tmp_path / "models").mkdir()
    server = Server(tmp_path / "library", tmp_path / "models", Address(port=0))
    server.start()
    try:
        with opened_page(browser, server.address, PATIENCE) as page:
            page.goto("/clip/1")
            add = page.locator("#effects [data-add]")
            for kind in ("reverse", "reframe"):
                page.select_option("#effects [data-choose]", kind)
                add.focus()
                page.keyboard.press("Enter")
            items = page.locator("#effects .chain > li")
            items.nth(1).locator("[data-shift='-1']").focus()
            page.keyboard.press("Enter")
            expect(items.nth(0)).to_have_attribute("data-kind", "reframe")
            expect(page.locator("#effects [data-told]")).to_contain_text("now part 1 of 2")
            items.nth(0).locator("[data-knob=shape]").fill("1:1")
            page.click("#effects [data-preview]")
            page.wait_for_function("() => document.querySelector('#effects video')?.readyState > 1")
            page.click("#effects [data-save=new]")
            page.wait_for_url("**/clip/2")
            page.wait_for_selector("#effects[data-edited]")
            expect(items).to_have_count(2)
            items.nth(0).locator("[data-drop]").click()
            page.click("#effects [data-save=change]")
            page.wait_for_function("() => document.querySelector('.facts')?.innerText.includes('160 × 96')")
            page.goto("/clip/1")
            page.click("[data-bin]")
            page.click("#ask [value=ok]")
            page.wait_for_url(lambda address: "/clip/" not in address)
            with Library(tmp_path / "library") as library:
                assert library.count() == 0 and library.undo() is not None and library.count() == 2
                assert library.edited.chain(2)["effects"] == BACK["effects"]
    finally:
        server.stop()
