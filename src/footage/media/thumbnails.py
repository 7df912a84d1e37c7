"""A few small pictures out of a clip of any length, for thumbnails, previews and what clips are compared by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from footage.media.decode import FrameReader, Frames, Scaler, VideoDecoder
from footage.media.kinds import VOLUME_SUFFIXES, is_still, suffix_of
from footage.media.probe import MAX_ASPECT, UnusableMedia, VideoInfo, open_video, probe
from footage.media.reader import PictureDecoder, fit_frames, upright_picture
from footage.media.volumes import SLICES_RATE, ValueWindow, read_kept

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

MOMENTS = 24
"""Moments that are looked at."""
SIDE = 192
"""Pixels of the longer side of a picture, at most."""
WHOLE = 900
"""Clips up to this many frames are decoded from first to last; longer ones at their moments only."""
PIXELS = 1e9
"""The same for the pixels of all frames: 480 frames of 1920×1080."""
HELD = 256
"""Frames that are held of a clip that is decoded from first to last, about."""
REACH = 48
"""Frames that are decoded from a key frame on to come to a moment, at most."""
FASTEST = 240.0
"""Frames in a second, at most: some recorders write a clock's rate there."""
USUAL = 25.0
"""Frames in a second where the file does not say."""


@dataclass(frozen=True)
class Thumbnails:
    """Some small frames of a clip, with its length and rate."""

    info: VideoInfo
    frames: int
    """Number of frames: counted, or of a long clip told by the file."""
    fps: float
    """Frames in a second; 0 for a single picture."""
    pictures: Frames
    """At moments evenly spread from the first frame to the last, uint8 (M, H, W, 3), of at most `SIDE` pixels."""
    following: Frames
    """The frame after each of them (M, H, W, 3); after the last one, itself."""
    notes: tuple[str, ...] = ()
    """What was done so that they are as they should be, in a few words each."""

    @property
    def seconds(self) -> float:
        return self.frames / self.fps if self.fps else 0.0


def read_thumbnails(path: Path, moments: int = MOMENTS, side: int = SIDE) -> Thumbnails:
    """Look at a video or a picture in constant memory, and in a time that does not grow with its length.

    Args:
        path: a file.
        moments: pictures wanted, at most.
        side: pixels of their longer side, at most.

    Raises:
        UnusableMedia: no frame can be had from it.
    """
    if is_still(path):
        try:
            picture = upright_picture(path)
        except Exception as error:  # Pillow raises many kinds for damaged pictures
            raise UnusableMedia("damaged", str(error) or type(error).__name__) from None
        kind = (picture.format or "picture").lower()
        info = VideoInfo(picture.width, picture.height, codec=kind, frames=1)
        height, width = _size(info, side)
        shown = next(
            iter(PictureDecoder([path], height=height, width=width, channels=3, fps=1.0, fit="stretch"))
        ).frames
        return Thumbnails(info, 1, 0.0, shown, shown)
    if suffix_of(path) in VOLUME_SUFFIXES:  # its slices, from the feet to the head
        volume = read_kept(path).volume
        depth, height, width = volume.values.shape
        shown_width = max(1, round(width * volume.spacing[2] / volume.spacing[1]))
        if not 1 / MAX_ASPECT <= shown_width / height <= MAX_ASPECT:  # any number may stand in a header
            raise UnusableMedia("unusable shape", f"{shown_width}×{height} pixels")
        window = ValueWindow.around(volume.values)
        slices = (
            fit_frames(
                window.levels(part)[None, ..., None], height=height, width=shown_width, channels=1, fit="stretch"
            )
            for part in volume.values
        )
        info = VideoInfo(width, height, codec="nifti", frames=depth)
        return replace(sample_frames(slices, SLICES_RATE), info=info, notes=volume.notes)
    info = probe(path)
    fps = min(float(info.rate or USUAL), FASTEST)
    length = round(info.duration * fps) if info.duration else info.frames
    height, width = _size(info, side)
    long = length is not None and (length > WHOLE or length * info.height * info.width > PIXELS)
    if length is not None and long and not info.jumps:
        shown, after, notes = _seek(path, [t / fps for t in _spread(length, moments)], (height, width))
        return Thumbnails(info, length, fps, shown, after, tuple(notes))
    thinner = FrameThinner(HELD)
    decoder = VideoDecoder(path, height=height, width=width, channels=3, fps=fps, fit="stretch")
    for chunk in decoder:
        thinner.add(chunk.frames)
    return Thumbnails(info, thinner.seen, fps, *thinner.pick(moments), tuple(decoder.notes))


def sample_frames(chunks: Iterable[Frames], fps: float) -> Thumbnails:
    """Look at a video that is at hand, chunks uint8 (T, H, W, C), as `read_thumbnails` looks at a file."""
    thinner, info = FrameThinner(HELD), VideoInfo(0, 0)
    for chunk in chunks:
        info = VideoInfo(chunk.shape[2], chunk.shape[1])
        height, width = _size(info, SIDE)
        thinner.add(fit_frames(chunk, height=height, width=width, channels=3, fit="stretch"))
    return Thumbnails(info, thinner.seen, fps, *thinner.pick(MOMENTS))


def _size(info: VideoInfo, side: int) -> tuple[int, int]:
    """Return (height, width) of the small picture; small clips are not enlarged."""
    scale = min(1.0, side / max(info.height, info.width))
    return max(1, round(info.height * scale)), max(1, round(info.width * scale))


def _spread(length: int, moments: int) -> list[int]:
    """Return which frames are looked at: evenly from the first to the last."""
    return [int(t) for t in np.linspace(0, length - 1, min(moments, length)).round()]


class FrameThinner:
    """Some frames of a video that passes by, each with the one after it, evenly spread, however long it gets."""

    def __init__(self, most: int) -> None:
        self.most, self.stride, self.seen = most, 1, 0
        self.kept: dict[int, Frames] = {}

    def add(self, chunk: Frames) -> None:
        for frame in chunk:
            if self.seen % self.stride <= 1:
                self.kept[self.seen] = frame
            self.seen += 1
            while len(self.kept) > 2 * self.most:
                self.stride *= 2
                self.kept = {t: f for t, f in self.kept.items() if t % self.stride <= 1}

    def pick(self, moments: int) -> tuple[Frames, Frames]:
        """Return the frames at moments, and those after them, (M, H, W, C) both."""
        times = [t - t % self.stride for t in _spread(self.seen, moments)]
        shown = [self.kept[t] for t in times]
        after = [self.kept.get(t + 1, self.kept[t]) for t in times]
        return np.stack(shown), np.stack(after)  # M × (H, W, C) → (M, H, W, C)


def _seek(path: Path, times: list[float], size: tuple[int, int]) -> tuple[Frames, Frames, list[str]]:
    """Decode two frames at each time, or, where key frames are further apart than `REACH`, before it; with notes."""
    import av

    shown: list[Frames] = []
    after: list[Frames] = []
    reader = FrameReader()
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        start = stream.start_time or 0
        scale = Scaler(size, 3, "stretch", 1.0)
        for time in times:
            assert stream.time_base is not None
            latest = start * float(stream.time_base) + time + 1e-6
            pair: list[VideoFrame] = []  # the frame that is on the screen, or the last within reach; the one after it
            try:
                container.seek(start + int(time / stream.time_base), stream=stream, backward=True)
                for number, (frame, _) in enumerate(reader.frames(container, stream)):
                    pair = [*pair[-1:], frame]
                    if number and (number >= REACH or (frame.time or 0.0) > latest):
                        break
                else:
                    pair = pair[-1:]
                small = [(scale(pair[0]), scale(pair[-1]))] if pair else []
            except (av.error.FFmpegError, OSError, ValueError, LookupError):
                continue  # damage at one moment costs no others
            shown += [first for first, _ in small]
            after += [second for _, second in small]
    if not shown:
        raise UnusableMedia("zero frames", "no moment of it can be decoded")
    notes = [*scale.notes, *reader.fields.notes]
    return np.stack(shown), np.stack(after), notes  # M × (H, W, C) → (M, H, W, C)
