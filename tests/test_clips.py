from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from footage.config import ClipConfig
from footage.data.clips import BuiltInClips, DatasetClips, Loader, MovingDigits, Span, open_clips
from footage.data.store import ClipRow, Dataset, DatasetInfo, Split
from footage.errors import ConfigError, DatasetError
from footage.evaluation.features.learned import divide


class Numbered:
    """A source whose every pixel tells its clip and frame."""

    name, fps, labels, content_hash, shape, guides = "numbered", 25.0, ("a", "b"), "0", (1, 1, 3), 0

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths

    def spans(self, split: Split) -> list[Span]:
        return [Span(i, n, i % 2) for i, n in enumerate(self.lengths)] if split == "train" else []

    def read(self, index: int, start: int, frames: int) -> np.ndarray:
        assert start >= 0 and start + frames <= self.lengths[index]
        t = np.arange(start, start + frames, dtype=np.uint8)
        return np.stack([np.full(frames, index, np.uint8), t, t], axis=-1)[:, None, None, :]


def test_batches_depend_on_seed_and_clips_seen_alone() -> None:
    make = lambda seed: Loader(Numbered([40, 20, 30, 16]), "train", frames=8, batch_size=6, seed=seed)  # noqa: E731
    one, two = make(0), make(0)
    straight = [one.batch(seen) for seen in range(0, 60, 6)]
    resumed = two.batch(54)
    np.testing.assert_array_equal(straight[-1][0], resumed[0])
    assert any(not np.array_equal(a[0], make(1).batch(6 * i)[0]) for i, a in enumerate(straight))


@pytest.mark.parametrize("processors", [1, 64])
def test_prefetched_batches_are_the_same(processors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    loader = Loader(Numbered([40, 20]), "train", frames=8, batch_size=4, seed=0)
    stream = loader.batches(8)
    for seen in range(8, 80, 4):  # several epochs, several threads
        clips, labels, crops, captions = next(stream)
        assert crops is None and captions is None, "a source of clips alone"
        expected, classes = Loader(Numbered([40, 20]), "train", frames=8, batch_size=4, seed=0).batch(seen)
        np.testing.assert_array_equal(clips, expected)
        np.testing.assert_array_equal(labels, classes)
    stream.close()


def test_an_epoch_shows_long_clips_more_often_and_every_clip_once() -> None:
    loader = Loader(Numbered([80, 8, 9]), "train", frames=8, batch_size=1, seed=0)
    seen = [int(loader.batch(n)[0][0, 0, 0, 0, 0]) for n in range(len(loader.units))]
    assert {0, 1, 2} == set(seen)
    assert seen.count(0) == 9 and seen.count(1) == seen.count(2) == 1


def test_every_window_can_come() -> None:
    loader = Loader(Numbered([24]), "train", frames=8, batch_size=1, seed=0)
    starts = {int(loader.batch(n)[0][0, 0, 0, 0, 1]) for n in range(400)}
    assert starts == set(range(17))


def test_two_processes_share_a_batch() -> None:
    whole = Loader(Numbered([40, 20, 30]), "train", frames=8, batch_size=6, seed=0)
    parts = [
        Loader(Numbered([40, 20, 30]), "train", frames=8, batch_size=6, seed=0, rank=rank, world=2) for rank in (0, 1)
    ]
    together = np.concatenate([part.batch(12)[0] for part in parts])
    np.testing.assert_array_equal(together, whole.batch(12)[0])


def test_too_short_clips_and_empty_splits_name_the_remedy() -> None:
    with pytest.raises(DatasetError, match=r"longest clip is 11 frames, training needs 16.*--clip.frames 11"):
        Loader(Numbered([11, 5]), "train", frames=16, batch_size=1, seed=0)
    with pytest.raises(DatasetError, match=r"no clip is held out: ingest it again with --heldout 0\.1"):
        Loader(Numbered([11]), "heldout", frames=4, batch_size=1, seed=0)
    with pytest.raises(DatasetError, match=r"has no clips: footage audit says what was left out"):
        Loader(Numbered([]), "train", frames=4, batch_size=1, seed=0)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"heldout": 0.9}, "ingest more sources, or ingest again with a lower"),
        ({"layouts": ["folders train, test"]}, "a table or a folder's name says so, see footage audit"),
        ({"labels": "table"}, "a table or a folder's name says so, see footage audit"),
    ],
)
def test_where_all_clips_are_held_out_the_remedy_fits(settings: dict[str, Any], remedy: str) -> None:
    info = DatasetInfo("d", 8, 8, 3, 25.0, (), 1, "0" * 64, settings)
    row = ClipRow("v/a.mp4", 0.0, 1.0, 25, None, None, "heldout", "shard-00000.npy", 0, "0" * 64)
    source = DatasetClips(cast(Dataset, SimpleNamespace(info=info, rows=[row])))
    for open_it in (lambda: Loader(source, "train", frames=4, batch_size=1, seed=0), lambda: divide(source, 0.5)):
        with pytest.raises(DatasetError, match=rf"all clips are held out \(1\), none is left to train on: {remedy}"):
            open_it()


@pytest.mark.parametrize("name", ["shapes", "digits", "digits-2", "digits-3"])
def test_built_in_sets_hold_out_clips_of_their_own(name: str) -> None:
    source = open_clips(name, ClipConfig(height=32, width=32))
    train, heldout = ({span.index for span in source.spans(split)} for split in ("train", "heldout"))
    assert train and heldout and not train & heldout
    clip = source.read(3, 0, 4)
    assert clip.shape == (4, 32, 32, 3) and clip.dtype == np.uint8 and clip.max() > 0


def test_labels_of_built_in_sets_are_right() -> None:
    source = BuiltInClips("digits", height=32, width=32, channels=1)
    assert [span.label for span in source.spans("train")[:50]] != [0] * 50
    assert source.read(0, 0, 2).shape == (2, 32, 32, 1)
    ink = [BuiltInClips(f"digits-{n}", height=64, width=64, channels=1).read(0, 0, 8).mean() for n in (1, 3)]
    assert ink[1] > 1.5 * ink[0]


def test_built_in_sets_refuse_impossible_shapes() -> None:
    with pytest.raises(ConfigError, match="square"):
        open_clips("digits", ClipConfig(height=32, width=64))
    with pytest.raises(ConfigError, match="in colour"):
        open_clips("shapes", ClipConfig(channels=1))


def test_missing_dataset_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="footage ingest"):
        open_clips(tmp_path / "nothing", ClipConfig())


def idx_images(path: Path, images: np.ndarray) -> Path:
    """Write images as MNIST has them."""
    path.write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", *images.shape) + images.tobytes())
    return path


def test_moving_mnist_is_drawn_from_the_images(tmp_path: Path) -> None:
    levels = np.arange(20, dtype=np.uint8)[:, None, None] + np.full((20, 28, 28), 100, np.uint8)  # a level each
    path = idx_images(tmp_path / "some-images-idx3-ubyte", levels)
    source = open_clips(path, ClipConfig(frames=12, height=64, width=64))
    assert isinstance(source, MovingDigits) and source.shape == (64, 64, 1)
    train, heldout = source.spans("train"), source.spans("heldout")
    assert source.spans("train") is train and source.spans("heldout") is heldout, "made once: they are half a million"
    assert len(heldout) == 1_000 and not {s.index for s in train} & {s.index for s in heldout}
    shown = {split: set(np.unique(np.concatenate([source.read(s.index, 0, 2) for s in spans[:60]])).tolist()) - {0}
             for split, spans in (("train", train), ("heldout", heldout))}  # fmt: skip
    assert shown == {"train": set(range(100, 116)), "heldout": set(range(116, 120))}, "from different images"
    clip = source.read(7, 0, 20)
    np.testing.assert_array_equal(source.read(7, 5, 9), clip[5:14])
    assert len(np.unique(clip[0])) == 3, "two digits on black"
    assert open_clips(path, ClipConfig(frames=40, height=64, width=64)).read(0, 0, 40).shape == (40, 64, 64, 1)


def test_what_is_no_moving_mnist_is_refused(tmp_path: Path) -> None:
    path = idx_images(tmp_path / "small-idx3", np.zeros((3, 28, 28), np.uint8))
    with pytest.raises(DatasetError, match="at least 10 images"):
        open_clips(path, ClipConfig(height=64, width=64))
    with pytest.raises(ConfigError, match="square and at least 32×32"):
        open_clips(path, ClipConfig(height=64, width=96))
    (tmp_path / "text-idx3").write_text("nothing")
    with pytest.raises(DatasetError, match="is no data set"):
        open_clips(tmp_path / "text-idx3", ClipConfig(height=64, width=64))
