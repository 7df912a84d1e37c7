"""Data sets and clips go to other programs, and come back as they were."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from footage.commands import main as cli
from footage.data.interchange import Form, write_clips
from footage.data.store import Dataset
from footage.errors import DatasetError, MediaError
from footage.generation.clip import Clip
from tests.clips import add_sound, moving, write
from tests.ingesting import ingest

SMALL = {"height": 32, "width": 32, "min_frames": 8, "workers": 0, "keep_duplicates": True, "cuts": False}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("made")
    for number, (side, label) in enumerate((("train", "walk"), ("train", "run"), ("test", "run"))):
        path = write(root / "clips" / side / label / f"{number}.mp4", moving(12, (32, 32), number))
        path.with_suffix(".txt").write_text(f"a disc, number {number}\nanother caption, 影\n", encoding="utf-8")
    add_sound(root / "clips" / "train" / "walk" / "0.mp4")
    return ingest([root / "clips"], root / "data", **SMALL).dataset


@pytest.mark.parametrize("form", ["videofolder", "webdataset"])
def test_a_data_set_comes_back_as_it_was(dataset: Dataset, tmp_path: Path, form: Form) -> None:
    cli.main(["export", str(dataset.folder), f"--{form}", str(tmp_path / "out"), "--quiet"])
    again = ingest([tmp_path / "out"], tmp_path / "again", **SMALL).dataset
    assert again.info.labels == dataset.info.labels == ("run", "walk")
    assert again.info.fps == dataset.info.fps
    for split in ("train", "heldout"):
        before, after = dataset.split(split), again.split(split)
        assert [(r.label, r.caption, r.frames, r.sound) for r in after] == [
            (r.label, r.caption, r.frames, r.sound) for r in before
        ]
        for one, other in zip(before, after, strict=True):
            difference = dataset.read(one).astype(int) - again.read(other)
            assert abs(difference).mean() < 4  # H.264, with colours at half the size
    assert sum(row.sound for row in again.rows) == 1


def test_a_folder_of_videos_has_the_table_of_hugging_face(dataset: Dataset, tmp_path: Path) -> None:
    done = list[int]()
    written = write_clips(dataset, tmp_path / "out", "videofolder", done.append)
    assert done == [1, 2, 3] and written.clips == 3
    lines = (tmp_path / "out" / "train" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["file_name"] for line in lines] == ["000000.mp4", "000001.mp4"]
    assert all((tmp_path / "out" / "train" / json.loads(line)["file_name"]).is_file() for line in lines)
    with pytest.raises(DatasetError, match="holds something: give a new or empty folder"):
        write_clips(dataset, tmp_path / "out", "webdataset")


def test_shards_have_what_webdataset_reads(dataset: Dataset, tmp_path: Path) -> None:
    written = write_clips(dataset, tmp_path / "out", "webdataset")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written.files] == [
        "train/000000.tar",
        "test/000000.tar",
    ]
    with tarfile.open(written.files[0]) as archive:
        names = [member.name for member in archive]
        assert names[:4] == ["000000.mp4", "000000.json", "000000.txt", "000000.cls"]
        classes = [archive.extractfile(name) for name in names if name.endswith(".cls")]
        numbers = [int(handle.read()) for handle in classes if handle is not None]
    assert sorted(numbers) == [0, 1]


def test_frames_of_other_programs_are_clips_and_back() -> None:
    frames = np.stack(moving(5, (24, 32)))
    clip = Clip.of_frames(frames, 12.5)
    assert clip.frames == 5 and clip.fps == 12.5 and np.array_equal(clip.array(), frames)
    tensor = clip.tensor()
    assert tensor.shape == (3, 5, 24, 32) and tensor.dtype == torch.float32 and -1 <= tensor.min() < tensor.max() <= 1
    assert np.array_equal(Clip.of_frames(tensor).array(), frames)
    assert np.array_equal(Clip.of_frames(torch.from_numpy(frames).permute(0, 3, 1, 2)).array(), frames)  # T C H W
    pictures = list(clip.pictures())
    assert pictures[2].size == (32, 24) and np.array_equal(Clip.of_frames(pictures).array(), frames)
    assert Clip.of_frames([torch.zeros(8, 6, 3, dtype=torch.uint8)] * 2).array().shape == (2, 8, 6, 3)
    red = Image.new("RGB", (6, 4), (255, 0, 0))
    assert Clip.of_frames([red.quantize(2), red]).array()[:, 0, 0].tolist() == [[255, 0, 0]] * 2, "of a palette"
    grey = Clip.of_frames(frames[..., 0])
    assert grey.array().shape == (5, 24, 32, 1) and next(grey.pictures()).mode == "L"


def test_videos_of_other_programs_are_clips_and_back(tmp_path: Path) -> None:
    path = add_sound(write(tmp_path / "a.mp4", moving(10, (32, 48)), fps=10))
    clip = Clip.of_video(path)
    assert clip.fps == 10 and clip.array().shape == (10, 32, 48, 3) and clip.sources == (path,)
    assert clip.sound is not None and next(clip.sound()).shape[0] == 2
    stored = clip.video()  # as datasets.Video has it
    assert stored["path"] is None and stored["bytes"][4:8] == b"ftyp"
    for content in (stored, {"path": str(path), "bytes": None}, str(path), path.read_bytes()):
        again = Clip.of_video(content)
        assert abs(again.array().astype(int) - clip.array()).mean() < 4 and again.fps == 10


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([Image.new("L", (4, 4)), Image.new("L", (4, 6))], "frames of a clip are of different sizes: bring all to one"),
        (
            np.zeros((2, 4, 4, 3)),
            r"float64 \(2, 4, 4, 3\) is no clip, it has to hold whole numbers of 8 bits .*: give an array uint8 \(T, H",
        ),
        (np.zeros((2, 4, 4, 2), np.uint8), r"uint8 \(2, 4, 4, 2\) is no clip, .* 3 channels"),
        (np.zeros((0, 4, 4, 3), np.uint8), r"uint8 \(0, 4, 4, 3\) is no clip, it is empty"),
        (np.zeros((2, 5, 4, 4, 3), np.uint8), r"\(2, 5, 4, 4, 3\) is no clip, .* as a batch has"),
        (torch.zeros(2, 3, 5, 4, 4), r"float32 \(2, 3, 5, 4, 4\) is no clip, .* as a batch has"),
        (torch.zeros(5, 4, 4, 3, dtype=torch.uint8), r"uint8 \(5, 4, 4, 3\) is no clip, .* where they belong"),
        (torch.zeros(5, 4, 4), r"float32 \(5, 4, 4\) is no clip, it has too few"),
        ([], "list"),
        ("a.mp4", "str"),
    ],
)
def test_what_is_no_clip_is_named(content: object, text: str) -> None:
    with pytest.raises(MediaError, match=text):
        Clip.of_frames(content)


@pytest.mark.parametrize("fps", [0, -5.0, float("nan"), 1e9])
def test_what_is_no_rate_is_named(fps: float, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", moving(2, (16, 16)))
    for make in (lambda: Clip.of_frames(np.zeros((2, 4, 4, 3), np.uint8), fps), lambda: Clip.of_video(path, fps)):
        with pytest.raises(MediaError, match=re.escape(f"fps is {fps:g}: give .1 to 1000")):
            make()


def test_bytes_that_are_no_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        Clip.of_video(b"nothing like a video" * 10)
    content = io.BytesIO()
    Image.new("RGB", (16, 16)).save(content, "png")
    assert Clip.of_video(content.getvalue()).array().shape[1:] == (16, 16, 3)
