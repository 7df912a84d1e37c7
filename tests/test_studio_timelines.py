"""The studio's timelines: through the interface, and in a real browser from the library to an exported film."""

from __future__ import annotations

import errno
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import opentimelineio as otio
import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from footage.commands.main import main
from footage.library.library import Library
from footage.library.timelines import Timeline, TimelinePart, timeline_json
from footage.media.encode import read_metadata
from footage.media.probe import count_frames
from footage.media.sound import RATE, write_sound
from footage.studio import draft_process
from footage.studio.app import Address, Server
from footage.studio.catalog import Catalog
from footage.studio.command_jobs import CommandJobs
from footage.studio.routes.previews import AskedProcess
from footage.studio.security import Keys
from footage.studio.state import Studio
from tests.clips import add_sound, moving, write
from tests.sounds import play
from tests.studios import client_of, eventually, opened_page, work_off

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 120_000
FADE = {"kind": "fade", "seconds": 0.4}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three clips of 40 frames at 25 a second, the first with sound."""
    folder = tmp_path_factory.mktemp("sources")
    paths = [write(folder / f"{name}.mp4", moving(40, (36, 48), n)) for n, name in enumerate(("sea", "cat", "snow"))]
    add_sound(paths[0])
    return paths


@pytest.fixture
def studio(tmp_path: Path, sources: list[Path]) -> Iterator[Studio]:
    library = Library(tmp_path / "library")
    for path in sources:
        library.add(path)
    made = Studio(library, Catalog(tmp_path / "models"), Keys())
    made.worker.close()
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> Iterator[TestClient]:
    with client_of(studio) as client:
        yield client


def put(
    client: TestClient, *parts: dict[str, Any], name: str = "Holiday", what: str = "clip added", **more: Any
) -> Any:
    timeline = {"footage": "timeline", "version": 1, "parts": parts, **more}
    return client.put(f"/api/timelines/{name}", json={"timeline": timeline, "what": what})


def test_a_timeline_is_kept_changed_undone_and_deleted(client: TestClient) -> None:
    first = put(client, {"clip": 1}, what="clip added").json()
    assert (
        first["clips"]["1"]["title"] == "sea" and first["clips"]["1"]["audio"] and first["clips"]["1"]["frames"] == 40
    )
    second = put(client, {"clip": 1}, {"clip": 2, "transition": FADE, "first": 5}, what="transition").json()
    assert second["stamp"] != first["stamp"] and client.get("/api/timelines").json()[0]["parts"] == 2
    assert client.post("/api/undo").json()["what"] == "timeline Holiday: transition"
    assert client.get("/api/timelines/Holiday").json() == first
    client.post("/api/redo")
    assert client.get("/api/timelines/Holiday").json() == second
    assert client.delete("/api/timelines/Holiday").status_code == 200
    assert (
        client.get("/api/timelines/Holiday").status_code == client.delete("/api/timelines/Holiday").status_code == 404
    )
    client.post("/api/undo")
    assert client.get("/api/timelines/Holiday").json() == second


def test_what_somebody_else_changed_meanwhile_is_not_written_over(client: TestClient) -> None:
    stamp = put(client, {"clip": 1}).json()["stamp"]
    put(client, {"clip": 2})
    timeline = {"footage": "timeline", "version": 1, "parts": [{"clip": 3}]}
    late = client.put("/api/timelines/Holiday", json={"timeline": timeline, "before": stamp})
    assert late.status_code == 400 and "changed meanwhile" in late.json()["problem"]
    assert client.get("/api/timelines/Holiday").json()["timeline"]["parts"] == [{"clip": 2}]
    assert client.put("/api/timelines/Holiday", json={"timeline": timeline, "before": ""}).status_code == 400


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"file": "/etc/passwd"}, "names files of this machine"),
        ({"clip": 1, "level": 9}, "give 0 to 4"),
        ({"clip": 1, "lats": 3}, 'has no "lats"'),
        ({}, "neither a clip nor a title"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_remedy(client: TestClient, part: dict[str, Any], says: str) -> None:
    refused = put(client, part)
    assert refused.status_code == 400 and says in f"{refused.json()['problem']}: {refused.json()['remedy']}"
    assert client.get("/api/timelines").json() == []


def test_files_of_the_machine_are_no_music_and_no_font(client: TestClient) -> None:
    for more in ({"music": {"file": "/etc/passwd"}}, {"font": "/etc/passwd"}):
        assert "files of this machine" in put(client, {"clip": 1}, **more).json()["problem"]


def test_the_draft_is_the_film_small_and_in_ranges(client: TestClient, studio: Studio) -> None:
    parts = [{"clip": 1 + number % 3, **({"transition": FADE} if number else {})} for number in range(6)]
    put(client, *parts, height=360, width=480)
    first = client.post("/api/timelines/Holiday/draft", json={"at": 0}).json()
    again = client.post("/api/timelines/Holiday/draft", json={"at": 5.9}).json()
    last = client.post("/api/timelines/Holiday/draft", json={"at": 7}).json()
    assert first == again and first["seconds"] == (6 * 40 - 5 * 10) / 25 == 7.6 and (first["at"], last["at"]) == (0, 6)
    whole = client.get(first["url"])
    assert whole.headers["content-type"] == "video/mp4"
    part = client.get(first["url"], headers={"range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == whole.content[100:200]
    with av.open(io.BytesIO(client.get(last["url"]).content)) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == (240, 320) and container.streams.audio
        assert sum(1 for _ in container.decode(stream)) == 40
    put(client, {"clip": 1, "last": 5}, {"clip": 2, "transition": FADE})
    refused = client.post("/api/timelines/Holiday/draft", json={"at": 0})
    assert refused.status_code == 400 and "part 1 lasts 0.24 s" in refused.json()["problem"]
    assert client.get("/api/drafts/nothing").status_code == 404


def test_an_edit_list_opens_on_the_clips_beside_it(
    client: TestClient, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(self: AskedProcess, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        return draft_process.write(draft_process.DraftQuestion(**question), studio.library), b""  # in this process

    monkeypatch.setattr(AskedProcess, "ask", ask)
    put(client, {"title": "At sea"}, {"clip": 1, "first": 5, "last": 34}, {"clip": 2, "transition": FADE})
    made = client.post("/api/timelines/Holiday/list", json={"format": "otio"}).json()
    with zipfile.ZipFile(io.BytesIO(client.get(made["url"]).content)) as archive:
        archive.extractall(tmp_path / "cut")
    (track,) = otio.adapters.read_from_file(str(tmp_path / "cut" / "Holiday.otio")).video_tracks()
    places = [(clip.media_reference.target_url, clip.source_range.start_time.value) for clip in track.find_clips()]
    assert places == [("clips/sea-1.mp4", 5), ("clips/cat-2.mp4", 5)]
    assert (track[1].transition_type, track[1].in_offset.value, track[1].out_offset.value) == ("SMPTE_Dissolve", 5, 5)
    assert all(count_frames(tmp_path / "cut" / place).frames == 40 for place, _ in places)


def test_an_edit_list_of_a_library_that_is_named_from_here(
    tmp_path: Path, sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = Studio(Library(Path("library")), Catalog(tmp_path / "models"), Keys())
    made.worker.close()
    made.library.add(sources[1])
    with client_of(made) as client:
        put(client, {"clip": 1}, name="海")
        listed = client.post("/api/timelines/海/list", json={"format": "otio"})
        assert listed.status_code == 200, listed.json()
        told = client.get("/api/timelines/海/file").headers["content-disposition"]
        assert told == "attachment; filename*=utf-8''%E6%B5%B7.json"
        refused = client.put("/api/timelines/a%2Fb", json={"timeline": timeline_json(Timeline())})
        assert refused.status_code in (404, 405) and [kept["name"] for kept in client.get("/api/timelines").json()] == [
            "海"
        ]
    made.close()


def test_a_process_opens_a_library_once_and_says_what_the_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        json.dumps({"timeline": "{}", "library": str(tmp_path), "to": str(tmp_path / "film.mp4")}) for _ in range(3)
    ]
    opened, output = list[str](), io.StringIO()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def library(folder: str, create: bool) -> str:
        opened.append(folder)
        return folder

    monkeypatch.setattr(draft_process, "Library", library)
    monkeypatch.setattr(draft_process, "write", full)
    monkeypatch.setattr(draft_process.threading.Thread, "start", lambda _: None)
    monkeypatch.setattr(draft_process.os, "fdopen", lambda *_, **__: output)
    monkeypatch.setattr(draft_process.os, "dup", lambda _: 1)
    monkeypatch.setattr(draft_process.os, "dup2", lambda *_: 1)
    monkeypatch.setattr(draft_process.sys, "stdin", lines)
    draft_process.main()
    said = [json.loads(line)["problem"] for line in output.getvalue().splitlines()]
    assert opened == [str(tmp_path)] and len(said) == 3 and "the disk is full" in said[0]


def test_its_file_makes_the_same_film_by_the_command_line(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    put(client, {"clip": 1}, {"clip": 3, "transition": FADE}, music={"tune": "lullaby"})
    answer = client.get("/api/timelines/Holiday/file")
    assert "Holiday.json" in answer.headers["content-disposition"]
    (tmp_path / "told.json").write_bytes(answer.content)
    assert all(len(part["clip"]) == 64 for part in json.loads(answer.content)["parts"])
    library = str(studio.library.folder)
    main(["film", str(tmp_path / "told.json"), "--library", library, "--to", str(tmp_path / "film.mp4")])
    assert count_frames(tmp_path / "film.mp4").frames == 70


def test_the_film_is_a_job_that_goes_on_where_it_was(
    client: TestClient, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = tmp_path / "song.wav"
    write_sound(sound, [play("rock", 120, 4).samples], RATE)
    sent = client.post("/api/sounds?name=song.wav", content=sound.read_bytes()).json()
    put(
        client, {"clip": 1}, {"clip": 2, "transition": FADE}, {"title": "End"}, music={"sent": sent["id"], "level": 0.4}
    )
    monkeypatch.setattr(CommandJobs, "_run", lambda self, job, words: main(words))  # in this process
    job = client.post("/api/timelines/Holiday/film").json()
    assert job["kind"] == "film" and job["request"]["timeline"]["music"]["file"].endswith(".wav")
    taken = client.post("/api/timelines/Holiday/film")
    assert taken.status_code == 400 and "waits or runs already" in taken.json()["problem"]
    client.post(f"/api/jobs/{job['id']}/cancel")
    again = client.post(f"/api/jobs/{job['id']}/again").json()
    (made,) = work_off(studio, "film").result["clips"]
    entry, path = studio.library.get(made), studio.library.path(made)
    assert (entry.title, entry.frames, entry.audio) == ("Holiday", 70 + 75, True)
    assert [parent.name for parent in studio.library.provenance(made).parents] == ["sea", "cat"]
    assert read_metadata(path)["music"][1] == 0.4
    assert again["request"] == job["request"] and not list((studio.catalog.folder / "films").iterdir())


def test_models_and_sounds_that_are_not_there_are_named(client: TestClient) -> None:
    put(client, {"clip": 1}, {"clip": 2, "transition": {"kind": "latent", "model": "nothing"}})
    for way in ("draft", "list", "film"):
        refused = client.post(f"/api/timelines/Holiday/{way}", json={} if way != "film" else None)
        assert refused.status_code == 400 and 'there is no model "nothing"' in refused.json()["problem"]
    put(client, {"clip": 1}, music={"sent": "0123456789abcdef"})
    assert client.post("/api/timelines/Holiday/film").status_code == 404
    put(client)
    assert "nothing on the timeline" in client.post("/api/timelines/Holiday/film").json()["problem"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sources: list[Path]) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    with Library(folder / "library") as library:
        for path in sources:
            library.add(path)
    made = Server(folder / "library", folder / "models", Address(port=0))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with opened_page(browser, server.address, PATIENCE) as page:
        yield page


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_from_the_library_to_an_exported_film_in_a_browser(page: Page, server: Server) -> None:
    """A timeline is made by mouse and keyboard, looked at, undone, and written as a film."""
    timelines = server.studio.library.timelines

    def parts() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = timeline_json(timelines.get("Holiday"))["parts"]
        return rows

    def become(expected: list[dict[str, Any]]) -> None:
        eventually(page, lambda: parts() == expected)

    page.goto("/timeline")
    page.get_by_role("button", name="New timeline").first.click()
    page.get_by_label("Name of the timeline").fill("Holiday")
    page.get_by_role("button", name="OK").click()
    page.wait_for_url("**/timeline?name=Holiday")
    page.get_by_role("button", name="Add sea").drag_to(page.locator(".track"))
    page.get_by_role("button", name="Add cat").click()
    page.get_by_role("button", name="Add snow").press("Enter")
    become([{"clip": 1}, {"clip": 2}, {"clip": 3}])
    page.locator("[data-part='2']").drag_to(page.locator("[data-part='0']"), target_position={"x": 4, "y": 40})
    become([{"clip": 3}, {"clip": 1}, {"clip": 2}])
    page.locator("[data-part='0']").press("Shift+ArrowRight")
    become([{"clip": 1}, {"clip": 3}, {"clip": 2}])
    expect(page.locator("#told")).to_have_text("snow: now part 2 of 3")
    page.locator("#part [name=first]").press("ArrowRight")
    page.locator("#part [name=last]").press("ArrowLeft")
    become([{"clip": 1}, {"clip": 3, "first": 1, "last": 38}, {"clip": 2}])
    page.locator("[data-joint='1']").click()
    page.locator("#part [name=kind]").select_option("circleopen")
    page.locator("#part [name=joint]").fill("0.4")
    page.locator("#part [name=joint]").press("Tab")
    joined = [{"clip": 1}, {"clip": 3, "first": 1, "last": 38, "transition": {"kind": "circleopen", "seconds": 0.4}}]
    become([*joined, {"clip": 2}])
    page.locator("[data-part='2']").press("Delete")
    become(joined)
    page.locator(".toast [data-undo]").click()
    become([*joined, {"clip": 2}])
    expect(page.locator("#length")).to_contain_text("3 parts")
    page.locator("#film [name=music]").select_option("tune:procession")
    page.locator("[data-play]").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.draft video')].some(v => !v.hidden && v.currentTime > 0.3)"
    )
    page.locator("[data-play]").click()
    page.locator("[data-export]").click()
    page.locator("#give [data-film]").click()
    page.locator(".films .job.done .made a").click()
    page.wait_for_url("**/clip/4")
    entry = server.studio.library.get(4)
    assert (entry.title, entry.frames, entry.audio) == ("Holiday", 40 + 38 - 10 + 40, True)


def test_the_page_fits_a_phone_and_is_read_by_keyboard(browser: Browser, server: Server) -> None:
    server.studio.library.timelines.save("Phone", Timeline((TimelinePart(clip=1), TimelinePart(title="End"))))
    context = browser.new_context(viewport={"width": 400, "height": 800}, base_url=server.address, locale="zh-CN")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto("/timeline?name=Phone")
    page.locator("[data-part='0']").press("ArrowRight")
    expect(page.locator("[data-part='1']")).to_be_focused()
    expect(page.locator("#part [name=title]")).to_have_value("End")
    expect(page.locator("[data-part='1']")).to_have_attribute("aria-label", re.compile("共 2 段"))
    expect(page.locator("#strip button").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    context.close()


def test_what_was_queued_behind_a_refused_change_is_dropped_and_a_lost_connection_is_outlived(
    browser: Browser, server: Server
) -> None:
    timelines = server.studio.library.timelines
    timelines.save("Both", Timeline((TimelinePart(title="a"),)))
    context = browser.new_context(base_url=server.address)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto("/timeline?name=Both")
    page.wait_for_selector("#track [data-part='0']")

    def titles() -> list[str | None]:
        return [part.title for part in timelines.get("Both").parts]

    theirs = Timeline((TimelinePart(title="theirs"),))
    timelines.save("Both", theirs)
    written: list[str] = []
    page.on("request", lambda request: written.append(request.url) if request.method == "PUT" else None)
    page.evaluate("for (const _ of [1, 2, 3]) document.querySelector('[data-title]')?.click()")
    expect(page.locator("#track [data-part]")).to_have_count(1)
    expect(page.locator("#track [data-part]")).to_contain_text("theirs")
    assert timelines.get("Both") == theirs
    context.set_offline(True)
    with page.expect_event(
        "requestfailed", lambda request: "/api/timelines" in request.url and request.method == "GET"
    ):
        page.locator("[data-title]").click()  # it is not kept, and what is kept cannot be looked up
    expect(page.locator("#track [data-part]")).to_have_count(2)
    context.set_offline(False)
    page.locator("[data-title]").click()
    eventually(page, lambda: titles() == ["theirs", "Title", "Title"])
    assert len(written) == 3, "of the first three changes one was sent"
    context.close()
