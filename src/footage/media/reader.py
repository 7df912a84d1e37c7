"""Whatever a person has, a video, a picture or a folder of numbered pictures, read frame by frame.

`Footage` reads it at a size and rate that are asked for, `Original` at its own, with its times and colours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage.errors import MediaError, meant
from footage.files import locked
from footage.media import geometry, probe
from footage.media.colour import UNKNOWN_COLOUR, Colour, colour_of
from footage.media.decode import CHUNK, DecodedChunk, FrameReader, Frames, Scaler, VideoDecoder
from footage.media.geometry import Fit, Size
from footage.media.interlacing import Deinterlacing
from footage.media.kinds import is_special, is_still, natural_key
from footage.media.pictures import PLAIN, PictureOptions, Whites, over, read_upright, readable
from footage.media.probe import UnusableMedia, VideoInfo, open_video
from footage.media.rates import exact_rate

if TYPE_CHECKING:
    from PIL import Image

PICTURES_RATE = 25
"""Frames a second of a folder of pictures."""
FINEST_BASE = 1_000_000
"""Units of time stamps in a second, at most."""
MOST_TIMES = 8
"""Most damage that is told of by its time."""


def upright_picture(path: Path) -> Image.Image:
    """Read a picture, turned as its EXIF data say.

    Raises:
        Exception: Pillow raises many kinds for damaged pictures.
    """
    from PIL import Image, ImageOps

    with locked.open_file(path) as handle, Image.open(handle) as opened:
        upright = ImageOps.exif_transpose(opened)
    assert upright is not None
    upright.format = opened.format
    return upright


class PictureDecoder:
    """An iterator over the chunks of a sequence of pictures, one a tick, otherwise like `VideoDecoder`.

    For a broken one stands the one before it.

    Raises:
        UnusableMedia: from the iteration, when no picture can be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        height: int,
        width: int,
        channels: int,
        fps: Fraction | float,
        fit: Fit,
        options: PictureOptions = PLAIN,
    ) -> None:
        self.paths, self.target = list(paths), (height, width)
        self.channels, self.rate, self.fit, self.options = channels, exact_rate(fps), fit, options
        self.info: VideoInfo | None = None
        """What the pictures are; known when the first chunk has come."""
        self.damaged = 0
        """Pictures that could not be read, so far."""
        self.truncated = False
        """Always False: a sequence of pictures declares no length."""
        self.problem = ""
        """The first fault that was met, in words."""
        self.notes: list[str] = []
        """What was found out about them, in a few words each, for the audit."""
        self.pauses: list[tuple[float, float]] = []
        """Always empty: pictures come one a tick."""

    def __iter__(self) -> Iterator[DecodedChunk]:
        from PIL import Image

        waiting: list[tuple[Frames, bool]] = []
        whites = Whites(self.options)
        tick, seen_through = 0, False
        last: Frames | None = None
        for number, path in enumerate(self.paths):
            try:
                pixels, told = read_upright(path)
                pixels = whites.to_bytes(pixels, told, readable(self.paths[number + 1 :]))
                seen_through |= pixels.shape[2] in (2, 4) and bool((pixels[:, :, -1] < 255).any())
                pixels = over(pixels, self.options)
                # (H, W, 1) → (H, W), else (H, W, 3)
                image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))
                image = image.convert("RGB" if self.channels == 3 else "L")
            except Exception as error:  # one damaged picture costs no others
                self.damaged += 1
                self.problem = self.problem or f"{path.name}: {error or type(error).__name__}"
                if last is None:
                    continue
                waiting.append((last, True))
            else:
                count = len(self.paths)
                self.info = self.info or VideoInfo(
                    image.width, image.height, codec="pictures", pix_fmt=image.mode, frames=count
                )
                last = _fitted(image, self.target, self.fit)
                waiting.append((last, False))
            tick += 1
            if len(waiting) == CHUNK:
                yield DecodedChunk.stack(waiting, tick, self.rate)
                waiting = []
        if waiting:
            yield DecodedChunk.stack(waiting, tick, self.rate)
        if last is None:
            raise UnusableMedia("zero frames", self.problem or "no picture")
        self.notes = [whites.note] if whites.note else []
        self.notes += [f"transparency laid over {self.options.background}"] if seen_through else []


def open_decoder(
    path: Path,
    pictures: Sequence[Path],
    shape: tuple[int, int, int],
    *,
    fps: Fraction | float,
    fit: Fit,
    options: PictureOptions = PLAIN,
    pauses: bool = True,
    begin: int = 0,
) -> VideoDecoder | PictureDecoder:
    """Return what decodes a video, or, where there are any, pictures, into frames of a shape (H, W, C).

    `begin` is the number of the first frame that is given, of videos alone.
    """
    height, width, channels = shape
    if pictures:
        return PictureDecoder(
            pictures, height=height, width=width, channels=channels, fps=fps, fit=fit, options=options
        )
    return VideoDecoder(
        path,
        height=height,
        width=width,
        channels=channels,
        fps=fps,
        fit=fit,
        options=options,
        pauses=pauses,
        begin=begin,
    )


def fit_frames(frames: Frames, *, height: int, width: int, channels: int, fit: Fit) -> Frames:
    """Return frames, uint8 (T, H, W, C) with C of 1 or 3, as (T, height, width, channels)."""
    from PIL import Image

    if frames.shape[-1] != channels:
        mode = "RGB" if channels == 3 else "L"
        pictures = [Image.fromarray(f[:, :, 0] if channels == 3 else f).convert(mode) for f in frames]
        # grey ↔ RGB: (H, W, 1) ↔ (H, W, 3)
        frames = np.stack([np.asarray(p, dtype=np.uint8).reshape(*frames.shape[1:3], channels) for p in pictures])
    if frames.shape[1:3] == (height, width):
        return frames
    images = [Image.fromarray(f[:, :, 0] if channels == 1 else f) for f in frames]
    return np.stack([_fitted(image, (height, width), fit) for image in images])


def _fitted(image: Image.Image, target: tuple[int, int], fit: Fit) -> Frames:
    """Return a picture as uint8 (H, W, C) of the target size."""
    from PIL import Image

    if not 1 / probe.MAX_ASPECT <= image.width / image.height <= probe.MAX_ASPECT:
        raise UnusableMedia("unusable shape", f"{image.width}×{image.height} pixels")
    plan = geometry.plan_resize(image.size, geometry.AS_STORED, target, fit)
    shrinks = plan.width < image.width
    small = image.resize((plan.width, plan.height), Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC)
    picture = np.asarray(small, dtype=np.uint8)
    if picture.ndim == 2:
        picture = picture[:, :, None]  # grey: (H, W) → (H, W, 1)
    return plan.finish(picture)


@dataclass(frozen=True)
class Footage:
    """A video, a picture, or a folder of numbered pictures; it is read when it is asked for, chunk by chunk."""

    path: Path
    names: tuple[str, ...] = ()
    """Names of the pictures in a folder, in order, where not all of them are meant."""

    def __post_init__(self) -> None:
        remedy = "give a video, a picture, or a folder of pictures"
        if not self.path.exists():
            raise MediaError(f'"{self.path}" does not exist', meant(self.path, remedy))
        if is_special(self.path):
            raise MediaError(f'"{self.path}" is a pipe, a socket or a device, which is never opened', remedy)
        if self.path.is_dir() and not self.pictures:
            raise MediaError(f'"{self.path}" holds no pictures', remedy)

    @functools.cached_property
    def pictures(self) -> list[Path]:
        """The pictures in order; empty for a video, which a picture that moves is too."""
        if self.names:
            return [self.path / name for name in self.names]
        paths = [self.path]
        if self.path.is_dir():  # hidden ones, such as macOS's "._1.png", are none: ingest passes them over too
            paths = [path for path in self.path.iterdir() if not path.name.startswith(".")]
        return sorted(filter(is_still, paths), key=lambda path: natural_key(path.name))

    @property
    def is_picture(self) -> bool:
        return len(self.pictures) == 1

    def rate(self) -> Fraction | None:
        """Return the frames in a second; None for pictures, and where a video does not tell."""
        return None if self.pictures else probe.probe(self.path).rate

    def size(self) -> tuple[int, int]:
        """Return height and width as displayed, in pixels."""
        if pictures := self.pictures:
            try:
                first = upright_picture(pictures[0])
            except OSError as error:
                raise MediaError(f'"{pictures[0]}" cannot be read ({error})', "save it again as PNG") from None
            return first.height, first.width
        info = probe.probe(self.path)
        return info.height, info.width

    def chunks(
        self,
        *,
        height: int,
        width: int,
        channels: int,
        fps: Fraction | float,
        fit: Fit = "letterbox",
        begin: int = 0,
    ) -> Iterator[Frames]:
        """Yield its frames as `VideoDecoder` does, uint8 (T, H, W, C); pictures stand for one frame each.

        `begin` is the number of the first frame of a video that is given.

        Raises:
            MediaError: from the iteration, where no frame can be had from it.
        """
        shape = height, width, channels
        for chunk in open_decoder(self.path, self.pictures, shape, fps=fps, fit=fit, begin=begin):
            yield chunk.frames


@dataclass
class DamageLog:
    """The damage that was met in a video."""

    frames: int = 0
    """Frames that were not decoded as they should be."""
    times: list[float] = field(default_factory=list)
    """When the first of them are shown, in seconds."""
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    """What was done with its pictures, in a few words each."""

    def note(self, seconds: float) -> None:
        self.frames += 1
        if len(self.times) < MOST_TIMES:
            self.times.append(seconds)


@dataclass(frozen=True)
class TimedFrame:
    """A frame of a video and its time."""

    pixels: npt.NDArray[Any]
    """uint8, or uint16 where the video has more than 8 bits: (H, W, C), upright."""
    stamp: int
    """When it is shown, in units of the video's `base`, from its first frame on."""


@dataclass(frozen=True)
class Original:
    """A video, a picture or a folder of pictures, read at its own size and rate."""

    path: Path
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
    colour: Colour = UNKNOWN_COLOUR
    deep: bool = False
    """Whether it has more than 8 bits."""
    has_audio: bool = False
    start: Fraction = Fraction(0)
    """The time of its first frame, in seconds, by which the sound stands beside it."""
    deinterlacing: Deinterlacing = "auto"
    """What becomes of interlaced frames."""
    native: bool = True
    """Whether HDR and wide gamut stay as they are; otherwise they become BT.709 of 8 bits."""
    looks: PictureOptions = PLAIN
    """How transparent and deep pictures are looked at."""
    notes: tuple[str, ...] = ()
    """What was found out about it, in a few words each."""

    def plain(self) -> Original:
        """Return the same for pictures that cannot say which colours they have."""
        return replace(self, native=False, deep=False, colour=UNKNOWN_COLOUR) if self.colour.beyond else self

    def pictures(self, channels: int, damage: DamageLog, first: int = 0) -> Iterator[TimedFrame]:
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
        size, footage = (self.stored.height, self.stored.width), Footage(self.path)
        if footage.pictures:
            decoder = open_decoder(
                self.path, footage.pictures, (*size, channels), fps=PICTURES_RATE, fit="letterbox", options=self.looks
            )
            for number, pixels in enumerate(pixels for chunk in decoder for pixels in chunk.frames):
                if number >= first:
                    yield TimedFrame(pixels, number)
            damage.notes = decoder.notes
            return
        kind = ("gray16le" if self.deep else "gray") if channels == 1 else ("rgb48le" if self.deep else "rgb24")
        scale = Scaler(size, channels, "stretch", 1.0, kind if self.native else None, self.looks)
        reader = FrameReader(self.deinterlacing)
        with open_video(self.path, self.looks) as (container, stream):
            clock, last, noted = probe.clock_of(container), -1, 0
            for number, (frame, damaged) in enumerate(reader.frames(container, stream)):
                time = clock.show(probe.time_of(frame), 1 / self.rate)
                even = round(time * self.rate) / self.rate
                # A coarse unit, such as Matroska's milliseconds, hides that the rate is even.
                time = even if abs(time - even) <= (stream.time_base or 0) else time
                last = max(last + 1, round(time / self.base))
                if damaged or reader.damaged > noted:
                    damage.note(float(last * self.base))
                    noted = reader.damaged
                if number >= first:
                    yield TimedFrame(scale(frame), last)
        damage.problem, damage.notes = reader.problem, scale.notes
        if reader.damaged > noted:  # at the very end
            damage.note(float(last * self.base))
        if last < 0:
            raise MediaError(f'"{self.path}" has no frame that can be read', reader.problem or "give another file")


def open_original(path: Path | str, deinterlacing: Deinterlacing = "auto", looks: PictureOptions = PLAIN) -> Original:
    """Find out what a video, a picture or a folder of pictures is.

    Args:
        path: the file, or the folder.
        deinterlacing: what becomes of it where it is interlaced.
        looks: how it is to be read where it is transparent or deep.

    Raises:
        ConfigError: the background is no colour.
        MediaError: it does not exist, or no frame can be had from it.
    """
    looks.check()
    footage = Footage(Path(path))
    if pictures := footage.pictures:
        size, rate = Size(*footage.size()), Fraction(PICTURES_RATE)
        return Original(footage.path, size, size, rate, 1 / rate, len(pictures), looks=looks)
    with open_video(footage.path, looks) as (container, stream):
        reader = FrameReader(deinterlacing)
        for frame, _ in reader.frames(container, stream):
            info = probe.describe(container, stream, frame)
            shown = probe.displayed_size(
                frame.width, frame.height, probe.pixel_aspect(stream), probe.orientation_of(frame)
            )
            rate = info.rate or Fraction(PICTURES_RATE)
            each = reader.fields.frames_each
            rate, count = each * rate, each * (info.frames or 0)
            unit = (stream.time_base or 1 / rate) / each
            base = Fraction(1, math.lcm(rate.numerator, unit.denominator))  # of which both are multiples
            base = base if base.denominator <= FINEST_BASE else unit
            return Original(
                path=footage.path,
                stored=Size(*probe.upright_size(frame)),
                shown=Size(round(shown[1]), round(shown[0])),
                rate=rate,
                base=base,
                frames=count or (round(info.duration * rate) if info.duration else None),
                colour=colour_of(frame),
                deep=frame.format.components[0].bits > 8,
                has_audio=info.has_audio,
                start=Fraction((frame.pts or 0) * (frame.time_base or unit)),
                deinterlacing=deinterlacing,
                looks=looks,
                notes=tuple(reader.fields.notes),
            )
    raise MediaError(f'"{path}" has no frame that can be read', "give another file")
