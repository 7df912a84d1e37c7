"""Crops of frames: straight from videos of any size and length, or of a data set beside its clips made small.

Those from videos are random in space and time, decoded as they are wanted.

A visit decodes a few frames at a random place of a file and takes several crops from them. Clips come from several
visits in turn, each of which gives one clip and waits; so memory is bounded, whatever the size of the videos, and
neighbours in a batch come from different places.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.config import ClipConfig
from footage.data.clips import ClipSource, DatasetClips, Span
from footage.data.ingest.sources import scan
from footage.data.store import Frames, Split, area_means
from footage.errors import DatasetError
from footage.files import bytes_digest, json_digest
from footage.media.decode import declared_length, read_window
from footage.media.probe import UnusableMedia
from footage.media.rates import common_rate

HELDOUT = 0.2
"""The last part of each video, which is never trained on."""
CROPS = 16
"""Crops that are taken from the frames of one visit."""
CROPS_OF_FRAME = 4
"""Crops that are taken from a frame of a data set."""
MOST_VISITS = 16
"""Visits that are held at once, at most."""
MOST_BYTES = 256 * 2**20
"""Memory that they may take."""
TRIES = 4
"""Places of a visit that are tried where frames are damaged."""
HEAD = 2**20
"""Bytes at a file's beginning that tell it from others."""


@dataclass(frozen=True)
class Stretch:
    """The part of a video that belongs to one split."""

    path: Path
    name: str
    """Its name below the folder that was given."""
    first: int
    """Its first frame."""
    frames: int
    fps: float


class Visits(ABC):
    """Crops that are drawn by visits: each reads some frames, gives one crop after the other, and waits in between."""

    labels: tuple[str, ...] = ()
    guides = 0

    def __init__(self, clip: ClipConfig, channels: int) -> None:
        self.shape = (clip.height, clip.width, channels)
        self._held: dict[Split, OrderedDict[tuple[int, int], Frames]] = {
            "train": OrderedDict(),
            "heldout": OrderedDict(),
        }

    def draw(self, split: Split, number: int, seed: int, frames: int) -> Frames:
        height, width, channels = self.shape
        size = CROPS * frames * height * width * channels
        visits = max(1, min(MOST_VISITS, MOST_BYTES // size))
        if split == "heldout":  # always the same few: they are looked at now and then
            turn, place = divmod(number % (visits * CROPS), visits)
        else:
            turn, place = divmod(number, visits)
            turn += place * CROPS // visits  # places go on to their next visits one after the other
        visit = turn // CROPS * visits + place
        # Only the loader's thread asks for training clips, only the loop for those held out: there is no lock.
        held, key = self._held[split], (seed, visit)
        if key not in held:
            held[key] = self.visit(split, seed, visit, frames)
            while len(held) > visits:
                held.popitem(last=False)
        held.move_to_end(key)
        clip: Frames = held[key][turn % CROPS]
        return clip

    @abstractmethod
    def visit(self, split: Split, seed: int, visit: int, frames: int) -> Frames:
        """Read some frames at a random place, and take crops from them, (CROPS, T, H, W, C)."""


class VideoCrops(Visits):
    """Crops from the videos of a folder; see `footage.data.clips.ClipSource` and `Draws`.

    The last fifth of each video is held out. What is too small or cannot be read is left out.

    Raises:
        DatasetError: there is no video that crops can be taken from.
    """

    def __init__(self, data: Path | str, clip: ClipConfig) -> None:
        super().__init__(clip, clip.channels)
        self.name = Path(data).resolve().name
        self.left_out: dict[str, str] = {}
        self._stretches: dict[Split, list[Stretch]] = {"train": [], "heldout": []}
        rated, contents = [], []
        for source in scan([Path(data)], "none").sources:
            if source.kind != "video":
                continue
            if source.members:
                self.left_out[source.name] = "it lies in an archive, of which no part is decoded alone: unpack it"
                continue
            try:
                info, frames, rate = declared_length(source.path)
            except UnusableMedia as error:
                self.left_out[source.name] = str(error)
                continue
            if info.height < clip.height or info.width < clip.width:
                self.left_out[source.name] = f"{info.width}×{info.height} pixels are fewer than a crop's"
                continue
            if info.jumps:
                self.left_out[source.name] = "its times jump, so that no moment of it can be found; save it again"
                continue
            middle = frames - max(1, round(frames * HELDOUT))
            for split, first, count in (("train", 0, middle), ("heldout", middle, frames - middle)):
                if count >= clip.frames:
                    stretch = Stretch(source.path, source.name, first, count, float(rate))
                    self._stretches[split].append(stretch)  # type: ignore[index]
            rated.append((info.rate or rate, float(frames / rate)))
            with open(source.path, "rb") as handle:
                head = bytes_digest(handle.read(HEAD))
            contents.append([source.name, source.path.stat().st_size, head])
        if not self._stretches["train"]:
            reason = f"no video has the {clip.frames} frames of a clip"
            for name, fault in itertools.islice(self.left_out.items(), 1):
                reason = f"no video gives crops of {clip.width}×{clip.height}; {name}: {fault}"
            raise DatasetError(f"{data}: {reason}", "give larger or longer videos, or smaller --clip")
        self.fps = float(common_rate(rated).rate)
        self.content_hash = json_digest([contents, self.shape])
        self._units: dict[tuple[Split, int], list[tuple[Stretch, int, int]]] = {}
        self._order: dict[Split, tuple[tuple[int, int], npt.NDArray[np.int64]]] = {}

    def stretches(self, split: Split) -> list[Stretch]:
        return self._stretches[split]

    def spans(self, split: Split) -> list[Span]:
        side = split == "heldout"
        stretches = self._stretches[split]
        return [Span(2 * i + side, stretch.frames, -1, stretch.name) for i, stretch in enumerate(stretches)]

    def read(self, index: int, start: int, frames: int) -> Frames:
        """Return the middle of some frames of a video, uint8 (T, H, W, C)."""
        stretch = self._stretches["heldout" if index % 2 else "train"][index // 2]
        window, _ = read_window(stretch.path, (stretch.first + start) / stretch.fps, frames, self.shape[2], True)
        return middle_crop(window, self.shape)

    def visit(self, split: Split, seed: int, visit: int, frames: int) -> Frames:
        """Decode some frames at a random place, and take crops from them, (CROPS, T, H, W, C)."""
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
        # Part of a video, first frame in it, and how many may be the start.
        stretch, first, starts = units[int(self._order[split][1][place])]
        rng = np.random.Generator(np.random.Philox(key=[seed, visit], counter=[0, 0, split == "heldout", 2]))
        for _ in range(TRIES):
            start = stretch.first + first + int(rng.integers(starts))
            window, whole = read_window(stretch.path, start / stretch.fps, frames, self.shape[2], True)
            if whole:
                break
        return np.stack([detailed_crop(window, self.shape, rng) for _ in range(CROPS)])


class DatasetCrops(Visits):
    """Crops from the clips of a data set, which are larger; see `footage.data.clips.ClipSource` and `DrawsClips`."""

    def __init__(self, clips: DatasetClips, clip: ClipConfig) -> None:
        super().__init__(clip, clips.shape[2])
        self.clips = clips
        self.name, self.fps = clips.name, clips.fps
        self.content_hash = json_digest([clips.content_hash, self.shape])
        self._starts: dict[tuple[Split, int], tuple[list[Span], npt.NDArray[np.int64]]] = {}

    def spans(self, split: Split) -> list[Span]:
        return [replace(span, label=-1, captions=()) for span in self.clips.spans(split)]

    def read(self, index: int, start: int, frames: int) -> Frames:
        """Return the middle of some frames of a clip, uint8 (T, H, W, C)."""
        return middle_crop(self.clips.read(index, start, frames), self.shape)

    def visit(self, split: Split, seed: int, visit: int, frames: int) -> Frames:
        known = self._starts.get((split, frames))
        if known is None:
            spans = [span for span in self.clips.spans(split) if span.frames >= frames]
            starts = np.cumsum([span.frames - frames + 1 for span in spans])  # windows of it and of those before
            known = self._starts[split, frames] = (spans, starts)
        spans, starts = known
        rng = np.random.Generator(np.random.Philox(key=[seed, visit], counter=[0, 0, split == "heldout", 2]))
        window = int(rng.integers(starts[-1]))
        row = int(np.searchsorted(starts, window, side="right"))
        start = int(starts[row]) - 1 - window  # counted from the last
        read = self.clips.read(spans[row].index, start, frames)
        return np.stack([detailed_crop(read, self.shape, rng) for _ in range(CROPS)])


def middle_crop(frames: Frames, shape: tuple[int, int, int]) -> Frames:
    """Return the middle of pictures (…, H, W, C), of a smaller height and width."""
    top, left = ((have - want) // 2 for have, want in zip(frames.shape[-3:-1], shape, strict=False))
    return frames[..., top : top + shape[0], left : left + shape[1], :]


MOST_KEPT = 2**28
"""Bytes of small clips that are kept in memory, so that each is made once."""


class SmallClips:
    """A source's clips made small, as a cascade's generator learns from them, and crops of its frames as they are.

    Args:
        source: the clips at full size.
        scale: how many times as small they become, by means over squares.
        shape: the shape of the small clips; rows and columns that they lack repeat the edges.
        crop: height and width of the crops.
    """

    guides = 0

    def __init__(self, source: ClipSource, scale: int, shape: ClipConfig, crop: int) -> None:
        self.source, self.scale, self.side = source, scale, crop
        self.name, self.fps, self.labels, self.content_hash = (
            source.name,
            source.fps,
            source.labels,
            source.content_hash,
        )
        height, width, channels = source.shape
        self.shape = (shape.height, shape.width, channels)
        spare = (shape.height - height // scale, shape.width - width // scale)
        self._edges = ((0, 0), *((more // 2, more - more // 2) for more in spare), (0, 0))
        self._frames: dict[Split, tuple[list[Span], npt.NDArray[np.int64]]] = {}
        self._kept: dict[int, Frames] = {}
        self._room = MOST_KEPT
        self._last: tuple[tuple[Split, int, int], Frames] | None = None  # a frame and what it was drawn for

    def spans(self, split: Split) -> list[Span]:
        return self.source.spans(split)

    def read(self, index: int, start: int, frames: int) -> Frames:
        """Return a window of a small clip, uint8 (T, h, w, C)."""
        if not isinstance(self.source, DatasetClips):
            return np.pad(area_means(self.source.read(index, start, frames), self.scale), self._edges, mode="edge")
        dataset, row = self.source.dataset, self.source.dataset.rows[index]
        size = row.frames * math.prod(self.shape)
        if index not in self._kept and size <= self._room and start + frames <= row.frames:
            self._room -= size
            self._kept[index] = np.pad(dataset.read_small(row, scale=self.scale), self._edges, mode="edge")
        if index in self._kept and start + frames <= row.frames:
            return self._kept[index][start : start + frames]
        return np.pad(dataset.read_small(row, start, frames, self.scale), self._edges, mode="edge")

    def crop(self, split: Split, number: int, seed: int) -> Frames:
        """Return a crop of a frame, of two places the one with more detail; see `footage.data.clips.GivesCrops`.

        Each frame that is decoded gives `CROPS_OF_FRAME` crops, one after the other.
        """
        heldout = split == "heldout"
        key = (split, seed, number // CROPS_OF_FRAME)
        last = self._last  # other threads have frames of their own
        if last is None or last[0] != key:
            if split not in self._frames:
                spans = self.spans(split)
                self._frames[split] = spans, np.cumsum([span.frames for span in spans])  # long clips count for more
            spans, edges = self._frames[split]
            rng = np.random.Generator(np.random.Philox(key=[seed, key[2]], counter=[0, 0, heldout, 5]))
            place = int(rng.integers(edges[-1]))
            which = int(np.searchsorted(edges, place, side="right"))
            start = place - int(edges[which] - spans[which].frames)
            last = self._last = (key, self.source.read(spans[which].index, start, 1))
        frame = last[1]
        rng = np.random.Generator(np.random.Philox(key=[seed, number], counter=[0, 0, heldout, 4]))
        shape = (self.side, self.side, self.shape[2])
        crop: Frames = detailed_crop(frame, shape, rng, step=self.scale, mirrored=False)[0]
        return crop


def detailed_crop(
    frames: Frames, shape: tuple[int, int, int], rng: np.random.Generator, step: int = 1, mirrored: bool = True
) -> Frames:
    """Take a crop of (height, width, …) at random, the one with more detail of two places.

    Args:
        frames: (T, H, W, C).
        shape: height, width and channels of the crop.
        rng: what the places are drawn by.
        step: places are multiples of this, in pixels.
        mirrored: whether half of the crops are.
    """
    crops, details = [], []
    for _ in range(2):
        rooms = [(have - want) // step for have, want in zip(frames.shape[1:3], shape, strict=False)]
        top, left = (step * int(rng.integers(room + 1)) for room in rooms)
        crop = frames[:, top : top + shape[0], left : left + shape[1]]
        crops.append(crop)
        # The mean difference between neighbours in the middle picture, (H, W, C).
        details.append(float(np.abs(np.diff(crop[len(crop) // 2].astype(np.int16), axis=1)).mean()))
    chosen: Frames = crops[int(np.argmax(details))]
    return chosen[:, :, ::-1] if mirrored and rng.random() < 0.5 else chosen


def is_footage(data: Path | str) -> bool:
    """Whether this is a video, or a folder of files that is no data set."""
    path = Path(data)
    return path.is_file() or (path.is_dir() and not (path / "dataset.json").exists())


def holds_videos(data: Path | str) -> bool:
    """Whether this is a video, or a folder with videos or numbered pictures that is no data set, run or model."""
    path = Path(data)
    if not is_footage(path) or any((path / name).exists() for name in ("config.json", "model.json")):
        return False
    return any(source.kind in ("video", "pictures") for source in scan([path]).sources)
