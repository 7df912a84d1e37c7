"""Data sets of large frames: JPEG pictures that are read at random, and small copies beside them."""

import io
import json
import shutil
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from footage.config import ClipConfig
from footage.data.audit import Audit
from footage.data.clips import DatasetClips, Loader, open_clips
from footage.data.crops import SmallClips
from footage.data.ingest import builder, intake, shards
from footage.data.jpeg import MARK, JpegFile, JpegWriter, encode
from footage.data.store import Dataset, area_means
from footage.errors import ConfigError, DatasetError
from tests import clips
from tests.ingesting import ingest

HEIGHT, WIDTH = 72, 96
SIZE = {"height": HEIGHT, "width": WIDTH, "heldout": 0.4}


def soft(frames, size=(HEIGHT, WIDTH), seed=0):
    """Moving clips without edges, as footage has them rather than drawings."""
    made = clips.moving(frames, (size[0] // 4, size[1] // 4), seed)
    return [np.asarray(Image.fromarray(f).resize((size[1], size[0]), Image.Resampling.BICUBIC)) for f in made]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five videos in two classes, one of them with cuts."""
    root = tmp_path_factory.mktemp("made") / "src"
    for i in range(4):
        clips.write(root / ("run" if i % 2 else "walk") / f"clip {i}.mp4", soft(18 + i, seed=i))
    clips.write(root / "walk/cut.mp4", soft(20, seed=20) + soft(24, seed=21) + soft(5, seed=22))
    return root


@pytest.fixture(scope="module")
def both(folder, tmp_path_factory):
    """The same clips raw and as JPEG."""
    root = tmp_path_factory.mktemp("both")
    raw = ingest([folder], root / "raw/d", workers=0, coding="raw", **SIZE).dataset
    return raw, ingest([folder], root / "jpeg/d", workers=1, coding="jpeg", **SIZE).dataset


@pytest.fixture
def copy(both, tmp_path):
    """A data set of JPEG pictures that a test may damage."""
    return shutil.copytree(both[1].folder, tmp_path / "d")


def described(dataset):
    """All that tables say, but for where the clips stand."""
    rows = [{**vars(row), "shard": "", "offset": 0} for row in dataset.rows]
    return rows, dataset.rejections, dataset.sources


def pixels(dataset):
    return {(r.source, r.start): (dataset.read(r).tobytes(), dataset.read_small(r).tobytes()) for r in dataset.rows}


def size(folder, pattern="*"):
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file())


# What is stored


def test_only_the_pixels_differ_from_a_raw_data_set(both):
    raw, jpeg = both
    assert described(raw) == described(jpeg) and len(jpeg.rows) == 6
    assert Counter(row.split for row in jpeg.rows)["heldout"] and jpeg.rejections[0].reason == "too short"
    assert (jpeg.info.coding, jpeg.info.quality, jpeg.info.levels, jpeg.info.schema) == ("jpeg", 95, (4,), 2)
    assert (raw.info.coding, raw.info.quality, raw.info.levels, raw.info.schema) == ("raw", None, (), 1)
    assert raw.info.content_hash != jpeg.info.content_hash
    for mine, theirs in zip(jpeg.rows, raw.rows, strict=True):
        error = (jpeg.read(mine).astype(float) - raw.read(theirs)) ** 2
        assert (10 * np.log10(255**2 / error.mean(axis=(1, 2, 3)))).min() > 40
        assert error.any()


def test_folders_without_jpeg_say_what_older_programs_know(both):
    raw, jpeg = (json.loads((dataset.folder / "dataset.json").read_text()) for dataset in both)
    assert set(jpeg) - set(raw) == {"coding", "quality", "levels"} and raw["schema"] == 1
    assert set(jpeg["settings"]) - set(raw["settings"]) == {"coding", "quality"}
    names = {path.name for path in both[1].folder.glob("shard-*")}
    assert names == {"shard-00000.jpegs", "shard-00000.quarter.npy"}
    assert {path.suffix for path in both[0].folder.glob("shard-*")} == {".npy"}


def test_the_level_is_area_means_of_the_source(both):
    raw, jpeg = both
    for mine, theirs in zip(jpeg.rows, raw.rows, strict=True):
        frames = raw.read(theirs).astype(int).reshape(mine.frames, HEIGHT // 4, 4, WIDTH // 4, 4, 3)
        quarter = (frames.sum(axis=(2, 4)) + 8) // 16
        assert np.array_equal(jpeg.read_small(mine, 3, 9, 4), quarter[3:12])
        halves = quarter.reshape(mine.frames, HEIGHT // 8, 2, WIDTH // 8, 2, 3)
        assert np.array_equal(jpeg.read_small(mine, scale=8), (halves.sum(axis=(2, 4)) + 2) // 4)
        assert np.array_equal(jpeg.read_small(mine, scale=8), raw.read_small(theirs, scale=8))
        for scale in (1, 2, 3):
            assert np.array_equal(jpeg.read_small(mine, 1, 2, scale), area_means(jpeg.read(mine, 1, 2), scale))
    small = jpeg.read_small(jpeg.rows[0])
    assert isinstance(small, np.memmap) and not small.flags.owndata  # nothing is computed
    assert jpeg.read_small(jpeg.rows[0], 4, 0, 8).shape == (0, HEIGHT // 8, WIDTH // 8, 3)


def test_pictures_are_jpeg_with_colours_as_fine_as_brightness(both, tmp_path):
    jpeg = both[1]
    row = jpeg.rows[-1]
    pictures = JpegFile(jpeg.folder / row.shard, (HEIGHT, WIDTH, 3))
    with Image.open(io.BytesIO(pictures.stored(row.offset + 3))) as picture:
        assert picture.format == "JPEG" and JpegImagePlugin.get_sampling(picture) == 0
        assert np.array_equal(np.asarray(picture), jpeg.read(row, 3, 1)[0])
    assert len(pictures) == sum(other.frames for other in jpeg.rows)


def test_any_window_is_what_a_clip_read_in_a_row_has_there(both):
    jpeg, rng = both[1], np.random.default_rng(0)
    whole = [jpeg.read(row) for row in jpeg.rows]
    again = Dataset(jpeg.folder)
    for _ in range(60):
        at = int(rng.integers(len(jpeg.rows)))
        start = int(rng.integers(jpeg.rows[at].frames))
        count = int(rng.integers(jpeg.rows[at].frames - start + 1))
        assert np.array_equal(again.read(again.rows[at], start, count), whole[at][start : start + count])
    with pytest.raises(DatasetError, match="of a clip of"):
        again.read(again.rows[0], 1, again.rows[0].frames)


def test_reading_holds_what_it_decodes_and_no_more(tmp_path):
    frames, path = soft(4, (240, 320)), tmp_path / "x.jpegs"
    with open(path, "wb") as handle:
        writer = JpegWriter(handle)
        for i in range(1100):  # more rows than the index has room for at first
            writer.add(encode(frames[i % 4], 95))
        writer.finish()
    pictures = JpegFile(path, (240, 320, 3))
    pictures.read(0, 1)
    tracemalloc.start()
    read = pictures.read(1097, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(read[2], pictures.read(3, 1)[0]) and not np.array_equal(read[2], read[1])
    assert peak < read.nbytes + 4 * read[0].nbytes < size(tmp_path)


def test_disk_use_while_it_runs_and_after(folder, tmp_path):
    raw = 3 * HEIGHT * WIDTH * sum(row.frames for row in ingest([folder], tmp_path / "e", workers=0).dataset.rows)
    most = []
    target = tmp_path / "d"
    ingest([folder], target, workers=0, coding="jpeg", **SIZE, on_progress=lambda _: most.append(size(target)))
    pictures, level = size(target, "*.jpegs"), size(target, "*.quarter.npy")
    assert raw / 16 <= level < raw / 15 and pictures < raw / 4
    assert max(most) < 2 * (pictures + level) + 100_000 < raw  # parts and shards, and never raw frames


def test_grey_and_sides_without_a_level(folder, tmp_path):
    grey = {"channels": 1, "height": 50, "width": 90, "workers": 0}
    jpeg = ingest([folder], tmp_path / "d", coding="jpeg", quality=80, **grey).dataset
    raw = ingest([folder], tmp_path / "e", coding="raw", **grey).dataset
    assert (jpeg.info.quality, jpeg.info.levels) == (80, ()) and described(jpeg) == described(raw)
    assert [path.name for path in jpeg.folder.glob("shard-*")] == ["shard-00000.jpegs"]
    read = jpeg.read(jpeg.rows[2], 2, 5)
    assert read.shape == (5, 50, 90, 1) and np.abs(read.astype(int) - raw.read(raw.rows[2], 2, 5)).mean() < 3
    assert np.array_equal(jpeg.read_small(jpeg.rows[2], 2, 5, 10), area_means(read, 10))
    with Image.open(io.BytesIO(JpegFile(jpeg.folder / "shard-00000.jpegs", (50, 90, 1)).stored(0))) as picture:
        assert picture.mode == "L"


def test_arrays_keep_their_splits(tmp_path):
    array = np.stack([np.stack(soft(18, (32, 32), seed=i)) for i in range(20)])
    np.save(tmp_path / "a.npy", array)
    options = {"height": 32, "width": 32, "workers": 0, "keep_duplicates": True}
    jpeg = ingest([tmp_path / "a.npy"], tmp_path / "d", coding="jpeg", **options).dataset
    assert described(jpeg) == described(ingest([tmp_path / "a.npy"], tmp_path / "e", **options).dataset)
    assert [row.split for row in jpeg.rows] == ["train"] * 18 + ["heldout"] * 2
    assert np.abs(jpeg.read(jpeg.rows[7]).astype(int) - array[7]).mean() < 4


def test_cuts_damage_and_long_scenes(tmp_path, monkeypatch):
    root = tmp_path / "src"
    clips.write(root / "a.mp4", soft(30, seed=1) + clips.still(40, (HEIGHT, WIDTH), seed=2) + soft(9, seed=3))
    clips.corrupt(clips.write(root / "b.mp4", soft(150, seed=4), options={"g": "25"}), 0.4, 0.5)
    clips.write(root / "c copy.mkv", soft(30, seed=1), options={"crf": "30"})
    raw = ingest([root], tmp_path / "raw/d", workers=0, coding="raw", **SIZE).dataset
    jpeg = ingest([root], tmp_path / "jpeg/d", workers=0, coding="jpeg", **SIZE).dataset
    assert described(raw) == described(jpeg)
    reasons = Counter(rejection.reason for rejection in jpeg.rejections)
    assert {"damaged", "static", "too short", "near-duplicate"} <= set(reasons)
    monkeypatch.setattr(intake, "CLIP_BYTES", 20 * HEIGHT * WIDTH * 3 // shards.SMALLER)
    long = ingest([root / "c copy.mkv"], tmp_path / "long", workers=0, coding="jpeg", min_frames=5, **SIZE).dataset
    assert [(row.start, row.frames) for row in long.rows] == [(0, 20), (0.8, 10)]
    read = np.concatenate([long.read(row) for row in long.rows])
    assert np.abs(read.astype(int) - np.stack(soft(30, seed=1))).mean() < 9


# Choice


def test_large_frames_are_jpeg_and_small_ones_raw(tmp_path, monkeypatch):
    clips.write(tmp_path / "src/a.mp4", soft(16, (272, 256)))
    options = {"height": 272, "width": 256, "workers": 0}
    assert ingest([tmp_path / "src"], tmp_path / "d", **options).dataset.info.coding == "jpeg"
    kept = ingest([tmp_path / "src"], tmp_path / "e", coding="raw", **options).dataset
    again = ingest([tmp_path / "src"], tmp_path / "e", **options)  # what is there stays
    assert again.decoded == 0 and again.dataset.info == kept.info and kept.info.coding == "raw"
    smaller = ingest([tmp_path / "src"], tmp_path / "d", height=256, width=256, workers=0)
    assert smaller.dataset.info.coding == "raw" and smaller.decoded == 1
    assert {path.suffix for path in (tmp_path / "d").glob("shard-*")} == {".npy"}
    assert ingest([tmp_path / "src"], tmp_path / "d", **options).dataset.info.coding == "jpeg"
    with pytest.raises(ConfigError, match=r'coding is .*jpg.*: .*"jpeg"'):
        ingest([tmp_path / "src"], tmp_path / "d", coding="jpg")
    with pytest.raises(ConfigError, match="quality is 0: give 1 to 100"):
        ingest([tmp_path / "src"], tmp_path / "d", quality=0)


def test_sizes_in_one_word(tmp_path, monkeypatch):
    root = tmp_path / "src"
    for i, seconds in enumerate((20, 30, 18)):
        clips.write(root / f"{i}.mp4", soft(seconds, (96, 128) if i < 2 else (64, 144), seed=i))

    def made(text, target="d", workers=0):
        dataset = ingest([root], tmp_path / target, workers=workers, size=text).dataset
        return dataset.info.width, dataset.info.height

    assert made("64x48") == made("64×48") == (64, 48)
    assert made("auto", workers=1) == (128, 96)
    assert made("80") == (64, 48)
    assert made("auto") == (128, 96)
    clips.write(root / "long.mp4", soft(80, (64, 144), seed=9))
    assert made("auto") == (128, 96) and made("auto", "e") == (144, 64)  # what is there stays
    for text in ("64x", "large", "12p", "0x1x2", ""):
        with pytest.raises(ConfigError, match=f"size is '{text}': give a size such as 512x384, or auto"):
            made(text)
    with pytest.raises(ConfigError, match="size is '64x48': leave height and width out"):
        ingest([root], tmp_path / "d", size="64x48", width=96)
    with pytest.raises(ConfigError, match="width is 4000: give 8 to 2048"):
        made("4000x64")


# Goes on, and is made again


def test_a_second_run_decodes_nothing_and_new_files_only_themselves(folder, both, tmp_path):
    root, target = tmp_path / "src", tmp_path / "d"
    shutil.copytree(folder, root)
    options = {"coding": "jpeg", "workers": 0, **SIZE}
    first = ingest([root], target, **options).dataset
    assert pixels(first) == pixels(both[1])
    before = pixels(first)
    assert ingest([root], target, **options).decoded == 0
    clips.write(root / "run/new.mp4", soft(22, seed=30))
    (root / "walk/clip 0.mp4").unlink()
    again = ingest([root], target, **options)
    assert again.decoded == 1 and pixels(again.dataset).items() >= {
        (key, value) for key, value in before.items() if key[0] != "src/walk/clip 0.mp4"
    }  # pictures were copied, not made anew
    assert pixels(again.dataset) == pixels(ingest([root], tmp_path / "fresh/d", **options).dataset)
    assert {p.name.split(".")[0] for p in target.glob("shard-*")} == {
        row.shard.split(".")[0] for row in again.dataset.rows
    }
    assert ingest([root], target, quality=60, **options).decoded == 5
    assert size(target, "*.jpegs") < 0.8 * size(tmp_path / "fresh/d", "*.jpegs")


def test_many_shards(folder, both, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 42 * HEIGHT * WIDTH * 3 // shards.SMALLER)
    dataset = ingest([folder], tmp_path / "d", workers=0, coding="jpeg", **SIZE).dataset
    assert len({row.shard for row in dataset.rows}) == 4
    assert pixels(dataset) == pixels(both[1]) and dataset.info.content_hash == both[1].info.content_hash


class Killed(BaseException):
    """The end of the process, as far as the ingest can tell."""


@pytest.mark.parametrize("when", ["decode", "shard", "level", "packed", "tables"])
def test_killed_and_started_again_is_as_if_never_killed(folder, both, tmp_path, monkeypatch, when):
    target, done = tmp_path / "d", []

    def progress(report):
        done.append(report)
        if when == "decode" and report.phase == "decode" and report.done == 2:
            raise Killed

    def die(module, name, after=1):
        real, calls = getattr(module, name), []

        def dying(*args, **kwargs):
            result = real(*args, **kwargs)
            result = list(result) if name == "pack" else result
            calls.append(name)
            if len(calls) == after:
                raise Killed
            return result

        monkeypatch.setattr(module, name, dying)

    if when == "shard":
        die(shards.JpegFile, "stored", 40)
    elif when == "level":
        die(shards.JpegWriter, "finish", 6)  # five parts, and one shard
    elif when == "packed":
        die(shards, "pack")
    elif when == "tables":
        die(shards, "save_state")
    with pytest.raises(Killed):
        ingest([folder], target, workers=0, coding="jpeg", **SIZE, on_progress=progress)
    monkeypatch.undo()
    (target / "shard-00007.quarter.npy").write_bytes(b"left over")
    again = ingest([folder], target, workers=0, coding="jpeg", **SIZE)
    assert again.decoded == (3 if when == "decode" else 0)
    assert described(again.dataset) == described(both[1]) and pixels(again.dataset) == pixels(both[1])
    assert sorted(path.name for path in target.glob("shard-*")) == sorted(
        name for row in again.dataset.rows[:1] for name in (row.shard, row.shard.replace(".jpegs", ".quarter.npy"))
    )


@pytest.mark.parametrize("name", ["shard-00000.jpegs", "shard-00000.quarter.npy"])
@pytest.mark.parametrize("damage", ["cut off", "empty", "gone", "other"])
def test_damaged_shards_are_refused_and_made_again(folder, both, copy, name, damage):
    path = copy / name
    if damage == "gone":
        path.unlink()
    else:
        content = {"cut off": path.read_bytes()[:-500], "empty": b"", "other": b"x" * 999 + MARK}[damage]
        path.write_bytes(content)
    dataset = Dataset(copy)
    with pytest.raises(
        DatasetError, match=r"shard-00000.* (cannot|cut off|damaged).*run the same ingest command again"
    ):
        pixels(dataset)
    again = ingest([folder], copy, workers=0, coding="jpeg", **SIZE)
    assert again.decoded == 5 and pixels(again.dataset) == pixels(both[1])


def test_a_damaged_picture_is_named_and_the_others_are_read(folder, both, copy):
    path = copy / "shard-00000.jpegs"
    whole = path.read_bytes()
    index = JpegFile(path, (HEIGHT, WIDTH, 3)).index
    content = bytearray(whole)
    content[int(index["end"][7]) + 200] ^= 1
    path.write_bytes(bytes(content))
    dataset = Dataset(copy)
    row = dataset.rows[0]
    assert row.offset == 0 and np.array_equal(dataset.read(row, 9, 5), both[1].read(both[1].rows[0], 9, 5))
    with pytest.raises(DatasetError, match=r"picture 8 of .*shard-00000.jpegs is damaged.*remove this file and run"):
        dataset.read(row, 6, 5)
    path.unlink()
    assert pixels(ingest([folder], copy, workers=0, coding="jpeg", **SIZE).dataset) == pixels(both[1])
    path.write_bytes(whole[:-24] + (10**15).to_bytes(8, "little") + MARK)  # the number of pictures is nonsense
    with pytest.raises(DatasetError, match=r"the index of .* is damaged"):
        JpegFile(path, (HEIGHT, WIDTH, 3))


def test_a_damaged_part_is_decoded_again(folder, both, tmp_path, monkeypatch):
    def killed(report):
        if report.phase == "decode" and report.done == 5:
            raise Killed

    with pytest.raises(Killed):
        ingest([folder], tmp_path / "d", workers=0, coding="jpeg", **SIZE, on_progress=killed)
    path = min((tmp_path / "d/ingest/parts").glob("*.part"))
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(bytes(content))
    again = ingest([folder], tmp_path / "d", workers=0, coding="jpeg", **SIZE)
    assert again.decoded == 1 and pixels(again.dataset) == pixels(both[1])


def test_tables_of_a_coding_that_is_not_known(copy):
    value = json.loads((copy / "dataset.json").read_text())
    (copy / "dataset.json").write_text(json.dumps(value | {"coding": "film"}))
    with pytest.raises(DatasetError, match='has the coding "film"'):
        Dataset(copy)


# Use


def test_training_and_audit_read_it(both):
    raw, jpeg = both
    options = {"frames": 8, "batch_size": 4, "seed": 3}
    mine = Loader(open_clips(jpeg.folder, ClipConfig(8, HEIGHT, WIDTH)), "train", **options).batch(12)
    theirs = Loader(DatasetClips(raw), "train", **options).batch(12)
    assert np.array_equal(mine[1], theirs[1]) and np.abs(mine[0].astype(int) - theirs[0]).mean() < 2
    facts = dict(Audit(jpeg).summary)
    assert facts["frames"] == "96×72 RGB, 25 fps; JPEG of quality 95, also at 1/4 of their size"
    assert dict(Audit(raw).summary)["frames"] == "96×72 RGB, 25 fps"
    assert builder.content_hash(jpeg.rows, 95) == jpeg.info.content_hash != builder.content_hash(jpeg.rows, 96)


def test_small_clips_for_training_are_kept_while_there_is_room(both, monkeypatch):
    source, shape = DatasetClips(both[1]), ClipConfig(frames=4, height=10, width=13)
    large = SmallClips(source, 8, shape, 32)
    monkeypatch.setattr("footage.data.crops.MOST_KEPT", both[1].rows[0].frames * 10 * 13 * 3)
    little = SmallClips(source, 8, shape, 32)
    for index, start in ((0, 3), (1, 0), (0, 12), (1, 7), (0, 3)):
        window = large.read(index, start, 4)
        np.testing.assert_array_equal(window[:, :9, :12], both[1].read_small(both[1].rows[index], start, 4, 8))
        np.testing.assert_array_equal(window[:, 9, 12], window[:, 8, 11])
        np.testing.assert_array_equal(window, little.read(index, start, 4))
    with pytest.raises(DatasetError):
        large.read(0, both[1].rows[0].frames - 3, 4)
    monkeypatch.setattr(Dataset, "read_small", None)
    assert large.read(1, 7, 4).shape == little.read(0, 0, 4).shape == (4, 10, 13, 3)
    with pytest.raises(TypeError):
        little.read(1, 7, 4)
