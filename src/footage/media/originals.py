"""A video at its own size and rate, frame by frame, with what has to be kept of it: times, colours, sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from footage.errors import MediaError
from footage.media.codecs import Colour
from footage.media.decode import Scaler
from footage.media.frames import FrameReader
from footage.media.pictures import PictureDecoder
from footage.media.probe import describe, displayed_size, open_video, pixel_aspect, quarter_turn
from footage.media.reading import Footage
from footage.media.sizes import Size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

PICTURES_RATE = 25
"""Frames a second of a folder of pictures."""
HELD = 8
"""Most damage that is told of by its time."""


@dataclass
class Damage:
    """What was damaged in a video."""

    frames: int = 0
    """Frames that were not decoded as they should be."""
    times: list[float] = field(default_factory=list)
    """When the first of them are shown, in seconds."""
    problem: str = ""
    """FFmpeg's words for the first fault."""

    def note(self, seconds: float) -> None:
        """Take a frame down."""
        self.frames += 1
        if len(self.times) < HELD:
            self.times.append(seconds)


@dataclass(frozen=True)
class Picture:
    """A frame of a video."""

    pixels: npt.NDArray[Any]
    """uint8, or uint16 where the video has more than 8 bits: (H, W, C), upright."""
    stamp: int
    """When it is shown, in units of the video's `base`, from its first frame on."""


@dataclass(frozen=True)
class Original:
    """A video, a picture or a folder of pictures, read at its own size."""

    path: Path
    """The file, or folder."""
    stored: Size
    """The upright picture, as it is stored."""
    shown: Size
    """The same in square pixels."""
    rate: Fraction
    """Frames in a second, on average."""
    base: Fraction
    """Unit of the time stamps, in seconds."""
    frames: int | None
    """How many frames there are, as far as that is known."""
    colour: Colour
    """How its numbers stand for colours."""
    deep: bool
    """Whether it has more than 8 bits."""
    has_audio: bool
    """Whether it has sound."""
    start: Fraction
    """The time of its first frame, in seconds, by which the sound stands beside it."""

    def pictures(self, channels: int, damage: Damage, first: int = 0) -> Iterator[Picture]:
        """Yield the frames from number `first` on, in constant memory.

        A damaged packet is left out: the frame before stands longer. What was decoded from damaged data is taken as it
        is. Both are noted.

        Args:
            channels: 1 for grey, 3 for RGB.
            damage: where that is noted.
            first: frames that are read and not given.

        Raises:
            MediaError: it cannot be read.
        """
        given = Footage(self.path)
        if given.pictures:
            size = {"height": self.stored.height, "width": self.stored.width}
            chunks = PictureDecoder(given.pictures, **size, channels=channels, fps=PICTURES_RATE, fit="letterbox")
            for number, pixels in enumerate(pixels for chunk in chunks for pixels in chunk.frames):
                if number >= first:
                    yield Picture(pixels, number)
            return
        kind = ("gray16le" if self.deep else "gray") if channels == 1 else ("rgb48le" if self.deep else "rgb24")
        scale = Scaler((self.stored.height, self.stored.width), channels, "stretch", 1.0, kind)
        reader = FrameReader()
        with open_video(self.path) as (container, stream):
            last = -1
            packets, told = 0, 0
            for number, (frame, spoiled) in enumerate(reader.frames(container, stream)):
                last = max(last + 1, self._stamp(frame, last))
                if spoiled or reader.damaged > told:
                    damage.note(float(last * self.base))
                    told = reader.damaged
                packets += 1
                if number >= first:
                    yield Picture(scale(frame), last)
        damage.problem = reader.problem
        if reader.damaged > told:  # at the very end
            damage.note(float(last * self.base))
        if not packets:
            raise MediaError(f'"{self.path}" has no frame that can be read', reader.problem or "give another file")

    def _stamp(self, frame: VideoFrame, last: int) -> int:
        """Return when a frame is shown; where it does not say, after the one before."""
        if frame.pts is None or frame.time_base is None:
            return last + max(1, round(1 / (self.rate * self.base)))
        return round((frame.pts * frame.time_base - self.start) / self.base)


def open_original(path: Path | str) -> Original:
    """Find out what a video, a picture or a folder of pictures is.

    Raises:
        MediaError: it does not exist, or no frame can be had from it.
    """
    given = Footage(Path(path))
    if pictures := given.pictures:
        size = Size(*given.size())
        rate = Fraction(PICTURES_RATE)
        return Original(given.path, size, size, rate, 1 / rate, len(pictures), Colour(), False, False, Fraction(0))
    with open_video(given.path) as (container, stream):
        for frame, _ in FrameReader().frames(container, stream):
            turn = quarter_turn(frame)
            info = describe(container, stream, turn)
            high, wide = (frame.width, frame.height) if turn in (90, 270) else (frame.height, frame.width)
            shown = displayed_size(frame.width, frame.height, pixel_aspect(stream), turn)
            rate = Fraction(stream.average_rate or stream.guessed_rate or PICTURES_RATE)
            frames = info.frames or (round(info.duration * rate) if info.duration else None)
            base = stream.time_base or 1 / rate
            start = (frame.pts or 0) * base
            return Original(
                given.path,
                Size(high, wide),
                Size(round(shown[1]), round(shown[0])),
                rate,
                base,
                frames,
                _colour(stream, frame),
                frame.format.components[0].bits > 8,
                info.has_audio,
                Fraction(start),
            )
    raise MediaError(f'"{path}" has no frame that can be read', "give another file")


def _colour(stream: VideoStream, frame: VideoFrame) -> Colour:
    from av.video.reformatter import ColorRange

    full = frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
    return Colour(int(frame.colorspace), full, int(frame.color_primaries), int(frame.color_trc))
