"""Temporary files of what is locked: nothing of it lies plain in them, not even for a moment."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from footage import files
from footage.commands.generate import react, sliders
from footage.commands.train import ingest
from footage.config import IngestConfig
from footage.data.audit import Audit
from footage.data.clips import DatasetClips
from footage.data.ingest import pipeline
from footage.data.ingest.arrays import CHUNK_BYTES, LaidOut, numpy_clips
from footage.data.ingest.shards import DecodeOptions
from footage.data.ingest.sources import scan
from footage.data.ingest.workers import answer, part_job, rate_job, size_job
from footage.data.locked_arrays import RUN, LockedArray, Pages
from footage.errors import ConfigError, LockError
from footage.evaluation import results
from footage.evaluation.feature_cache import FeatureCache
from footage.evaluation.features.learned_training import train_evaluator
from footage.evaluation.inputs import EvaluationInput
from footage.evaluation.membership import PrivacyAuditor, write_privacy_page
from footage.evaluation.protocols import EvaluationOptions, Protocol
from footage.evaluation.report.content import EvaluationReport, ReportedEvaluation, compile_report
from footage.evaluation.report.page import write_report
from footage.evaluation.results import Evaluation, Figure, Side
from footage.evaluation.run import Evaluator, evaluate
from footage.files import locked
from footage.generation.clip import Clip
from footage.generation.cutting.shots import CutFinder
from footage.generation.cutting.summary import survey
from footage.generation.export import export_onnx
from footage.generation.model import Model
from footage.library.library import Library
from footage.machines.local import memory_folder
from footage.media.probe import open_video
from footage.media.sound_features import listen
from footage.models.checkpoint import compact
from footage.training.estimate import Estimator
from footage.trust import locks
from tests.clips import moving, write
from tests.models import FewShapes, save_tiny_model, tiny_config
from tests.sounds import play
from tests.sounds import write as write_sound

SECRET = b"what nobody may know of"


class Watch:
    """What is in temporary files: looked for when they are removed, since nothing of them is left at the end."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.found: list[str] = []
        self.removed = 0
        self.secret = b""
        sys.addaudithook(self.look)

    def look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None or event not in ("open", "os.remove", "os.rename", "shutil.rmtree"):
            return
        place = arguments[0]
        if not isinstance(place, str | Path) or not os.path.abspath(place).startswith(self.folder):
            return
        watched, self.folder = self.folder, None  # what is opened here is not looked at
        try:
            if event == "open":  # without a name nobody can look into it later
                if isinstance(arguments[2], int) and arguments[2] & os.O_TMPFILE == os.O_TMPFILE:
                    self.found.append("a file without a name")
                return
            every = [Path(place)] if Path(place).is_file() else sorted(Path(place).rglob("*"))
            for path in filter(Path.is_file, every):
                self.removed += 1
                if self.secret in path.read_bytes():
                    self.found.append(path.name)
        finally:
            self.folder = watched

    @contextlib.contextmanager
    def over(self, folder: Path, secret: bytes) -> Iterator[list[str]]:
        """Give what is found, of what is removed below a folder in the block, that holds a secret."""
        self.folder, self.secret, self.found, self.removed = str(folder), secret, [], 0
        try:
            yield self.found
        finally:
            self.folder = None


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


@pytest.fixture(autouse=True)
def quick_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setitem(locked.SCRYPT, "n", 2**4)
    monkeypatch.setenv(locked.PASSPHRASE, "correct horse battery")
    monkeypatch.delenv(locked.KEY_FILE, raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def noise(*shape: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def made(kind: str, folder: Path) -> tuple[Path, bytes]:
    """Write a source of a kind; return it, and bytes that stand in its clips."""
    folder.mkdir()
    frames = noise(2, 20, 32, 32, 3)
    if kind == "npz":
        np.savez(folder / "a.npz", labels=np.arange(2), clips=frames)
        return folder, frames[1, 7, 9].tobytes()
    if kind == "packed.npz":
        np.savez_compressed(folder / "a.npz", clips=np.asfortranarray(frames))
        return folder, frames.T[2, 9, 7].tobytes()
    if kind == "webp":
        pictures = [Image.fromarray(frame) for frame in frames[0]]
        pictures[0].save(folder / "a.webp", save_all=True, append_images=pictures[1:], duration=40, lossless=True)
        return folder, SECRET  # all that may not be is a file without a name
    clip = write(folder.parent / "clip.mp4", moving(20, (32, 32), 1)).read_bytes()
    contents = {"a.mp4": clip}
    if kind == "pictures.zip":
        contents = {}
        for number, frame in enumerate(frames[0]):
            Image.fromarray(frame).save(content := io.BytesIO(), "BMP")
            contents[f"clip/{number:03d}.bmp"] = content.getvalue()
    if kind.endswith("zip"):
        with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in contents.items():
                packed.writestr(name, content)
    else:
        with tarfile.open(folder / "a.tar", "w") as archive:
            member = tarfile.TarInfo("a.mp4")
            member.size = len(clip)
            archive.addfile(member, io.BytesIO(clip))
    content = next(iter(contents.values()))
    return folder, content[len(content) // 2 :][:40]


@pytest.mark.parametrize("kind", ["npz", "packed.npz", "webp", "tar", "zip", "pictures.zip"])
def test_what_is_unpacked_for_a_locked_data_set_is_plain_nowhere(
    tmp_path: Path, quick_key: Path, watch: Watch, kind: str
) -> None:
    source, secret = made(kind, tmp_path / "source")
    size = "32x32" if kind.endswith("npz") else "32"  # which is found out, and for which clips are unpacked too
    config, given = IngestConfig(size=size, heldout=0.0, workers=0), {"advise": False, "quiet": True}
    with watch.over(quick_key, secret) as found:
        plain = ingest((source,), tmp_path / "plain", config, **given)  # type: ignore[arg-type]
        assert found, "the test can fail"
    with watch.over(quick_key, secret) as found:
        hidden = ingest((source,), tmp_path / "made", config, lock=True, yes=True, **given)  # type: ignore[arg-type]
        assert found == [] and watch.removed
    assert hidden.dataset.info.content_hash == plain.dataset.info.content_hash and len(hidden.dataset.rows)
    assert list(quick_key.iterdir()) == [] and not files.is_sealing.get()


def test_workers_seal_where_who_asks_them_does(tmp_path: Path, quick_key: Path, watch: Watch) -> None:
    source, secret = made("tar", tmp_path / "source")
    (clip,) = scan([source]).sources
    options = DecodeOptions.of(IngestConfig(height=32, width=32), 25.0, "raw")
    for hidden in (False, True):
        with files.sealing(hidden):
            jobs = [part_job(clip, options, tmp_path / "a.part"), rate_job([clip], "auto"), size_job([clip])]
        for job in jobs:
            with watch.over(quick_key, secret) as found:
                reply = answer(json.loads(json.dumps(job.request)))
            assert reply in (
                {"frames": 20},
                {"rates": [[25.0, 0.8]]},
                {"rates": [(25.0, 0.8)]},
                {"sizes": [(32, 32, 0.8)]},
            )
            assert found == ([] if hidden else ["00000000.mp4"])


def test_only_the_process_that_sealed_a_folder_opens_it_and_only_meanwhile(tmp_path: Path) -> None:
    with files.scratch_folder(seal=True) as folder:
        path = folder / "a.bin"
        files.write_bytes(path, SECRET * 5_000)
        kept = tmp_path / "kept.bin"
        kept.write_bytes(path.read_bytes())
        assert SECRET not in kept.read_bytes() and files.read_bytes(path) == SECRET * 5_000
        with pytest.raises(LockError, match="where this cannot be written"), files.replacing(folder / "b.bin"):
            pass
        with files.scratch_folder(seal=True) as other, pytest.raises(LockError, match="belongs to another lock"):
            (other / "a.bin").write_bytes(path.read_bytes())
            files.read_bytes(other / "a.bin")
    with pytest.raises(LockError, match="is missing"), locked.open_file(kept):
        pass
    assert not folder.exists() and not locked._sealed
    with files.scratch_folder() as folder, files.scratch_file() as file:
        assert locked.folder_of(folder) is None and isinstance(file.fileno(), int)


@pytest.mark.parametrize("order", ["NTHWC", "TNHW", "NHWTC", "HWT"])
@pytest.mark.parametrize("fortran", [False, True])
def test_parts_of_a_sealed_array_are_those_of_the_array(
    order: str, fortran: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"N": 3, "T": 7, "H": 20, "W": 18, "C": 3}
    array = noise(*(sizes[axis] for axis in order)).astype(np.uint16)
    monkeypatch.setattr("footage.data.locked_arrays.RUN", 300)  # some runs are read at once, and some are not
    assert RUN > array.nbytes > 300
    with files.scratch_folder(seal=True) as folder:
        with files.writing(folder / "a.npy") as handle:
            np.save(handle, np.asfortranarray(array) if fortran else array)
        opened = LockedArray(folder / "a.npy", Pages(limit=0))
        assert (opened.shape, opened.ndim, opened.size, opened.dtype) == (array.shape, array.ndim, array.size, "u2")
        for part in (slice(1, 3), (2, 1), (slice(1, 2), 0), (-1, slice(None), 4), tuple([1] * array.ndim)):
            np.testing.assert_array_equal(opened[part], array[part])
        one, two = LaidOut(opened, order), LaidOut(array, order)
        assert one.shape == two.shape and two.shape[0] == (3 if "N" in order else 1)
        for clip in range(one.shape[0]):
            for ours, theirs in zip(one.chunks(clip, 1, 6), two.chunks(clip, 1, 6), strict=True):
                assert ours.shape == theirs.shape == (5, 20, 18, one.shape[4])
                np.testing.assert_array_equal(ours, theirs)


def test_a_sealed_array_larger_than_a_chunk_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = noise(1, 40, 128, 128, 3)
    np.savez_compressed(tmp_path / "a.npz", frames // 128)
    monkeypatch.setattr("footage.data.ingest.arrays.CHUNK_BYTES", CHUNK_BYTES // 64)
    read = list[int]()
    before = LockedArray.__getitem__

    def counted(self: LockedArray, index: Any) -> npt.NDArray[Any]:
        read.append((part := before(self, index)).nbytes)
        return part

    monkeypatch.setattr(LockedArray, "__getitem__", counted)
    options = DecodeOptions.of(IngestConfig(size=None, height=32, width=32), 25.0, "raw")
    with files.sealing():
        clips = [np.concatenate(list(clip.chunks)) for clip in numpy_clips(tmp_path / "a.npz", options, 40, print)]
    assert [clip.shape for clip in clips] == [(40, 32, 32, 3)] and max(read) <= CHUNK_BYTES // 64


def test_moving_pictures_of_a_locked_folder_are_copied_sealed(tmp_path: Path, quick_key: Path, watch: Watch) -> None:
    source, _ = made("webp", tmp_path / "source")
    locks.lock_new(tmp_path / "made", "passphrase")
    files.write_bytes(tmp_path / "made" / "a.webp", (source / "a.webp").read_bytes())
    times: list[list[Any]] = []
    for path in (source / "a.webp", tmp_path / "made" / "a.webp"):
        with watch.over(quick_key, SECRET) as found, open_video(path) as (container, stream):
            times.append([(frame.pts, frame.to_ndarray().tobytes()) for frame in container.decode(stream)])
        assert bool(found) == (path.parent == source)
    assert times[0] == times[1] and len(times[0]) == 20


def test_what_is_heard_and_drawn_of_something_locked_is_plain_nowhere(
    tmp_path: Path, quick_key: Path, watch: Watch
) -> None:
    song = write_sound(tmp_path / "a.wav", play("house", 120, 4.0).samples[np.newaxis])
    locks.lock_new(tmp_path / "made", "passphrase")
    files.write_bytes(tmp_path / "made" / "a.wav", song.read_bytes())
    heard = []
    for path in (song, tmp_path / "made" / "a.wav"):
        with watch.over(quick_key, SECRET) as found:
            heard.append(listen(path))
        assert bool(found) == (path == song)
    np.testing.assert_array_equal(heard[0].curves, heard[1].curves)
    np.testing.assert_array_equal(heard[0].chroma, heard[1].chroma)

    for hidden in (False, True):
        place = tmp_path / ("made" if hidden else "plain")
        shown: Any = SimpleNamespace(source=FewShapes(), config=tiny_config(), note=SimpleNamespace(guide=None))
        with watch.over(quick_key, b"IHDR") as found:
            assert Estimator.sheet_bytes(SimpleNamespace(data=str(place)), shown) > 0  # type: ignore[arg-type]
        assert bool(found) != hidden and watch.removed


@pytest.fixture
def hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A locked data set, model and library, opened, in a folder of their own; the test runs in another."""
    config = IngestConfig(size="32x32", heldout=0.0, workers=0)
    source, _ = made("npz", tmp_path / "source")
    data = ingest((source,), tmp_path / "data", config, advise=False, lock=True, yes=True, quiet=True).dataset
    save_tiny_model(tmp_path / "model", labels=())
    locks.lock_folder(tmp_path / "model", "passphrase")
    locks.lock_new(tmp_path / "library", "passphrase")
    with Library(tmp_path / "library") as library:
        clip = library.path(library.add(write(tmp_path / "a.mp4", moving(20, (32, 32), 1))).id)
        files.write_bytes(clip.with_name("a.wav"), write_sound(tmp_path / "a.wav", noise(1, 40_000) / 255).read_bytes())
        (tmp_path / "plain").mkdir()
        monkeypatch.chdir(tmp_path / "plain")
        yield {"data": data, "model": Model(tmp_path / "model"), "library": library, "clip": clip}


REFUSED: dict[str, Callable[[dict[str, Any]], object]] = {
    "ingest": lambda given: pipeline.ingest([given["clip"]], "made"),
    "Library.add": lambda given: Library("made").add(given["clip"]),
    "Library.upload_path": lambda given: given["library"].upload_path("a.mp4"),
    "export_onnx": lambda given: export_onnx(given["model"], Path("made")),
    "compact": lambda given: (Path("there").mkdir(), compact(given["model"].folder, Path("there"))),
    "train_evaluator": lambda given: train_evaluator(DatasetClips(given["data"]), Path("made.safetensors")),
    "Audit.write": lambda given: Audit(given["data"]).write("audit.html"),
    "Survey.save": lambda given: survey(given["clip"], CutFinder).save(Path("made.npz")),
    "write_privacy_page": lambda given: write_privacy_page(
        Path("made.html"),
        SimpleNamespace(places=[given["model"].folder]),
        SimpleNamespace(pairs=[]),  # type: ignore[arg-type]
    ),
    "PrivacyAuditor": lambda given: PrivacyAuditor(
        given["model"],
        EvaluationInput(str(given["data"].folder), "dataset", clips=DatasetClips(given["data"])),
        count=2,
        cache=FeatureCache(Path("features")),
    ),
    "evaluate": lambda given: evaluate(plan_of(given), EvaluationOptions(), cluster=object()),  # type: ignore[arg-type]
    "Evaluator": lambda given: Evaluator(plan_of(given), EvaluationOptions(), FeatureCache(None)),
    "compile_report": lambda given: compile_report(
        "one",
        [given["data"].folder],
        Path("made.html"),
        lambda *_: (None, plan_of(given)),  # type: ignore[arg-type, return-value]
    ),
    "react": lambda given: react(given["clip"].with_name("a.wav"), quiet=True),
    "sliders": lambda given: sliders(given["model"].folder, quiet=True),
}
"""What would write something plain of what is locked, by functions of Python."""


def plan_of(given: dict[str, Any]) -> Any:
    sides = (given["model"].folder, given["data"].folder)
    made, real = (SimpleNamespace(opened=SimpleNamespace(given=str(side))) for side in sides)
    return SimpleNamespace(made=made, real=real, warnings=())


def test_functions_of_python_refuse_what_commands_do(hidden: dict[str, Any]) -> None:
    for name, refused in REFUSED.items():
        with pytest.raises((ConfigError, LockError), match="is locked, and"):
            refused(hidden)
            pytest.fail(f"{name} writes it", pytrace=False)
    written = [path for path in Path.cwd().rglob("*") if path.is_file()]
    assert {path.name for path in written} <= {"library.sqlite", "library.sqlite-wal", "library.sqlite-shm"}


def test_a_locked_clip_is_given_as_bytes_through_memory_alone(
    tmp_path: Path, watch: Watch, quick_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks.lock_new(tmp_path / "made", "passphrase")
    path = write(tmp_path / "a.mp4", moving(20, (32, 32), 1))
    files.write_bytes(tmp_path / "made" / "a.mp4", path.read_bytes())
    with watch.over(quick_key, b"ftyp") as found:
        assert Clip.of_video(path).video() and found[-1:] == ["clip.mp4"]
    clip = Clip.of_video(tmp_path / "made" / "a.mp4")
    if memory_folder() is not None:
        with watch.over(quick_key, b"ftyp") as found:
            assert b"ftyp" in clip.video()["bytes"][:12] and found == [] and not watch.removed
    monkeypatch.setattr("footage.generation.clip.memory_folder", lambda: None)
    with pytest.raises(LockError, match="no folder in memory"):
        clip.video()


def test_figures_of_what_is_locked_are_written_without_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    locks.lock_new(tmp_path / "data", "passphrase")
    side = Side(str(tmp_path / "data"), "dataset", "data", "0" * 64, "train", 2, 2, 4, 32, 32, 3, 25.0, ("zebra",))
    protocol = Protocol("own", "here", 2, 4)
    motion = Figure("motion", "motion_ratio", "motion", 1.0, "one", "D", (), (), None, None, (2, 2), (), (1.0,))
    figures = (replace(motion, note="zebra 0.61"),)
    found = Evaluation(side, side, protocol, 0, (), "none", figures, (), None, (), (), "cpu", "footage")
    results.write(Path("figures.json"), found)
    write_report("report.html", EvaluationReport("one", (ReportedEvaluation("data", found),), "footage"))
    for name in ("figures.json", "report.html", "report.json"):
        assert "zebra" not in Path(name).read_text(encoding="utf-8")
    plain = replace(found, made=replace(side, given="shapes"), real=replace(side, given="shapes"))
    results.write(Path("figures.json"), plain)
    assert "zebra" in Path("figures.json").read_text(encoding="utf-8")
