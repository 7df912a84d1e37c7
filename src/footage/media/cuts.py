"""Parts of videos, one behind the other, as a video of their own: to the frame, with their sound to the sample.

Frames are counted as players of a constant rate count them: number k stands on the screen k / rate seconds after the
first. All is read and written as it is taken, in constant memory.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import ConfigError, MediaError
from footage.media.colour import UNKNOWN_COLOUR
from footage.media.decode import Frames
from footage.media.encode import CleanEncoder, StreamEncoder
from footage.media.geometry import Fit
from footage.media.probe import open_video
from footage.media.rates import exact_rate
from footage.media.reader import Footage, open_original

SOUND_RATE = 48_000
"""Samples of sound in a second."""
TURN = 0.5
"""Seconds of pictures between which sound is written."""
DRIFT = 0.02
"""Seconds by which times of sound may be wrong before they count: as much is lost in rounding."""
CLEAN = 256 * 256
"""Pixels of a frame up to which it is encoded nearly without loss."""
QUALITY = 14
"""Quality (CRF, H.264) of larger frames: what is cut out of cuts does not fade."""

Sound = npt.NDArray[np.float32]
"""Samples, (2, n)."""


@dataclass(frozen=True)
class Cut:
    """A part of a video."""

    path: Path
    first: int = 0
    """Number of its first frame."""
    last: int | None = None
    """Number of its last frame; None for that of the video."""

    def __post_init__(self) -> None:
        if self.first < 0:
            raise ConfigError(f"first is {self.first}", "give at least 0")
        if self.last is not None and self.last < self.first:
            raise ConfigError(f"last is {self.last}, before the first, {self.first}", "give a later one")

    def pictures(self, size: tuple[int, int], rate: Fraction, fit: Fit) -> Iterator[Frames]:
        """Yield its frames, uint8 (H, W, C), at a size; those of a video of another rate are repeated or left out.

        Raises:
            MediaError: the video ends before the part begins, or cannot be read.
        """
        height, width = size
        own = open_original(self.path).rate
        begin = round(self.first / own * rate)
        end = None if self.last is None else begin + round((self.last + 1 - self.first) / own * rate)
        chunks = Footage(self.path).chunks(height=height, width=width, channels=3, fps=rate, fit=fit)
        frames = itertools.islice(itertools.chain.from_iterable(chunks), begin, end)
        first = next(frames, None)
        if first is not None:
            yield first
            yield from frames
        else:
            raise MediaError(f'"{self.path.name}" ends before frame {self.first + 1}', "begin earlier")

    def sound(self) -> Generator[Sound, None, None]:
        """Yield its sound from its first frame on, without end: where there is none, silence."""
        import av

        original = open_original(self.path)
        begin, expected = original.start + self.first / original.rate, 0
        if original.has_audio:
            with open_video(self.path) as (container, _):
                resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE)
                with contextlib.suppress(av.error.FFmpegError):  # what is damaged is silent
                    for frame in container.decode(container.streams.audio[0]):
                        for part in resampler.resample(frame):
                            samples: Sound = part.to_ndarray().astype(np.float32)
                            at = expected
                            if part.pts is not None and part.time_base is not None:
                                at = round((part.pts * part.time_base - begin) * SOUND_RATE)
                            if expected and abs(at - expected) < DRIFT * SOUND_RATE:
                                at = expected
                            if at > expected:
                                yield np.zeros((2, at - expected), np.float32)
                                expected = at
                            kept = samples[:, max(0, expected - at) :]
                            if kept.shape[1]:
                                yield kept
                            expected = max(expected, at + samples.shape[1])
        while True:
            yield np.zeros((2, SOUND_RATE), np.float32)


class SoundTrack:
    """The sound of cuts, written beside their pictures, in stereo."""

    def __init__(self, container: Any) -> None:
        self.container, self.stream = container, container.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        self.written = 0
        """Samples."""
        self.left: Sound | None = None

    def write(self, sound: Iterator[Sound], end: Fraction) -> None:
        """Encode sound up to a time of the video, in seconds, and not a sample more; what is left over comes first."""
        import av

        while (left := round(end * SOUND_RATE) - self.written) > 0:
            samples = next(sound) if self.left is None else self.left
            self.left = samples[:, left:] if samples.shape[1] > left else None
            samples = np.ascontiguousarray(samples[:, :left])
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self.written, Fraction(1, SOUND_RATE)
            self.container.mux(self.stream.encode(frame))
            self.written += samples.shape[1]

    def finish(self) -> None:
        self.container.mux(self.stream.encode(None))


def write_cuts(
    cuts: Sequence[Cut],
    to: Path,
    *,
    metadata: dict[str, Any],
    fit: Fit = "letterbox",
    watch: Callable[[int], object] = lambda _: None,
) -> int:
    """Write parts of videos one behind the other, at size and rate of the first, as an mp4; return how many frames.

    Sound is kept, in stereo, where one of them has some; wide colours become BT.709 of 8 bits.

    Args:
        cuts: one or more.
        to: the file; it is written atomically.
        metadata: put into the file as JSON, in its comment.
        fit: how a picture of another shape is fitted in.
        watch: is told after each frame how many are written; what it raises ends the work.

    Raises:
        MediaError: a video cannot be read, is a still, or ends before its part begins; or the disk is full.
    """
    import av

    originals = [open_original(cut.path) for cut in cuts]
    for cut, original in zip(cuts, originals, strict=True):
        if original.frames == 1 or Footage(cut.path).is_picture:
            raise MediaError(f'"{cut.path.name}" is a picture', "give a clip")
    rate, size = exact_rate(originals[0].rate), Footage(cuts[0].path).size()
    full = MediaError(f'the disk is full, "{to}" was not written', "free some space and go on")
    done = 0
    options = {"movflags": "+faststart"}
    with (
        files.disk_errors(full),
        files.replacing(to) as temporary,
        av.open(str(temporary), "w", format="mp4", options=options) as container,
    ):
        container.metadata["comment"] = json.dumps(metadata, ensure_ascii=False)
        if size[0] * size[1] <= CLEAN:
            video: CleanEncoder | StreamEncoder = CleanEncoder(container, "mp4", size=size, rate=rate)
        else:
            video = StreamEncoder(
                container, "libx264", "h264", QUALITY, size=size, base=1 / rate, rate=rate, colour=UNKNOWN_COLOUR
            )
        track = SoundTrack(container) if any(original.has_audio for original in originals) else None
        for cut in cuts:
            with contextlib.closing(cut.sound()) as sound:
                for number, picture in enumerate(cut.pictures(size, rate, fit)):
                    if track is not None and number % max(1, int(rate * TURN)) == 0:
                        track.write(sound, done / rate)
                    video.write(picture, done)
                    done += 1
                    watch(done)
                if track is not None:
                    track.write(sound, done / rate)
                    track.left = None
        video.finish()
        if track is not None:
            track.finish()
    return done
