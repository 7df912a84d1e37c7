"""Sound: read from any file as it stands beside its pictures, written, and put beside pictures that are written.

Time 0 is that of the first picture, whatever time stamps say: sound from before it, such as the priming of AAC, is cut;
where sound begins late, has a gap or is damaged, there is silence. Of a file without pictures time 0 is that of the
first sample. All is read and written as it is taken, in constant memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import MediaError, nearest
from footage.media.companions import JumpingClock, corrected_packets
from footage.media.decode import FrameReader
from footage.media.kinds import address_of
from footage.media.probe import UnusableMedia, choose_stream, clock_of, open_media, open_video, time_of
from footage.media.rates import JUMP

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer, OutputContainer

RATE = 22_050
"""Samples a second that sound is looked at, and kept in data sets."""
TRACK_RATE = 48_000
"""Samples a second of sound that is written beside pictures."""
TRACK_BITS = 192_000
"""Bits a second of the same."""
DRIFT = 0.02
"""Seconds by which times of sound may be wrong before they count: as much is lost in rounding."""
TURN = 0.5
"""Seconds of pictures between which sound is written."""
AUDIO_ENCODERS = {"mp4": "aac", "mov": "aac", "mkv": "aac", "webm": "libopus"}
"""What sound is encoded as, by the ending, where it cannot be copied."""
SOUND_FILES = {"wav": "pcm_s16le", "flac": "flac"}
"""Codecs of files of sound that are written, by the ending."""
REMEDY = "give a file with sound, such as .wav, .mp3, .flac, .m4a, or a video with sound"

Samples = npt.NDArray[np.float32]
"""Sound in mono, (N,), in [-1, 1]."""
Channels = npt.NDArray[np.float32]
"""Sound in several channels, (C, N), in [-1, 1]."""


@dataclass(frozen=True)
class Sound:
    """Some sound in mono."""

    samples: Samples
    """(N,), in [-1, 1]."""
    rate: int
    """Samples a second."""
    start: float = 0.0
    """When the first sample is heard, in seconds from the first picture."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate

    def window(self, start: float, count: int) -> Samples:
        """Return `count` samples from a time in seconds on; outside of the sound there is silence."""
        first = round((start - self.start) * self.rate)
        cut = np.zeros(count, np.float32)
        begin, end = max(0, first), min(len(self.samples), first + count)
        if begin < end:
            cut[begin - first : end - first] = self.samples[begin:end]
        return cut


def has_sound(path: Path | str) -> bool:
    """Tell whether a file holds sound.

    Raises:
        MediaError: it cannot be read.
    """
    with _opened(path) as container:
        return bool(container.streams.audio)


def read_sound(path: Path | str, rate: int = RATE) -> Sound | None:
    """Return the whole sound of a file, mixed down to mono; None where it has none.

    Raises:
        MediaError: the file cannot be read.
    """
    if not has_sound(path):
        return None
    chunks = list(sound_chunks(path, rate))
    return Sound(np.concatenate(chunks) if chunks else np.zeros(0, np.float32), rate)


def sound_chunks(path: Path | str, rate: int = RATE) -> Generator[Samples, None, None]:
    """Yield the sound of a file from time 0 on, each sample the mean of all channels.

    Args:
        path: a file of sound, or a video.
        rate: samples a second.

    Raises:
        MediaError: the file cannot be read, or has no sound.
    """
    for channels in channel_chunks(path, rate):
        yield channels.mean(axis=0)


def channel_chunks(
    path: Path | str, rate: int, layout: str | None = None, begin: Fraction | None = None
) -> Generator[Channels, None, None]:
    """Yield the sound of a file from a time on, in order and without a gap.

    Args:
        path: a file of sound, or a video.
        rate: samples a second.
        layout: FFmpeg's name of the channels that it is mixed to, such as `stereo`, of which a single channel becomes
            both as it is; None to leave them as they are.
        begin: the time stamp to begin at, in seconds; None for that of the first picture.

    Raises:
        MediaError: the file cannot be read, or has no sound.
    """
    with _opened(path) as container:
        if not container.streams.audio:
            raise MediaError(f'"{Path(path).name}" has no sound', REMEDY)
        if begin is None:
            with contextlib.suppress(UnusableMedia), open_video(path) as (pictures, stream):
                for frame, _ in FrameReader("off").frames(pictures, stream):
                    begin = time_of(frame) or Fraction(0)
                    break
        written = 0
        for at, channels in _stretches(container, begin, rate, layout):
            while at > written:  # silence, a second at once
                silent = min(rate, at - written)
                yield np.zeros((len(channels), silent), np.float32)
                written += silent
            if (kept := channels[:, written - at :]).shape[1]:
                yield kept
                written += kept.shape[1]


@contextlib.contextmanager
def _opened(path: Path | str) -> Iterator[InputContainer]:
    """Open a file for its sound, with an error that says so."""
    try:
        with open_media(path) as container:
            yield container
    except UnusableMedia as error:
        raise MediaError(f'no sound can be read from "{Path(path).name}" ({error.detail})', REMEDY) from None


def _stretches(
    container: InputContainer, begin: Fraction | None, rate: int, layout: str | None
) -> Iterator[tuple[int, Channels]]:
    """Yield sound as it is decoded, each part with the number of its first sample, counted from `begin`, or before it.

    While times agree with the number of samples, what follows is joined to the sample; where they do not, or the sound
    changes its form, resampling begins anew.
    """
    import av

    resampler: Any = None
    form: tuple[str, str, int] | None = None
    origin, heard, given = 0, 0, 0  # number of a stretch's first sample; samples that went in since, and came out
    limit = container.duration / 1_000_000 + float(JUMP) if container.duration else None
    copied = False  # whether the one channel becomes both

    def resampled(frame: AudioFrame | None) -> Iterator[tuple[int, Channels]]:
        nonlocal given
        for part in [] if resampler is None else resampler.resample(frame):
            samples: Samples = np.nan_to_num(part.to_ndarray().astype(np.float32), posinf=1.0, neginf=-1.0).clip(-1, 1)
            planes = samples.reshape(part.samples, -1).T  # (1, N C), frame by frame -> (C, N)
            # FFmpeg's own mix would make it 3 dB softer.
            yield origin + given, np.repeat(planes, 2, axis=0) if copied else planes
            given += part.samples

    for frame, stamp in _decoded(container, begin):
        if begin is None and stamp is not None:
            begin = max(stamp, Fraction(0))
        time = None if stamp is None else stamp - (begin or 0)
        expected = None if form is None else Fraction(origin, rate) + Fraction(heard, form[2])
        gap = Fraction(0) if time is None or expected is None else time - expected
        # Time stamps that make no sense are taken as going on.
        wild = abs(gap) > JUMP and (limit is None or time is None or not 0 <= time < limit)
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if now != form or (abs(gap) > DRIFT and not wild):
            yield from resampled(None)
            starts = time if expected is None or (abs(gap) > DRIFT and not wild) else expected
            origin, heard, given, form = round((starts or 0) * rate), 0, 0, now
            copied = layout == "stereo" and frame.layout.nb_channels == 1
            mix = None if copied else layout
            try:
                # Packed: of planes PyAV knows no more than eight rightly.
                resampler = av.AudioResampler(format="flt", layout=mix or frame.layout.name, rate=rate)
            except (av.error.FFmpegError, ValueError):
                resampler, form = None, None
                continue
        frame.pts, frame.time_base = heard, Fraction(1, frame.sample_rate)
        heard += frame.samples
        yield from resampled(frame)
    yield from resampled(None)


def _decoded(container: InputContainer, begin: Fraction | None) -> Iterator[tuple[AudioFrame, Fraction | None]]:
    """Yield the frames of a file's sound, and the time stamp of each in seconds; what is damaged is left out.

    Where time stamps jump by design, they are those that they would be without the jumps of the pictures.
    """
    import av

    jumps = begin is not None and clock_of(container).jumps
    clock = JumpingClock(container, choose_stream(container).stream) if jumps else None
    for packet, correction in corrected_packets(container, [container.streams.best("audio")], clock):
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            for frame in packet.decode():
                known = frame.pts is not None and frame.time_base is not None
                yield frame, frame.pts * frame.time_base + correction if known else None


def as_stereo(chunks: Iterable[Samples], rate: int) -> Generator[Channels, None, None]:
    """Yield sound in mono, in chunks (n,) of a rate, as it is written beside pictures: (2, m) at `TRACK_RATE`.

    Both channels are as loud as the one: what is read again as the mean of both is what it was.
    """
    import av

    resampler, done = av.AudioResampler(format="fltp", layout="mono", rate=TRACK_RATE), 0
    for chunk in chunks:
        if not len(chunk):
            continue
        for part in resampler.resample(_frame(chunk[None], rate, done, "mono")):
            yield np.repeat(part.to_ndarray().astype(np.float32, copy=False), 2, axis=0)  # (1, m) → (2, m)
        done += len(chunk)
    if done:
        for part in resampler.resample(None):
            yield np.repeat(part.to_ndarray().astype(np.float32, copy=False), 2, axis=0)  # (1, m) → (2, m)


def _frame(channels: Channels, rate: int, number: int, layout: str) -> AudioFrame:
    """Return sound (C, N) as FFmpeg's frame, the first sample of which is the `number`-th."""
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels, np.float32), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, number, Fraction(1, rate)
    return frame


def write_sound(path: Path, chunks: Iterable[Samples], rate: int) -> None:
    """Write sound in mono, atomically, with 16 bits a sample.

    Args:
        path: a .wav or .flac file.
        chunks: (n,) each, in [-1, 1].
        rate: samples a second.

    Raises:
        MediaError: another ending, no sound, or the disk is full.
    """
    import av

    kind = path.suffix.lower().lstrip(".")
    if kind not in SOUND_FILES:
        raise MediaError(f'"{path.name}" has no format that sound is written as', nearest(kind, tuple(SOUND_FILES)))
    full = MediaError(f'the disk is full, "{path}" was not written', "free some space and go on")
    done = 0
    with (
        files.disk_errors(full),
        files.replacing(path) as temporary,
        av.open(address_of(temporary), "w", format=kind) as out,
    ):
        stream: Any = out.add_stream(SOUND_FILES[kind], rate=rate, layout="mono")
        for chunk in chunks:
            if len(chunk):
                samples = np.rint(np.clip(chunk, -1, 1) * 32_767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, done, Fraction(1, rate)
                out.mux(stream.encode(frame))
                done += len(chunk)
        if not done:
            raise MediaError(f'"{path.name}" would have no sound', "give at least one sample")
        out.mux(stream.encode(None))


def check_sound(kind: str) -> None:
    """Refuse files, by their ending, that hold no sound.

    Raises:
        MediaError: such a one.
    """
    if kind not in AUDIO_ENCODERS:
        holds_none = "a folder of pictures holds" if kind in ("", "png") else f".{kind} files hold"
        endings = ", ".join(f".{name}" for name in AUDIO_ENCODERS)
        raise MediaError(f"{holds_none} no sound", f"give one of {endings}, or leave the sound out")


class SoundTrack:
    """The sound of a video that is being written, in stereo.

    Args:
        container: it holds its video already, and nothing has been written.
        kind: the ending of its file.
        sound: (2, n) each at `TRACK_RATE`; where it ends, silence follows.
    """

    def __init__(self, container: OutputContainer, kind: str, sound: Iterable[Channels]) -> None:
        self.container = container
        stream: Any = container.add_stream(AUDIO_ENCODERS[kind], rate=TRACK_RATE, layout="stereo")
        stream.bit_rate = TRACK_BITS
        self.stream = stream
        self.written = 0
        """Samples."""
        self.follow(sound)

    def follow(self, sound: Iterable[Channels]) -> None:
        """Go on with other sound; what is left of the one before is not heard."""
        self.sound = iter(sound)
        self.left = np.zeros((2, 0), np.float32)

    def write(self, end: Fraction) -> None:
        """Encode sound up to a time of the video, in seconds, and not a sample more."""
        while (wanted := round(end * TRACK_RATE) - self.written) > 0:
            if not self.left.shape[1]:
                self.left = next(self.sound, np.zeros((2, min(wanted, TRACK_RATE)), np.float32))
            now, self.left = self.left[:, :wanted], self.left[:, wanted:]
            if now.shape[1]:
                self.container.mux(self.stream.encode(_frame(now, TRACK_RATE, self.written, "stereo")))
                self.written += now.shape[1]

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self.container.mux(self.stream.encode(None))
