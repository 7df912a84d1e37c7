"""What a media file is: which of its streams is the video, its size, rate, length, rotation and colours.

Nothing is decoded, but for a first frame, which alone tells the rotation.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.errors import MediaError
from footage.media.kinds import is_animated, is_special, suffix_of
from footage.media.pictures import COPY_OF, PLAIN, PictureOptions, copy_as_video
from footage.media.rates import exact_rate

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

FOREIGN = frozenset({"hls", "dash", "concat", "concatf", "tty", "lavfi", "sdp", "image2", "rawvideo", "imf", "mpjpeg"})
"""Formats that are never opened: they point to other files, or make pictures out of text."""

SIGNATURES = (b"ftyp", b"moov", b"mdat", b"\x1a\x45\xdf\xa3", b"RIFF", b"GIF8", b"FLV", b"OggS", b"\x00\x00\x01\xba")
"""Bytes near the beginning of a video, by which a damaged one is told from a file of another kind."""

COPIED = frozenset({"webp", "avif", "tif", "tiff"})
"""Endings of moving pictures of which FFmpeg reads a copy: it does not know them, or not their transparency."""
MAX_ASPECT = 30.0
"""A picture more than this many times as wide as high (or the reverse) is refused."""
MATRIX_601, MATRIX_709 = 6, 1
"""Colour matrices by their numbers in ITU-T H.273."""
UNKNOWN = (0, 2, 3)
"""Numbers there that say nothing."""


@dataclass(frozen=True)
class Colour:
    """The meaning of pixels' numbers as colours, by code points of ITU-T H.273."""

    matrix: int = 2
    """From luma and chroma to red, green and blue; 2 for unknown."""
    full: bool = False
    """Whether all 256 levels are used."""
    primaries: int = 2
    """Which red, green and blue; 2 for unknown."""
    transfer: int = 2
    """From numbers to light; 2 for unknown."""

    def settled(self, height: int, width: int) -> Colour:
        """Return the same with a known matrix, that of HDTV for large pictures."""
        if self.matrix not in UNKNOWN:
            return self
        matrix = MATRIX_709 if is_large(height, width) else MATRIX_601
        return Colour(matrix, self.full, self.primaries, self.transfer)


class UnusableMedia(MediaError):
    """A media file that no frames can be had from.

    Args:
        reason: one of the fixed short reasons of the audit, such as `no video stream`.
        detail: the offending value in words.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}", "leave the file out, or save it again with a video program")


@dataclass(frozen=True)
class VideoInfo:
    """Size, rate, length and format of a video stream, as the container declares them."""

    width: int
    """Width as displayed, in pixels: after the rotation, with non-square pixels made square."""
    height: int
    """Height as displayed, in pixels."""
    rate: Fraction | None = None
    """Frames in a second, or None where that cannot be found out."""
    duration: float | None = None
    """Length in seconds, or None where the container does not say."""
    codec: str = ""
    """FFmpeg's name of the codec, such as `h264`."""
    pix_fmt: str = ""
    """FFmpeg's name of the pixel format, such as `yuv420p10le`."""
    rotation: int = 0
    """How far each picture is turned clockwise for display: 0, 90, 180 or 270 degrees."""
    has_audio: bool = False
    frames: int | None = None
    """Number of frames, or None where the container does not say."""

    def to_json(self) -> dict[str, Any]:
        """Return the same for a file: the rate as a number, `fps`."""
        fields = asdict(self)
        rate = fields.pop("rate")
        return {**fields, "fps": None if rate is None else float(rate)}


UNKNOWN_COLOUR = Colour()
"""Of a file that does not tell."""


def plain_reason(error: Exception) -> str:
    """Return FFmpeg's words for an error without the path that it repeats."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).split(": '")[0]


@contextlib.contextmanager
def open_video(path: Path | str, options: PictureOptions = PLAIN) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and find its first video stream; close it at the end of the block.

    Moving pictures that FFmpeg does not read are read as `options` say.

    Raises:
        UnusableMedia: the file is empty, unreadable, not a media file, or has no video stream.
    """
    import av

    path = Path(path)
    try:
        if is_special(path):
            raise UnusableMedia("not a file", "a pipe, a socket or a device, which is never opened")
        if path.stat().st_size == 0:
            raise UnusableMedia("empty file", "0 bytes")
        with open(path, "rb") as handle:
            handle.read(1)
    except OSError as error:
        raise UnusableMedia("unreadable", error.strerror or str(error)) from None
    with contextlib.ExitStack() as held:
        try:
            if suffix_of(path) in COPIED and is_animated(path):
                copy = held.enter_context(tempfile.TemporaryFile(prefix="footage-"))
                copy_as_video(path, copy, options)
                opened = av.open(copy, "r", format="mov")
            else:
                # "file:" keeps FFmpeg from taking a colon in a name for a protocol, the white list off the network.
                opened = av.open(f"file:{path}", "r", metadata_errors="ignore", options={"protocol_whitelist": "file"})
        except (av.error.FFmpegError, OSError, ValueError, LookupError) as error:
            with open(path, "rb") as handle:
                head = handle.read(64)
            damaged = any(signature in head for signature in SIGNATURES)
            raise UnusableMedia("damaged" if damaged else "not a video", plain_reason(error)) from None
        container = held.enter_context(opened)
        if set(container.format.name.split(",")) & FOREIGN:
            raise UnusableMedia("not a video", f"its content is of the kind {container.format.name}")
        yield container, video_stream(container)


def video_stream(container: InputContainer) -> VideoStream:
    """Return the first stream of moving pictures, which a cover is not; refuse a file without one."""
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams}))
    raise UnusableMedia("no video stream", f"it holds {kinds} only" if kinds else "it holds no stream at all")


def quarter_turn(frame: VideoFrame) -> int:
    """Return how far a decoded frame must be turned clockwise for display: 0, 90, 180 or 270 degrees."""
    return round(-frame.rotation / 90) * 90 % 360


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """Return (height, width) of a decoded frame as it is stored, but turned for display."""
    return (frame.width, frame.height) if quarter_turn(frame) in (90, 270) else (frame.height, frame.width)


def displayed_size(width: int, height: int, pixel_aspect: float, turn: int) -> tuple[float, float]:
    """Return (width, height) as displayed, in square pixels."""
    wide = width * pixel_aspect
    return (height, wide) if turn in (90, 270) else (wide, height)


def is_large(height: int, width: int) -> bool:
    """Whether players take the colour matrix of HDTV for pictures that do not tell theirs."""
    return width > 1024 or height > 576


def pixel_aspect(stream: VideoStream) -> float:
    """Return the width of a pixel over its height; 1 where it is not given or absurd."""
    ratio = stream.sample_aspect_ratio
    value = float(ratio) if ratio else 1.0
    return value if 0.1 <= value <= 10 else 1.0


def stream_rate(stream: VideoStream) -> Fraction | None:
    """Return the average rate in frames a second, or None where the container does not say or it is absurd."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0.05 <= float(rate) <= 1000:
            return exact_rate(rate)
    return None


def describe(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> VideoInfo:
    """Describe an open stream; one of its frames tells the rotation."""
    turn = quarter_turn(frame)
    duration = None
    if stream.duration and stream.time_base:
        duration = float(stream.duration * stream.time_base)
    elif container.duration:
        duration = container.duration / 1_000_000
    if duration is not None and not (math.isfinite(duration) and 0 < duration < 1e7):
        duration = None
    context = stream.codec_context
    width, height = displayed_size(context.width, context.height, pixel_aspect(stream), turn)
    return VideoInfo(
        width=round(width),
        height=round(height),
        rate=stream_rate(stream),
        duration=duration,
        codec=container.metadata.get(COPY_OF, context.name),
        pix_fmt=context.pix_fmt or "unknown",
        rotation=turn,
        has_audio=bool(container.streams.audio),
        frames=stream.frames or None,
    )


def colour_of(frame: VideoFrame) -> Colour:
    """Return how the numbers of a decoded frame stand for colours."""
    from av.video.reformatter import ColorRange

    full = frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
    return Colour(int(frame.colorspace), full, int(frame.color_primaries), int(frame.color_trc))


def probe(path: Path | str) -> VideoInfo:
    """Describe the first video stream of a file. Decodes one frame, for the rotation.

    Raises:
        UnusableMedia: the file is empty, unreadable, not a media file, without a video stream or without frames.
    """
    import av

    with open_video(path) as (container, stream):
        problem = "no packet holds a picture"
        try:
            for frame in container.decode(stream):
                return describe(container, stream, frame)
        except (av.error.FFmpegError, OSError, ValueError, LookupError) as error:
            problem = plain_reason(error)
    raise UnusableMedia("zero frames", problem)


def probe_rate(path: Path | str) -> Fraction | None:
    """Return the average rate in frames a second without decoding, or None where it cannot be found out."""
    try:
        with open_video(path) as (_, stream):
            return stream_rate(stream)
    except UnusableMedia:
        return None


@dataclass(frozen=True)
class FrameCount:
    """Length, rate and size of a video by its packets: surer than what it declares, quicker to get than by decoding."""

    frames: int
    """Pictures in it."""
    rate: Fraction | None
    """Frames in a second, or None where that cannot be found out."""
    height: int
    """Height as displayed, in pixels."""
    width: int
    """Width as displayed, in pixels."""


def count_frames(path: Path | str) -> FrameCount:
    """Count the pictures of a file's first video stream. Decodes one, for the rotation.

    Raises:
        UnusableMedia: the file is empty, unreadable, not a media file, without a video stream or without frames.
    """
    import av

    count, low, high, info = 0, math.inf, -math.inf, None
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        try:
            for packet in container.demux(stream):
                if packet.size:
                    count += 1
                    if packet.pts is not None and packet.time_base is not None:
                        time = float(packet.pts * packet.time_base)
                        low, high = min(low, time), max(high, time)
                if info is None:
                    for frame in stream.decode(packet):
                        info = info or describe(container, stream, frame)
        except (av.error.FFmpegError, OSError, ValueError, LookupError) as error:
            if info is None:
                raise UnusableMedia("zero frames", plain_reason(error)) from None
    if info is None or not count:
        raise UnusableMedia("zero frames", "no packet holds a picture")
    rate = info.rate or (exact_rate((count - 1) / (high - low)) if high > low else None)
    return FrameCount(count, rate, info.height, info.width)
