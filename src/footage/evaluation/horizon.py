"""Long videos, window by window: does what is made stay as good as it begins?"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from footage import __version__, files
from footage.data.clips import Labels, Span
from footage.data.store import Frames
from footage.evaluation.closed import Columns
from footage.evaluation.describe import Described
from footage.evaluation.evidence import Evidence, Group, groups_of, label_of
from footage.evaluation.motion import STILL, column
from footage.evaluation.results import Curve, Line
from footage.evaluation.sides import BATCH, Made, Read, Shape
from footage.evaluation.windows import Window
from footage.generation.model import Model
from footage.metrics.frechet import frechet, gaussian

VIDEOS = 128
"""Videos that are followed, at most."""


class Long:
    """Videos of several windows that a model makes; row (g W + p) BATCH + v is window p of video v of batch g.

    No more than a window of a batch is held.

    Args:
        model: one that makes clips from nothing.
        videos: how many.
        windows: in each, W.
        shape: of a window.
        seed: of the first video.
        stride: every which frame is taken.
    """

    def __init__(
        self, model: Model, videos: int, windows: int, shape: Shape, *, seed: int = 0, stride: int = 1
    ) -> None:
        self.each, self.shape = windows, shape
        self.part = BATCH * windows
        self._videos = Made(model, -(-videos // BATCH) * BATCH, shape, seed=seed, stride=stride)
        self.count = self._videos.count * windows
        numbers = np.arange(self.count)
        self._video = numbers // self.part * BATCH + numbers % BATCH
        self.position = numbers // BATCH % windows
        self.labels = self._videos.labels[self._video]
        self.digest = files.json_digest([self._videos.digest, windows, "long", __version__])

    def batches(self, rows: range) -> Iterator[tuple[Labels, Frames]]:
        """Yield row numbers and clips; rows must be whole batches of videos."""
        assert rows.start % self.part == 0 and len(rows) % self.part == 0, f"{rows} are not whole batches"
        stride = self._videos.stride
        reach = self.shape.frames * stride
        for first in range(rows.start, rows.stop, self.part):
            batch = range(first // self.each, first // self.each + BATCH)
            held: Frames | None = None
            place = 0
            for chunk in self._videos.chunks(batch, reach * self.each):
                held = chunk if held is None else np.concatenate([held, chunk], axis=1)
                while place < self.each and held.shape[1] >= reach:
                    window = held[:, :reach:stride]
                    numbers = first + place * BATCH + np.arange(BATCH)
                    yield numbers, np.stack([self.shape.fitted(clip) for clip in window])
                    held = held[:, reach:]
                    place += 1

    def clip(self, row: int) -> Frames:
        """Return one window."""
        first = row // self.part * self.part
        for numbers, clips in self.batches(range(first, first + self.part)):
            if row in numbers:
                return np.asarray(clips[row - int(numbers[0])])
        raise IndexError(row)

    def named(self, row: int) -> tuple[str, int]:
        """Return the seed, and the first frame of the window."""
        reach = self.shape.frames * self._videos.stride
        return f"seed {self._videos.seed + int(self._video[row])}", int(self.position[row]) * reach

    def group(self, row: int) -> int:
        """Return the number of the video."""
        return int(self._video[row])


def follow(read: Read, spans: Sequence[Span], windows: int) -> tuple[Read, Labels] | None:
    """Return successive windows of the clips of a source that are long enough, and the position of each.

    Args:
        read: windows of the source, for shape and stride.
        spans: its clips.
        windows: in each clip.
    """
    reach = (read.shape.frames + read.given) * read.stride
    long = [span for span in spans if span.frames >= reach * windows][:VIDEOS]
    if len(long) < 2:
        return None
    every = [Window(span, place * reach) for span in long for place in range(windows)]
    shape = read.shape.longer(read.given)
    found = Read(read.source, every, shape, stride=read.stride, given=read.given)
    return found, np.arange(len(every)) % windows


def over_time(found: Evidence, sides: dict[str, tuple[Described, Labels] | None], windows: int) -> list[Curve]:
    """Return the Fréchet distance of each window of long videos from real clips, and its motion.

    Args:
        found: the real clips, and the networks.
        sides: `made` and `real`: windows of long videos with their positions.
        windows: how many each video has.
    """
    seconds = tuple(place * found.frames / found.fps for place in range(windows))
    curves = []
    count = next(len(side[1]) // windows for side in sides.values() if side is not None)
    for group in (group for group in groups_of(found.nets) if group.of == "clip"):
        lines = []
        for name, side in sides.items():
            if side is not None:
                values = [_distance(found, group, side[0].chosen(np.flatnonzero(side[1] == p))) for p in range(windows)]
                lines.append(Line(name, tuple(values)))
        label = f"{label_of('frechet', group, found.frames, found.stride)} of each window"
        curves.append(
            Curve(
                "windows",
                "window_frechet",
                label,
                "begin of the window, s",
                "",
                seconds,
                tuple(lines),
                group.tier,
                (count, found.real.count),
            )
        )
    place = Columns(found.frames).place("energy")
    usual = float(column(found.real, place).mean())
    if usual > STILL:
        lines = []
        for name, side in sides.items():
            if side is not None:
                energies = column(side[0], place)
                means = [float(energies[np.flatnonzero(side[1] == p)].mean()) / usual for p in range(windows)]
                lines.append(Line(name, tuple(means)))
        label = "Motion of each window, made : real"
        curves.append(
            Curve(
                "windows",
                "window_motion",
                label,
                "begin of the window, s",
                "",
                seconds,
                tuple(lines),
                "D",
                (count, found.real.count),
            )
        )
    return curves


def _distance(found: Evidence, group: Group, window: Described) -> float:
    parts = [frechet(gaussian(window.rows[name]), gaussian(found.real.rows[name])) for name in group.names]
    return statistics.mean(parts)
