import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from footage.data.store import (
    SCHEMA,
    ClipRow,
    Dataset,
    DatasetInfo,
    Rejection,
    SourceRow,
    area_means,
    content_hash,
    save_tables,
)
from footage.errors import DatasetError


def row(i=0, **changes):
    made = ClipRow(f"src/{i}.mp4", 0.0, 1.0, 10, "run", None, "train", "shard-00000.npy", i * 10, f"{i:064d}")
    return replace(made, **changes)


@pytest.fixture
def folder(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (30, 8, 12, 3)).astype(np.uint8)
    np.save(tmp_path / "shard-00000.npy", frames)
    rows = [row(0), row(1, split="heldout"), row(2, caption="läuft \u2028 schnell")]
    info = DatasetInfo("d", 8, 12, 3, 25.0, ("run",), 3, content_hash(rows), {"fit": "crop"})
    rejections = [Rejection("src/x.mp4", "empty file", "0 bytes"), Rejection("src/y.mp4", "too short", "3", 0.0, 0.1)]
    save_tables(tmp_path, info, rows, rejections, [SourceRow("src/0.mp4", 1, 640, 480, 25.0, 1.0, "h264")])
    return tmp_path


def test_round_trip(folder):
    dataset = Dataset(folder)
    assert dataset.rows[2].caption == "läuft \u2028 schnell"
    assert dataset.info.labels == ("run",) and dataset.info.schema == 1
    assert [r.reason for r in dataset.rejections] == ["empty file", "too short"]
    assert dataset.sources == [SourceRow("src/0.mp4", 1, 640, 480, 25.0, 1.0, "h264")]
    assert [r.source for r in dataset.split("heldout")] == ["src/1.mp4"]


def test_frames_are_mapped_not_loaded(folder):
    dataset = Dataset(folder)
    frames = np.load(folder / "shard-00000.npy")
    assert np.array_equal(dataset.read(dataset.rows[1]), frames[10:20])
    part = dataset.read(dataset.rows[2], 3, 4)
    assert np.array_equal(part, frames[23:27])
    assert isinstance(part, np.memmap) and not part.flags.owndata and not part.flags.writeable


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (0, 11), (9, 2), (3, -1)])
def test_frames_outside_a_clip(folder, start, count):
    dataset = Dataset(folder)
    with pytest.raises(DatasetError, match="of a clip of 10 frames"):
        dataset.read(dataset.rows[0], start, count)


def means(frames, scale):
    """Area means in the plainest way, rounded half up."""
    t, height, width, channels = frames.shape
    squares = frames.reshape(t, height // scale, scale, width // scale, scale, channels).astype(np.int64)
    return (squares.sum(axis=(2, 4)) + scale * scale // 2) // (scale * scale)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 6, 20])
def test_area_means(scale):
    frames = np.random.default_rng(1).integers(0, 256, (2, 60, 120, 3)).astype(np.uint8)
    assert np.abs(area_means(frames, scale) - means(frames, scale)).max() <= (scale == 20)
    assert (area_means(np.full_like(frames, 255), scale) == 255).all()
    assert np.array_equal(area_means(frames, 4 * 5), means(means(frames, 4), 5))


def test_small_frames(folder):
    dataset = Dataset(folder)
    frames = np.load(folder / "shard-00000.npy")
    for scale in (1, 2, 4):
        assert np.array_equal(dataset.read_small(dataset.rows[2], 3, 4, scale), means(frames[23:27], scale))
    for scale in (0, 3, 8):
        with pytest.raises(DatasetError, match=f"12×8, which cannot be made {scale} times smaller.*choose a scale"):
            dataset.read_small(dataset.rows[2], 3, 4, scale)
    with pytest.raises(DatasetError, match="of a clip of 10 frames"):
        dataset.read_small(dataset.rows[2], 3, 8, 2)


def test_content_hash_ignores_order_and_place_only():
    rows = [row(0), row(1), row(2)]
    base = content_hash(rows)
    assert content_hash(rows[::-1]) == base
    assert content_hash([replace(r, shard="other.npy", offset=5, source="z") for r in rows]) == base
    for change in ({"digest": "f"}, {"label": "walk"}, {"caption": "x"}, {"split": "heldout"}):
        assert content_hash([replace(rows[0], **change), *rows[1:]]) != base
    assert content_hash(rows[:2]) != base


def test_missing_folder_and_folder_of_something_else(tmp_path):
    with pytest.raises(DatasetError, match=r"does not exist.*footage ingest"):
        Dataset(tmp_path / "none")
    with pytest.raises(DatasetError, match="is not a dataset"):
        Dataset(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": SCHEMA + 1}, "upgrade footage"),
        ({"clips": 7}, "lists 3 clips, dataset.json says 7"),
        ({"surprise": 1}, "is not a DatasetInfo"),
    ],
)
def test_dataset_json_that_does_not_fit(folder, change, message):
    value = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(value | change))
    with pytest.raises(DatasetError, match=message):
        Dataset(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3"])
def test_dataset_json_that_is_damaged(folder, content):
    (folder / "dataset.json").write_text(content)
    with pytest.raises(DatasetError):
        Dataset(folder)


def test_damaged_tables(folder):
    lines = (folder / "clips.jsonl").read_text()
    (folder / "clips.jsonl").write_text(lines[:-20])
    with pytest.raises(DatasetError, match="run the same ingest command again"):
        Dataset(folder)
    (folder / "clips.jsonl").write_text("nonsense\n" + lines)
    with pytest.raises(DatasetError, match="cannot be read"):
        Dataset(folder)
    (folder / "clips.jsonl").unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        Dataset(folder)


def test_damaged_shards(folder):
    path = folder / "shard-00000.npy"
    whole = path.read_bytes()
    for content in (whole[:500], b"", b"\x93NUMPY", whole.replace(b"{", b"(", 1), whole.replace(b"'", b"\xff", 1)):
        path.write_bytes(content)
        dataset = Dataset(folder)
        with pytest.raises(DatasetError, match="cannot be read"):
            dataset.read(dataset.rows[0])
    for array in (np.zeros((30, 8, 8, 3), np.uint8), np.zeros((9, 8, 12, 3), np.uint8), np.zeros((30, 8, 12, 3))):
        np.save(path, array)
        dataset = Dataset(folder)
        with pytest.raises(DatasetError, match="expected uint8"):
            dataset.read(dataset.rows[0])
    np.save(path, np.array([{"a": 1}] * 30, dtype=object))
    dataset = Dataset(folder)
    with pytest.raises(DatasetError):
        dataset.read(dataset.rows[0])


def test_tables_hold_plain_json(folder):
    for name in ("clips.jsonl", "rejected.jsonl", "sources.jsonl"):
        for line in (folder / name).read_text("utf-8").split("\n")[:-1]:
            assert isinstance(json.loads(line), dict)
    assert json.loads((folder / "clips.jsonl").read_text("utf-8").split("\n")[0]) | {"sound": False} == asdict(row(0))


@pytest.mark.parametrize(
    ("table", "change"),
    [
        *[("clips.jsonl", change) for change in ({"source": 5}, {"frames": "10"}, {"frames": 0}, {"start": None})],
        *[("clips.jsonl", change) for change in ({"label": [1]}, {"split": "x"}, {"shard": "../../shard-0.npy"})],
        *[
            ("clips.jsonl", change)
            for change in ({"offset": -1}, {"offset": 2**63}, {"end": float("nan")}, {"sound": 1})
        ],
        *[
            ("dataset.json", change)
            for change in ({"fps": float("inf")}, {"fps": "25"}, {"height": 10**400}, {"width": 0})
        ],
        *[
            ("dataset.json", change)
            for change in ({"labels": "run"}, {"labels": [1]}, {"settings": []}, {"levels": [7]})
        ],
    ],
)
def test_tables_with_other_values_are_refused(folder, table, change):
    lines = (folder / table).read_text().splitlines()
    first, rest = (lines[0], lines[1:]) if table.endswith("l") else ("\n".join(lines), [])
    (folder / table).write_text("\n".join([json.dumps({**json.loads(first), **change}), *rest]) + "\n")
    with pytest.raises(DatasetError, match="again"):
        Dataset(folder)
