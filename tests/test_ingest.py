import gzip
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from footage import files
from footage.data.audit import Audit
from footage.data.ingest import builder, shards
from footage.data.ingest.builder import assign_splits
from footage.data.store import Dataset
from footage.errors import ConfigError, DatasetError
from tests import clips
from tests.ingesting import ingest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve clips in two classes."""
    root = tmp_path_factory.mktemp("made") / "src"
    for i in range(12):
        clips.write(root / ("run" if i % 2 else "walk") / f"clip {i}.mp4", clips.moving(24 + i, seed=i))
    return root


def tables(dataset):
    return dataset.rows, dataset.rejections, dataset.sources, dataset.info


def pixels(dataset):
    return {(r.source, r.start): dataset.read(r).tobytes() for r in dataset.rows}


def test_folder_of_videos(folder, tmp_path):
    seen = []
    result = ingest([folder], tmp_path / "d", workers=2, on_progress=seen.append)
    dataset = result.dataset
    assert (result.sources, result.decoded, result.reused) == (12, 12, 0)
    assert result.rejections == () and result.ignored == {}
    assert dataset.info.labels == ("run", "walk") and dataset.info.fps == 25 and dataset.info.name == "d"
    assert [r.frames for r in dataset.rows] == [int(r.source[:-4].rsplit(" ")[-1]) + 24 for r in dataset.rows]
    assert {r.label for r in dataset.split("heldout")} <= {"run", "walk"} and dataset.split("heldout")
    for row in dataset.rows[:3]:
        seed = int(row.source[:-4].rsplit(" ")[-1])
        got = dataset.read(row).astype(int)
        assert np.abs(got - np.stack(clips.moving(24 + seed, seed=seed))).mean() < 9
    assert {p.phase for p in seen} == {"rates", "decode", "compare", "pack"}
    assert [p.done for p in seen if p.phase == "decode"] == list(range(1, 13))
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == [
        *("clips.jsonl", "dataset.json", "files.json", "ingest"),
        *("rejected.jsonl", "shard-00000.npy", "sources.jsonl"),
    ]
    assert not any((tmp_path / "d/ingest/parts").iterdir())


def test_the_number_of_workers_changes_nothing(folder, tmp_path):
    results = [ingest([folder], tmp_path / f"{n}" / "d", workers=n).dataset for n in (0, 1, 3)]
    assert tables(results[0]) == tables(results[1]) == tables(results[2])
    assert pixels(results[0]) == pixels(results[1]) == pixels(results[2])


def test_a_second_run_decodes_nothing(folder, tmp_path, monkeypatch):
    first = ingest([folder], tmp_path / "d", workers=0)
    shard = (tmp_path / "d/shard-00000.npy").stat()
    monkeypatch.setattr(builder, "part_job", None)
    again = ingest([folder], tmp_path / "d", workers=0)
    assert (again.decoded, again.reused) == (0, 12)
    assert tables(first.dataset) == tables(again.dataset)
    assert (tmp_path / "d/shard-00000.npy").stat().st_mtime_ns == shard.st_mtime_ns


def test_new_changed_touched_and_removed_files(folder, tmp_path):
    root = tmp_path / "src"
    shutil.copytree(folder, root)
    before = ingest([root], tmp_path / "d", workers=0).dataset
    sides = {r.source: r.split for r in before.rows}
    (root / "walk/clip 0.mp4").unlink()
    clips.write(root / "run/clip 1.mp4", clips.moving(30, seed=50))
    clips.write(root / "run/new.mp4", clips.moving(30, seed=51))
    os.utime(root / "walk/clip 2.mp4", (1, 1))
    result = ingest([root], tmp_path / "d", workers=0)
    assert result.decoded == 2
    fresh = ingest([root], tmp_path / "fresh" / "d", workers=0).dataset
    assert pixels(result.dataset) == pixels(fresh)
    changed = {"src/run/clip 1.mp4", "src/run/new.mp4"}
    assert {r.source: r.split for r in result.dataset.rows if r.source not in changed}.items() <= sides.items()
    used = {r.shard for r in result.dataset.rows}
    assert {p.name for p in (tmp_path / "d").glob("shard-*")} == used


def test_other_settings_decode_again(folder, tmp_path):
    ingest([folder], tmp_path / "d", workers=0)
    options = {"height": 32, "width": 48, "channels": 1, "min_frames": 8, "workers": 0}
    result = ingest([folder], tmp_path / "d", fps=12.5, **options)
    assert result.decoded == 12
    assert result.dataset.read(result.dataset.rows[0]).shape[1:] == (32, 48, 1)
    assert ingest([folder], tmp_path / "d", **options).decoded == 0
    assert ingest([folder], tmp_path / "d", digits=3, **options).decoded == 0


def test_many_shards(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 3 * 30 * 64 * 64 * 3)
    dataset = ingest([folder], tmp_path / "d", workers=0).dataset
    names = [r.shard for r in dataset.rows]
    assert len(set(names)) > 3 and names == sorted(names)
    monkeypatch.undo()
    whole = ingest([folder], tmp_path / "e", workers=0).dataset
    assert pixels(dataset) == pixels(whole) and dataset.info.content_hash == whole.info.content_hash


def test_cuts_static_short_and_duplicates(tmp_path):
    root = tmp_path / "src"
    parts = [clips.moving(30, seed=0), clips.moving(40, seed=1), clips.moving(5, seed=2)]
    clips.write(root / "a.mp4", [f for part in parts for f in part])
    clips.write(root / "b static.mp4", clips.still(40, seed=3))
    clips.write(root / "c copy.mkv", clips.moving(40, seed=1), options={"crf": "32"})
    clips.write(root / "d short.mp4", clips.moving(9, seed=4))
    result = ingest([root], tmp_path / "d", workers=0, heldout=0)
    assert [(r.source, r.start, r.end) for r in result.dataset.rows] == [("src/a.mp4", 0, 1.2), ("src/a.mp4", 1.2, 2.8)]
    assert result.dataset.sources[0].cuts == (1.2, 2.8)
    assert {(r.source, r.reason) for r in result.rejections} == {
        ("src/a.mp4", "too short"),
        ("src/b static.mp4", "static"),
        ("src/c copy.mkv", "near-duplicate"),
        ("src/d short.mp4", "too short"),
    }
    assert "src/a.mp4, 1.20 to 2.80 s" in next(r.detail for r in result.rejections if r.reason == "near-duplicate")
    options = {"keep_static": True, "keep_duplicates": True, "cuts": False, "min_frames": 4}
    every = ingest([root], tmp_path / "e", workers=0, **options).dataset
    assert [r.frames for r in every.rows] == [75, 40, 40, 9] and every.rejections == []


def test_a_duplicate_is_taken_when_the_first_goes(tmp_path):
    root = tmp_path / "src"
    clips.write(root / "a.mp4", clips.moving(40, seed=1))
    clips.write(root / "b.mkv", clips.moving(40, seed=1), options={"crf": "30"})
    clips.write(root / "c.mp4", clips.moving(40, seed=2))
    assert [r.source for r in ingest([root], tmp_path / "d", workers=0).dataset.rows] == ["src/a.mp4", "src/c.mp4"]
    (root / "a.mp4").unlink()
    again = ingest([root], tmp_path / "d", workers=0)
    assert [r.source for r in again.dataset.rows] == ["src/b.mkv", "src/c.mp4"] and again.decoded == 1
    assert pixels(again.dataset) == pixels(ingest([root], tmp_path / "e", workers=0).dataset)


def test_what_is_held_out_is_never_trained_on_as_a_copy(tmp_path):
    root, seeds = tmp_path / "src", {f"m{seed}.mp4": seed for seed in range(3)}
    for name, seed in seeds.items():
        clips.write(root / name, clips.moving(20, seed=seed))
    first, second, _ = sorted(int(files.file_digest(root / name)[:13], 16) / 16**13 for name in seeds)
    options = {"workers": 0, "heldout": (first + second) / 2}

    def sides():
        return {
            row.source.partition("/")[2]: row.split for row in ingest([root], tmp_path / "d", **options).dataset.rows
        }

    before = sides()
    held_out = next(name for name, side in before.items() if side == "heldout")
    again = clips.moving(20, seed=seeds[held_out])
    clips.write(root / "a.mkv", again, options={"crf": "30"})
    clips.write(root / "b.mp4", [*again, *clips.moving(20, seed=9)])  # of which half is new
    assert sides() == {**before, "b.mp4": "heldout"}
    (root / held_out).unlink()
    (root / "b.mp4").unlink()
    after = sides()
    assert after == {**{name: side for name, side in before.items() if name != held_out}, "a.mkv": "heldout"}
    clips.write(root / "a.mkv", again, options={"crf": "28"})
    assert sides() == after


def test_of_copies_on_both_sides_the_held_out_one_stays(tmp_path):
    for side, crf in (("train", "20"), ("val", "30")):
        clips.write(tmp_path / "data" / side / "a.mkv", clips.moving(20, seed=1), options={"crf": crf})
        clips.write(tmp_path / "data" / side / "b.mkv", clips.moving(20, seed=len(side)))
    rows = ingest([tmp_path / "data"], tmp_path / "d", workers=0).dataset.rows
    expected = {"data/train/b.mkv": "train", "data/val/a.mkv": "heldout", "data/val/b.mkv": "heldout"}
    assert {row.source: row.split for row in rows} == expected


def test_near_duplicates_that_are_kept_are_on_one_side(tmp_path):
    for seed in range(8):
        for crf in (20, 30):
            clips.write(tmp_path / f"src/{seed} {crf}.mkv", clips.moving(20, seed=seed), options={"crf": str(crf)})
    options = {"workers": 0, "keep_duplicates": True, "heldout": 0.5}
    made = ingest([tmp_path / "src"], tmp_path / "d", **options)
    sides = {row.source.removeprefix("src/").removesuffix(".mkv"): row.split for row in made.dataset.rows}
    assert len(sides) == 16 and set(sides.values()) == {"train", "heldout"}
    assert all(sides[f"{seed} 20"] == sides[f"{seed} 30"] for seed in range(8))
    for seed in range(8):  # sides that are known stay
        clips.write(tmp_path / f"src/{seed} 25.mkv", clips.moving(20, seed=seed), options={"crf": "25"})
    rows = ingest([tmp_path / "src"], tmp_path / "d", **options).dataset.rows
    later = {row.source.removeprefix("src/").removesuffix(".mkv"): row.split for row in rows}
    assert sides.items() < later.items() and all(later[f"{seed} 25"] == sides[f"{seed} 20"] for seed in range(8))


def test_folder_of_pictures_and_a_long_clip_divided(tmp_path, monkeypatch):
    from footage.data.ingest import intake

    monkeypatch.setattr(intake, "CLIP_BYTES", 20 * 64 * 64 * 3)
    for i, frame in enumerate(clips.moving(70)):
        (tmp_path / "src/walk/one").mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame).save(tmp_path / f"src/walk/one/{i}.png")
    dataset = ingest([tmp_path / "src"], tmp_path / "d", workers=0, keep_duplicates=True).dataset
    assert [r.frames for r in dataset.rows] == [17, 18, 17, 18] and dataset.info.labels == ("walk",)
    got = np.concatenate([dataset.read(r) for r in dataset.rows])
    assert np.array_equal(got, np.stack(clips.moving(70)))


def idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wb") as handle:
        handle.write(head + array.tobytes())


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_digits_do_not_leak(tmp_path, ending):
    rng = np.random.default_rng(0)
    images = np.zeros((50, 28, 28), np.uint8)
    images[:, 6:22, 6:22] = rng.integers(1, 120, (50, 16, 16))
    images[40:] += (images[40:] > 0) * np.uint8(130)  # the last 20 % are brighter
    (tmp_path / "src").mkdir()
    idx(tmp_path / f"src/t10k-images-idx3-ubyte{ending}", images)
    idx(tmp_path / f"src/t10k-labels-idx1-ubyte{ending}", (np.arange(50) % 10).astype(np.uint8))
    options = {"workers": 0, "channels": 1, "sequences": 12}
    dataset = ingest([tmp_path / "src"], tmp_path / "d", digits=1, **options).dataset
    assert (len(dataset.split("train")), len(dataset.split("heldout"))) == (12, 3)
    assert set(dataset.info.labels) <= set("0123456789") and all(r.label for r in dataset.rows)
    for row in dataset.rows:
        assert (dataset.read(row).max() > 125) == (row.split == "heldout")
    two = ingest([tmp_path / "src"], tmp_path / "e", digits=2, height=32, width=32, **options).dataset
    assert two.info.labels == () and all(len(r.caption.split()) == 2 for r in two.rows)
    assert two.read(two.rows[0]).shape == (20, 32, 32, 1)


def test_moving_mnist_array(tmp_path):
    array = np.zeros((20, 30, 64, 64), np.uint8)
    for n in range(30):
        for t in range(20):
            array[t, n, n : n + 20, t : t + 15 + n] = 255
    np.save(tmp_path / "mnist_test_seq.npy", array)
    dataset = ingest([tmp_path / "mnist_test_seq.npy"], tmp_path / "d", channels=1, workers=0).dataset
    assert len(dataset.rows) == 30 and [r.split for r in dataset.rows] == ["train"] * 27 + ["heldout"] * 3
    assert np.array_equal(dataset.read(dataset.rows[7])[..., 0], array[:, 7])
    np.save(tmp_path / "colour.npy", np.repeat(array.swapaxes(0, 1)[:, :18, ..., None], 3, axis=-1))
    dataset = ingest([tmp_path / "colour.npy"], tmp_path / "e", height=32, width=32, workers=0).dataset
    assert dataset.read(dataset.rows[0]).shape == (18, 32, 32, 3)


def test_rate_is_the_most_frequent_and_then_stays(tmp_path):
    root = tmp_path / "src"
    for i in range(3):
        clips.write(root / f"{i}.mp4", clips.moving(60, seed=i), fps=30)
    clips.write(root / "x.mp4", clips.moving(60, seed=9), fps=12)
    assert ingest([root], tmp_path / "d", workers=0).dataset.info.fps == 30
    for i in range(4, 10):
        clips.write(root / f"{i}.mp4", clips.moving(60, seed=i), fps=12)
    again = ingest([root], tmp_path / "d", workers=0)
    assert again.dataset.info.fps == 30 and again.decoded == 6


def test_splits():
    import hashlib

    contents = {f"s{i}": hashlib.sha256(str(i // 2).encode()).hexdigest() for i in range(400)}
    sides = assign_splits(contents, 0.1)
    assert 20 <= sum(side == "heldout" for side in sides.values()) <= 64
    assert all(sides[f"s{i}"] == sides[f"s{i + 1}"] for i in range(0, 400, 2))
    some = {name: contents[name] for name in list(contents)[::3]}
    assert assign_splits(some, 0.1).items() <= sides.items()
    earlier = {content: "heldout" for content in some.values()}
    assert set(assign_splits(some, 0.1, earlier).values()) == {"heldout"}
    for start in range(30):
        ten = {str(i): hashlib.sha256(str(start * 50 + i).encode()).hexdigest() for i in range(10)}
        assert {"train", "heldout"} == set(assign_splits(ten, 0.01).values())
        assert "train" in assign_splits({"a": ten["0"]}, 0.9).values()
    assert set(assign_splits(contents, 0).values()) == {"train"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("height", 4),
        ("width", 100000),
        ("channels", 2),
        ("fps", 0),
        ("fps", float("nan")),
        ("fit", "cropp"),
        ("min_frames", 0),
        ("heldout", 1.0),
        ("digits", 4),
        ("sequences", 0),
        ("sequence_frames", 3),
        ("workers", -1),
        ("labels", "foldr"),
    ],
)
def test_options_out_of_range(folder, tmp_path, option, value):
    with pytest.raises(ConfigError, match=f"{option} is .*{value}.*: .*(give|mean|path)"):
        ingest([folder], tmp_path / "d", **{option: value})
    assert not (tmp_path / "d").exists()


def test_folder_that_holds_something_else(folder, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/thesis.txt").write_text("precious")
    with pytest.raises(DatasetError, match="something else"):
        ingest([folder], tmp_path / "d")
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["thesis.txt"]
    with pytest.raises(DatasetError, match="is a file"):
        ingest([folder], tmp_path / "d/thesis.txt")


SCRIPT = """
import sys
from tests.ingesting import ingest
if __name__ == "__main__":
    ingest([sys.argv[1]], sys.argv[2], workers=int(sys.argv[3]))
"""


@pytest.mark.parametrize("wait", [0.35, 0.6, 0.8, 1.0])
def test_killed_and_started_again_is_as_if_never_killed(folder, tmp_path, wait):
    reference = ingest([folder], tmp_path / "whole" / "d", workers=0).dataset
    target = tmp_path / "killed" / "d"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), str(target), "2"])
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = ingest([folder], target, workers=1).dataset
    assert tables(again) == tables(reference) and pixels(again) == pixels(reference)
    assert {p.name for p in target.glob("*.npy")} == {r.shard for r in again.rows}


@pytest.mark.parametrize("after", ["save_state", "save_tables", "sweep", "pack"])
def test_killed_between_the_steps(folder, tmp_path, monkeypatch, after):
    reference = ingest([folder], tmp_path / "whole" / "d", workers=0).dataset

    class Killed(BaseException):
        pass

    module = shards if after in ("save_state", "pack") else builder
    real = getattr(module, after)
    calls = []

    def die(*args, **kwargs):
        calls.append(after)
        result = list(real(*args, **kwargs)) if after == "pack" else real(*args, **kwargs)
        if after != "sweep" or len(calls) == 2:
            raise Killed
        return result

    monkeypatch.setattr(module, after, die)
    with pytest.raises(Killed):
        ingest([folder], tmp_path / "d", workers=0)
    monkeypatch.undo()
    again = ingest([folder], tmp_path / "d", workers=0)
    assert again.decoded == 0
    assert tables(again.dataset) == tables(reference) and pixels(again.dataset) == pixels(reference)


def test_two_ingests_at_once_are_refused(folder, tmp_path):
    ingest([folder], tmp_path / "d", workers=0)

    def second(_):
        with pytest.raises(DatasetError, match="another ingest"):
            ingest([folder], tmp_path / "d", workers=0)

    ingest([folder], tmp_path / "d", workers=0, height=32, on_progress=second)


def test_a_missing_shard_is_made_again(folder, tmp_path):
    first = ingest([folder], tmp_path / "d", workers=0).dataset
    kept = pixels(first)
    (tmp_path / "d/shard-00000.npy").unlink()
    (tmp_path / "d/clips.jsonl").write_text("")
    again = ingest([folder], tmp_path / "d", workers=0)
    assert again.decoded == 12 and pixels(again.dataset) == kept
    assert json.loads((tmp_path / "d/dataset.json").read_text())["content_hash"] == first.info.content_hash
    assert len(Dataset(tmp_path / "d").rows) == 12


def test_sources_that_are_not_given_again_are_named(tmp_path):
    for name in ("one", "two"):
        for i in range(2):
            clips.write(tmp_path / name / f"{i}.mp4", clips.moving(24, seed=i + 5 * (name == "two")))
    assert ingest([tmp_path / "one"], tmp_path / "d", workers=0).gone == ()
    second = ingest([tmp_path / "two"], tmp_path / "d", workers=0)
    assert second.gone == ("one/0.mp4", "one/1.mp4") and len(second.dataset.rows) == 2


def test_link_to_itself_costs_nothing_else(tmp_path):
    clips.write(tmp_path / "src" / "a.mp4", clips.moving(24))
    (tmp_path / "src" / "loop").symlink_to(tmp_path / "src" / "loop")
    result = ingest([tmp_path / "src"], tmp_path / "d", workers=0)
    assert len(result.dataset.rows) == 1 and result.rejections[0].reason == "unreadable"


def test_modules_in_the_current_folder_are_not_imported(tmp_path, monkeypatch):
    clips.write(tmp_path / "src" / "a.mp4", clips.moving(24))
    (tmp_path / "queue.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert len(ingest([tmp_path / "src"], tmp_path / "d", workers=1).dataset.rows) == 1
    assert not (tmp_path / "ran").exists()


def test_workers_that_cannot_start_are_said(folder, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(11, "resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refused)
        with pytest.raises(DatasetError, match="could not be started"):
            ingest([folder], tmp_path / "d", workers=2)
    assert len(ingest([folder], tmp_path / "d", workers=2).dataset.rows) == 12


def test_hdr_mirrored_and_interlaced_sources(tmp_path):
    """What FFmpeg's player shows is what is trained on, and the audit says how much was changed for it."""
    root, size = tmp_path / "src", (64, 80)
    drawn = clips.smooth(40, size, 3)
    clips.write(root / "plain.mp4", drawn[::2], pix_fmt="yuv444p", options={"crf": "8"})
    mirrored = [frame[:, ::-1] for frame in clips.smooth(20, size, 5)]
    clips.display(clips.write(root / "mirrored.mp4", mirrored, pix_fmt="yuv444p", options={"crf": "8"}), (-1, 0, 0, 1))
    clips.write(root / "old.mp4", clips.woven(drawn), pix_fmt="yuv444p", options={"crf": "8"})
    # HLG of what a display of 1000 cd/m² shows, 203 of them for SDR's white (ITU-R BT.2100, table 5, and BT.2408).
    colours = clips.quadrants([(200, 40, 40), (40, 200, 40), (40, 40, 200), (160, 160, 160)])
    scene = (0.203 * (colours / 255) ** 2.4) ** (1 / 1.2)
    upper = 0.17883277 * np.log(np.maximum(12 * scene, 1) - 0.28466892) + 0.55991073
    hlg = np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)
    clips.write_signal(root / "phone.mp4", hlg, matrix=9, primaries=1, transfer=18, frames=20)
    options = {"height": 64, "width": 80, "keep_static": True, "keep_duplicates": True, "workers": 0}
    dataset = ingest([root], tmp_path / "data", **options).dataset
    found = {row.source: dataset.read(row) for row in dataset.rows}
    square = found["src/phone.mp4"][0][:, 8:72]
    assert np.abs(clips.corners(square) - clips.corners(colours)).max() <= 6
    assert np.abs(found["src/mirrored.mp4"].astype(int) - clips.smooth(20, size, 5)).mean() < 4
    fields = found["src/old.mp4"]
    assert len(fields) == 20 and clips.combs(fields) < 0.4 * clips.combs(np.stack(clips.woven(drawn)))
    noted = dict(Audit(dataset).summary)["found in sources"]
    assert "HLG mapped to BT.709 (1)" in noted and "interlaced, deinterlaced (1)" in noted
    double = ingest([root / "old.mp4"], tmp_path / "double", deinterlace="double", **options).dataset
    assert double.info.fps == 50 and double.info.settings["deinterlace"] == "double"
    assert len(double.read(double.rows[0])) == 40
    off = ingest([root / "old.mp4"], tmp_path / "off", deinterlace="off", **options).dataset
    assert clips.combs(off.read(off.rows[0])) > 2.5 * clips.combs(fields)
    with pytest.raises(ConfigError, match="deinterlace is 'no'"):
        ingest([root], tmp_path / "no", deinterlace="no")
