"""Locks: nothing plain on the disk, whatever is done; damage, exchanged pages and other keys are seen."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from footage import files, load
from footage.commands.evaluate import evaluate, privacy, train_evaluator
from footage.commands.lock import Locked, lock, unlock
from footage.commands.main import main
from footage.commands.terminal import make_console
from footage.commands.train import ingest, train
from footage.commands.trust import detector
from footage.config import IngestConfig
from footage.data.clips import BuiltInClips, DatasetClips, Loader
from footage.data.locked_arrays import PIECE, Pages, load_bytes
from footage.data.store import Dataset
from footage.data.talker import SPOKEN, pronounced
from footage.errors import ConfigError, FootageError, KeyNeeded, LockError, MediaError
from footage.evaluation import results
from footage.evaluation.detector import SEEN, Detector, DetectorFigure, DetectorNet, load_detector, save_detector
from footage.evaluation.feature_cache import FeatureCache
from footage.evaluation.features import learned_training
from footage.evaluation.features.learned import load_learned
from footage.files import locked
from footage.machines.local import environment
from footage.media import narrator
from footage.models.card import read_info
from footage.training import trainer
from footage.training.run_folder import RunFolder
from footage.trust import locks
from tests.clips import moving, write
from tests.models import save_tiny_model, tiny_config
from tests.volumes import write_phantom

CAPTION = "a zebra nobody may know of"
SOURCE = "confidential-meeting"
PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def quick_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(locked.SCRYPT, "n", 2**4)
    monkeypatch.setenv(locked.PASSPHRASE, PASSPHRASE)
    monkeypatch.delenv(locked.KEY_FILE, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()


def videos(folder: Path) -> Path:
    """Two videos: one with a caption; frames are drawn noise, of which a part is looked for on the disk."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    frames = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(20)]
    np.save(folder / f"{SOURCE}.npy", np.stack(frames)[None])
    (folder / f"{SOURCE}.txt").write_text(CAPTION)
    write(folder / "walk.mp4", moving(20, (32, 32), 1))
    (folder / "walk.txt").write_text(CAPTION)
    return folder


def secrets_of(folder: Path) -> list[bytes]:
    pattern = np.load(folder / f"{SOURCE}.npy")[0, 3, 10].tobytes()
    return [pattern, CAPTION.encode(), SOURCE.encode()]


def told(place: Path, secrets: list[bytes]) -> list[str]:
    """Files below a place, and names of them, in which a secret stands."""
    found = []
    for path in place.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if any(secret in content or secret in path.name.encode() for secret in secrets):
            found.append(str(path))
    return found


def locked_data(tmp_path: Path, coding: str = "raw") -> tuple[Path, list[bytes]]:
    source = videos(tmp_path / "videos")
    config = IngestConfig(size="32x32", coding=coding, heldout=0.0, workers=0)  # type: ignore[arg-type]
    ingest((source,), tmp_path / "made" / "data", config, advise=False, lock=True, yes=True, quiet=True)
    return tmp_path / "made" / "data", secrets_of(source)


def test_random_access_is_as_of_a_plain_file(tmp_path: Path) -> None:
    locks.lock_new(tmp_path / "a", "passphrase")
    rng, plain, path = np.random.default_rng(0), bytearray(), tmp_path / "a" / "x.bin"
    with files.writing(path) as handle:
        for _ in range(60):
            at = int(rng.integers(0, len(plain) + 70_000 if rng.random() < 0.3 else len(plain) + 1))
            part = rng.bytes(int(rng.integers(1, 90_000)))
            handle.seek(at)
            if rng.random() < 0.15:
                handle.truncate(at)
                plain = plain[:at] + bytes(max(0, at - len(plain)))
            else:
                handle.write(part)
                plain += bytes(max(0, at - len(plain)))
                plain[at : at + len(part)] = part
    assert files.read_bytes(path) == plain and locked.size(path) == len(plain)
    # Kept in memory, in part, and opened whenever they are read.
    for pages in (Pages(), Pages(limit=len(plain) - 1), Pages(limit=0)):
        array = load_bytes(path, pages)
        for _ in range(50):
            first, last = sorted(rng.integers(0, len(plain), 2).tolist())
            assert array[first:last].tobytes() == plain[first:last] and not array[first:last].flags.writeable


def test_room_for_opened_pages_is_taken_as_they_are_read_and_given_back(tmp_path: Path) -> None:
    locks.lock_new(tmp_path / "a", "passphrase")
    plain = np.random.default_rng(0).bytes(3 * PIECE - 5)
    for name in "xy":
        files.write_bytes(tmp_path / "a" / name, plain)
    pages = Pages(limit=2 * PIECE)
    first, second = (load_bytes(tmp_path / "a" / name, pages) for name in "xy")
    assert pages.left == 2 * PIECE, "opening a file takes nothing"
    assert second[5:9].tobytes() == plain[5:9] and pages.left == PIECE
    assert first[PIECE : PIECE + 9].tobytes() == plain[PIECE : PIECE + 9] and pages.left == 0
    for array in (first, second):  # kept in part
        assert array[0 : len(plain)].tobytes() == plain and pages.left == 0
        assert array[PIECE - 70_000 : PIECE + 70_000].tobytes() == plain[PIECE - 70_000 : PIECE + 70_000]
    del array, first
    assert pages.left == PIECE


def test_programs_that_are_not_ours_are_told_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "speak"
    program.write_text(f'#!/bin/sh\nenv >> "{tmp_path}/told"\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv(locked.NEW_PASSPHRASE, "another")
    monkeypatch.setenv(locked.KEY_FILE, "/a/key")
    with pytest.raises(MediaError):
        narrator.say(f"{program} {{out}} {{text}}", "hello", tmp_path / "out.wav")
    with pytest.raises(ConfigError):
        pronounced(str(program), next(iter(SPOKEN)))
    told = (tmp_path / "told").read_text()
    assert told.count("PATH=") >= 2
    assert not any(name in told for name in (locked.PASSPHRASE, locked.NEW_PASSPHRASE, locked.KEY_FILE))


@pytest.mark.parametrize("grow", ["truncate", "seek", "both"])
def test_a_short_last_page_is_whole_once_the_file_grows_past_it(tmp_path: Path, grow: str) -> None:
    locks.lock_new(tmp_path / "a", "passphrase")
    path, size = tmp_path / "a" / "x.bin", locked.PAGE + 4464
    files.write_bytes(path, b"x" * 100)
    with files.updating(path) as handle:
        if grow != "seek":
            handle.truncate(size)
        if grow != "truncate":
            handle.seek(size - 1)
            handle.write(b"y")
    last = b"\0" if grow == "truncate" else b"y"
    assert files.read_bytes(path) == b"x" * 100 + bytes(size - 101) + last


def test_a_file_far_below_is_locked_with_the_others_and_opens(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    deep = tmp_path / "model" / "a/b/c/d/e/f/g/notes.txt"
    deep.parent.mkdir(parents=True)
    deep.write_text(CAPTION)
    lock(tmp_path / "model", yes=True, quiet=True)
    assert locked.is_locked(deep) and files.read_bytes(deep) == CAPTION.encode()


def test_nothing_half_written_stays_plain_and_links_are_refused(tmp_path: Path) -> None:
    model, outside = tmp_path / "model", tmp_path / "outside"
    save_tiny_model(model)
    outside.write_text(CAPTION)
    (model / "below" / "more").mkdir(parents=True)
    (model / "below" / "more" / f".clip-00{files.PARTIAL}.mp4").write_text(CAPTION)
    (model / "below" / f"notes{files.PARTIAL}.txt").write_text(CAPTION)
    (model / "below" / "led").symlink_to(outside)
    (model / "folder").symlink_to(tmp_path)
    before = sorted(path.name for path in model.rglob("*"))
    with pytest.raises(LockError, match=r"holds links \(below/led, folder\)"):
        lock(model, yes=True, quiet=True)
    assert sorted(path.name for path in model.rglob("*")) == before
    (model / "below" / "led").unlink()
    (model / "folder").unlink()
    lock(model, yes=True, quiet=True)
    assert told(model, [CAPTION.encode()]) == [] and outside.read_text() == CAPTION
    assert files.read_bytes(model / "below" / f"notes{files.PARTIAL}.txt") == CAPTION.encode()


@pytest.mark.parametrize("coding", ["raw", "jpeg"])
def test_a_data_set_is_never_plain_and_reads_the_same(tmp_path: Path, coding: str) -> None:
    data, secrets = locked_data(tmp_path, coding)
    assert told(tmp_path / "made", secrets) == [] == told(tmp_path / "tmp", secrets)
    config = IngestConfig(size="32x32", coding=coding, heldout=0.0, workers=0)  # type: ignore[arg-type]
    ingest((tmp_path / "videos",), tmp_path / "plain" / "data", config, advise=False, quiet=True)
    assert len(told(tmp_path / "plain", secrets)) >= 2  # the test can fail
    plain, opened = Dataset(tmp_path / "plain" / "data"), Dataset(data)
    assert opened.rows == plain.rows and opened.info.content_hash == plain.info.content_hash
    batches = [Loader(DatasetClips(d), "train", frames=4, batch_size=4, seed=0).batch(8)[0] for d in (plain, opened)]
    np.testing.assert_array_equal(*batches)
    again = ingest((tmp_path / "videos",), data, config, advise=False, quiet=True)
    assert (again.decoded, again.reused) == (0, 2)


def test_what_is_trained_from_it_is_locked_and_generates(tmp_path: Path) -> None:
    data, secrets = locked_data(tmp_path)
    config = tiny_config(clip__frames=4, train__batch_size=2, train__device="cpu")
    run = train(str(data), config, out=tmp_path / "made" / "run", clips=4, quiet=True)
    assert told(tmp_path / "made", secrets) == [] == told(tmp_path / "tmp", secrets)
    plain = [path for path in run.path.rglob("*") if path.is_file() and not locked.is_locked(path)]
    assert {path.name for path in plain if "tensorboard" not in path.parts} == {"lock.json", ".lock", "metrics.jsonl"}
    assert len(list(load(run.model).generate(1, seconds=0.2))) == 1
    train(str(data), config, out=run.path, clips=6, quiet=True)  # goes on from its locked state
    with environment({locked.PASSPHRASE: "another one"}), pytest.raises(LockError, match="passphrase is another one"):
        read_info(run.model)


def test_a_run_that_begins_with_a_locked_model_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny_model(tmp_path / "model")
    lock(tmp_path / "model", yes=True, quiet=True)
    monkeypatch.setattr(trainer, "resume", lambda folder, config, note: [])
    monkeypatch.setattr(trainer, "Trainer", lambda *_: pytest.fail("it begins", pytrace=False))
    plan: Any = SimpleNamespace(note=SimpleNamespace(data="shapes", guide=None), config=None)
    run, given = RunFolder(tmp_path / "run"), {"clips": 1, "minutes": None, "console": make_console(True)}
    with pytest.raises(pytest.fail.Exception, match="it begins"):
        trainer.train(plan, run, begin_with=tmp_path / "model", **given)
    assert locked.folder_of(run.path) == run.path


def test_what_is_measured_of_a_locked_model_is_plain_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLIPS", "HELDOUT"):
        monkeypatch.setattr(BuiltInClips, name, 4)
    save_tiny_model(tmp_path / "model", labels=())
    lock(tmp_path / "model", yes=True, quiet=True)
    written = tmp_path / "written"
    written.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(written))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    given: dict[str, Any] = {"clips": 2, "networks": "random", "quiet": True}
    with pytest.raises(ConfigError, match=r"is locked, and .* would show its clips"):
        privacy(tmp_path / "model", "shapes", to=written / "privacy.html", **given)
    with pytest.raises(ConfigError, match=r"is locked, and .*report.html\" would show its clips"):
        evaluate(tmp_path / "model", "shapes", report=written / "report.html", **given)
    monkeypatch.setattr(FeatureCache, "__exit__", lambda *_: None)  # nothing is cleared away
    privacy(tmp_path / "model", "shapes", **given)
    evaluate(tmp_path / "model", "shapes", to=written / "figures.json", metrics="pictures", resamples=0, **given)
    assert [path.name for path in written.iterdir()] == ["figures.json"]
    measured = results.read(written / "figures.json")
    assert measured.real.labels == (), "of what is locked no names are written"
    pair = results.NearestPair("seed 1", 0, f"{SOURCE}@0.00", 0, "pixels", 0.4, 3.0)
    known = results.Memorisation("", 1, 1, 1, 1, (), (pair,), ("seed 1",))
    figure = replace(measured.figures[0], note="circle 0.61")
    labelled = replace(measured, real=replace(measured.real, labels=("circle",)), figures=(figure,), memorisation=known)
    results.write(written / "figures.json", labelled, hidden=True)
    assert told(written, [SOURCE.encode(), b"circle"]) == [] and results.read(written / "figures.json").memorisation
    assert [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()] == []


def test_what_is_learned_of_locked_clips_is_locked_and_used_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos(tmp_path / "videos")
    for seed in range(2, 10):
        write(tmp_path / "videos" / f"{SOURCE}-{seed}.mp4", moving(20, (32, 32), seed))
    made, config = tmp_path / "made", IngestConfig(size="32x32", heldout=0.0, workers=0)
    ingest((tmp_path / "videos",), made / "data", config, advise=False, lock=True, yes=True, quiet=True)
    save_tiny_model(tmp_path / "model")
    for name, value in (("WIDTHS", (4, 8)), ("BATCH", 4), ("TRIED", 8), ("CLIMBING", 4)):
        monkeypatch.setattr(learned_training, name, value)
    given: dict[str, Any] = {"frames": 6, "clips": 4, "quiet": True}
    (tmp_path / "empty").mkdir()
    for refused in (
        lambda: train_evaluator(str(made / "data"), to=tmp_path / "empty" / "net.safetensors", **given),
        lambda: detector(str(tmp_path / "model"), str(made / "data"), to=tmp_path / "x.safetensors", quiet=True),
    ):
        with pytest.raises(LockError, match=r"what is made of it would be plain in .*: name a place in a new folder"):
            refused()
    path = train_evaluator(str(made / "data"), to=made / "nets" / "net.safetensors", **given)
    assert told(made, [SOURCE.encode(), b'"sources"', b"stages.0"]) == []
    assert load_learned(path, unproven=True).made.sources[0].startswith("videos/")
    figures = {name: DetectorFigure(0.5, 0.4, 0.6, 0.1, 0.1) for name in SEEN}
    about = Detector("m", "0" * 64, "data", 32, 32, 0.0, 1.0, 1, 1, figures, {})
    save_detector(made / "nets" / "x.safetensors", DetectorNet(), about)
    assert told(made, [b"trained_within"]) == [] and load_detector(made / "nets" / "x.safetensors")[1] == about


def test_volumes_are_ingested_into_a_locked_folder_and_again(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    write_phantom(tmp_path / "scans" / "0.nii.gz", 0)
    config = IngestConfig(height=20, width=16, spacing="40,18,22.5", min_frames=8, workers=0, heldout=0.0)
    given: dict[str, Any] = {"advise": False, "quiet": True}
    ingest((tmp_path / "scans",), tmp_path / "made", config, lock=True, yes=True, **given)
    write_phantom(tmp_path / "scans" / "1.nii.gz", 1)
    again = ingest((tmp_path / "scans",), tmp_path / "made", config, **given).dataset
    plain = ingest(
        (tmp_path / "scans",), tmp_path / "plain", replace(config, patients_of=str(tmp_path / "made")), **given
    )
    assert len(again.rows) == 2 and again.info.content_hash == plain.dataset.info.content_hash
    one, two = (dataset.read_deep(dataset.rows[1]) for dataset in (again, plain.dataset))
    np.testing.assert_array_equal(one, two)
    written = [path for path in (tmp_path / "made").rglob("*") if path.is_file() and not locked.is_locked(path)]
    assert {path.name for path in written} == {"lock.json", "lock"}


def test_what_would_be_made_of_locked_clips_is_locked_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from footage.commands.convert import talk
    from footage.commands.cutting import film
    from footage.commands.cutting import template as fill_template
    from footage.commands.generate import compact, embed, export, target_of
    from footage.commands.library import add
    from footage.data.ingest.sources import scan
    from footage.library.timelines import Timeline, TimelineMusic, TimelinePart, write_timeline
    from footage.models.text.frozen import FrozenEncoder, cached_vectors

    monkeypatch.chdir(tmp_path)
    write(tmp_path / "all" / "walk.mp4", moving(20, (32, 32), 1))
    add(tmp_path / "all" / "library", (write(tmp_path / "a.mp4", moving(20, (32, 32), 2)),), lock=True, yes=True)
    listing = scan([tmp_path / "all"])
    assert [source.name for source in listing.sources] == ["all/walk.mp4"]
    assert [(one.source, one.reason) for one in listing.rejections] == [("all/library", "locked")]
    (clip,) = (tmp_path / "all" / "library" / "files").rglob("*.mp4")
    save_tiny_model(tmp_path / "model")
    lock(tmp_path / "model", yes=True, quiet=True)
    for refused in (
        lambda: add(tmp_path / "plain", (clip,), quiet=True),
        lambda: embed(tmp_path / "model", (clip,), tmp_path / "x.npz", quiet=True),
        lambda: export(str(tmp_path / "model"), onnx=tmp_path / "x", quiet=True),
        lambda: export(str(tmp_path / "model"), web=tmp_path / "x", quiet=True),
        lambda: target_of((clip,), None, "joined"),
    ):
        with pytest.raises(ConfigError, match=r"is locked, and .* would not be"):
            refused()
    assert target_of((clip,), tmp_path / "x.mp4", "joined") == tmp_path / "x.mp4"
    plain, song = tmp_path / "a.mp4", clip.with_name("song.wav")
    for number, timeline in enumerate(
        (
            Timeline((TimelinePart(file=str(clip)),)),
            Timeline((TimelinePart(file=str(plain)),), music=TimelineMusic(file=str(clip))),
        )
    ):
        write_timeline(timeline, told := tmp_path / f"{number}.json")
        with pytest.raises(ConfigError, match="is locked, and what is made of it would not be: give --to"):
            film(told, quiet=True)
    folder = tmp_path / "template"
    template = {
        "footage": "template",
        "version": 1,
        "parts": [{"file": os.path.relpath(clip, folder), "shortest": 0.2}],
    }
    folder.mkdir()
    (folder / "template.json").write_text(json.dumps(template))
    with pytest.raises(ConfigError, match="is locked, and what is made of it would not be: give --to"):
        fill_template(folder, quiet=True)
    with pytest.raises(ConfigError, match="is locked, and what is made of it would not be: give --to"):
        talk(tmp_path / "model", (str(plain),), audio=song, quiet=True)
    assert not list(tmp_path.glob("*-film*")) and not list(tmp_path.glob("*-talks*"))
    with pytest.raises(KeyError), locks.lock_made_of(tmp_path / "small", [tmp_path / "model"], print):
        raise KeyError
    assert not (tmp_path / "small").exists()
    compact(tmp_path / "model", Path("small"))
    assert "locked small, with the key of" in capsys.readouterr().out
    assert all(locked.is_locked(path) for path in (tmp_path / "small").iterdir() if path.name != "lock.json")
    encoder = FrozenEncoder("e", "0", 2, lambda texts: np.eye(2, dtype=np.float32)[:1])
    assert cached_vectors(encoder, [CAPTION], tmp_path / "small").tolist() == [[1, 0]]
    (kept,) = (tmp_path / "small").glob("captions-*.npy")
    assert locked.is_locked(kept)
    again = FrozenEncoder("e", "0", 2, lambda texts: np.eye(2, dtype=np.float32)[1:])
    assert cached_vectors(again, [CAPTION], tmp_path / "small").tolist() == [[1, 0]]


def damaged_ways(path: Path) -> Iterator[tuple[str, bytes]]:
    content = path.read_bytes()
    yield "damaged", content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]
    yield "cut off", content[: locked.HEAD + locked.PLACE]
    yield "cut off", content[:-1]
    one, two = (content[locked.HEAD + n * locked.PLACE :][: locked.PLACE] for n in (0, 1))
    yield "damaged", content[: locked.HEAD] + two + one + content[locked.HEAD + 2 * locked.PLACE :]
    yield "not locked", b"plain bytes"


def test_damage_exchanged_pages_and_files_are_seen(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    locks.lock_new(folder, "passphrase")
    files.write_bytes(folder / "x.bin", os.urandom(2 * locked.PAGE + 500))
    files.write_bytes(folder / "y.bin", os.urandom(2 * locked.PAGE + 500))
    whole = (folder / "x.bin").read_bytes()
    for what, content in damaged_ways(folder / "x.bin"):
        (folder / "x.bin").write_bytes(content)
        with pytest.raises(LockError, match=what):
            files.read_bytes(folder / "x.bin")
        with pytest.raises(LockError):
            array = load_bytes(folder / "x.bin")
            array[:].tobytes()
    (folder / "x.bin").write_bytes((folder / "y.bin").read_bytes())  # another file of the same lock
    with pytest.raises(LockError, match="another file under its name"):
        files.read_bytes(folder / "x.bin")
    (folder / "x.bin").write_bytes(whole)
    locks.lock_new(tmp_path / "b", "passphrase")
    shutil.copy(folder / "x.bin", tmp_path / "b" / "x.bin")
    with pytest.raises(LockError, match="another lock"):
        files.read_bytes(tmp_path / "b" / "x.bin")
    shutil.copy(folder / "x.bin", tmp_path / "x.bin")
    with pytest.raises(LockError, match=r"lock\.json of its folder is missing"):
        files.read_bytes(tmp_path / "x.bin")


def test_no_nonce_and_no_key_stream_comes_twice(tmp_path: Path) -> None:
    locks.lock_new(tmp_path / "a", "passphrase")
    versions = []
    for _ in range(3):  # the same content under the same name
        files.write_bytes(tmp_path / "a" / "x.bin", bytes(3 * locked.PAGE))
        versions.append((tmp_path / "a" / "x.bin").read_bytes())
    pages = [v[locked.HEAD + n * locked.PLACE :][: locked.PLACE] for v in versions for n in range(3)]
    assert len({page[: locked.NONCE] for page in pages}) == 9 == len({page[locked.NONCE :][:64] for page in pages})


def test_nothing_plain_is_written_to_a_locked_folder(tmp_path: Path) -> None:
    locks.lock_new(tmp_path / "a", "passphrase")
    with pytest.raises(LockError, match="cannot be written"), files.replacing(tmp_path / "a" / "clip.mp4"):
        pass
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["lock.json"]


def test_a_folder_is_locked_its_key_changed_and_unlocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    save_tiny_model(model)
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    assert lock(model, yes=True, quiet=True).files == 3 and read_info(model).name == "tiny"
    stored = {path.name: path.read_bytes() for path in model.iterdir() if path.name != "lock.json"}
    monkeypatch.setenv("FOOTAGE_NEW_PASSPHRASE", "a new passphrase")
    lock(model, change_key=True, quiet=True)
    assert stored == {path.name: path.read_bytes() for path in model.iterdir() if path.name != "lock.json"}
    with pytest.raises(LockError, match="another one"):
        read_info(model)
    monkeypatch.setenv(locked.PASSPHRASE, "a new passphrase")
    lock(model, change_key=True, new_key_file=tmp_path / "key", quiet=True)
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    with pytest.raises(LockError, match="--key-file"):
        read_info(model)
    main(["unlock", str(model), "--key-file", str(tmp_path / "key"), "--quiet"])
    assert before == {path.name: path.read_bytes() for path in model.iterdir()}
    assert locked.KEY_FILE not in os.environ


@pytest.mark.parametrize("verb", ["lock", "unlock"])
def test_stopped_in_the_middle_nothing_is_lost_and_it_goes_on(
    tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    save_tiny_model(model)
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    if verb == "unlock":
        lock(model, yes=True, quiet=True)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        locks.lock_folder(model, "passphrase", stop) if verb == "lock" else locks.unlock_folder(model, stop)
    with pytest.raises(LockError, match=f"footage {verb} .* goes on"):
        read_info(model)
    other = {"lock": unlock, "unlock": lock}[verb]
    with pytest.raises(LockError, match="end that first"):
        other(model, quiet=True)
    assert (lock(model, quiet=True) if verb == "lock" else unlock(model, quiet=True)).files == 1
    if verb == "lock":
        unlock(model, quiet=True)
    assert before == {path.name: path.read_bytes() for path in model.iterdir()}


def test_modes_stay_and_secrets_are_never_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, seen = tmp_path / "library", set[int]()
    folder.mkdir()
    for name in ("library.sqlite", "accounts.sqlite"):
        with contextlib.closing(sqlite3.connect(folder / name)) as database:
            database.execute("CREATE TABLE one (value)")
    files.write_secret(folder / "state" / "secret", b"secret")
    (folder / "accounts.sqlite").chmod(0o600)
    (folder / "library.sqlite").chmod(0o640)
    before = {path: path.stat().st_mode for path in folder.rglob("*") if path.is_file()}
    assert before[folder / "state" / "secret"] & 0o777 == 0o600
    closed = locked.LockedFile.close

    def close(file: locked.LockedFile) -> None:
        seen.add(os.stat(file.name).st_mode & 0o777)
        closed(file)

    monkeypatch.setattr(locked.LockedFile, "close", close)
    for verb in (lambda: lock(folder, yes=True, quiet=True), lambda: unlock(folder, quiet=True)):
        assert verb().files == 3
        assert {path: path.stat().st_mode for path in before} == before
    assert seen == {0o600}
    with monkeypatch.context() as patched:
        patched.setattr(locks, "_pyrage", lambda: SimpleNamespace(encrypt=lambda a, b: a, decrypt=lambda a, b: a))
        made = locks.lock_file(folder / "state" / "secret", b"key")
        assert made.stat().st_mode & 0o777 == 0o600
        assert locks.unlock_file(made, b"key").stat().st_mode & 0o777 == 0o600


def test_it_is_said_to_be_final_and_nobody_locks_by_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_model(tmp_path / "model")
    with pytest.raises(ConfigError, match="--yes"):
        lock(tmp_path / "model", quiet=True)
    assert "lost for good" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "model" / "lock.json").exists()


def test_without_a_key_each_command_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny_model(tmp_path / "model")
    lock(tmp_path / "model", yes=True, quiet=True)
    monkeypatch.delenv(locked.PASSPHRASE)
    with pytest.raises(KeyNeeded, match=locked.PASSPHRASE):
        read_info(tmp_path / "model")
    with pytest.raises(ConfigError, match="at least 8"), environment({locked.PASSPHRASE: "short"}):
        lock(videos(tmp_path / "videos") / "walk.mp4", yes=True, quiet=True)
    with pytest.raises(LockError, match="no data set, model, run or library"):
        lock(tmp_path, yes=True, quiet=True)


def test_a_keyring_that_does_not_answer_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring

    monkeypatch.setattr(locked, "KEYRING_SECONDS", 0.05)
    over = threading.Event()
    monkeypatch.setattr(keyring, "get_password", lambda *name: over.wait(200))
    with pytest.raises(LockError, match=r"no answer in 0\.05 s"):
        locked.secret("keyring", "ab")
    over.set()


def test_the_keyring_keeps_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring

    kept: dict[tuple[str, str], str] = {}
    monkeypatch.setattr(keyring, "get_password", lambda *name: kept.get(name))
    monkeypatch.setattr(keyring, "set_password", lambda a, b, value: kept.update({(a, b): value}))
    save_tiny_model(tmp_path / "model")
    lock(tmp_path / "model", keyring=True, yes=True, quiet=True)
    assert read_info(tmp_path / "model").name == "tiny" and len(kept) == 1
    kept.clear()
    with pytest.raises(LockError, match="knows no key"):
        read_info(tmp_path / "model")
    (tmp_path / "notes.txt").write_text(CAPTION)
    save_tiny_model(tmp_path / "other")
    for path, others in (("notes.txt", {}), ("other", {"key_file": tmp_path / "key"})):
        with pytest.raises(ConfigError, match="keyring is given, and the key"):
            lock(tmp_path / path, keyring=True, yes=True, quiet=True, **others)  # type: ignore[arg-type]
    with pytest.raises(LockError, match=r"other. is not locked: lock it: footage lock .*other"):
        lock(tmp_path / "other", change_key=True, keyring=True, quiet=True)


def test_a_change_of_key_that_is_stopped_leaves_the_old_key_in_the_keyring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keyring

    kept: dict[tuple[str, str], str] = {}
    monkeypatch.setattr(keyring, "get_password", lambda *name: kept.get(name))
    monkeypatch.setattr(keyring, "set_password", lambda a, b, value: kept.update({(a, b): value}))
    save_tiny_model(tmp_path / "model")
    lock(tmp_path / "model", keyring=True, yes=True, quiet=True)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(locks, "_write_header", stop)
        lock(tmp_path / "model", change_key=True, keyring=True, quiet=True)
    assert read_info(tmp_path / "model").name == "tiny"
    old = (tmp_path / "model" / "lock.json").read_bytes()
    lock(tmp_path / "model", change_key=True, keyring=True, quiet=True)
    assert read_info(tmp_path / "model").name == "tiny" and (tmp_path / "model" / "lock.json").read_bytes() != old
    locks.lock_like(tmp_path / "made", [tmp_path / "model"])
    kept = {name: value for name, value in kept.items() if name[1] not in old.decode()}
    files.write_bytes(tmp_path / "made" / "x", b"x")
    assert files.read_bytes(tmp_path / "made" / "x") == b"x" and read_info(tmp_path / "model").name == "tiny"
    header = json.loads((tmp_path / "model" / "lock.json").read_text())
    header["key"]["kdf"]["entry"] = "zz"
    (tmp_path / "model" / "lock.json").write_text(json.dumps(header))
    with pytest.raises(LockError, match="cannot be read"):
        read_info(tmp_path / "model")


def test_a_single_file_goes_only_once_what_was_written_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, path = b"\xff\xfe" * 20, tmp_path / "notes.txt"
    path.write_text(CAPTION)
    said: list[str] = []

    class Stub:
        held = CAPTION.encode()

        @staticmethod
        def encrypt(content: bytes, phrase: str) -> bytes:
            said.append(phrase)
            return content[::-1]

        @classmethod
        def decrypt(cls, content: bytes, phrase: str) -> bytes:
            said.append(phrase)
            return cls.held

    monkeypatch.setattr(locks, "_pyrage", lambda: Stub)
    (tmp_path / "link.txt").symlink_to(path)
    with pytest.raises(LockError, match="is a link"):
        locks.lock_file(tmp_path / "link.txt", key)
    with monkeypatch.context() as spoiled, pytest.raises(LockError, match="is not what was written"):
        spoiled.setattr(Stub, "held", b"another")
        locks.lock_file(path, key)
    assert path.read_text() == CAPTION
    made = locks.lock_file(path, key)
    assert not path.exists() and locks.unlock_file(made, key).read_text() == CAPTION
    assert set(said) == {key.hex()}


def test_each_file_of_a_folder_of_files_is_locked_by_one_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program age is stood in for, since each of its files takes a second."""
    phrases: list[str] = []

    class Mirror:
        """Writes the phrase before the content in the opposite order."""

        @staticmethod
        def encrypt(content: bytes, phrase: str) -> bytes:
            phrases.append(phrase)
            return phrase.encode() + content[::-1]

        @staticmethod
        def decrypt(content: bytes, phrase: str) -> bytes:
            return content.removeprefix(phrase.encode())[::-1]

    monkeypatch.setattr(locks, "_pyrage", lambda: Mirror)
    folder = tmp_path / "clips"
    folder.mkdir()
    texts = {f"{name}.mp4": f"{CAPTION} {name}".encode() for name in ("one", "two")}
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    assert lock(folder, yes=True, quiet=True) == Locked(folder, 2) and phrases == [PASSPHRASE] * 2
    assert [path.name for path in sorted(folder.iterdir())] == ["one.mp4.age", "two.mp4.age"]
    assert unlock(folder, quiet=True).files == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == texts
    with pytest.raises(ConfigError, match="keyring"):
        lock(folder, keyring=True, yes=True, quiet=True)
    (folder / "more").mkdir()
    with pytest.raises(LockError, match="a folder that holds nothing but files"):
        lock(folder, yes=True, quiet=True)
    assert {path.name for path in folder.iterdir()} == {*texts, "more"}


@pytest.mark.nightly
def test_a_single_file_is_one_of_age(tmp_path: Path) -> None:
    from pyrage import passphrase

    path = write(tmp_path / "clip.mp4", moving(6, (32, 32), 1))
    before = path.read_bytes()
    made = lock(path, yes=True, quiet=True).path
    assert made.name == "clip.mp4.age" and not path.exists()
    assert passphrase.decrypt(made.read_bytes(), PASSPHRASE) == before
    with environment({locked.PASSPHRASE: "another one"}), pytest.raises(LockError, match="cannot be opened"):
        unlock(made, quiet=True)
    assert unlock(made, quiet=True).path.read_bytes() == before


def test_a_header_that_asks_for_too_much_or_lies_is_refused(tmp_path: Path) -> None:
    locks.lock_new(tmp_path, "passphrase")
    header = json.loads((tmp_path / "lock.json").read_text())
    costly = {**header["key"]["kdf"], "n": 2**40}
    for change in ({"version": 2}, {"state": "open"}, {"key": {**header["key"], "kdf": costly}}, {"id": "zz"}):
        (tmp_path / "lock.json").write_text(json.dumps({**header, **change}))
        with pytest.raises(LockError):
            files.write_bytes(tmp_path / "x", b"x")
    cheaper = {**header["key"], "kdf": {**header["key"]["kdf"], "n": 2}}
    (tmp_path / "lock.json").write_text(json.dumps({**header, "key": cheaper}))
    with pytest.raises(FootageError, match="another one"):
        files.write_bytes(tmp_path / "x", b"x")


def test_without_the_extra_a_plain_data_set_opens_and_a_locked_one_says_what_to_install(tmp_path: Path) -> None:
    locks.lock_new(tmp_path / "data", "passphrase")
    files.write_bytes(tmp_path / "data" / "dataset.json", b"{}")
    script = (
        "import sys; sys.modules['cryptography'] = None; sys.modules['keyring'] = None\n"
        "from footage.data.store import read_dataset_info\n"
        "from footage.errors import LockError\n"
        "try: read_dataset_info(sys.argv[1])\n"
        "except LockError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "data")], capture_output=True, text=True)
    assert "pip install 'footage[lock]'" in done.stdout, done.stderr
