"""A studio of a locked library: what people do in it, and that nothing of it is plain on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from starlette.testclient import TestClient

from footage import files
from footage.errors import KeyNeeded, LockError
from footage.files import locked
from footage.library.additions import ClipDetails
from footage.library.library import Library
from footage.machines.local import memory_folder
from footage.media.sound import RATE, write_sound
from footage.media.sound_features import listen
from footage.studio import state
from footage.studio.app import Address, Server
from footage.studio.catalog import Catalog
from footage.studio.command_jobs import CommandJobs
from footage.studio.routes import clips
from footage.studio.security import Keys
from footage.studio.state import Studio, temporary_in_memory
from footage.studio.worker import Worker
from footage.trust import locks
from tests.libraries import save_clip
from tests.sounds import play
from tests.studios import client_of, work_off

TITLE = "confidential meeting"
SECRETS = [TITLE.encode(), b"RIFF", b"ftyp", b"CREATE TABLE"]
"""What is said of clips, and what stands at the beginning of clips, pictures and databases."""

in_memory = pytest.mark.skipif(memory_folder() is None, reason="this machine has no files in memory")


@pytest.fixture(autouse=True)
def quick_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(locked.SCRYPT, "n", 2**4)
    monkeypatch.setenv(locked.PASSPHRASE, "correct horse battery")
    monkeypatch.delenv(locked.KEY_FILE, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "tmp").mkdir()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A locked library of two clips, and a folder of models; what is temporary lies in memory."""
    locks.lock_new(tmp_path / "library", "passphrase")
    (tmp_path / "models").mkdir()
    (tmp_path / "given").mkdir()
    library = Library(tmp_path / "library")
    for seed in range(2):
        library.add(save_clip(tmp_path / "given" / f"{seed}.mp4", seed, frames=12, seed=seed), ClipDetails(title=TITLE))
    with temporary_in_memory():
        made = Studio(library, Catalog(tmp_path / "models"), Keys(), sources=[tmp_path / "given"])
        made.worker.close()  # what is queued stays, until a test does it
        yield made
        made.close()


@pytest.fixture
def client(studio: Studio) -> Iterator[TestClient]:
    with client_of(studio) as opened:
        yield opened


def told(tmp_path: Path) -> list[str]:
    """Return files on the disk in which something stands that must not; what the user gave is left out."""
    return [
        f"{path}: {secret!r}"
        for path in tmp_path.rglob("*")
        if path.is_file() and not path.is_relative_to(tmp_path / "given")
        for secret in SECRETS
        if secret in path.read_bytes() + path.name.encode()
    ]


@in_memory
def test_clips_are_shown_in_parts_and_no_browser_keeps_them(client: TestClient, tmp_path: Path) -> None:
    content = (tmp_path / "given" / "0.mp4").read_bytes()
    size = len(content)
    whole = client.get("/api/clips/1/file")
    assert whole.content == content and whole.headers["content-type"] == "video/mp4"
    for asked, begin, end in (("bytes=0-", 0, size), ("bytes=5-90", 5, 91), ("bytes=-7", size - 7, size)):
        part = client.get("/api/clips/1/file", headers={"range": asked})
        assert part.status_code == 206 and part.content == content[begin:end]
        assert part.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
    beyond = client.get("/api/clips/1/file", headers={"range": f"bytes={size}-"})
    assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{size}" and not beyond.content
    assert (
        client.get("/api/clips/1/thumbnail").content[8:12]
        == b"WEBP"
        == client.get("/api/clips/1/preview").content[8:12]
    )
    for address in ("/", "/clip/1", "/api/clips/1/file", "/api/clips/1/thumbnail", "/api/clips"):
        assert client.get(address).headers["cache-control"] == "no-store"
    assert client.get("/static/studio.css").headers["cache-control"] != "no-store"
    assert told(tmp_path) == []


@in_memory
def test_what_is_sent_made_and_given_out_is_plain_nowhere(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    scratch = Path(tempfile.gettempdir())
    assert scratch.name.startswith(state.IN_MEMORY) and scratch.stat().st_mode & 0o777 == 0o700
    sent = save_clip(tmp_path / "given" / "sent.mp4", 7, frames=12, seed=7).read_bytes()
    assert client.post("/api/uploads", params={"name": f"{TITLE}.mp4"}, content=sent).json()["added"] == [3]
    given = client.post("/api/exports", json={"ids": [1, 3], "format": "zip"}).json()
    with zipfile.ZipFile(io.BytesIO(client.get(given["url"]).content)) as archive:
        assert sum(archive.read(name)[4:8] == b"ftyp" for name in archive.namelist()) == 2
    assert told(tmp_path) == [] and locked.is_locked(studio.library.path(3))


@in_memory
def test_sounds_are_kept_locked_with_the_library(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    song = tmp_path / "given" / "song.wav"
    write_sound(song, [play("rock", 120, 4).samples], RATE)
    said = client.post("/api/sounds", params={"name": f"{TITLE}.wav"}, content=song.read_bytes()).json()
    assert said["name"] == f"{TITLE}.wav" and told(tmp_path) == []
    again = Studio(studio.library, studio.catalog, Keys()).sounds  # as the next server finds it
    path, sound = again.find(said["id"])
    assert sound.name == said["name"] and path.parent == tmp_path / "library" / "sounds" and locked.is_locked(path)
    assert listen(path).seconds == 4.0
    assert client.get(f"/api/sounds/{said['id']}/file").content == song.read_bytes()


@in_memory
@pytest.mark.nightly
def test_jobs_timelines_and_edit_lists_leave_nothing_plain(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    scratch, packed = Path(tempfile.gettempdir()), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{TITLE}.mp4", save_clip(tmp_path / "given" / "zipped.mp4", 8, seed=8).read_bytes())
    waiting = client.post("/api/uploads", params={"name": "clips.zip"}, content=packed.getvalue()).json()
    assert waiting["job"] and waiting["in_memory"], "the page says at once that it would be lost at a restart"
    assert told(tmp_path) == [] and list((scratch / "uploads").glob("*.zip"))  # while it waits
    assert (work_off(studio, "import").result or {})["added"] == 1
    timeline = {"footage": "timeline", "version": 1, "parts": [{"clip": 1}, {"clip": 2}]}
    kept = client.put("/api/timelines/one", json={"timeline": timeline})
    assert kept.status_code == 200, kept.text
    draft = client.post("/api/timelines/one/draft", json={})
    assert draft.status_code == 200, draft.text
    assert client.get(draft.json()["url"]).content[4:8] == b"ftyp"
    cut = client.post("/api/timelines/one/list", json={"format": "edl"}).json()
    with zipfile.ZipFile(io.BytesIO(client.get(cut["url"]).content)) as archive:
        assert sum(archive.read(name)[4:8] == b"ftyp" for name in archive.namelist()) == 2
    client.post("/api/jobs/trim", json={"clip": 1, "first": 2, "last": 6})
    assert (work_off(studio, "trim").result or {})["clips"]
    assert told(tmp_path) == []
    assert all(locked.is_locked(studio.library.path(clip)) for clip in range(1, 5))


@in_memory
@pytest.mark.nightly
def test_what_it_makes_data_sets_of_is_locked(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    options = {"size": "32x32", "min_frames": 4, "heldout": 0.0}
    form = {"name": "secret", "sources": [str(tmp_path / "given")], "options": options, "advise": False}
    assert client.post("/api/jobs/ingest", json=form).status_code == 200
    assert work_off(studio, "ingest").result == {"dataset": "data/secret"}  # no page, which would be plain
    assert locked.is_locked(tmp_path / "models" / "data" / "secret" / "clips.jsonl") and told(tmp_path) == []
    assert [(entry.name, entry.damaged) for entry in studio.catalog.datasets()] == [("data/secret", "")]
    strip = client.get("/api/datasets/strip", params={"name": "data/secret"})
    assert strip.content[8:12] == b"WEBP" and strip.headers["cache-control"] == "no-store"
    audit = client.get("/data/audit", params={"name": "data/secret"})
    assert audit.status_code == 200 and audit.headers["cache-control"] == "no-store" and told(tmp_path) == []
    refused = client.post("/api/jobs/evaluate", json={"made": ["data/secret"], "real": "shapes", "options": {}})
    assert refused.status_code == 400 and "in the plain" in refused.json()["problem"], refused.text


@in_memory
def test_data_sets_are_locked_by_the_librarys_key_and_no_other(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(locked.KEY_FILE, str(tmp_path / "another.key"))
    commands = CommandJobs(studio.catalog, lambda *_: None, studio.library.folder)
    monkeypatch.setattr(commands, "_run", lambda *_: None)
    request = {"sources": ["given"], "to": "data/secret", "options": {}}
    for _ in range(2):  # the second time it is brought up to date
        commands.ingest(studio.library.jobs.submit("ingest", request, 10))
    header = locked.read_header(tmp_path / "models" / "data" / "secret")
    assert header["key"]["from"] == "passphrase" and not (tmp_path / "another.key").exists()
    (tmp_path / "models" / "plain").mkdir()
    (tmp_path / "models" / "plain" / "dataset.json").touch()
    with pytest.raises(LockError, match="holds something that is not locked"):
        commands.ingest(studio.library.jobs.submit("ingest", {**request, "to": "plain"}, 10))


@in_memory
def test_what_was_locked_while_a_report_waited_is_not_shown(studio: Studio, tmp_path: Path) -> None:
    hidden = tmp_path / "models" / "data" / "hidden"
    locks.lock_new(hidden, "passphrase")
    files.write_json(hidden / "dataset.json", {})
    report = {"report": "one", "options": {}, "clips": 16}
    for kind, request in (
        ("evaluate", {"made": ["data/hidden"], "real": "shapes"}),
        ("privacy", {"model": "data/hidden", "data": "shapes"}),
    ):
        job = studio.library.jobs.submit(kind, {**request, **report}, 10)
        assert studio.library.jobs.claim("worker", [kind]) is not None
        ended = Worker(studio.library, studio.catalog).do(job)
        assert ended.state == "failed" and "in the plain" in ended.message
    assert not (tmp_path / "models" / "reports").exists()


@in_memory
def test_nothing_is_opened_for_a_browser_that_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locks.lock_new(tmp_path / "library", "passphrase")
    files.write_bytes(tmp_path / "library" / "clip.mp4", bytes(50))
    monkeypatch.setattr(clips, "BLOCK", 10)

    async def sent(then_gone: bool) -> list[dict[str, Any]]:
        messages, waiting = list[dict[str, Any]](), asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not then_gone or not messages:
                await waiting.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            messages.append(dict(message))
            waiting.set() if then_gone else None
            await asyncio.sleep(0)

        scope = {"type": "http", "method": "GET", "headers": []}
        await clips.StoredFile(tmp_path / "library" / "clip.mp4")(scope, receive, send)
        return messages

    assert sum(len(message.get("body", b"")) for message in asyncio.run(sent(False))) == 50
    assert sum(len(message.get("body", b"")) for message in asyncio.run(sent(True))) < 50


@in_memory
def test_what_would_be_plain_is_refused(client: TestClient, tmp_path: Path) -> None:
    promised = {"name": "more", "files": [{"path": "a.mp4", "size": 3, "modified": 0}]}
    refused = client.post("/api/sources/uploads", json=promised)
    assert refused.status_code == 400 and "would be plain" in refused.json()["problem"], refused.text
    assert not (tmp_path / "models" / "uploads").exists()


@in_memory
def test_a_key_that_is_lost_is_said_to_be(client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(locked.PASSPHRASE)
    for answer in (client.post("/api/jobs/verify"), client.get("/api/clips/1/thumbnail")):
        assert answer.status_code == 400 and "is locked, and the passphrase is not known" in answer.json()["problem"]
    assert studio.library.jobs.all() == []


def test_without_the_key_or_memory_for_files_it_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locks.lock_new(tmp_path / "library", "passphrase")
    Library(tmp_path / "library").close()
    given = tmp_path / "library", tmp_path / "models", Address(port=0)
    monkeypatch.setattr(state, "memory_folder", lambda: None)
    with pytest.raises(LockError, match="no folder in memory"):
        Server(*given)
    monkeypatch.setenv(locked.PASSPHRASE, "another passphrase")
    with pytest.raises(LockError, match="the passphrase is another one"):
        Server(*given)
    monkeypatch.delenv(locked.PASSPHRASE)
    with pytest.raises(KeyNeeded, match="the passphrase is not known"):  # which the command line asks for
        Server(*given)


@in_memory
def test_what_a_killed_studio_left_in_memory_is_removed(tmp_path: Path) -> None:
    place = memory_folder()
    assert place is not None
    left = Path(tempfile.mkdtemp(prefix=state.IN_MEMORY, dir=place))
    (left / "clip.mp4").write_bytes(b"ftyp")
    (left / "alive").touch()  # at last: from here on any studio of this machine removes it
    with temporary_in_memory():
        mine = Path(tempfile.gettempdir())
        assert not left.exists() and mine.is_dir()
        with temporary_in_memory():
            assert mine.is_dir()  # that of one that is alive stays
    assert not mine.exists()


@in_memory
def test_what_a_process_wrote_behind_its_studio_is_removed_and_what_begins_stays() -> None:
    place = memory_folder()
    assert place is not None
    old, new = (Path(tempfile.mkdtemp(prefix=state.IN_MEMORY, dir=place)) for _ in range(2))
    os.utime(old, (0, 0))
    with temporary_in_memory():
        assert not old.exists() and new.is_dir()
    new.rmdir()


@in_memory
def test_commands_that_still_save_are_waited_for(tmp_path: Path) -> None:
    late = f'(sleep 0.3; mkdir -p "${files.MEMORY}/late"; touch "{tmp_path}/saved") > /dev/null 2>&1 &'
    with temporary_in_memory():
        mine = Path(tempfile.gettempdir())
        subprocess.run(["sh", "-c", late], check=True)
    assert (tmp_path / "saved").exists() and not mine.exists()


@in_memory
def test_temporary_files_lie_in_memory_or_nowhere(tmp_path: Path) -> None:
    ask = [sys.executable, "-c", "import footage, tempfile; print(tempfile.gettempdir())"]
    with temporary_in_memory():
        mine = Path(tempfile.gettempdir())
        assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() == str(mine)
        mine.chmod(0o755)
        with pytest.raises(LockError, match="is gone"):
            files.keep_in_memory()
        shutil.rmtree(mine)
        gone = subprocess.run(ask, capture_output=True, text=True)
        assert gone.returncode and "where temporary files lie in memory, is gone" in gone.stderr
        with pytest.raises(FileNotFoundError):
            tempfile.mkdtemp()
        for lost in (mine, mine / "uploads"):
            with pytest.raises(LockError, match="is gone"):
                files.make_folder(lost)
        files.make_folder(tmp_path / "elsewhere")
        assert not mine.exists()


@in_memory
def test_a_studio_whose_memory_is_gone_takes_nothing(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    sent = save_clip(tmp_path / "given" / "sent.mp4", 7, frames=12, seed=7).read_bytes()
    waiting = studio.library.jobs.submit("trim", {"clip": 1, "first": 2, "last": 6}, 10)
    mine = Path(tempfile.gettempdir())
    shutil.rmtree(mine)
    answers = [
        client.post("/api/jobs/verify"),
        client.post("/api/uploads", params={"name": "a.mp4"}, content=sent),
        client.post("/api/exports", json={"ids": [1], "format": "zip"}),
    ]
    assert {answer.status_code for answer in answers} == {400}
    assert all("is gone" in answer.json()["problem"] for answer in answers)
    assert studio.library.jobs.claim("worker", ["trim"]) is not None
    ended = Worker(studio.library, studio.catalog).do(waiting)
    assert ended.state == "failed" and "is gone" in ended.message and not mine.exists() and told(tmp_path) == []


@in_memory
@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_studio_that_is_asked_to_end_leaves_nothing_in_memory(tmp_path: Path, number: signal.Signals) -> None:
    locks.lock_new(tmp_path / "library", "passphrase")
    Library(tmp_path / "library").close()
    place = memory_folder()
    assert place is not None
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        words = ["serve", "--library", str(tmp_path / "library"), "--models", str(tmp_path / "models"), "--port", "0"]
        served = subprocess.Popen(
            [sys.executable, "-m", "footage", *words],
            env={**os.environ, "TMPDIR": scratch},
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        assert served.stdout is not None
        try:
            address = re.search(r"the studio is at (\S+)", served.stdout.readline())
            assert address is not None
            while served.poll() is None:  # it listens to signals before it answers
                with contextlib.suppress(httpx.ConnectError):
                    assert httpx.get(address[1], timeout=100).status_code
                    break
                time.sleep(0.1)
            assert list(Path(scratch).glob(f"{state.IN_MEMORY}*"))
            served.send_signal(number)
            assert served.wait(200) == -number
        finally:
            served.kill()
            served.stdout.close()
        assert list(Path(scratch).iterdir()) == []


@in_memory
@pytest.mark.nightly
def test_its_processes_are_given_the_key_and_temporary_files_in_memory(tmp_path: Path) -> None:
    """A server that serves: its worker files a locked clip, and the key stands in no list of arguments."""
    locks.lock_new(tmp_path / "library", "passphrase")
    (tmp_path / "given").mkdir()
    with Library(tmp_path / "library") as library:
        library.add(save_clip(tmp_path / "given" / "a.mp4", 1, frames=12), ClipDetails(title=TITLE))
    server = Server(tmp_path / "library", tmp_path / "models", Address(port=0))
    server.start()
    library = server.studio.library
    try:
        job = library.jobs.submit("verify", {}, 10)
        server.studio.worker.wake(job)
        environments, until = [dict[str, str]()], time.monotonic() + 100
        while not all(environments) and time.monotonic() < until:  # it is empty as long as a process begins
            environments = [child.environ() for child in psutil.Process().children()]
        assert any(state.IN_MEMORY in e.get("TMPDIR", "") and locked.PASSPHRASE in e for e in environments)
        arguments = [" ".join(child.cmdline()) for child in psutil.Process().children()]
        assert not any("correct horse" in line for line in arguments)
        until = time.monotonic() + 120
        while library.jobs.get(job.id).state in ("queued", "running") and time.monotonic() < until:
            time.sleep(0.05)
        assert library.jobs.get(job.id).state == "done", library.jobs.get(job.id).message
    finally:
        server.stop()
    assert told(tmp_path) == []
