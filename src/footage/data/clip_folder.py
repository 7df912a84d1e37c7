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
from footage.data.ingest.sources import PICTURES_FPS, Source, scan
from footage.data.store import Frames, Split
from footage.errors import DatasetError, MediaError, counted
from footage.media.geometry import Fit
from footage.media.probe import FrameCount, UnusableMedia, count_frames
from footage.media.rates import exact_rate
from footage.media.reader import Footage, open_decoder

ALIKE = 0.01
"""Rates that differ by less, as a part of them, are taken for the same."""


@dataclass(frozen=True)
class _ClipFile:
    """A source, its length, rate and size."""

    source: Source
    frames: int
    fps: float | None
    size: tuple[int, int]
    count: FrameCount | None = None
    """Of a video."""


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
        listing = scan([self.folder])
        self.problems: list[str] = [f"{r.source}: {r.reason}, {r.detail}" for r in listing.rejections]
        """Files that were left out, and why."""
        self.layouts = tuple(listing.layouts)
        """The layouts of known data sets that it was read as; see `footage.data.ingest.layouts`."""
        self.clips: list[_ClipFile] = []
        for source in listing.sources:
            try:
                if source.kind not in ("video", "pictures"):
                    self.problems.append(f"{source.name}: an array, ingest it first")
                    continue
                with source.unpacked() as whole:
                    if source.kind == "video":
                        count = count_frames(whole.path)
                        rate = None if count.rate is None else float(count.rate)
                        self.clips.append(_ClipFile(source, count.frames, rate, (count.height, count.width), count))
                    else:
                        size = Footage(whole.picture_paths[0]).size()
                        self.clips.append(_ClipFile(source, len(whole.pictures), None, size))
            except MediaError as error:
                self.problems.append(f"{source.name}: {error.problem}")
        if not self.clips:
            why = f" ({self.problems[0]})" if self.problems else ""
            raise DatasetError(
                f'"{folder}" holds no clips{why}', "give a folder of videos, or of folders of numbered pictures"
            )
        self.rated = any(clip.fps for clip in self.clips)
        self.fps = fps or common_rate(self.clips)
        self.size = common_size(self.clips) if height is None or width is None else (height, width)
        self.shape = (*self.size, channels)
        labels = sorted({clip.source.label for clip in self.clips if clip.source.label is not None})
        self.labels = tuple(labels) if len(labels) > 1 else ()
        contents = []
        for source in (clip.source for clip in self.clips):
            contents.append([source.name, source.digests(), source.label])
        self.content_hash = files.json_digest(contents)

    def at(self, height: int, width: int, channels: int) -> None:
        """Decode at another size from now on."""
        self.size, self.shape = (height, width), (height, width, channels)

    def spans(self, split: Split) -> list[Span]:
        """Return the clips; none are held out."""
        if split != "train":
            return []
        numbers = {label: number for number, label in enumerate(self.labels)}
        spans = []
        for index, clip in enumerate(self.clips):
            frames = clip.frames
            if clip.count is not None:
                frames = clip.count.shown_at(exact_rate(self._rate_of(clip)), pauses=False)
            spans.append(Span(index, frames, numbers.get(clip.source.label or "", -1), clip.source.name))
        return spans

    def _rate_of(self, clip: _ClipFile) -> float:
        """Return the rate that a clip is decoded at."""
        return clip.fps if clip.fps is not None and abs(clip.fps - self.fps) <= ALIKE * self.fps else self.fps

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
        clip = self.clips[index]
        rate = self._rate_of(clip)
        held: list[Frames] = []
        first, waiting = 0, list(starts)
        try:
            with clip.source.unpacked() as whole:
                pictures = whole.picture_paths
                for chunk in open_decoder(whole.path, pictures, self.shape, fps=rate, fit=self.fit, pauses=False):
                    held += list(chunk.frames)
                    while waiting and first + len(held) >= waiting[0] + frames:
                        begin = waiting.pop(0) - first
                        yield np.stack(held[begin : begin + frames])
                    if not waiting:
                        return
                    gone = min(waiting[0] - first, max(0, len(held) - frames))
                    if gone > 0:
                        del held[:gone]
                        first += gone
        except UnusableMedia as error:
            raise DatasetError(f"{clip.source.name} cannot be read ({error.problem})", "leave it out") from None
        if waiting and len(held) < frames:
            count = first + len(held)
            raise DatasetError(
                f"{clip.source.name} has {counted(count, 'frame')}, {frames} are needed",
                "leave it out, or give --frames",
            )
        for _ in waiting:
            yield np.stack(held[-frames:])


def common_rate(clips: Sequence[_ClipFile]) -> float:
    """Return the rate of all clips that tell theirs; refuse clips that differ."""
    rated = [(clip.fps, clip.source.name) for clip in clips if clip.fps]
    if not rated:
        return PICTURES_FPS
    (slow, slowest), (fast, fastest) = min(rated), max(rated)
    if fast - slow > ALIKE * fast:
        raise DatasetError(
            f"{slowest} has {counted(slow, 'frame')} a second, {fastest} {fast:g}",
            "give --fps to put all on one rate",
        )
    return fast


def common_size(clips: Sequence[_ClipFile]) -> tuple[int, int]:
    """Return the height and width of all clips; refuse clips that differ."""
    (height, width), name = clips[0].size, clips[0].source.name
    for clip in clips:
        if clip.size != (height, width):
            raise DatasetError(
                f"{name} is {width}×{height}, {clip.source.name} {clip.size[1]}×{clip.size[0]}",
                f"give --size, such as --size {width}x{height}, to resize all",
            )
    return height, width
