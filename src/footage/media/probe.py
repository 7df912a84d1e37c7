"""What a media file is: which of its streams is the video, its size, rate, length, orientation and colours.

Nothing is decoded, but for a first frame, which alone tells the orientation.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from footage import files
from footage.errors import KeyNeeded, LockError, MediaError
from footage.files import locked
from footage.media.colour import side_data
from footage.media.geometry import AS_STORED, Orientation
from footage.media.kinds import LOCAL, VOLUME_SUFFIXES, address_of, is_animated, is_special, suffix_of
from footage.media.pictures import COPY_OF, PLAIN, PictureOptions, copy_as_video
from footage.media.rates import ALIKE, JUMP, MISTAKE, MOVING, PAUSE, FrameClock, exact_rate, rate_of_times

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
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
ONLY_FILES = {"protocol_whitelist": "file"}
"""What keeps FFmpeg off the network, whatever a file says."""
TS_DISCONT = 0x200
"""FFmpeg's flag of a format in which time stamps may jump (AVFMT_TS_DISCONT)."""
NO_TIMESTAMPS = 0x80
"""The same of one that has none (AVFMT_NOTIMESTAMPS), such as a bare H.264 stream."""
PEEK = 240
"""Pictures whose times tell a rate: some seconds."""
REORDERED = 32
"""Pictures, at most, by which the order of packets differs from that of showing them."""
PEEK_PACKETS, PEEK_BYTES = 4000, 32 * 2**20
"""What is read for that at most."""
DECODED = 48
"""Pictures that are decoded where their packets and the container disagree about the rate."""


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
    mirrored: bool = False
    """Whether left and right are exchanged after that."""
    jumps: bool = False
    """Whether its time stamps jump, so that a moment in it cannot be sought."""

    def to_json(self) -> dict[str, Any]:
        """Return the same for a file: the rate as a number, `fps`."""
        fields = asdict(self)
        rate = fields.pop("rate")
        return {**fields, "fps": None if rate is None else float(rate)}


def plain_reason(error: Exception) -> str:
    """Return FFmpeg's words for an error without the path that it repeats."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).split(": '")[0]


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Open a file by FFmpeg, whatever it holds; one that is locked is opened page by page, in memory.

    Raises:
        av.error.FFmpegError: it cannot be read; also OSError, ValueError and LookupError.
    """
    import av

    if locked.hiding_folder(path) is None:
        with av.open(address_of(path), "r", metadata_errors="ignore", options=ONLY_FILES) as container:
            yield container
    else:
        with (
            locked.open_file(path) as content,
            av.open(content, "r", metadata_errors="ignore", options=ONLY_FILES) as container,
        ):
            yield container


@contextlib.contextmanager
def damage_as_media() -> Iterator[None]:
    """Raise what is wrong with a locked file as what is wrong with media; not that its key is to be asked for."""
    try:
        yield
    except KeyNeeded:
        raise
    except LockError as error:
        raise UnusableMedia("damaged", error.problem) from None


@contextlib.contextmanager
def open_media(path: Path | str, options: PictureOptions = PLAIN) -> Iterator[InputContainer]:
    """Open a file of pictures or sound; close it at the end of the block.

    Moving pictures that FFmpeg does not read are read as `options` say.

    Raises:
        UnusableMedia: the file is empty, unreadable, or not a media file.
    """
    import av

    path = Path(path)
    try:
        if suffix_of(path) in VOLUME_SUFFIXES:
            raise UnusableMedia("not a video", "a volume, which is looked at, translated and reconstructed only")
        if is_special(path):
            raise UnusableMedia("not a file", "a pipe, a socket or a device, which is never opened")
        if path.stat().st_size == 0:
            raise UnusableMedia("empty file", "0 bytes")
        with damage_as_media(), locked.open_file(path) as handle:
            handle.read(1)
    except OSError as error:
        raise UnusableMedia("unreadable", error.strerror or str(error)) from None
    with damage_as_media(), contextlib.ExitStack() as held:
        try:
            if suffix_of(path) in COPIED and is_animated(path):
                copy = held.enter_context(files.scratch_file(seal=locked.hiding_folder(path) is not None))
                copy_as_video(path, copy, options)
                container = held.enter_context(av.open(copy, "r", format="mov"))
            else:
                container = held.enter_context(open_container(path))
        except (av.error.FFmpegError, OSError, ValueError, LookupError) as error:
            with locked.open_file(path) as handle:
                head = handle.read(64)
            damaged = any(signature in head for signature in SIGNATURES)
            raise UnusableMedia("damaged" if damaged else "not a video", plain_reason(error)) from None
        if set(container.format.name.split(",")) & FOREIGN:
            raise UnusableMedia("not a video", f"its content is of the kind {container.format.name}")
        yield container


@contextlib.contextmanager
def open_video(path: Path | str, options: PictureOptions = PLAIN) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file as `open_media` does, and choose its video stream (see `choose_stream`).

    Raises:
        UnusableMedia: the file is empty, unreadable, not a media file, or has no video stream.
    """
    with open_media(path, options) as container:
        yield container, choose_stream(container).stream


@dataclass(frozen=True)
class StreamChoice:
    """The video stream that is taken from a file."""

    stream: VideoStream
    note: str
    """Which it is, of how many, and why; nothing where there is one only."""


def choose_stream(container: InputContainer) -> StreamChoice:
    """Choose the video of a file that may hold several.

    A cover, a thumbnail or a picture that does not move is taken where nothing moves only, and a cover never. Of moving
    ones the order is that of FFmpeg's `av_find_best_stream`: marked as the default and not made for those who see or
    hear badly; then the larger, then the longer, then the first.

    Raises:
        UnusableMedia: there is none.
    """
    every = container.streams.video
    streams = [s for s in every if not s.disposition & s.disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise UnusableMedia("no video stream", f"it holds {kinds} only" if kinds else "it holds no stream at all")
    best, reason = streams[0], "the others are covers"
    if len(streams) > 1:
        seen = peek(container, streams, PEEK)
        ranks = dict.fromkeys(seen, (False, False, 0, 0, 0))
        for stream in streams:
            kind, context = stream.disposition, stream.codec_context
            if context is None:
                continue
            still = kind & (kind.timed_thumbnails | kind.still_image)
            default = bool(kind & kind.default) + (not kind & (kind.hearing_impaired | kind.visual_impaired))
            counted = (text for key, text in stream.metadata.items() if key.startswith("NUMBER_OF_FRAMES"))
            told = next((int(text) for text in counted if text.isdecimal() and len(text) < 12), 0)
            met = len(seen[stream.index])
            size = context.width * context.height
            ranks[stream.index] = (True, met > 1 and not still, default, size, stream.frames or told or met)
        best = max(streams, key=lambda stream: (ranks[stream.index], -stream.index))
        reasons = ("it can be decoded", "it moves", "it is the default", "it is the largest", "it is the longest")
        second = max(rank for index, rank in ranks.items() if index != best.index)
        ahead = (reason for reason, own, other in zip(reasons, ranks[best.index], second, strict=True) if own > other)
        reason = next(ahead, "it is the first of equals")
    number = 1 + [stream.index for stream in every].index(best.index)
    return StreamChoice(best, f"video stream {number} of {len(every)} taken: {reason}" if len(every) > 1 else "")


@contextlib.contextmanager
def _opened_anew(container: InputContainer) -> Iterator[InputContainer]:
    """Open the file of a container once more, so that the container stays where it is; refuse what is not on disk."""
    path = Path(container.name.removeprefix(LOCAL))
    if not container.name.startswith(LOCAL) and locked.hiding_folder(path) is None:
        raise OSError("a copy in memory")
    with open_container(path) as again:
        yield again


def peek(container: InputContainer, streams: Sequence[VideoStream], each: int) -> dict[int, list[Fraction | None]]:
    """Return when the first pictures of some streams are shown, in seconds, as they come in the file.

    Nothing is decoded. What FFmpeg reads a copy of tells no times.

    Args:
        container: a file that is open.
        streams: of it; the result has them by their index.
        each: pictures of each, at most; None stands for one without a time.
    """
    import av

    times: dict[int, list[Fraction | None]] = {stream.index: [] for stream in streams}
    read, packets = 0, 0
    with (
        contextlib.suppress(av.error.FFmpegError, OSError, ValueError, LookupError),  # what is damaged says no more
        _opened_anew(container) as again,
    ):
        for packet in again.demux(*(again.streams[index] for index in times)):
            read, packets = read + packet.size, packets + 1
            shown = times[packet.stream.index]
            if packet.size and len(shown) < each:
                stamp = packet.dts if packet.pts is None else packet.pts
                shown.append(None if stamp is None or packet.time_base is None else stamp * packet.time_base)
            if read > PEEK_BYTES or packets > PEEK_PACKETS or all(len(shown) == each for shown in times.values()):
                break
    return times


def time_of(frame: VideoFrame) -> Fraction | None:
    """Return the time stamp of a frame, in seconds; None where it has none."""
    return None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base


def orientation_of(frame: VideoFrame) -> Orientation:
    """Return how a decoded frame is brought upright, by its display matrix."""
    matrix = side_data(frame, "DISPLAYMATRIX")
    if matrix is None:
        return AS_STORED
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    return Orientation.of_matrix(a, b, c, d)


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """Return (height, width) of a decoded frame as it is stored, but upright."""
    return (frame.width, frame.height) if orientation_of(frame).sideways else (frame.height, frame.width)


def displayed_size(width: int, height: int, pixel_aspect: float, orientation: Orientation) -> tuple[float, float]:
    """Return (width, height) as displayed, in square pixels."""
    wide = width * pixel_aspect
    return (height, wide) if orientation.sideways else (wide, height)


def pixel_aspect(stream: VideoStream) -> float:
    """Return the width of a pixel over its height; 1 where it is not given or absurd."""
    ratio = stream.sample_aspect_ratio
    value = float(ratio) if ratio else 1.0
    return value if 0.1 <= value <= 10 else 1.0


def stream_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return the rate in frames a second, or None where it cannot be found out; see `rates.rate_of_times`.

    Where the packets disagree with what the container says, since they may hold fields, pictures are decoded to see.
    """
    import av

    declared, unit = (
        stream.average_rate or stream.guessed_rate,
        max(stream.time_base or Fraction(0), Fraction(1, 90_000)),
    )
    if not clock_of(container).stamped:
        return rate_of_times([], stream.guessed_rate or declared, unit)  # the codec's own word; the demuxer says 25
    times = [time for time in peek(container, [stream], PEEK)[stream.index] if time is not None]
    rate = rate_of_times(times, declared, unit)
    if rate is None or declared is None or abs(rate / declared - 1) <= ALIKE:
        return rate
    shown: list[Fraction] = []
    with (
        contextlib.suppress(av.error.FFmpegError, OSError, ValueError, LookupError),
        _opened_anew(container) as again,
    ):
        same = again.streams.video[[other.index for other in container.streams.video].index(stream.index)]
        same.thread_count = 1
        for frame in itertools.islice(again.decode(same), DECODED):
            if (time := time_of(frame)) is not None:
                shown.append(time)
    return rate_of_times(shown if len(shown) > 2 else times, declared, unit)


def clock_of(container: InputContainer) -> FrameClock:
    """Return a clock for the time stamps of a container."""
    flags = int(container.format.flags)
    return FrameClock(jumps=bool(flags & TS_DISCONT), stamped=not flags & NO_TIMESTAMPS)


def declared_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the length that the container tells of a stream, or of all streams, in seconds; None where it does not."""
    seconds = container.duration / 1_000_000 if container.duration else 0.0
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    return seconds if math.isfinite(seconds) and 0 < seconds < 1e7 else None


@dataclass(frozen=True)
class StreamLength:
    """The length of a stream."""

    seconds: float | None
    """None where the container does not tell."""
    jumps: bool = False
    """Whether its time stamps jump."""


class _PacketTimes:
    """The times of packets, shown to a clock in the order of the pictures.

    They are whole numbers of the stream's unit, and the clock is shown only those at which it may do more than go on.
    """

    def __init__(self, clock: FrameClock, unit: Fraction | None) -> None:
        self.clock, self.usual = clock, Fraction(1, 25)
        self.paused = Fraction(0)
        """Seconds that pictures stood longer than usual, of those that stood for more than `PAUSE`."""
        self._unit = unit
        self._ahead: list[int] = []  # not yet in order, a heap
        self._last = self._shown = self._until = 0  # the latest; what the clock was shown; up to which it just goes on
        self._step = 0  # the latest of less than a second, where the clock was not shown it
        scale = 1 / (unit or Fraction(1))
        self._second, self._pause = math.ceil(scale), math.floor(PAUSE * scale)
        self._far = math.floor((JUMP if clock.jumps else MISTAKE) * scale)

    def take(self, packet: Packet[Any]) -> None:
        """Take the next packet as it comes in the file; the empty one at the end shows what is left."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if packet.size and stamp is not None and self._unit is not None:
            heapq.heappush(self._ahead, stamp)
        self.show(REORDERED if packet.size else 0)

    def show(self, most: int = 0) -> None:
        """Take the earliest times in their order, until this many are left."""
        while len(self._ahead) > most and self._unit is not None:
            stamp = heapq.heappop(self._ahead)
            step = stamp - self._last
            if 0 < step <= self._pause and stamp <= self._until:
                self._last = stamp
                self._step = step if step < self._second else self._step
                continue
            self.settle()
            before, time = self.clock.now, stamp * self._unit
            pause = self.clock.show(time, self.usual) - before
            self.usual = pause if 0 < pause < 1 else self.usual
            self.paused += pause - self.usual if pause > PAUSE else 0
            self._last = self._shown = self._until = stamp
            if self.clock.stamped and self.clock.now == time + self.clock.offset:
                self._until += self._far

    def settle(self) -> None:
        """Show the clock the latest time that was taken."""
        if self._last != self._shown and self._unit is not None:
            self.usual = self._step * self._unit if self._step else self.usual
            self.clock.show(self._last * self._unit, self.usual)
            self._shown, self._step = self._last, 0


def timeline(container: InputContainer, stream: VideoStream) -> StreamLength:
    """Return how long a stream is.

    Where the container's word cannot be right, since the stream begins late or its times jump, the packets are counted:
    all, unless their times at the beginning, and where these stand in the file, bear the container out.
    """
    import av

    seconds = declared_seconds(container, stream)
    start = float((stream.start_time or 0) * (stream.time_base or 0))
    clock = clock_of(container)
    if seconds is None or not (clock.jumps or (start > 1 and not stream.duration) or seconds > MISTAKE):
        return StreamLength(seconds)
    seen = _PacketTimes(clock, stream.time_base)
    with (
        contextlib.suppress(av.error.FFmpegError, OSError, ValueError, LookupError),
        _opened_anew(container) as again,
    ):
        for number, packet in enumerate(again.demux(again.streams[stream.index])):
            seen.take(packet)
            if number == PEEK_PACKETS:
                seen.settle()
            if number == PEEK_PACKETS and packet.pos and not clock.closed:
                likely = float(clock.now) * again.size / packet.pos
                for length in (seconds, seconds - start):
                    if likely / 4 < length < likely * 4:
                        return StreamLength(length)
    seen.settle()
    return StreamLength(seconds if clock.first is None else float(clock.now + seen.usual), clock.closed > 0)


def describe(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> VideoInfo:
    """Describe an open stream; one of its frames tells the orientation."""
    orientation = orientation_of(frame)
    context = stream.codec_context
    width, height = displayed_size(context.width, context.height, pixel_aspect(stream), orientation)
    length = timeline(container, stream)
    return VideoInfo(
        width=round(width),
        height=round(height),
        rate=stream_rate(container, stream),
        duration=length.seconds,
        codec=container.metadata.get(COPY_OF, context.name),
        pix_fmt=context.pix_fmt or "unknown",
        rotation=orientation.turn,
        mirrored=orientation.mirrored,
        has_audio=bool(container.streams.audio),
        frames=stream.frames or None,
        jumps=length.jumps,
    )


def probe(path: Path | str) -> VideoInfo:
    """Describe the first video stream of a file. Decodes one frame, for the orientation.

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


def probe_rate(path: Path | str) -> tuple[float, float] | None:
    """Return frames in a second, and seconds, of a video; None where there is no rate of moving pictures."""
    import av

    with contextlib.suppress(UnusableMedia, av.error.FFmpegError), open_video(path) as (container, stream):
        if (rate := stream_rate(container, stream)) and rate >= MOVING:
            seconds = timeline(container, stream).seconds
            if seconds is None:  # then the packets are counted
                seconds = float(sum(packet.size > 0 for packet in container.demux(stream)) / rate)
            return float(rate), seconds
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
    span: Fraction | None = None
    """Seconds from its first picture to its last, or None where they have no times."""
    has_audio: bool = False
    paused: Fraction = Fraction(0)
    """Seconds that pictures stand beyond the usual, of those that stand for more than `rates.PAUSE`."""

    @property
    def playable(self) -> int:
        """Frames that are shown at its rate; not as many as pictures where the time from one to the next varies."""
        return self.frames if self.rate is None else self.shown_at(self.rate)

    def shown_at(self, rate: Fraction, pauses: bool = True) -> int:
        """Return how many frames `decode.VideoDecoder` makes of it at a rate, with pauses or without."""
        if self.rate is None:
            return self.frames
        seconds = self.frames / self.rate
        if self.span is not None:
            seconds = self.span - (0 if pauses else self.paused) + 1 / self.rate
        room = seconds * rate
        return self.frames if abs(room - self.frames) <= Fraction(1, 2) else max(1, math.ceil(room - Fraction(1, 2)))


def count_frames(path: Path | str) -> FrameCount:
    """Count the pictures of a file's first video stream. Decodes one, for the orientation.

    Raises:
        UnusableMedia: the file is empty, unreadable, not a media file, without a video stream or without frames.
    """
    import av

    count, info = 0, None
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        clock = clock_of(container)
        seen = _PacketTimes(clock, stream.time_base)
        try:
            for packet in container.demux(stream):
                if not packet.is_discard:  # what an edit list leaves out
                    count += packet.size > 0
                    seen.take(packet)
                if info is None:
                    for frame in stream.decode(packet):
                        info = info or describe(container, stream, frame)
        except (av.error.FFmpegError, OSError, ValueError, LookupError) as error:
            if info is None:
                raise UnusableMedia("zero frames", plain_reason(error)) from None
        seen.show()
        seen.settle()
    if info is None or not count:
        raise UnusableMedia("zero frames", "no packet holds a picture")
    span = clock.now if clock.stamped and clock.now > 0 else None
    rate = info.rate or (exact_rate((count - 1) / span) if span else None)
    return FrameCount(count, rate, info.height, info.width, span, info.has_audio, seen.paused)
