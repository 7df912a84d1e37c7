"""Crops straight from videos of any size and length: random in space and time, decoded as they are wanted.

A visit decodes a few frames at a random place of a file and takes several crops from them. Clips come from several
visits in turn, each of which gives one clip and waits; so memory is bounded, whatever the size of the videos, and
neighbours in a batch come from different places.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.config import ClipConfig
from footage.data.clips import Span
from footage.data.ingest.sources import scan
from footage.data.store import Frames, Split
from footage.errors import DatasetError
from footage.files import json_digest
from footage.media.decode import declared_length, read_window
from footage.media.probe import UnusableMedia

HELDOUT = 0.2
"""The last part of each video, which is never trained on."""
CROPS = 16
"""Crops that are taken from the frames of one visit."""
MOST_VISITS = 16
"""Visits that are held at once, at most."""
MOST_BYTES = 256 * 2**20
"""Memory that they may take."""
TRIES = 4
"""Places of a visit that are tried where frames are damaged."""
HEAD = 2**20
"""Bytes at a file's beginning that tell it from others."""

Rng = np.random.Generator


@dataclass(frozen=True)
class Stretch:
    """The part of a video that belongs to one split."""

    path: Path
    """The file."""
    name: str
    """Its name below the folder that was given."""
    first: int
    """Its first frame."""
    frames: int
    """How many there are."""
    fps: float
    """Frames in a second."""


class VideoCrops:
    """Crops from the videos of a folder; see `footage.data.clips.ClipSource` and `Draws`.

    The last fifth of each video is held out. What is too small or cannot be read is left out.

    Args:
        data: a folder of videos, or one video.
        clip: shape of the crops.

    Raises:
        DatasetError: there is no video that crops can be taken from.
    """

    labels: tuple[str, ...] = ()
    guides = 0

    def __init__(self, data: Path | str, clip: ClipConfig) -> None:
        self.shape = (clip.height, clip.width, clip.channels)
        self.name = Path(data).resolve().name
        self.left_out: dict[str, str] = {}
        self._stretches: dict[Split, list[Stretch]] = {"train": [], "heldout": []}
        rates, marks = [], []
        for source in scan([Path(data)], "none").sources:
            if source.kind != "video":
                continue
            try:
                info, frames, fps = declared_length(source.path)
            except UnusableMedia as error:
                self.left_out[source.name] = str(error)
                continue
            if info.height < clip.height or info.width < clip.width:
                self.left_out[source.name] = f"{info.width}×{info.height} pixels are fewer than a crop's"
                continue
            middle = frames - max(1, round(frames * HELDOUT))
            for split, first, count in (("train", 0, middle), ("heldout", middle, frames - middle)):
                if count >= clip.frames:
                    stretch = Stretch(source.path, source.name, first, count, fps)
                    self._stretches[split].append(stretch)  # type: ignore[index]
            rates.append(fps)
            marks.append([source.name, source.path.stat().st_size, _head(source.path)])
        if not self._stretches["train"]:
            raise DatasetError(f"{data}: {self._nothing(clip)}", "give larger or longer videos, or smaller --clip")
        self.fps = max(set(rates), key=rates.count)
        self.content_hash = json_digest([marks, self.shape])
        self._held: dict[Split, OrderedDict[tuple[int, int], Frames]] = {
            "train": OrderedDict(),
            "heldout": OrderedDict(),
        }
        self._units: dict[tuple[Split, int], list[tuple[Stretch, int, int]]] = {}
        self._order: dict[Split, tuple[tuple[int, int], npt.NDArray[np.int64]]] = {}

    def _nothing(self, clip: ClipConfig) -> str:
        if not self.left_out:
            return f"no video has the {clip.frames} frames of a clip"
        name, reason = next(iter(self.left_out.items()))
        return f"no video gives crops of {clip.width}×{clip.height}; {name}: {reason}"

    def stretches(self, split: Split) -> list[Stretch]:
        """Return the parts of the videos that belong to one split."""
        return self._stretches[split]

    def spans(self, split: Split) -> list[Span]:
        """Return the videos' parts of one split."""
        side = split == "heldout"
        stretches = self._stretches[split]
        return [Span(2 * i + side, stretch.frames, -1, stretch.name) for i, stretch in enumerate(stretches)]

    def read(self, index: int, start: int, frames: int) -> Frames:
        """Return the middle of some frames of a video, uint8 (T, H, W, C)."""
        stretch = self._stretches["heldout" if index % 2 else "train"][index // 2]
        found, _ = read_window(stretch.path, (stretch.first + start) / stretch.fps, frames, self.shape[2])
        top, left = ((have - want) // 2 for have, want in zip(found.shape[1:3], self.shape, strict=False))
        return found[:, top : top + self.shape[0], left : left + self.shape[1]]

    def draw(self, split: Split, number: int, seed: int, frames: int) -> Frames:
        """Return the `number`-th clip of a run, uint8 (T, H, W, C): a function of these arguments alone."""
        height, width, channels = self.shape
        size = CROPS * frames * height * width * channels
        visits = max(1, min(MOST_VISITS, MOST_BYTES // size))
        if split == "heldout":  # always the same few: they are looked at now and then
            turn, place = divmod(number % (visits * CROPS), visits)
        else:
            turn, place = divmod(number, visits)
            turn += place * CROPS // visits  # places go on to their next visits one after the other
        visit = turn // CROPS * visits + place
        clip: Frames = self._visited(split, seed, visit, frames, visits)[turn % CROPS]
        return clip

    def _visited(self, split: Split, seed: int, visit: int, frames: int, most: int) -> Frames:
        """Return the crops of a visit, (CROPS, T, H, W, C), decoded or from those that are held."""
        # Only the loader's thread asks for training clips, only the loop for those held out: there is no lock.
        held, key = self._held[split], (seed, visit)
        if key not in held:
            held[key] = self._visit(split, seed, visit, frames)
            while len(held) > most:
                held.popitem(last=False)
        held.move_to_end(key)
        return held[key]

    def _visit(self, split: Split, seed: int, visit: int, frames: int) -> Frames:
        """Decode some frames at a random place, and take crops from them."""
        side = split == "heldout"
        stretch, first, starts = self._unit(split, seed, visit, frames)
        rng = np.random.Generator(np.random.Philox(key=[seed, visit], counter=[0, 0, side, 2]))
        for _ in range(TRIES):
            start = stretch.first + first + int(rng.integers(starts))
            found, whole = read_window(stretch.path, start / stretch.fps, frames, self.shape[2])
            if whole:
                break
        return np.stack([self._crop(found, rng) for _ in range(CROPS)])

    def _unit(self, split: Split, seed: int, visit: int, frames: int) -> tuple[Stretch, int, int]:
        """Return where a visit takes place: part of a video, first frame in it, and how many may be the start."""
        units = self._units.get((split, frames))
        if units is None:
            units = self._units[split, frames] = [
                (stretch, first, min(frames, stretch.frames - frames + 1 - first))
                for stretch in self._stretches[split]
                for first in range(0, stretch.frames - frames + 1, frames)
            ]
        epoch, place = divmod(visit, len(units))
        if self._order.get(split, ((-1, -1), None))[0] != (seed, epoch):
            rng = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, split == "heldout", 3]))
            self._order[split] = ((seed, epoch), rng.permutation(len(units)))
        return units[int(self._order[split][1][place])]

    def _crop(self, frames: Frames, rng: Rng) -> Frames:
        """Take a crop at random, the one with more detail of two places; half of them are mirrored."""
        height, width, _ = self.shape
        places = [
            tuple(int(rng.integers(have - want + 1)) for have, want in zip(frames.shape[1:3], self.shape, strict=False))
            for _ in range(2)
        ]
        crops = [frames[:, top : top + height, left : left + width] for top, left in places]
        chosen: Frames = crops[int(np.argmax([_detail(crop[len(crop) // 2]) for crop in crops]))]
        return chosen[:, :, ::-1] if rng.random() < 0.5 else chosen


def _detail(picture: Frames) -> float:
    """Return the mean difference between neighbours in a picture (H, W, C)."""
    return float(np.abs(np.diff(picture.astype(np.int16), axis=1)).mean())


def _head(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.sha256(handle.read(HEAD)).hexdigest()


def is_footage(data: Path | str) -> bool:
    """Whether this is a video, or a folder of files that is no data set."""
    path = Path(data)
    return path.is_file() or (path.is_dir() and not (path / "dataset.json").exists())
