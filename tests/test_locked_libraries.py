"""A locked library does what a plain one does, and nothing of it is plain on the disk, whenever it is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from footage import files
from footage.commands.generate import output_folder
from footage.commands.library import add
from footage.commands.lock import lock, unlock
from footage.commands.train import ingest
from footage.errors import ConfigError, LibraryError, LockError
from footage.files import locked
from footage.library.additions import ClipDetails
from footage.library.import_export import ExportOptions
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.library.similarity import Vectors
from footage.machines.local import environment
from footage.media.thumbnails import read_thumbnails
from footage.trust import locks
from tests.libraries import make_older, save_clip
from tests.volumes import SHAPE, write_phantom

PASSPHRASE = "correct horse battery"
TITLE, LABEL, CAPTION = "confidential meeting", "zebra-nobody-knows", "a caption nobody may read"
SECRETS = [TITLE.encode(), LABEL.encode(), CAPTION.encode(), b"RIFF", b"WEBP", b"ftyp", b"CREATE TABLE"]
"""Of clips: what is said of them, and what stands at the beginning of clips, pictures and databases."""


@pytest.fixture(autouse=True)
def quick_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(locked.SCRYPT, "n", 2**4)
    monkeypatch.setenv(locked.PASSPHRASE, PASSPHRASE)
    monkeypatch.delenv(locked.KEY_FILE, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "tmp").mkdir()


def known() -> ClipDetails:
    return ClipDetails(title=TITLE, label=LABEL, prompt=CAPTION)


def made(tmp_path: Path, count: int = 3) -> Path:
    """Return a plain library of a few clips."""
    with Library(tmp_path / "library") as library:
        for seed in range(count):
            library.add(save_clip(tmp_path / f"{seed}.mp4", seed, frames=6 + seed, seed=seed), known())
    return tmp_path / "library"


def test_a_volume_is_locked_and_read_like_a_clip(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    path = write_phantom(tmp_path / "x.nii.gz", seed=3)
    add(tmp_path / "library", (path,), lock=True, yes=True, quiet=True)
    with Library(tmp_path / "library") as library:
        assert not library.path(1).read_bytes().startswith(b"\x1f\x8b") and library.get(1).seed == 3
        assert read_thumbnails(library.path(1)).frames == SHAPE[0]
        library.export([1], tmp_path / "out")
    assert (tmp_path / "out" / "x.nii.gz").read_bytes() == path.read_bytes()


def told(*places: Path) -> list[str]:
    """Return files in which something stands that must not, and plain names."""
    found = []
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        content = path.read_bytes() + path.name.encode()
        found += [f"{path}: {secret!r}" for secret in SECRETS if secret in content]
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock.json"}


def test_it_does_what_a_plain_one_does_and_nothing_of_it_is_plain(tmp_path: Path) -> None:
    folder = made(tmp_path)
    assert {line.partition(": ")[2] for line in told(folder)} == set(map(repr, SECRETS))  # the test can fail
    with Library(folder) as library:
        before, alike = library.query(ClipQuery()).entries, library.similar(1)
    lock(folder, yes=True, quiet=True)
    with Library(folder, create=False) as library:
        assert library.query(ClipQuery()).entries == before and library.similar(1) == alike
        assert len(library.query(ClipQuery(text="nobody may")).entries) == 3
        new = library.add(save_clip(tmp_path / "new.mp4", 9), known())
        library.bulk([1, new.id], {"notes": CAPTION}, tag=[LABEL])
        library.albums.put(library.albums.create(TITLE).id, [1])
        found = library.find(tmp_path / "new.mp4")
        assert found is not None and found.entry.id == new.id
        assert locked.size(library.path(new.id)) == new.bytes == (tmp_path / "new.mp4").stat().st_size
        assert files.read_bytes(library.preview(new.id))[8:12] == b"WEBP"
        assert library.verify().sound and library.similar(new.id)[0][1] > 0
        assert (folder / "library.sqlite-wal").stat().st_size > 0
        assert told(folder, tmp_path / "tmp") == []  # while it is open: the log too
        library.export([1, new.id], tmp_path / "out.zip")
        library.export([1, new.id], tmp_path / "out")
        with pytest.raises(LibraryError, match="export copies"):
            library.export([1], tmp_path / "cut.edl", ExportOptions(media="none"))
        library.remove([2])
        library.purge()
        library.gc()
    assert told(folder, tmp_path / "tmp") == []
    with Library(tmp_path / "other") as other:
        assert len(other.unpack(tmp_path / "out.zip").added) == 2
    assert (tmp_path / "out" / f"{TITLE}.mp4").read_bytes() == (tmp_path / "0.mp4").read_bytes()
    unlock(folder, quiet=True)
    with Library(folder, create=False) as library:
        assert [entry.id for entry in library.query(ClipQuery()).entries] == [4, 3, 1] and library.verify().sound
        assert library.albums.all()[0].name == TITLE


def test_one_that_is_made_locked_is_never_plain_and_a_killed_process_leaves_nothing(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for seed in range(30):
        save_clip(clips / f"{seed}.mp4", seed)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(clips / "still.webp")
    folder = tmp_path / "library"
    add(folder, (clips / "0.mp4",), tag=(LABEL,), prompt=CAPTION, lock=True, yes=True, quiet=True)
    script = (
        "import sys\nfrom pathlib import Path\nfrom footage.files import locked\nlocked.SCRYPT['n'] = 2**4\n"
        "from footage.library.additions import ClipDetails\nfrom footage.library.library import Library\n"
        f"known = ClipDetails(title={TITLE!r}, label={LABEL!r}, prompt={CAPTION!r})\n"
        "with Library(sys.argv[1]) as library:\n"
        "    for path in sorted(Path(sys.argv[2]).iterdir(), reverse=True):\n"
        "        print(library.add(path, known).id, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(folder), str(clips)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert told(folder, tmp_path / "tmp") == []
    with Library(folder, create=False) as library:
        assert library.count(ClipQuery(text=LABEL)) >= 4
        library.verify()
        assert library.verify().sound
    assert told(folder, tmp_path / "tmp") == []


def test_its_key_changes_and_no_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path, 1)
    lock(folder, yes=True, quiet=True)
    before = content(folder)
    monkeypatch.setenv("FOOTAGE_NEW_PASSPHRASE", "a new passphrase")
    lock(folder, change_key=True, quiet=True)
    assert content(folder) == before
    with pytest.raises(LockError, match="another one"):
        Library(folder)
    with environment({locked.PASSPHRASE: "a new passphrase"}), Library(folder) as library:
        assert library.get(1).title == TITLE
    (folder / "lock.json").unlink()
    with pytest.raises(LibraryError):
        Library(folder)


HOLD = """
import sys
from footage.files import locked
from footage.library.library import Library
locked.SCRYPT["n"] = 2**4
with Library(sys.argv[1]) as library:
    print(library.count(), flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have another process use a library."""
    line = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"1\n"
        yield


def test_one_in_use_is_not_locked(tmp_path: Path) -> None:
    folder = made(tmp_path, 1)
    with held(folder):
        with pytest.raises(LockError, match="end the studio"):
            lock(folder, yes=True, quiet=True)
        assert not (folder / "lock.json").exists() and (folder / "library.sqlite").read_bytes()[:6] == b"SQLite"
    lock(folder, yes=True, quiet=True)
    with held(folder), pytest.raises(LockError, match="end the studio"):
        unlock(folder, quiet=True)


@pytest.mark.parametrize("verb", ["lock", "unlock"])
def test_stopped_in_the_middle_it_goes_on(tmp_path: Path, verb: str) -> None:
    folder = made(tmp_path, 1)
    before = {name: value for name, value in content(folder).items() if ".sqlite" not in name}
    if verb == "unlock":
        lock(folder, yes=True, quiet=True)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        locks.lock_folder(folder, "passphrase", stop) if verb == "lock" else locks.unlock_folder(folder, stop)
    with pytest.raises(LockError, match=f"footage {verb} .* goes on"):
        Library(folder)
    (folder / ".library-1234.partial.sqlite").write_bytes(b"half")  # as if it had been killed before
    (lock if verb == "lock" else unlock)(folder, quiet=True)
    assert not list(folder.glob(".*.partial*"))
    if verb == "lock":
        assert told(folder) == []
        unlock(folder, quiet=True)
    assert {name: value for name, value in content(folder).items() if ".sqlite" not in name} == before
    with Library(folder) as library:
        assert library.get(1).prompt == CAPTION


def test_what_is_damaged_is_seen_and_vectors_are_made_again(tmp_path: Path) -> None:
    folder = made(tmp_path)
    lock(folder, yes=True, quiet=True)
    with Library(folder) as library:
        for path in (library.path(1), folder / "embeddings" / "look-1.f32", library.thumbnail(2)):
            spoiled = bytearray(path.read_bytes())
            spoiled[-50] ^= 1
            path.write_bytes(spoiled)
        (library.path(2).parent / "plain.mp4").write_bytes((tmp_path / "0.mp4").read_bytes())
        report = library.verify()
        assert report.changed == (1,) and report.pictures == (2,) and report.vectors == (2, 3)
        assert len(report.orphans) == 1 and report.adopted == ()
        assert library.verify().vectors == () and library.similar(2)


def test_vectors_far_apart_are_all_kept(tmp_path: Path) -> None:
    locks.lock_new(tmp_path / "library", "passphrase")
    vectors, rng = Vectors(tmp_path / "library", "look", 256), np.random.default_rng(0)
    wanted = {number: rng.standard_normal(256).astype(np.float32) for number in (*range(10), 200, 1000)}
    for numbers in (range(10), (200,), (1000,)):
        vectors.put({number: wanted[number] for number in numbers})
    for opened in (vectors, Vectors(tmp_path / "library", "look", 256)):
        for number, vector in wanted.items():
            found = opened.get(number)
            assert found is not None and found @ vector > 0.999 * np.linalg.norm(vector)
        assert opened.get(100) is None


def test_moving_pictures_are_read_without_a_copy_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [Image.fromarray(np.full((32, 32, 3), value, np.uint8)) for value in (0, 90, 180)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=100)
    locks.lock_new(tmp_path / "library", "passphrase")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    with Library(tmp_path / "library") as library:
        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
        with pytest.raises(AssertionError, match="a temporary file"):
            Library(tmp_path / "plain").add(tmp_path / "a.webp")
        with open(tmp_path / "a.webp", "rb") as picture:
            stored = library._storage.file_store.put(picture, "webp")[1]
        assert len(read_thumbnails(stored).pictures) == 3


def test_what_would_be_plain_is_refused(tmp_path: Path) -> None:
    locks.lock_new(tmp_path / "library", "passphrase")
    with Library(tmp_path / "library") as library:
        clip = library.path(library.add(save_clip(tmp_path / "a.mp4", 1)).id)
    with pytest.raises(ConfigError, match="--to FOLDER too"), output_folder(None, tmp_path / "library"):
        pass
    with pytest.raises(ConfigError, match="the data set would not be"):
        ingest((clip,), tmp_path / "data", quiet=True)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locks.lock_new(tmp_path / "library", "passphrase")
    monkeypatch.setitem(sys.modules, "sqlcipher3", None)
    with pytest.raises(LockError, match=r"footage\[lock\]"):
        Library(tmp_path / "library")
    assert os.listdir(tmp_path / "library") == ["lock.json"]


def test_one_of_an_older_version_is_migrated_and_its_copy_is_locked(tmp_path: Path) -> None:
    folder = made(tmp_path, 1)
    make_older(folder, 6)
    lock(folder, yes=True, quiet=True)
    with Library(folder) as library:
        found = library.find(tmp_path / "0.mp4")
        assert found is not None and found.entry.title == TITLE
    assert (folder / "library-format-6.sqlite").is_file() and told(folder) == []
    assert unlock(folder, quiet=True).files > 2
    assert (folder / "library-format-6.sqlite").read_bytes()[:6] == b"SQLite"


def test_effects_are_kept_inside_and_not_rendered(tmp_path: Path) -> None:
    folder = made(tmp_path, 2)
    with Library(folder) as library:
        chain = {"version": 1, "effects": [{"kind": "reframe", "shape": "9:17"}]}
        rendered, waiting = library.edited.add(1, chain, TITLE).id, library.edited.add(2, chain, TITLE).id
        size = library.path(rendered).stat().st_size
    lock(folder, yes=True, quiet=True)
    assert not told(folder, tmp_path / "tmp")
    assert not [path for path, held in content(folder).items() if b"9:17" in held]
    with Library(folder) as library:
        assert library.edited.chain(waiting)["effects"][0]["shape"] == "9:17"
        assert len(library.query(text=TITLE).entries) == 4 and library.thumbnail(waiting).is_file()
        library.update(waiting, stars=5)
        (copy, *_) = library.export([rendered], tmp_path / "out")  # it was rendered before
        assert copy.stat().st_size == size
        for refused in (
            lambda: library.export([waiting], tmp_path / "other"),
            lambda: library.edited.add(1, {"version": 1, "effects": [{"kind": "reverse"}]}),
            lambda: library.edited.change(waiting, chain),
        ):
            with pytest.raises(LibraryError, match="the library is locked, and what is rendered by effects"):
                refused()
        assert library.erase([library.get(1).digest]) == 2 and library.count() == 2
        assert len([path for path in (folder / "rendered").rglob("*") if path.is_file()]) == 1  # the draft of the other
    assert not told(folder, tmp_path / "tmp")
