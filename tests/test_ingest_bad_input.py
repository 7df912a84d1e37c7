import errno
import os
import shutil
import signal

import numpy as np
import pytest

from footage.data.ingest import intake, shards, workers
from footage.data.store import Dataset
from footage.errors import DatasetError
from tests import clips
from tests.ingesting import ingest


@pytest.fixture
def root(tmp_path):
    """A folder with two good clips, to which each test adds something bad."""
    clips.write(tmp_path / "src/good 1.mp4", clips.moving(30, seed=1))
    clips.write(tmp_path / "src/sub/gööd 2 影.mkv", clips.moving(30, seed=2))
    return tmp_path / "src"


def reasons(root, tmp_path, **options):
    """Ingest; both good clips must be there. Returns {source: reason} of the rest."""
    result = ingest([root], tmp_path / "d", **{"workers": 0, **options})
    sources = [r.source for r in result.dataset.rows]
    assert "src/good 1.mp4" in sources and "src/sub/gööd 2 影.mkv" in sources
    assert all(r.detail for r in result.rejections)
    return {r.source: r.reason for r in result.rejections}


def test_empty_mislabelled_and_broken_files(root, tmp_path):
    (root / "empty.mp4").write_bytes(b"")
    (root / "text.mp4").write_text("not a video at all\n" * 99)
    (root / "page.webm").write_text("<!doctype html><html><body>404</body></html>")
    (root / "noise.avi").write_bytes(np.random.default_rng(0).bytes(5000))
    (root / "zip.mov").write_bytes(b"PK\3\4" + bytes(3000))
    clips.cut_off(clips.write(root / "no index.mp4", clips.moving(30)), 0.5)
    clips.write_audio(root / "sound.mp4")
    (root / "data.npy").write_bytes(b"\x93NUMPY nonsense")
    np.save(root / "floats.npy", np.zeros((2, 20, 64, 64)))
    np.save(root / "objects.npy", np.array([{"a": 1}], dtype=object))
    (root / "x-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"\xff" * 12)
    (root / "y-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b garbage")
    assert reasons(root, tmp_path) == {
        "src/empty.mp4": "empty file",
        "src/text.mp4": "not a video",
        "src/page.webm": "not a video",
        "src/noise.avi": "not a video",
        "src/zip.mov": "not a video",
        "src/no index.mp4": "damaged",
        "src/sound.mp4": "no video stream",
        "src/data.npy": "damaged",
        "src/floats.npy": "not clips",
        "src/objects.npy": "damaged",
        "src/x-images-idx3-ubyte": "damaged",
        "src/y-images-idx3-ubyte.gz": "damaged",
    }


def test_video_without_frames(root, tmp_path):
    for name in ("none.mp4", "none.mkv", "none.avi"):
        clips.write(root / name, [], size=(64, 64))
    path = clips.write(root / "cut.mkv", clips.moving(30))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\x1f\x43\xb6\x75")])  # up to the first cluster
    found = reasons(root, tmp_path)
    assert found.pop("src/cut.mkv") in ("damaged", "zero frames")
    assert found == {"src/none.mp4": "no video stream", "src/none.mkv": "damaged", "src/none.avi": "zero frames"}


def test_damage_in_the_middle_keeps_the_good_parts(root, tmp_path):
    path = clips.write(root / "bad.mp4", clips.moving(150, seed=3), options={"g": "25"})
    clips.corrupt(path, 0.4, 0.5)
    assert reasons(root, tmp_path)["src/bad.mp4"] in ("damaged", "too short")
    dataset = Dataset(tmp_path / "d")
    kept = [r for r in dataset.rows if r.source == "src/bad.mp4"]
    assert len(kept) >= 2 and kept[0].start == 0 and sum(r.frames for r in kept) >= 70
    (source,) = [s for s in dataset.sources if s.source == "src/bad.mp4"]
    assert source.damaged > 0 and source.problem and source.clips == len(kept)
    holes = [r for r in dataset.rejections if r.source == "src/bad.mp4" and r.reason == "damaged"]
    assert holes and all(not (r.start < h.end and h.start < r.end) for r in kept for h in holes)
    first = dataset.read(kept[0]).astype(int)
    assert np.abs(first - np.stack(clips.moving(150, seed=3))[: len(first)]).mean() < 9


def test_truncated_file_keeps_its_beginning(root, tmp_path):
    path = clips.write(root / "cut.mp4", clips.moving(100, seed=3), container_options={"movflags": "faststart"})
    clips.cut_off(path, 0.6)
    found = ingest([root], tmp_path / "d", workers=0)
    kept = [r for r in found.dataset.rows if r.source == "src/cut.mp4"]
    assert kept and kept[0].frames >= 16
    assert "truncated" in {r.reason for r in found.rejections if r.source == "src/cut.mp4"}
    assert next(s for s in found.dataset.sources if s.source == "src/cut.mp4").truncated


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ten bits.mp4", {"pix_fmt": "yuv420p10le"}),
        ("444.mp4", {"pix_fmt": "yuv444p"}),
        ("variable.mkv", {"times": [i * 0.04 + (i // 5) * 0.11 for i in range(30)]}),
        ("no duration.mkv", {"container_options": {"live": "1"}}),
        ("raw.h264", {}),
    ],
)
def test_unusual_but_good(root, tmp_path, name, options):
    clips.write(root / name, clips.moving(30, seed=3), **options)
    assert reasons(root, tmp_path) == {}
    assert f"src/{name}" in {r.source for r in Dataset(tmp_path / "d").rows}


def test_odd_sizes_rotation_and_unusable_shapes(root, tmp_path):
    clips.write(root / "odd.mkv", clips.moving(30, (51, 37), seed=3), codec="ffv1", pix_fmt="bgr0")
    clips.rotate(clips.write(root / "turned.mp4", clips.moving(30, (64, 96), seed=4)), 90)
    clips.rotate(clips.write(root / "turned exactly.mp4", clips.moving(30, (64, 64), seed=6)), 90)
    clips.write(root / "line.mkv", clips.moving(30, (16, 1600), seed=5), codec="ffv1", pix_fmt="bgr0")
    assert reasons(root, tmp_path) == {"src/line.mkv": "unusable shape"}
    (source,) = [s for s in Dataset(tmp_path / "d").sources if s.source == "src/turned.mp4"]
    assert (source.width, source.height) == (64, 96)


def test_same_names_in_different_folders(root, tmp_path):
    for i, name in enumerate(("a", "b", "b/c")):
        clips.write(root / name / "clip.mp4", clips.moving(30, seed=10 + i))
    assert reasons(root, tmp_path) == {}
    rows = [r for r in Dataset(tmp_path / "d").rows if r.source.endswith("clip.mp4")]
    assert len({r.source for r in rows}) == len({r.digest for r in rows}) == 3


def test_no_permission_and_then_permission(root, tmp_path, monkeypatch):
    clips.write(root / "secret.mp4", clips.moving(30, seed=3))
    real = intake.files.file_digest

    def refuse(path):
        if path.name == "secret.mp4":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    monkeypatch.setattr(intake.files, "file_digest", refuse)
    assert reasons(root, tmp_path) == {"src/secret.mp4": "unreadable"}
    monkeypatch.undo()
    assert reasons(root, tmp_path) == {}


def test_file_that_goes_while_it_is_ingested(root, tmp_path):
    clips.write(root / "gone.mp4", clips.moving(30, seed=3))

    def remove(progress):
        (root / "gone.mp4").unlink(missing_ok=True)

    assert reasons(root, tmp_path, on_progress=remove) == {"src/gone.mp4": "unreadable"}


def test_nothing_to_ingest(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/readme.txt").write_text("hello")
    with pytest.raises(DatasetError, match=r'no video in ".*src": .*1 \.txt'):
        ingest([tmp_path / "src"], tmp_path / "d", workers=0)
    assert not (tmp_path / "d").exists()
    (tmp_path / "src/a.mp4").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"1 empty file .such as src/a.mp4."):
        ingest([tmp_path / "src"], tmp_path / "d", workers=0)
    assert "empty file" in (tmp_path / "d/rejected.jsonl").read_text()
    clips.write(tmp_path / "src/b.mp4", clips.moving(30))
    assert len(ingest([tmp_path / "src"], tmp_path / "d", workers=0).dataset.rows) == 1


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("module", "name"), [(intake, "finish_part"), (shards, "read_frames"), (shards.np, "savez")])
def test_disk_full(root, tmp_path, monkeypatch, module, name):
    before = ingest([root], tmp_path / "d", workers=0).dataset
    rows, kept = before.rows, {r.digest: before.read(r).tobytes() for r in before.rows}
    clips.write(root / "new.mp4", clips.moving(30, seed=7))
    monkeypatch.setattr(module, name, full_disk)
    with pytest.raises(DatasetError, match=r"No space left.*run the same command again"):
        ingest([root], tmp_path / "d", workers=0)
    monkeypatch.undo()
    after = Dataset(tmp_path / "d")
    assert after.rows == rows and {r.digest: after.read(r).tobytes() for r in after.rows} == kept
    assert not list((tmp_path / "d").rglob("*.partial*"))
    assert len(ingest([root], tmp_path / "d", workers=0).dataset.rows) == 3


def test_read_only_disk_is_said(root, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("footage.files.os.replace", refuse)
    with pytest.raises(DatasetError, match="cannot be written"):
        ingest([root], tmp_path / "d", workers=0)


def killer(folder, name):
    """A Python start-up hook for the workers: decoding the named file kills the process, as a decoder's fault would."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, signal\n"
        "import footage.data.ingest.intake as intake\n"
        "real = intake.content_digest\n"
        "def digest(source):\n"
        f"    if source.path.name == {name!r}:\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    return real(source)\n"
        "intake.content_digest = digest\n"
    )
    return str(folder)


@pytest.mark.parametrize("count", [1, 2])
def test_worker_killed_by_a_file(root, tmp_path, monkeypatch, count):
    clips.write(root / "killer.mp4", clips.moving(30, seed=3))
    for i in range(4):
        clips.write(root / f"later {i}.mp4", clips.moving(30, seed=20 + i))
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", killer(tmp_path / "hook", "killer.mp4"))
        result = ingest([root], tmp_path / "d", workers=count)
    assert len(result.dataset.rows) == 6
    (rejection,) = result.rejections
    assert (rejection.source, rejection.reason) == ("src/killer.mp4", "damaged")
    assert f"exit status -{int(signal.SIGSEGV)}" in rejection.detail
    again = ingest([root], tmp_path / "d", workers=count)  # it is tried again, and now goes well
    assert again.decoded == 1 and len(again.dataset.rows) == 7


def test_worker_that_dies_once_costs_nothing(root, tmp_path, monkeypatch):
    real = workers._Worker.ask
    died = []

    def ask(self, request):
        if "source" in request and not died:
            died.append(self.process.pid)
            os.kill(self.process.pid, signal.SIGKILL)
        return real(self, request)

    monkeypatch.setattr(workers._Worker, "ask", ask)
    assert reasons(root, tmp_path, workers=2) == {} and died


def test_workers_end_when_the_caller_is_interrupted(root, tmp_path):
    started = []
    real = workers._Worker.__init__

    def interrupt(progress):
        if progress.phase == "decode":
            raise KeyboardInterrupt

    def init(self):
        real(self)
        started.append(self.process)

    workers._Worker.__init__ = init
    try:
        with pytest.raises(KeyboardInterrupt):
            ingest([root], tmp_path / "d", workers=2, on_progress=interrupt)
    finally:
        workers._Worker.__init__ = real
    assert started and all(process.poll() is not None for process in started)
    shutil.rmtree(tmp_path / "d")
