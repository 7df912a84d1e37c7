"""Decoding: any file that FFmpeg reads becomes uint8 frames of one size at one constant rate.

`FrameReader` decodes and marks damage, `Scaler` converts size and colours, `VideoDecoder` puts frames on a constant
rate, `read_window` takes a few frames from anywhere in a file.
"""

from __future__ import annotations

import contextlib
import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage.errors import MediaError
from footage.media import geometry, probe
from footage.media.colour import LUMA, PEAK_NITS, PQ, coding_of, colour_of, peak_of, to_bt709
from footage.media.geometry import Fit, Orientation
from footage.media.interlacing import Deinterlacer, Deinterlacing
from footage.media.kinds import VOLUME_SUFFIXES, suffix_of
from footage.media.pictures import COPY_NOTE, PLAIN, PictureOptions, has_alpha, laid_over, without_unset_alpha
from footage.media.probe import UnusableMedia, VideoInfo, describe, open_video
from footage.media.rates import PAUSE, FrameClock, exact_rate
from footage.media.volumes import read_kept

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


Frames = npt.NDArray[np.uint8]

CHUNK = 32
"""Frames in a chunk."""
EARLY, HALF = Fraction(45, 100), Fraction(1, 2)
"""A frame may be shown up to this fraction of a tick early. Less than half, so that 50 → 25 fps takes every second."""
LEADS = (Fraction(1), Fraction(4), Fraction(16))
"""Seconds before what is wanted at which a key frame is looked for, one after the other until one is found."""
RGB, GREY, DEEP_RGB = "rgb24", "gray", "rgb48le"


class FrameReader:
    """Decodes a stream; a damaged packet is skipped, and what depends on it is marked, up to the next key frame.

    Args:
        deinterlacing: what becomes of interlaced video.
    """

    def __init__(self, deinterlacing: Deinterlacing = "auto") -> None:
        self.fields = Deinterlacer(deinterlacing)
        self.damaged = 0
        """Frames and packets that were damaged, so far."""
        self.problem = ""
        """FFmpeg's words for the first fault that was met."""
        self.notes: list[str] = []
        """What was done to its pictures or found out about it, in a few words each, for the audit."""

    def frames(self, container: InputContainer, stream: VideoStream) -> Iterator[tuple[VideoFrame, bool]]:
        """Yield the frames with whether each is damaged; damage lasts until a sound key frame."""
        return self.fields.passed(self._decoded(container, stream))

    def frames_near(
        self,
        container: InputContainer,
        stream: VideoStream,
        clock: FrameClock,
        seconds: Fraction,
        anew: Callable[[], contextlib.AbstractContextManager[tuple[InputContainer, VideoStream]]],
    ) -> Iterator[tuple[VideoFrame, bool]]:
        """Yield frames, as `frames` does, from a key frame on that stands one of `LEADS` before a time, or earlier.

        All of them are yielded where time stamps do not tell where they stand, or no such key frame can be gone to.

        Args:
            container: a file that was just opened.
            stream: of it.
            clock: of the file; where some frames are left out it has been shown the first.
            seconds: the time, from the first frame on.
            anew: opens the file once more.
        """
        import av

        # Of frames of an AVI that are not shown in the order of their packets, no time is known behind a jump.
        unordered = container.format.name == "avi" and bool(getattr(decoder_of(stream), "has_b_frames", 0))
        if seconds <= LEADS[0] or clock.jumps or not clock.stamped or not stream.time_base or unordered:
            yield from self.frames(container, stream)
            return
        first, _ = next(FrameReader("off").frames(container, stream), (None, False))
        start = None if first is None else probe.time_of(first)
        for lead in LEADS:
            if start is None or seconds <= lead:
                break
            with contextlib.suppress(av.error.FFmpegError):  # it cannot be gone to
                container.seek(math.floor((start + seconds - lead) / stream.time_base), stream=stream)
                frames = self.frames(container, stream)
                head, damaged = next(frames, (None, True))
                time = None if head is None else probe.time_of(head)
                if head is not None and time is not None and start < time <= start + seconds - LEADS[0] and not damaged:
                    clock.show(start, Fraction(0))
                    yield head, False
                    yield from frames
                    return
        with anew() as (container, stream):
            stream.thread_count = 1
            yield from self.frames(container, stream)

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[tuple[VideoFrame, bool]]:
        """Yield the frames as they are stored."""
        import av

        spoiled = False
        packets, decoder = container.demux(stream), decoder_of(stream)
        avi = container.format.name == "avi"  # its pixels of 32 bits have 8 that nobody has to set
        order: list[int] = []  # times of AVI's packets, which are those of decoding: frames are shown in their order
        with av.logging.Capture(local=False) as messages:
            while True:
                try:
                    packet = next(packets)  # the last one is empty and flushes the decoder
                except StopIteration:
                    return
                except (av.error.FFmpegError, ValueError, OSError, LookupError) as error:
                    self._note(probe.plain_reason(error))  # an error of reading ends the file
                    return
                messages.clear()
                if avi and packet.size and packet.dts is not None:
                    heapq.heappush(order, packet.dts)
                try:
                    frames: list[VideoFrame] = list(decoder.decode(packet))
                except av.error.EOFError:
                    return
                except (av.error.FFmpegError, ValueError, OSError, LookupError) as error:
                    self._note(probe.plain_reason(error))
                    spoiled = True
                    if packet.dts in order:
                        order.remove(packet.dts)
                        heapq.heapify(order)
                    continue
                faults = [text for level, _, text in messages if level <= av.logging.ERROR]
                if faults:
                    self._note(faults[0].strip())
                for frame in frames:
                    if frame.is_corrupt and not faults:
                        self._note("a frame is marked as corrupt")
                    broken = bool(faults) or bool(frame.is_corrupt)
                    spoiled = broken or (spoiled and not frame.key_frame)
                    if order:
                        frame.pts = heapq.heappop(order)
                    yield without_unset_alpha(frame) if avi and has_alpha(frame) else frame, spoiled

    def _note(self, problem: str) -> None:
        self.damaged += 1
        self.problem = self.problem or problem


def decoder_of(stream: VideoStream) -> VideoStream | VideoCodecContext:
    """Return what decodes a stream: itself, or, where FFmpeg's own decoder knows no transparency, libvpx."""
    import av

    if stream.codec_context is None:  # FFmpeg does not know it
        raise UnusableMedia("zero frames", "no packet holds a picture")
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1" or name not in av.codecs_available:
        return stream
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, av.VideoCodecContext)
    context.thread_count = 1
    return context


@dataclass(frozen=True)
class DecodedChunk:
    """A few frames in a row."""

    frames: Frames
    """Pixels (T, H, W, C)."""
    times: npt.NDArray[np.float64]
    """When each frame is shown, in seconds from the first (T,): multiples of 1 / rate."""
    damaged: npt.NDArray[np.bool_]
    """Whether each frame was decoded from damaged data (T,)."""

    @staticmethod
    def stack(pictures: list[tuple[Frames, bool]], end: int, rate: Fraction) -> DecodedChunk:
        """Make a chunk of pictures (H, W, C), each with whether it is damaged, that ends before tick `end`."""
        frames = np.stack([picture for picture, _ in pictures])  # T × (H, W, C) → (T, H, W, C)
        times = np.arange(end - len(pictures), end) / float(rate)
        return DecodedChunk(frames, times, np.array([damaged for _, damaged in pictures]))


class VideoDecoder(FrameReader):
    """An iterator over the chunks of a file; memory does not grow with its length.

    Frames are put on a constant rate by their timestamps: at each tick stands the frame that is on
    the screen then, so the duration is kept where the rate varies. A damaged packet is skipped, and
    what depends on it, up to the next key frame, is marked.

    Args:
        path: a file that FFmpeg reads.
        height: height of the result, in pixels.
        width: width of the result, in pixels.
        channels: 1 for grey, 3 for RGB (full range).
        fps: ticks in a second, exactly or as a number that stands for it.
        fit: one of `geometry.FITS`.
        options: how transparent and interlaced pictures are looked at.
        pauses: whether a picture is shown for as long as it stands, however long. If not, one that stands for more than
            `PAUSE` seconds is shown as briefly as the others usually are, or for a tick where they all stand so long;
            the times of what follows go on behind the pause.
        begin: tick of the first frame that is given, which is gone to by a key frame where time stamps allow that.

    Raises:
        UnusableMedia: from the iteration, when the file cannot be opened or gives no frame.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        height: int,
        width: int,
        channels: int,
        fps: Fraction | float,
        fit: Fit,
        options: PictureOptions = PLAIN,
        pauses: bool = True,
        begin: int = 0,
    ) -> None:
        super().__init__(options.deinterlacing)
        self.options, self.begin = options, begin
        self.path, self.target = Path(path), (height, width)
        self.channels, self.rate, self.fit, self.keeps_pauses = channels, exact_rate(fps), fit, pauses
        self.info: VideoInfo | None = None
        """What the file is; known when the first chunk has come."""
        self.truncated = False
        """Whether the file ended before the length that it declares; known at the end."""
        self.pauses: list[tuple[float, float]] = []
        """When a picture stood and was not shown, from and to, in seconds from the first frame; of moving ones only."""

    def __iter__(self) -> Iterator[DecodedChunk]:
        with open_video(self.path, self.options) as (container, stream):
            self.notes += filter(None, [container.metadata.get(COPY_NOTE), probe.choose_stream(container).note])
            own_length, clock = bool(stream.duration), probe.clock_of(container)
            declared = None if clock.jumps else probe.declared_seconds(container, stream)
            ticks = _ConstantRate(self.rate, self.keeps_pauses)
            ticks.tick = self.begin
            usual = length = 1 / self.rate
            stream.thread_count = 1  # the workers are processes; and damage is then the same on every machine
            scale = Scaler(self.target, self.channels, self.fit, probe.pixel_aspect(stream), options=self.options)
            anew = partial(open_video, self.path, self.options)
            for frame, damaged in self.frames_near(container, stream, clock, self.begin / self.rate, anew):
                if self.info is None:
                    self.info = describe(container, stream, frame)
                    usual = 1 / self.info.rate / self.fields.frames_each if self.info.rate else usual
                length = max(usual, (frame.duration or 0) * (frame.time_base or Fraction(0)))
                yield from ticks.show(scale(frame), clock.show(probe.time_of(frame), usual), usual, damaged)
            yield from ticks.end(length)
        if ticks.pauses and usual > PAUSE:
            self.notes.append(f"a new picture every {float(usual):.3g} s: each is shown for one frame")
        elif ticks.pauses:
            self.pauses = ticks.pauses
            self.notes.append(f"pictures stand for more than {PAUSE} s: shown as briefly as the others")
        if clock.closed:
            self.notes.append("times jump: taken as going on without a gap")
        if self.info is None:
            raise UnusableMedia("zero frames", self.problem or "no packet holds a picture")
        self.notes += [*scale.notes, *self.fields.notes]
        # A container's length may be that of a longer sound track; only the stream's own counts beside one.
        if declared is not None and (own_length or not self.info.has_audio):
            # Some containers count from 0, others from the first frame.
            seen = float(max(clock.latest, clock.latest - (clock.first or 0), clock.now) + length)
            self.truncated = seen < declared - max(0.5, 0.05 * declared)


def exact(kernel: Any) -> Any:
    """Return a kernel of FFmpeg's with its most exact arithmetic."""
    from av.video.reformatter import Interpolation

    return kernel | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


class Scaler:
    """Make the wanted picture out of a decoded frame: (H, W, C), upright, full range.

    It is uint8 and has the colours of BT.709, unless a format is given; then its colours are the file's, and it is
    exact: FFmpeg's quicker way is a level too dark.
    """

    def __init__(
        self,
        target: tuple[int, int],
        channels: int,
        fit: Fit,
        aspect: float,
        format: str | None = None,
        options: PictureOptions = PLAIN,
    ) -> None:
        from av.video.reformatter import VideoReformatter

        self.target, self.channels, self.fit, self.aspect = target, channels, fit, aspect
        self.exact = format is not None
        self.format = format or (RGB if channels == 3 else GREY)
        self.reformatter = VideoReformatter()  # keeps swscale's tables from frame to frame
        self.options = options
        self.notes: list[str] = []
        """What was done with the pictures, in a few words each."""
        self.plans: dict[tuple[int, int, Orientation], geometry.ResizePlan] = {}

    def __call__(self, frame: VideoFrame) -> npt.NDArray[Any]:
        from av.video.reformatter import Interpolation

        orientation, colour = probe.orientation_of(frame), colour_of(frame)
        plan = self.plans.get((frame.width, frame.height, orientation))
        if plan is None:
            shown = probe.displayed_size(frame.width, frame.height, self.aspect, orientation)
            if not 1 / probe.MAX_ASPECT <= shown[0] / shown[1] <= probe.MAX_ASPECT:
                raise UnusableMedia("unusable shape", f"{frame.width}×{frame.height} pixels")
            plan = geometry.plan_resize(shown, orientation, self.target, self.fit)
            self.plans[frame.width, frame.height, orientation] = plan
        shrinks = plan.width * plan.height < frame.width * frame.height
        coding = coding_of(frame, colour)
        opaque = frame
        if has_alpha(frame):
            opaque, seen_through = laid_over(frame, self.options, coding)
            coding = {}
            if seen_through:
                self._note(f"transparency laid over {self.options.background}")
        kernel = Interpolation.AREA if shrinks else Interpolation.BICUBIC
        converted = bool(colour.beyond) and not self.exact
        small = self.reformatter.reformat(
            opaque,
            width=plan.width,
            height=plan.height,
            format=DEEP_RGB if converted else self.format,
            interpolation=exact(kernel) if self.exact or converted else kernel,
            threads=1,
            **coding,
        )
        picture = np.asarray(small.to_ndarray())
        if converted:
            self._note(f"{colour.beyond} mapped to BT.709")
            peak = peak_of(frame) if colour.transfer == PQ else PEAK_NITS
            picture = to_bt709(colour, peak)(picture)
            if self.channels == 1:
                picture = (picture @ LUMA + 0.5).astype(np.uint8)  # (H, W, 3) → (H, W)
        if picture.ndim == 2:
            picture = picture[:, :, None]  # grey: (H, W) → (H, W, 1)
        return plan.finish(picture)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class _ConstantRate:
    """Put pictures with times on a constant rate: at each tick stands the one on the screen then.

    `keep` says whether pauses are shown; those that are not are noted in `pauses`, from and to, in seconds.
    """

    def __init__(self, rate: Fraction, keep: bool) -> None:
        self.rate, self.keep = rate, keep
        self.pauses: list[tuple[float, float]] = []
        self.tick = 0
        self.held: tuple[Frames, bool] | None = None
        self.time = Fraction(0)  # of the held picture, in seconds from the first
        self.usual = Fraction(0)  # for how long a picture stands
        self.waiting: list[tuple[Frames, bool]] = []

    def show(self, picture: Frames, time: Fraction, usual: Fraction, damaged: bool) -> Iterator[DecodedChunk]:
        """Take the next picture, its time, and how long pictures usually stand; yield the chunks that it completes."""
        if self.held is not None:
            if self._is_pause(time):
                yield from self.end(time - self.time)
                self.tick = max(self.tick, math.ceil(time * self.rate - EARLY))
            else:
                yield from self._fill(time * self.rate - EARLY)
        self.held, self.time, self.usual = (picture, damaged), time, usual

    def end(self, length: Fraction) -> Iterator[DecodedChunk]:
        """Show the held picture for as long as it stands, unless that is a pause, and yield what is left."""
        if self.held is not None:
            end = self.time + length
            if self._is_pause(end):
                shown = self.time + (self.usual if self.usual <= PAUSE else 1 / self.rate)
                self.pauses.append((float(shown), float(end)))
                end = shown
            yield from self._fill(max(end * self.rate - HALF, HALF))
        if self.waiting:
            yield DecodedChunk.stack(self.waiting, self.tick, self.rate)
            self.waiting = []

    def _is_pause(self, until: Fraction) -> bool:
        return not self.keep and until - self.time > PAUSE

    def _fill(self, until: Fraction) -> Iterator[DecodedChunk]:
        """Stand the held picture at each tick before `until`."""
        assert self.held is not None
        while self.tick < until:
            self.waiting.append(self.held)
            self.tick += 1
            if len(self.waiting) == CHUNK:
                yield DecodedChunk.stack(self.waiting, self.tick, self.rate)
                self.waiting = []


def declared_length(path: Path | str) -> tuple[VideoInfo, int, Fraction]:
    """Return what a file is, the number of its frames, and how many there are in a second of it on average.

    Where the container does not tell, its packets are counted, without decoding.

    Raises:
        UnusableMedia: no frame can be had from it.
    """
    with open_video(path) as (container, stream):
        info = None
        for frame, _ in FrameReader("off").frames(container, stream):
            info = describe(container, stream, frame)
            break
    if info is None:
        raise UnusableMedia("zero frames", "no packet holds a picture")
    rate = info.rate or Fraction(25)
    if info.frames:
        return info, info.frames, exact_rate(info.frames / info.duration) if info.duration else rate
    if info.duration:
        return info, max(1, round(info.duration * rate)), rate
    with open_video(path) as (container, stream):
        return info, sum(packet.size > 0 for packet in container.demux(stream)), rate


def frames_each(path: Path | str) -> int:
    """Return how many frames are made of one of a video's where each field becomes a frame: 2 if it is interlaced."""
    reader = FrameReader("double")
    with contextlib.suppress(UnusableMedia), open_video(path) as (container, stream):
        next(reader.frames(container, stream), None)
    return reader.fields.frames_each


def read_window(
    path: Path | str, seconds: float, count: int, channels: int = 3, steady: bool = False
) -> tuple[Frames, bool]:
    """Return `count` frames from a time on, uint8 (T, H, W, C), upright, and whether they are whole.

    They are not, where there are fewer, of which the last stands for the others, or some are damaged.

    Args:
        path: a file that FFmpeg reads.
        seconds: since its first frame.
        count: of the frames.
        channels: 1 for grey, 3 for RGB.
        steady: whether its times are known not to jump (see `VideoInfo.jumps`): then an MPEG transport stream is gone
            to by them. Program streams and Ogg are decoded from their beginning: the former have too few times, of
            which FFmpeg gives some to other frames after a jump.

    Raises:
        UnusableMedia: the file cannot be opened, or gives no frame at all.
    """
    frames: list[Frames] = []
    whole = True
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        clock = probe.clock_of(container)
        clock.jumps = clock.jumps and not (steady and container.format.name == "mpegts")
        usual = 1 / (stream.guessed_rate or stream.average_rate or Fraction(25))
        scale: Scaler | None = None
        near = FrameReader().frames_near(container, stream, clock, Fraction(seconds), partial(open_video, path))
        for frame, damaged in near:
            if clock.show(probe.time_of(frame), usual) < seconds - 1e-3:
                continue
            scale = scale or Scaler(probe.upright_size(frame), channels, "stretch", 1.0)
            frames.append(scale(frame))
            whole = whole and not damaged
            if len(frames) == count:
                break
    if not frames:
        if seconds > 0:
            return read_window(path, 0.0, count, channels, steady)[0], False
        raise UnusableMedia("zero frames", "no packet holds a picture")
    missing = count - len(frames)
    return np.stack(frames + frames[-1:] * missing), whole and not missing


def decode_whole(path: Path, longest_side: int) -> int:
    """Decode a whole file that nobody vouches for; return how many frames it has.

    Args:
        path: the file.
        longest_side: pixels of a side beyond which a picture is refused.

    Raises:
        MediaError: it cannot be decoded, holds no frame, or its picture is too large.
    """
    import av

    if suffix_of(path) in VOLUME_SUFFIXES:
        return len(read_kept(path).volume.values)
    count = 0
    try:
        with open_video(path) as (container, stream):
            if max(stream.width or 0, stream.height or 0) > longest_side:
                raise MediaError(f"the picture is {stream.width}×{stream.height}", f"give at most {longest_side}")
            for frame in container.decode(stream):
                if max(frame.width, frame.height) > longest_side:
                    raise MediaError(f"a frame is {frame.width}×{frame.height}", f"give at most {longest_side}")
                count += 1
    except (av.error.FFmpegError, ValueError) as error:
        if not count:
            raise MediaError(f"the file cannot be decoded ({error})", "give a video or a picture") from None
    if not count:
        raise MediaError("the file holds no frame", "give a video or a picture")
    return count
