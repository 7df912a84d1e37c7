"""A folder of clips as it is: videos and sub-folders of numbered pictures, decoded when they are asked for.

For what is looked at once, such as clips that another program has made. What is trained on is ingested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from footage import files
from footage.data.clips import Span
from footage.data.ingest.sources import Source, scan
from footage.data.store import Frames, Split
from footage.errors import DatasetError, MediaError
from footage.media.decode import VideoDecoder
from footage.media.geometry import Fit
from footage.media.probe import UnusableMedia, count_frames
from footage.media.reader import Footage, PictureDecoder

PICTURES_FPS = 25.0
"""Rate of numbered pictures, which say nothing of it."""
ALIKE = 0.01
"""Rates that differ by less, as a part of them, are taken for the same."""


@dataclass(frozen=True)
class _ClipFile:
    """A source and what was found out about it."""

    source: Source
    frames: int
    fps: float | None
    size: tuple[int, int]


class ClipFolder:
    """The clips of a folder of videos and of sub-folders of numbered pictures; see `footage.data.clips.ClipSource`.

    All are in split `train`. Sub-folders of the first level are labels, as at ingest.

    Args:
        folder: a folder, or a single video.
        height: of the frames; None for that of the clips, which must be the same.
        width: of the frames.
        channels: 1 or 3.
        fps: frames a second; None for that of the clips, which must be the same.
        fit: how a picture of another shape is fitted in.

    Raises:
        DatasetError: there is no clip, or the clips have different sizes or rates and none was asked for.
    """

    guides = 0

    def __init__(
        self,
        folder: Path | str,
        *,
        height: int | None = None,
        width: int | None = None,
        channels: int = 3,
        fps: float | None = None,
        fit: Fit = "crop",
    ) -> None:
        self.folder, self.fit = Path(folder), fit
        self.name = self.folder.name or str(self.folder.resolve().name)
        found = scan([self.folder])
        self.problems: list[str] = [f"{r.source}: {r.reason}, {r.detail}" for r in found.rejections]
        """Files that were left out, and why."""
        self.clips = [known for source in found.sources if (known := self._look(source)) is not None]
        if not self.clips:
            why = f" ({self.problems[0]})" if self.problems else ""
            raise DatasetError(
                f'"{folder}" holds no clips{why}', "give a folder of videos, or of folders of numbered pictures"
            )
        self.rated = any(known.fps for known in self.clips)
        """Whether any clip says what its rate is."""
        self.fps = fps or self._common_rate()
        self.size = self._common_size() if height is None or width is None else (height, width)
        self.shape = (*self.size, channels)
        labels = sorted({known.source.label for known in self.clips if known.source.label is not None})
        self.labels = tuple(labels) if len(labels) > 1 else ()
        self.content_hash = files.json_digest(
            [[known.source.name, _digests(known.source), known.source.label] for known in self.clips]
        )

    def _look(self, source: Source) -> _ClipFile | None:
        """Find out about one source; note and leave out what cannot be read."""
        try:
            if source.kind == "video":
                length = count_frames(source.path)
                return _ClipFile(source, length.frames, length.fps, (length.height, length.width))
            if source.kind == "pictures":
                size = Footage(source.path / source.pictures[0]).size()
                return _ClipFile(source, len(source.pictures), None, size)
            self.problems.append(f"{source.name}: an array, ingest it first")
        except MediaError as error:
            self.problems.append(f"{source.name}: {error.problem}")
        return None

    def _common_rate(self) -> float:
        rated = [known for known in self.clips if known.fps]
        if not rated:
            return PICTURES_FPS
        low, high = (choose(rated, key=lambda known: known.fps or 0.0) for choose in (min, max))
        assert low.fps and high.fps
        if high.fps - low.fps > ALIKE * high.fps:
            raise DatasetError(
                f"{low.source.name} has {low.fps:g} frames a second, {high.source.name} {high.fps:g}",
                "give --fps to put all on one rate",
            )
        return high.fps

    def _common_size(self) -> tuple[int, int]:
        first = self.clips[0]
        for known in self.clips:
            if known.size != first.size:
                (h, w), (high, wide) = first.size, known.size
                raise DatasetError(
                    f"{first.source.name} is {w}×{h}, {known.source.name} {wide}×{high}",
                    f"give --size, such as --size {w}x{h}, to resize all",
                )
        return first.size

    def at(self, height: int, width: int, channels: int) -> None:
        """Decode at another size from now on."""
        self.size, self.shape = (height, width), (height, width, channels)

    def _frames(self, known: _ClipFile) -> int:
        if known.fps is None or abs(known.fps - self.fps) <= ALIKE * self.fps:
            return known.frames
        return max(1, int(known.frames / known.fps * self.fps + 1e-6))

    def spans(self, split: Split) -> list[Span]:
        """Return the clips; none are held out."""
        if split != "train":
            return []
        places = {label: number for number, label in enumerate(self.labels)}
        return [
            Span(number, self._frames(known), places.get(known.source.label or "", -1), known.source.name)
            for number, known in enumerate(self.clips)
        ]

    def read(self, index: int, start: int, frames: int) -> Frames:
        """Return a window of a clip, uint8 (T, H, W, C); everything before it is decoded too."""
        return next(self.windows(index, [start], frames))

    def windows(self, index: int, starts: Sequence[int], frames: int) -> Iterator[Frames]:
        """Yield windows of a clip, uint8 (T, H, W, C), in the order of their starts, which must not fall.

        The clip is decoded once, and no more than a window is held. Where it turns out a little shorter than its
        packets promise, its last frames are the last windows.

        Raises:
            DatasetError: it has too few frames.
        """
        held: list[Frames] = []
        first, waiting = 0, list(starts)
        for chunk in self._chunks(self.clips[index]):
            held += list(chunk)
            while waiting and first + len(held) >= waiting[0] + frames:
                begin = waiting.pop(0) - first
                yield np.stack(held[begin : begin + frames])
            if not waiting:
                return
            gone = min(waiting[0] - first, max(0, len(held) - frames))
            if gone > 0:
                del held[:gone]
                first += gone
        for _ in waiting:
            if len(held) < frames:
                name, count = self.clips[index].source.name, first + len(held)
                raise DatasetError(f"{name} has {count} frames, {frames} are needed", "leave it out, or give --frames")
            yield np.stack(held[-frames:])

    def _chunks(self, known: _ClipFile) -> Iterator[Frames]:
        height, width, channels = self.shape
        source = known.source
        decoder: VideoDecoder | PictureDecoder
        if source.kind == "pictures":
            paths = [source.path / name for name in source.pictures]
            decoder = PictureDecoder(paths, height=height, width=width, channels=channels, fps=self.fps, fit=self.fit)
        else:
            rate = self.fps if known.fps is None or abs(known.fps - self.fps) > ALIKE * self.fps else known.fps
            decoder = VideoDecoder(source.path, height=height, width=width, channels=channels, fps=rate, fit=self.fit)
        try:
            for chunk in decoder:
                yield chunk.frames
        except UnusableMedia as error:
            raise DatasetError(f"{source.name} cannot be read ({error.problem})", "leave it out") from None


def _digests(source: Source) -> list[str]:
    if source.kind == "pictures":
        return [files.file_digest(source.path / name) for name in source.pictures]
    return [files.file_digest(source.path)]
